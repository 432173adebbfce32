"""The one place that calls and awaits lifecycle hooks.

pluggy collects and orders the implementations but does not await. This walks them in call order,
gives each the arguments it asks for, awaits what is awaitable, and says which plugin an error came
from.
"""

from __future__ import annotations

import logging
from asyncio import CancelledError, current_task
from collections import Counter
from inspect import isawaitable
from itertools import product
from math import inf
from typing import TYPE_CHECKING, Any, TypeVar

from vectis.core.blocking import finish
from vectis.core.closing import closes
from vectis.core.exceptions import EmitLoopError, EventCancelled, HookError
from vectis.core.forks import ForkSafeLock
from vectis.core.outcome import current
from vectis.core.places import place
from vectis.core.redact import ended
from vectis.core.vetoes import fill_in, stopped_by

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence

    import pluggy

    from vectis.core.hub import Hub

__all__ = ["OBSERVER", "Lifecycle"]

OBSERVER = "observer "
"""What the names of a program's own objects begin with, which are no plugins."""

logger = logging.getLogger("vectis.hooks")

T = TypeVar("T")

_VETO = frozenset({"vectis_before_emit", "vectis_around_emit"})  # hooks before any handler ran
_PUBLISH_VETO = frozenset({"vectis_before_publish", "vectis_around_publish"})


