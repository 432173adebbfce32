"""The in-process priority bus: a default plugin, found through its entry point like any other.

`Bus` is the plugin. It keeps the subscriptions, and hands the hub one prepared `send` for each
event type.
"""

from vectis_bus.plugin import Bus, BusSettings

__all__ = ["Bus", "BusSettings"]
