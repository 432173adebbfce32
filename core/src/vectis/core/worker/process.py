"""The worker as a process: modules imported, signals heeded, an exit code at the end."""

from __future__ import annotations

import asyncio
import importlib
import logging
import os
import signal
import sys
import threading
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

from vectis.core.default import default_hub
from vectis.core.exceptions import ConfigError, TransportError
from vectis.core.forks import SignalsOfChildren
from vectis.core.redact import one_line
from vectis.core.trial import trial
from vectis.core.worker.errors import text_of
from vectis.core.worker.heap import tune_heap
from vectis.core.worker.loops import loop_factory
from vectis.core.worker.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from vectis.core.hub import Hub
    from vectis.core.worker.leash import Leash

__all__ = ["import_handlers", "run"]

logger = logging.getLogger("vectis.worker")

_SIGNALS = (signal.SIGTERM, signal.SIGINT)

# Seconds in which a second signal is the first one again: `timeout` and others signal a worker and
# then its process group, and Ctrl-C reaches it from the terminal and from its parent.
_ECHO = 0.2

_OVERTIME = 4.5  # seconds after the time to drain; with 25 s that is just within the usual 30 s


def import_handlers(modules: Iterable[str]) -> None:
    """Import modules for their `@on_event` handlers, the working directory first on the path.

    Args:
        modules: Names as in an import statement, such as `shop.handlers`.

    Raises:
        ConfigError: One does not import; it is named, with the cause. Nothing that it registered
            is kept.
    """
    here = str(Path.cwd())
    if not sys.flags.safe_path and here not in sys.path and "" not in sys.path:
        # A script has its own folder there instead, and `vectis consume shop.handlers` would fail.
        sys.path.insert(0, here)
    for module in modules:
        try:
            with trial():
                importlib.import_module(module)
        except KeyboardInterrupt as interrupt:
            interrupt.add_note(f"interrupted while module {module!r} was imported")
            raise
        except BaseException as error:
            raise ConfigError(
                f"module {module!r} cannot be imported for its handlers: "
                f"{type(error).__name__}: {one_line(text_of(error))}{_hint(module, error, here)}"
                f"{_place(module, error)}"
            ) from error


def _place(module: str, error: BaseException) -> str:
    from vectis.core.places import place

    where = place(error, module)
    return f" (at {where})" if where else ""


def _hint(module: str, error: BaseException, here: str) -> str:
    if module.startswith(".") or "/" in module or os.sep in module:
        path = Path(module)
        inside = path.relative_to(here) if path.is_relative_to(here) else path
        name = ".".join(
            part for part in inside.with_suffix("").parts if part not in (".", path.anchor)
        )
        return f". Give the module's name instead of its file: {name}"
    if not isinstance(error, ModuleNotFoundError) or not f"{module}.".startswith(f"{error.name}."):
        return ""
    if module.endswith(".py"):
        return f". Give the module's name instead of its file: {module.removesuffix('.py')}"
    return f". It was looked for in {here} and where Python finds packages"


def run(
    modules: Iterable[str] = (),
    *,
    leash: Leash | None = None,
    consuming: Callable[[], None] | None = None,
    observers: Sequence[object] = (),
    made: Callable[[Worker], None] | None = None,
    member: int | None = None,
) -> int:
    """Consume with the default hub until SIGTERM or SIGINT, and return the exit code.

    The first signal drains within `[consumer] shutdown_timeout`; a second one leaves at once. Those
    that arrive together are one.

    Args:
        modules: Imported for their handlers, besides those of `[consumer] modules`.
        leash: When the parent lets go of it, that is like the first signal.
        consuming: Called once the worker consumes.
        observers: Given to the default hub, which is made here.
        made: Called with the worker before it starts.
        member: The number that a supervisor gave this process.

    Returns:
        0 when everything begun was finished and committed, 1 when work was abandoned.

    Raises:
        VectisError: The worker cannot start; for the command line to show, with exit code 2.
    """
    there = frozenset(threading.enumerate())
    hub = default_hub(observers)
    hub.member = member
    made_loop = loop_factory(hub.consumer_settings.event_loop)
    import_handlers((*hub.consumer_settings.modules, *modules))
    worker = Worker(hub)
    tune_heap()
    if made is not None:
        made(worker)
    with asyncio.Runner(loop_factory=made_loop) as runner:
        runner.run(_run(hub, worker, leash, consuming, there))
    return 0 if worker.report.clean else 1