class Lifecycle:
    """Calls lifecycle hooks: guards stop the operation when they fail, observers cannot.

    Made when every plugin is in its place: what a hook calls is looked up once and kept.

    Args:
        manager: The plugin manager that holds the implementations.
        fail_open: Names of plugins whose guards do not stop anything when they fail.
    """

    def __init__(self, manager: pluggy.PluginManager, fail_open: Collection[str] = ()) -> None:
        self._manager = manager
        self._fail_open = frozenset(fail_open)
        self._found: dict[str, tuple[pluggy.HookImpl, ...]] = {}
        self._counting = ForkSafeLock()  # guards run in any thread; one that passes counts nothing
        self.errors: Counter[tuple[str, str]] = Counter()
        """How often each (hook, plugin) failed without stopping anything."""
        self.stops: Counter[tuple[str, str]] = Counter()
        """How often each (hook, plugin) failed and so stopped what it guards."""
        self.vetoes: Counter[tuple[str, str]] = Counter()
        """How often each (hook, plugin) stopped an emit or a publish on purpose."""

    def implementations(self, hook: str) -> tuple[pluggy.HookImpl, ...]:
        """Return the implementations of a hook in the order they are called."""
        found = self._found.get(hook)
        if found is None:
            found = tuple(reversed(getattr(self._manager.hook, hook).get_hookimpls()))
            if hook == "vectis_startup":
                found = _in_registration_order(found)
            self._found[hook] = found
        return found

    def implemented(self, *hooks: str) -> bool:
        """Tell whether any plugin implements any of these hooks."""
        return any(self.implementations(hook) for hook in hooks)

    async def guard(self, hook: str, subject: T, arguments: Mapping[str, Any], name: str = "") -> T:
        """Call a guard hook and return its subject, replaced by what implementations returned.

        Args:
            hook: The hook's name.
            subject: What is guarded, such as the event.
            arguments: The hook's other arguments.
            name: The argument that the subject is passed as; empty when the hook takes none.

        Raises:
            EventCancelled: An implementation vetoed an emit; `plugin` is filled in.
            HookError: An implementation failed, and its plugin does not fail open; or it vetoed a
                publish, and `veto` is set.
            EmitLoopError: The hook emits in a circle.
        """
        for implementation in self.implementations(hook):
            given = {**arguments, name: subject} if name else arguments
            try:
                result = await _call(implementation, given)
                if name and result is not None:
                    subject = _replacement(subject, result, name)
            except Exception as error:
                self._raise_veto(hook, implementation.plugin_name, error)
                self._guard_failed(hook, implementation.plugin_name, error)
        return subject

    async def start(self, hub: Hub) -> None:
        """Call the start-up hooks; when one fails or is cancelled, shut down what had started.

        Raises:
            HookError: One failed, and its plugin does not fail open.
        """
        started: list[str] = []
        for implementation in self.implementations("vectis_startup"):
            try:
                await _call(implementation, {"hub": hub})
            except GeneratorExit:
                raise  # nothing can be awaited any more
            except BaseException as error:
                try:
                    if not isinstance(error, Exception):
                        raise
                    self._guard_failed("vectis_startup", implementation.plugin_name, error)
                except BaseException:
                    await self.observe("vectis_shutdown", {"hub": hub}, only=started)
                    raise
            started.append(implementation.plugin_name)

    async def observe(
        self, hook: str, arguments: Mapping[str, Any], *, only: Collection[str] | None = None
    ) -> None:
        """Call an observer hook; an error is logged and counted, and goes no further.

        Args:
            hook: The hook's name.
            arguments: Its arguments.
            only: The plugins whose implementations are called; None for all.
        """
        for implementation in self.implementations(hook):
            if only is not None and implementation.plugin_name not in only:
                continue
            try:
                await _call(implementation, arguments)
            except Exception as error:
                _raise_circle(error)  # isolating it would only let the circle go on
                self._report(hook, implementation.plugin_name, error)

    async def tell(self, hook: str, arguments: Mapping[str, Any]) -> None:
        """Call an observer hook for a worker: no emitter is there to get what it raises.

        So all of it is logged and counted, an endless loop of emits, `SystemExit` and a
        `CancelledError` of something awaited included. Only a cancellation of the task that tells
        goes on.

        Args:
            hook: The hook's name.
            arguments: Its arguments.
        """
        for implementation in self.implementations(hook):
            asked: float = inf  # what does not wait cannot be cancelled
            try:
                result = _begin(implementation, arguments)
                if result is not None and isawaitable(result):
                    asked = _cancellations()
                    await finish(result)
            except BaseException as error:
                cancelled = isinstance(error, CancelledError) and _cancellations() > asked
                if cancelled or closes(error):
                    raise
                self._report(hook, implementation.plugin_name, error)

    async def within(
        self, hook: str, call: Callable[[], Awaitable[T]], *arguments: Mapping[str, Any]
    ) -> T:
        """Run a call inside the context managers that an `around` hook returns.

        The hook is called once with each mapping of arguments.

        They are entered in call order and left in reverse. They see the call's error and cannot
        swallow it; an error on the way out is an observer's.

        Raises:
            HookError: One could not be entered, and its plugin does not fail open.
        """
        entered: list[tuple[str, Any]] = []
        error: BaseException | None = None
        try:
            for given, implementation in product(arguments, self.implementations(hook)):
                plugin = implementation.plugin_name
                try:
                    manager = await _call(implementation, given)
                    if manager is not None:
                        _check_manager(manager)
                        await manager.__aenter__()
                        entered.append((plugin, manager))
                except Exception as failure:
                    self._raise_veto(hook, plugin, failure)
                    self._guard_failed(hook, plugin, failure)
            return await call()
        except BaseException as raised:
            error = raised
            raise
        finally:
            await self._leave(hook, entered, error)

    async def _leave(
        self, hook: str, entered: list[tuple[str, Any]], error: BaseException | None
    ) -> None:
        interrupted: BaseException | None = None
        for plugin, manager in reversed(entered):
            try:
                await manager.__aexit__(
                    type(error) if error else None, error, error and error.__traceback__
                )
            except Exception as failure:
                if failure is not error:
                    self._report(hook, plugin, failure)
            except BaseException as failure:  # a cancellation: those further out are left first
                interrupted = failure
        if interrupted is not None and interrupted is not error:
            raise interrupted

    def _raise_veto(self, hook: str, plugin: str, error: Exception) -> None:
        """Raise a veto of this event, or a circle; a nested event's veto is an ordinary error."""
        _raise_circle(error)
        stop = stopped_by(error, current.get(None))
        if not isinstance(stop, EventCancelled):
            return
        if hook in _VETO:
            self._count(self.vetoes, hook, plugin)
            fill_in(stop, plugin=plugin, handler=None)
            raise stop
        if hook in _PUBLISH_VETO:
            self._count(self.vetoes, hook, plugin)
            raise HookError(
                f"{hook} of plugin {plugin!r} vetoed it, so nothing was sent: {stop}",
                hook=hook,
                plugin=plugin,
                veto=True,
            ) from stop

    def _guard_failed(self, hook: str, plugin: str, error: Exception) -> None:
        if plugin in self._fail_open:
            self._report(hook, plugin, error)
            return
        self._count(self.stops, hook, plugin)
        where = place(error)
        cause = f"{type(error).__name__}: {error}{f' (at {where})' if where else ''}"
        raise HookError(
            f"{hook} of {_named(plugin)} failed, so nothing was done: {ended(cause)} "
            f"{_remedy(plugin, stops=True)}",
            hook=hook,
            plugin=plugin,
        ) from error

    def _report(self, hook: str, plugin: str, error: BaseException) -> None:
        self._count(self.errors, hook, plugin)
        logger.error(
            "%s of %s failed, and everything else goes on: %r. %s",
            hook,
            _named(plugin),
            error,
            _remedy(plugin),
            exc_info=error,
        )

    def _count(self, counter: Counter[tuple[str, str]], hook: str, plugin: str) -> None:
        with self._counting:
            counter[hook, plugin] += 1


