"""The topics that the demo's events travel on: their classes', unless `[topics]` has others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from vectis.core.catalogue import describe
from vectis.core.dead_letter import topic_of
from vectis.core.topics import topics_of
from vectis_commerce.events import InventoryAdjusted, OrderCreated

if TYPE_CHECKING:
    from vectis.core import Hub

__all__ = ["Topics"]


@attrs.frozen
class Topics:
    """The topics of one demo.

    Args:
        orders: Of everything about orders.
        inventory: Of what happens to stock.
    """

    orders: str
    inventory: str

    @classmethod
    def of(cls, hub: Hub) -> Topics:
        """Return the topics that a hub's config and catalogue say.

        Example:
            >>> from vectis.core import Hub
            >>> from vectis_commerce.demo.topics import Topics
            >>> import vectis_commerce
            >>> config = {"topics": {"mine": ["order.created"]}}
            >>> Topics.of(Hub(config, plugins={"commerce": vectis_commerce}, discover=False))
            Topics(orders='mine', inventory='vectis.inventory')
        """
        return cls(_sole(hub, OrderCreated), _sole(hub, InventoryAdjusted))

    @property
    def letters(self) -> str:
        """Of what is set aside from `orders`."""
        return topic_of(self.orders)


def _sole(hub: Hub, event_class: type) -> str:
    (source,) = topics_of(hub, describe(event_class).name)
    return source.topic