async def _run(
    hub: Hub,
    worker: Worker,
    leash: Leash | None,
    consuming: Callable[[], None] | None,
    there: frozenset[threading.Thread],
) -> None:
    longest = hub.consumer_settings.shutdown_timeout + _OVERTIME
    with _heeding_signals(worker, longest, leash, there) as ending:
        try:
            report = await worker.run(consuming)
        except BaseException as error:
            ending()
            await _shut_down(hub)
            _leave_if_held(worker, error)
            raise
        ending()
        await _shut_down(hub)
        level = logging.INFO if report.clean else logging.ERROR
        logger.log(level, "group %s stopped: %s", worker.group, report)
        if report.abandoned:
            _leave(1)
        _leave_if_held(worker)


def _leave_if_held(worker: Worker, error: BaseException | None = None) -> None:
    """Leave when a handler still runs: both asyncio and Python would wait for its thread."""
    if held_by := worker.held_by:
        if error is not None:  # nobody else will show it
            logger.error("group %s ended because of this:", worker.group, exc_info=error)
        logger.error(
            "group %s leaves while something that was cut off still runs: %s",
            worker.group,
            ", ".join(held_by),
        )
        _leave(1)


async def _shut_down(hub: Hub) -> None:
    try:
        await hub.shutdown()
    except TransportError as error:
        logger.warning("what handlers published could not be closed in an orderly way: %s", error)


@contextmanager
def _heeding_signals(
    worker: Worker, longest: float, leash: Leash | None, there: frozenset[threading.Thread]
) -> Iterator[Callable[[], None]]:
    """Stop the worker at the first signal, leave at the second.

    A leash that is let go stops it as well, and is never the second signal.

    What is yielded is to be called when the worker has ended, however that came. From then or the
    first signal on the process has `longest` seconds; that holds until it is gone when threads were
    begun that were not `there` before, because Python waits for them at its end.

    Not with `loop.add_signal_handler`: a handler that blocks the loop would keep it from being
    heard.
    """
    loop = asyncio.get_running_loop()
    overtime = threading.Timer(longest, _give_up, [worker])
    overtime.daemon = True
    # `next` is atomic: one signal interrupts the other, the leash is a thread.
    once, ends_once = iter([True]), iter([True])

    def ending() -> None:
        if next(ends_once, False):
            overtime.start()

    def begin(why: str, hint: str = "") -> None:
        if next(once, False):
            ending()
            loop.call_soon_threadsafe(stop, why, hint)

    def first(number: int, frame: object) -> None:
        since = monotonic()

        def second(number: int, frame: object) -> None:
            if monotonic() - since > _ECHO:
                _leave(128 + number, b"left at once; what is not committed comes again\n")

        for again in _SIGNALS:
            signal.signal(again, second)
        begin(signal.Signals(number).name, "; once more leaves at once")

    def stop(why: str, hint: str) -> None:
        logger.info("%s: finishing what is in hand%s", why, hint)
        worker.stop()

    before = [signal.signal(number, first) for number in _SIGNALS]
    child = SignalsOfChildren()
    if leash is not None:
        leash.heed(partial(begin, leash.end))
    try:
        yield ending
    finally:
        if leash is not None:
            leash.heed(lambda: None)
        del child
        # Whoever called `run` may go on with something else.
        if not any(thread not in there and not thread.daemon for thread in threading.enumerate()):
            overtime.cancel()
        for number, handler in zip(_SIGNALS, before, strict=True):
            signal.signal(number, handler)


def _give_up(worker: Worker) -> None:
    try:
        what = ", ".join(worker.held_by) or _something_else()
        logger.error(
            "group %s does not come to an end because of %s, so it leaves; what is not committed "
            "comes again",
            worker.group,
            what,
        )
    finally:  # whatever happens: nothing else ends it
        _leave(1)


def _something_else() -> str:
    # Those for which Python waits.
    waited_for = [t.name for t in threading.enumerate() if not t.daemon]
    others = [name for name in waited_for if name != threading.main_thread().name]
    named = f", perhaps one of the threads {one_line(', '.join(others))}" if others else ""
    return f"something other than a handler{named}"


def _leave(code: int, said: bytes = b"") -> None:
    if os.isatty(2):
        said = b"\n" + said  # a status line may be there: what follows belongs below it
    os.write(2, said)
    os._exit(code)  # stderr, where the log goes, keeps nothing back
