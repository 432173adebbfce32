"""How `vectis plugins enable` and `disable` show what comes and goes with plugins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vectis.core.cli.screen import Styled, line, note, warn
from vectis.core.needs import dependents
from vectis.core.without import without

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from vectis.core.hub import Hub
    from vectis.core.plugins import Plugin
    from vectis.core.without import Loss

__all__ = ["listed", "show", "show_forced", "show_loss", "tell_refused"]


def listed(names: Sequence[str]) -> str:
    """Return names as a sentence has them: `a`, `a and b`, `a, b and c`."""
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def show(title: str, rows: list[tuple[str, tuple[str, ...]]]) -> None:
    """Show a title and below it a line for each row that has something; nothing without any."""
    told = [(what, found) for what, found in rows if found]
    if told:
        line(Styled(title, "key"))
    for what, found in told:
        line(", ".join(found), indent=2, lead=f"{what}: ".ljust(18))


def show_loss(plugins: Iterable[Plugin], loss: Loss) -> None:
    """Show what goes with plugins.

    Args:
        plugins: Those that go, at least one.
        loss: What is lost with them.
    """
    show(
        f"What goes with {listed([plugin.name for plugin in plugins])}:",
        [
            ("handlers", loss.handlers),
            ("no other handler", loss.unhandled),
            ("hooks", loss.hooks),
            ("event types", loss.event_types),
            ("no longer read", loss.topics),
            ("without a topic", loss.stranded),
            ("carries", loss.carries),
            ("no longer called", loss.idle),
            ("not carried", loss.uncarried),
        ],
    )
    if loss.stranded:
        line(
            "no worker starts until [topics] or @on_event names their topics", indent=2, lead="-> "
        )


def tell_refused(hub: Hub, plugins: Sequence[Plugin], loss: Loss) -> None:
    """Say why plugins are not disabled, and what to do.

    Args:
        hub: The hub that has them.
        plugins: Those that were to be disabled.
        loss: What would be lost with them.
    """
    for name, reason in loss.needed_by:
        note(f"{name} is not disabled: {reason}")
    together = [*plugins, *_dependents(hub, plugins)]
    way = "Settle that first"
    if len(together) > len(plugins) and not without(hub, *together).needed_by:
        names = " ".join(plugin.name for plugin in together)
        way = f"Disable them together, `vectis plugins disable {names}`"
    note(f"Nothing was changed. {way}, or say --force")


def show_forced(hub: Hub, plugins: Sequence[Plugin], loss: Loss) -> None:
    """Show what goes with plugins that something needs: also what needs them, as it will not run.

    Args:
        hub: The hub that has them.
        plugins: Those that are disabled by force.
        loss: What is lost with them alone.
    """
    broken = _dependents(hub, plugins)
    together = [*plugins, *broken]
    whole = without(hub, *together)
    show_loss(together, whole)
    for name, reason in dict.fromkeys((*loss.needed_by, *whole.needed_by)):
        warn(f"{name} goes by force: {reason}")
    if not broken:
        return
    names = [plugin.name for plugin in broken]
    untolerated = [name for name in names if name not in hub.consumer_settings.tolerate]
    worker = ", and no worker starts" if untolerated else ""
    note(f"{listed(names)} will be quarantined for it and not run{worker}")
    note(f"  -> `vectis plugins disable {' '.join(names)}` as well")


def _dependents(hub: Hub, plugins: Sequence[Plugin]) -> list[Plugin]:
    """Return the plugins that need one of these, and are none of them."""
    names = {plugin.name for plugin in plugins}
    needing = [
        other
        for plugin in plugins
        if plugin.state == "loaded"
        for other in dependents(plugin.name, hub.plugins)
    ]
    return [plugin for plugin in dict.fromkeys(needing) if plugin.name not in names]