def _raise_circle(error: Exception) -> None:
    stop = stopped_by(error, current.get(None))
    if isinstance(stop, EmitLoopError):
        raise stop


def _named(plugin: str) -> str:
    return plugin if plugin.startswith(OBSERVER) else f"plugin {plugin!r}"


def _remedy(plugin: str, *, stops: bool = False) -> str:
    if plugin.startswith(OBSERVER):
        return "Mend it: it is the program's own"
    mended = f"Mend it, or `vectis plugins disable {plugin}`"
    return mended + f', or let it fail: [plugins] fail_open = ["{plugin}"]' * stops


def _in_registration_order(found: Sequence[pluggy.HookImpl]) -> tuple[pluggy.HookImpl, ...]:
    """Start what others need before them; pluggy calls the last one registered first.

    `tryfirst` and `trylast` are kept. Shutdown stays the reverse: what others need ends after them.
    """
    first = [one for one in found if one.tryfirst]
    last = [one for one in found if one.trylast]  # pluggy calls these as they were registered
    between = [one for one in found if not one.tryfirst and not one.trylast]
    return (*reversed(first), *reversed(between), *last)


def _replacement(subject: T, result: Any, name: str) -> T:
    kind = type(subject).__mro__[-2]  # a subclass may be replaced by its base
    if not isinstance(result, kind):
        raise TypeError(
            f"it returned {type(result).__name__}: return {kind.__name__} to replace the {name}, "
            "None to let it pass, or raise to stop it"
        )
    return result  # type: ignore[return-value]  # its class is known only at run time


def _check_manager(manager: object) -> None:
    if not hasattr(manager, "__aenter__") or not hasattr(manager, "__aexit__"):
        raise TypeError(
            f"it returned {type(manager).__name__}, which is no async context manager: "
            "write it with @contextlib.asynccontextmanager"
        )


def _begin(implementation: pluggy.HookImpl, arguments: Mapping[str, Any]) -> Any:
    return implementation.function(*[arguments[name] for name in implementation.argnames])


def _cancellations() -> int:
    """Return how often the running task was asked to end."""
    task = current_task()
    return 0 if task is None else task.cancelling()


async def _call(implementation: pluggy.HookImpl, arguments: Mapping[str, Any]) -> Any:
    result = _begin(implementation, arguments)
    return await finish(result) if result is not None and isawaitable(result) else result
