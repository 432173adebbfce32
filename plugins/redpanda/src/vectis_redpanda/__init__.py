"""The Redpanda and Kafka transport: a default plugin that steps aside when it cannot work.

Without aiokafka or without servers it declines every offer: publishing disables itself, and an
application runs in development as it is. Neither is imported or connected to before it is needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vectis_redpanda.plugin import Redpanda
from vectis_redpanda.settings import RedpandaSettings

if TYPE_CHECKING:
    from vectis_redpanda.transport import RedpandaTransport

__all__ = ["Redpanda", "RedpandaSettings", "RedpandaTransport"]


def __getattr__(name: str) -> Any:
    if name != "RedpandaTransport":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from vectis_redpanda.transport import RedpandaTransport

    return RedpandaTransport
