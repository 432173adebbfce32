"""Typed commerce events for Vectis, the worked example of a third-party plugin, and the demo.

This module is the plugin: the entry point `commerce` names it. The classes are in
`vectis_commerce.events`; the demo is loaded only by `vectis demo`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vectis.core import hookimpl

if TYPE_CHECKING:
    from vectis.core import Catalogue

__all__ = ["vectis_register_events"]


@hookimpl
def vectis_register_events(catalogue: Catalogue) -> None:
    """Add the document's seven events, and `order.pre_create`, which stays in the process."""
    from vectis_commerce.events import ALL

    for event_class in ALL:
        catalogue.register(event_class)
