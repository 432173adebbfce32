"""Whether the hooks of a plugin can be called as the hub calls them.

What is refused, with the reason: an unknown hook name, wrong parameters, `async def` where the hub
calls without awaiting, wrappers and generators, which nobody would run.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from vectis.core.exceptions import PluginError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

__all__ = ["checked", "is_property"]

_KEYWORD_ONLY = inspect.Parameter.KEYWORD_ONLY  # pluggy gives arguments by position


def checked(owner: object, page: ModuleType) -> Iterator[tuple[str, Any]]:
    """Yield each hook that an object implements, with the function.

    Args:
        owner: A plugin's module, instance or object, or an observer.
        page: The module of all hooks, such as `vectis.core.hookspecs`.

    Raises:
        PluginError: One does not fit; the message shows it and says what to do.
    """
    sync = {*page.ASSEMBLY, *page.TRANSPORT}
    known = sync.union(page.LIFECYCLE)
    for name, function, options in _implementations(owner):
        hook = options.get("specname") or name
        where = f"{name}{_signature(function)}"
        if hook not in known:
            from difflib import get_close_matches

            near = get_close_matches(hook, known, n=1)
            hint = f"did you mean {near[0]}?" if near else "see vectis.core.hookspecs for all hooks"
            raise PluginError(f"{where}: there is no hook {hook}; {hint}")
        _check_parameters(getattr(page, hook), hook, function, where)
        if hook in sync and _is_async(function):
            raise PluginError(
                f"{where}: {hook} is called without awaiting; write it with plain `def`"
            )
        if options.get("wrapper") or options.get("hookwrapper"):
            raise PluginError(f"{where}: {_no_wrapper(hook, sync)}")
        if inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function):
            raise PluginError(
                f"{where}: a function with `yield` does nothing when it is called; "
                f"{'decorate it with' if '_around_' in hook else 'use an around hook with'} "
                "@contextlib.asynccontextmanager, below @hookimpl"
            )
        yield hook, function


def _no_wrapper(hook: str, sync: set[str]) -> str:
    if hook in sync:
        return f"{hook} cannot be wrapped, each plugin answers it for itself; drop wrapper=True"
    subject = hook.rpartition("_")[2]
    around = f"vectis_around_{subject if subject in ('publish', 'consume') else 'emit'}"
    return (
        f"a wrapper of {hook} would see coroutines instead of results; "
        f"return an async context manager from {around} instead"
    )


def _implementations(owner: object) -> Iterator[tuple[str, Any, dict[str, Any]]]:
    for name in dir(owner):
        if is_property(owner, name):
            continue
        function = getattr(owner, name, None)
        options = getattr(function, "vectis_impl", None)
        if isinstance(options, dict):
            yield name, function, options


def is_property(owner: object, name: str) -> bool:
    """Tell whether an attribute is a property: running it to see what it is could do anything."""
    return isinstance(inspect.getattr_static(owner, name, None), property)


def _check_parameters(spec: Any, hook: str, function: Any, where: str) -> None:
    offered = inspect.signature(spec).parameters
    for name, parameter in inspect.signature(function).parameters.items():
        if name in offered:
            if parameter.default is parameter.empty and parameter.kind is not _KEYWORD_ONLY:
                continue
            raise PluginError(
                f"{where}: {name!r} would never be given: write it without a default and not "
                "behind a `*`"
            )
        if parameter.default is not parameter.empty:
            continue
        raise PluginError(
            f"{where}: {hook} offers no argument {name!r}; "
            f"it offers ({', '.join(offered)}), ask for those you need by these names"
        )


def _is_async(function: Any) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)


def _signature(function: Any) -> str:
    try:
        return str(inspect.signature(function))
    except (TypeError, ValueError):
        return "(...)"
