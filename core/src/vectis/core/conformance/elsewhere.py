"""The event types of the other plugins here, with events made up: what handlers are called with.

A plugin handles types that others register, and need not require those plugins. They are loaded in
a process of their own, as `vectis catalog` loads them, and only JSON comes back: whatever is wrong
with one of them, the plugin that is checked is used without it.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any

import attrs

from vectis.core.conformance.examples import Examples, examples_of
from vectis.core.exceptions import VectisError
from vectis.core.hub import Hub
from vectis.core.redact import one_line
from vectis.core.settings import Config
from vectis.core.subscription import pattern_matches

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from vectis.core.catalogue import EventType

__all__ = ["Elsewhere", "look"]

_SHOWN = 5  # plugins that are named in one sentence


@attrs.frozen(kw_only=True)
class Elsewhere:
    """What the other plugins register.

    Args:
        examples: Events of each type.
        silent: Those that were not asked, because they are disabled or in quarantine, with which.
        failure: Why none could be asked; empty when they were.
    """

    examples: tuple[Examples, ...] = ()
    silent: tuple[str, ...] = ()
    failure: str = ""

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> Elsewhere:
        """Return it from what `attrs.asdict` made of it, and JSON of that."""
        examples = tuple(
            Examples(**{**each, "payloads": tuple(each["payloads"])}) for each in plain["examples"]
        )
        return cls(examples=examples, silent=tuple(plain["silent"]), failure=plain["failure"])

    @property
    def unasked(self) -> str:
        """What to put behind a sentence about a class that nobody registers; may be empty."""
        if self.failure:
            return f"; the other plugins could not be asked: {self.failure}"
        more = f" and {len(self.silent) - _SHOWN} more" if len(self.silent) > _SHOWN else ""
        return f"; not asked: {', '.join(self.silent[:_SHOWN])}{more}" if self.silent else ""


def look(name: str, start: Path) -> Elsewhere:
    """Load what is installed and enabled, as the config says, and make up events.

    Args:
        name: The plugin that is checked; its own types are left out.
        start: The folder from which the config file is looked for.
    """
    logging.getLogger("vectis").setLevel(logging.CRITICAL)
    try:
        # What an application must have is no affair of a check.
        hub = Hub(Config.load(start, {**os.environ, "VECTIS_PLUGINS_REQUIRE": ""}))
        examples = tuple(examples_of(known) for known in _others(hub, name))
    except (VectisError, ImportError) as error:
        return Elsewhere(failure=one_line(str(error), limit=300))
    silent = tuple(
        f"{one.name} ({'in quarantine' if one.state == 'quarantined' else one.reason})"
        for one in hub.plugins
        if one.state != "loaded" and one.name != name
    )
    return Elsewhere(examples=examples, silent=silent)


def _others(hub: Hub, name: str) -> Iterator[EventType]:
    """Yield the types of others that the plugin handles; all of them when that is not known."""
    loaded = any(one.name == name and one.state == "loaded" for one in hub.plugins)
    patterns = {one.pattern for one in hub.subscriptions if one.plugin == name}
    for known in hub.catalogue:
        wanted = not loaded or any(pattern_matches(one, known.name) for one in patterns)
        if wanted and known.plugin != name:
            yield known  # to make up its events takes a while
