"""Which version added a hook or an argument of it, and what of it is on its way out.

A hook may be given another argument at any time: plugins ask for arguments by name, and those
written before do not ask for it. An argument or a hook is never simply taken away: it is marked as
deprecated, stays in its signature, goes on being passed or called, and whoever still uses it is
told what to use instead.
"""

from __future__ import annotations

import inspect
import warnings
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["Deprecation", "History", "added", "deprecated", "history", "outdated", "warn"]

F = TypeVar("F")

_MARK = "__vectis_history__"


class Deprecation(NamedTuple):
    """What somebody should no longer use.

    Args:
        argument: The argument's name; empty for the whole hook.
        since: The version that deprecated it.
        instead: What to use, such as `message.key`.
    """

    argument: str
    since: str
    instead: str


class History(NamedTuple):
    """What the marks above a hook say.

    Args:
        added: The version that added the hook.
        arguments: The version that added an argument, for those that came later than the hook.
        deprecations: What is on its way out.
    """

    added: str = ""
    arguments: Mapping[str, str] = {}
    deprecations: tuple[Deprecation, ...] = ()


def added(version: str, /, **arguments: str) -> Callable[[F], F]:
    """Say which version added a hook, and which later ones added some of its arguments.

    Example:
        >>> from vectis.core.hookhistory import added, history
        >>> @added("0.1.0", total="0.3.0")
        ... def vectis_after_invoice(number, total): ...
        >>> history(vectis_after_invoice).arguments
        {'total': '0.3.0'}
    """

    def mark(spec: F) -> F:
        setattr(spec, _MARK, history(spec)._replace(added=version, arguments=arguments))
        return spec

    return mark


def deprecated(since: str, *, instead: str, argument: str = "") -> Callable[[F], F]:
    """Deprecate one argument of a hook, or the whole of it.

    Args:
        since: The version in which it is deprecated.
        instead: What to use.
        argument: The argument's name; without one the hook is meant.
    """

    def mark(spec: F) -> F:
        known = history(spec)
        said = (Deprecation(argument, since, instead), *known.deprecations)
        setattr(spec, _MARK, known._replace(deprecations=said))
        return spec

    return mark


def history(spec: object) -> History:
    """Return the history of a hook's specification; empty when nothing is known."""
    found = getattr(spec, _MARK, None)
    return found if isinstance(found, History) else History()


def outdated(spec: object, hook: str, function: Any) -> list[str]:
    """Return a sentence for each thing that an implementation uses and should not.

    Args:
        spec: The hook's specification.
        hook: Its name.
        function: The implementation.
    """
    asked = inspect.signature(function).parameters
    return [
        (
            f"the argument {said.argument!r} of {hook} is deprecated since {said.since}: "
            f"use {said.instead}"
            if said.argument
            else f"{hook} is deprecated since {said.since}: implement {said.instead}"
        )
        for said in history(spec).deprecations
        if not said.argument or said.argument in asked
    ]


def warn(plugin: str, sentence: str, function: Any) -> None:
    """Warn the authors of a plugin, at the line of their own function.

    Python shows a DeprecationWarning to those who run tests, not to those who run the application.
    """
    code = getattr(inspect.unwrap(getattr(function, "__func__", function)), "__code__", None)
    file, number = (code.co_filename, code.co_firstlineno) if code else ("<unknown>", 1)
    # No registry is passed, so that each plugin's is shown and not only the first.
    warnings.warn_explicit(f"plugin {plugin}: {sentence}", DeprecationWarning, file, number)
