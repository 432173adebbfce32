"""The Redpanda and Kafka transport: a default plugin that steps aside when it cannot work.

Without aiokafka or without servers it declines every offer: publishing disables itself, and an
application runs in development as it is. Neither is imported or connected to before it is needed.
"""

from vectis_redpanda.plugin import Redpanda
from vectis_redpanda.settings import RedpandaSettings

__all__ = ["Redpanda", "RedpandaSettings"]
