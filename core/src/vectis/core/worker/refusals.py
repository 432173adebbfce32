"""What a worker does not start with: no group, names that no letter could keep, broken plugins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vectis.core.dead_letter import NAME_LIMIT, is_name
from vectis.core.exceptions import ConfigError
from vectis.core.quarantine import lines, quarantined
from vectis.core.redact import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vectis.core.hub import Hub
    from vectis.core.plugins import Plugin
    from vectis.core.worker.subscribed import Subscribed

__all__ = ["group_of", "refuse_quarantined", "refuse_unnameable"]

_NAMES = (
    "a dead letter that names it could not be read again. Give it a name of at most "
    f"{NAME_LIMIT} bytes that can be printed, without line breaks, tabs or other spaces than the "
    "usual one"
)


def group_of(hub: Hub) -> str:
    """Return the consumer group that the config names.

    Raises:
        ConfigError: It names none, or one that no dead letter could keep.
    """
    group = hub.consumer_settings.group
    if group is None:
        raise ConfigError(
            'the worker needs a consumer group: set [consumer] group = "shop" or '
            "VECTIS_CONSUMER_GROUP, to the name of this service. There is no default, because two "
            "services that share a group by accident would each lose half of the events"
        )
    if not is_name(group):
        raise ConfigError(
            f"[consumer] group, or VECTIS_CONSUMER_GROUP, is {one_line(ascii(group), 60)}: {_NAMES}"
        )
    return group


def refuse_unnameable(found: Subscribed) -> None:
    """Refuse handlers whose dead letters nobody could read.

    Raises:
        ConfigError: There is one; it is named.
    """
    for subscription in (one for several in found.handlers.values() for one in several):
        if not is_name(subscription.id):
            raise ConfigError(
                f"the handler {one_line(subscription.id, 60)} of {subscription.pattern} cannot be "
                f"called by the worker: {_NAMES}. Its name is its `__qualname__`"
            )


def refuse_quarantined(hub: Hub) -> None:
    """Refuse broken plugins: their events would be skipped and committed, which loses them.

    Raises:
        ConfigError: There are some, and the config does not tolerate them.
    """
    broken = quarantined(hub, tolerated=False)
    if broken:
        which = "a broken plugin: events that it handles"
        if len(broken) > 1:
            which = f"{len(broken)} broken plugins: events that they handle"
        said = [
            f"the worker does not start with {which} would be lost",
            *lines(broken),
            f"  To accept the loss: {_tolerating(hub, broken)}",
        ]
        raise ConfigError("\n".join(said))


def _tolerating(hub: Hub, broken: Iterable[Plugin]) -> str:
    """Return the whole setting, with what it names already, as it is to be written."""
    names = dict.fromkeys((*hub.consumer_settings.tolerate, *(plugin.name for plugin in broken)))
    where = hub.config.origin("consumer", "tolerate")
    if where.startswith("VECTIS_"):
        return f"{where}={','.join(names)}"  # it overrules the file
    listed = ", ".join(f'"{name}"' for name in names)
    return f"[consumer] tolerate = [{listed}]"
