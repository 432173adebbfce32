"""`vectis publish`: one event from the shell, with its receipt."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vectis.core.cli.screen import Styled, line, show_json
from vectis.core.exceptions import DecodeError, PublishError

if TYPE_CHECKING:
    from vectis.core.hub import Hub
    from vectis.core.message import Receipt

__all__ = ["publish"]


@click.command()
@click.argument("topic")
@click.argument("event_type")
@click.argument("payload", default="{}")
@click.option("--key", help="What the order is kept for, such as an order's id.")
@click.option("--event-id", help="Makes a retry the same event; default: a new UUID.")
@click.option("--json", "as_json", is_flag=True, help="Write the receipt, or the error, as JSON.")
def publish(
    topic: str,
    event_type: str,
    payload: str,
    key: str | None,
    event_id: str | None,
    as_json: bool,
) -> None:
    """Publish one event, and show the receipt.

    PAYLOAD is a JSON object, @FILE to read one from a file, or - for stdin; {} when left out.

    Exit code 1 when it was not acknowledged, or no transport is available; the message says whether
    it may be there all the same.
    """
    data = _read(payload)
    from vectis.core.absence import hidden_transport, quarantined_carriers
    from vectis.core.cli.application import quiet, tell_quarantined
    from vectis.core.hub import Hub

    quiet("vectis.plugins")
    try:
        hub = Hub()
        receipt = asyncio.run(_publish(hub, topic, event_type, data, key, event_id))
        if receipt is None:
            broken = quarantined_carriers(hub)
            advice = hidden_transport(hub) or (
                'Configure one, such as [sqlite] path = "events.db"; `vectis doctor` tells why '
                "each one declined"
            )
            raise PublishError(
                f"nothing was published to {topic}: no transport is available. {advice}"
                f"{f'. {broken}' if broken else ''}",
                fate="not_sent",
            )
    except PublishError as error:
        if as_json:
            show_json({"published": False, "fate": error.fate, "error": str(error)})
        raise PublishError(f"{error} [fate: {error.fate}]", fate=error.fate) from error
    tell_quarantined(hub)
    if as_json:
        show_json(
            {
                "published": True,
                "topic": receipt.topic,
                "partition": receipt.partition,
                "offset": receipt.offset,
                "event_id": receipt.event_id,
                "transport": receipt.transport,
            }
        )
    else:
        place = f"{receipt.topic}/{receipt.partition}@{receipt.offset}"
        line(Styled("published ", "good"), f"{event_type} to {place} by {receipt.transport}")
        line(f"event id  {receipt.event_id}")


async def _publish(
    hub: Hub, topic: str, event_type: str, data: dict[str, Any], key: str | None, id: str | None
) -> Receipt | None:
    try:
        return await hub.publish(topic, event_type, data, key, event_id=id)
    finally:
        await hub.shutdown()


def _read(payload: str) -> dict[str, Any]:
    from vectis.core.jsontext import from_json

    what = "the payload"
    if payload == "-":
        text, what = sys.stdin.buffer.read(), "stdin"
    elif payload.startswith("@"):
        what = payload[1:]
        try:
            text = Path(what).read_bytes()
        except OSError as error:
            raise click.UsageError(f"{what} cannot be read: {error.strerror}") from error
    else:
        text = payload.encode("utf-8", "surrogateescape")
    try:
        data = from_json(text, what)
    except DecodeError as error:
        raise click.UsageError(
            f"""{error}. PAYLOAD is JSON, such as '{{"order_id": 7}}', @FILE, or - for stdin"""
        ) from error
    if not isinstance(data, dict):
        raise click.UsageError(f"{what} must be a JSON object, not {type(data).__name__}")
    return data
