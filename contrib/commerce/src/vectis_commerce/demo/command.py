"""The command `vectis demo`: options in, exit code out."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from vectis_commerce.demo.run import Plan
    from vectis_commerce.demo.transport import Transport

__all__ = ["demo"]

T = TypeVar("T")

_FOLDER = Path("vectis-demo")
_ANY = ""  # --broker without an address


class _Refused(click.ClickException):
    exit_code = 2


class _Amount(click.ParamType[Decimal]):
    name = "amount"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> Decimal:
        try:
            amount = Decimal(str(value))
        except InvalidOperation:
            amount = Decimal("NaN")
        if not amount.is_finite():
            self.fail(f"{value!r} is no amount of money, such as 100.00", param, ctx)
        return amount


@click.command()
@click.option(
    "--orders",
    "path",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Orders to send instead of the 500 that come with the demo: JSON lines, plain or gzip.",
)
@click.option(
    "--limit",
    type=_Amount(),
    default="100.00",
    show_default=True,
    help="Orders above this total are cancelled by the guard plugin.",
)
@click.option(
    "--kill-worker",
    is_flag=True,
    help="Kill the worker with SIGKILL in the middle, and start another.",
)
@click.option(
    "--processes",
    type=click.IntRange(min=1),
    metavar="N",
    default=1,
    show_default=True,
    help="How many processes work; with several, --kill-worker kills one of them.",
)
@click.option(
    "--broker",
    "address",
    is_flag=False,
    flag_value=_ANY,
    metavar="[ADDRESS]",
    help="Run on Redpanda or Kafka, with topics of its own, instead of on a file. Without ADDRESS: "
    "VECTIS_REDPANDA_BOOTSTRAP_SERVERS, or else localhost:9092.",
)
@click.option(
    "--directory",
    type=click.Path(path_type=Path),
    default=_FOLDER,
    show_default=True,
    help="Where it works. It stays, to look around; the next demo there starts anew.",
)
@click.option("--json", "as_json_text", is_flag=True, help="Print the result as JSON.")
def demo(
    path: Path | None,
    limit: Decimal,
    kill_worker: bool,
    processes: int,
    address: str | None,
    directory: Path,
    as_json_text: bool,
) -> None:
    """Send real orders through the bus and a durable transport, and check every cent.

    Each order is emitted on the bus (a guard, an audit trail and a cache are plugins there), then
    published; a worker in another process enters what it receives into its ledger. At the end, file
    and ledger are compared order by order.

    Exit codes: 0 everything matches, 1 something differs or failed, 2 the orders, the options or
    the broker cannot be used, 130 interrupted. Broken lines of the file are named and left out.
    """
    from vectis_commerce.demo.orders import OrdersError, read_orders, shipped_orders
    from vectis_commerce.demo.run import Plan

    try:
        file = read_orders(path or shipped_orders())
    except OrdersError as error:
        raise _refused(error) from error
    plan = Plan(file, limit, directory, kill_worker, processes, _transport(address))
    sys.exit(_run(plan, as_json_text))


def _transport(address: str | None) -> Transport:
    from vectis_commerce.demo.broker import Broker
    from vectis_commerce.demo.transport import SqliteFile

    if address is None:
        return SqliteFile()
    if not address.isprintable():
        raise _Refused(f"--broker: {address!r} is no address, such as localhost:9092")
    return Broker.at(address or None, os.environ)


def _run(plan: Plan, as_json_text: bool) -> int:
    """Run the demo and show it; return the exit code."""
    from vectis.core.exceptions import VectisError
    from vectis_commerce.demo.folder import FolderError, prepare
    from vectis_commerce.demo.following import Stalled
    from vectis_commerce.demo.producer import NotPublished
    from vectis_commerce.demo.report import as_json
    from vectis_commerce.demo.run import assemble, run
    from vectis_commerce.demo.screen import Screen, Silence
    from vectis_commerce.demo.transport import Unusable
    from vectis_commerce.demo.worker import WorkerDied

    screen = Silence() if as_json_text else Screen()
    try:
        folder = prepare(plan.directory, plan.transport)  # refused before anything is shown
        assembled = assemble(plan, folder)  # and so is this
        with screen.following(plan):
            report = asyncio.run(_ended_by_sigterm(run(plan, folder, assembled, screen)))
    except (FolderError, Unusable) as error:
        raise _refused(error) from error
    except (NotPublished, Stalled, WorkerDied, VectisError) as error:
        click.echo(f"The demo failed: {error}\nIts files are in {plan.directory}.", err=True)
        return 1
    except KeyboardInterrupt:
        click.echo("Interrupted; the worker has been ended.", err=True)
        return 130
    except asyncio.CancelledError:
        click.echo("Terminated; the worker has been ended.", err=True)
        return 128 + signal.SIGTERM
    if as_json_text:
        click.echo(json.dumps(as_json(report), indent=2))
    else:
        screen.show(report)
    return 0 if report.reckoning.matches else 1


def _refused(error: Exception) -> click.ClickException:
    return _Refused(str(error))


async def _ended_by_sigterm(running: Coroutine[Any, Any, T]) -> T:
    """Cancel on SIGTERM, so that the worker is not left behind; asyncio does so on Ctrl-C."""
    task = asyncio.current_task()
    assert task is not None
    if sys.platform != "win32":
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await running
