from __future__ import annotations

import os
from typing import TYPE_CHECKING

from vectis.core.testing.contract import Features, TransportContract
from vectis_redpanda import RedpandaSettings
from vectis_redpanda.transport import RedpandaTransport

if TYPE_CHECKING:
    from pathlib import Path


class TestRedpanda(TransportContract):
    features = Features(durable=True, refused_size=2_000_000)

    def transport(self, folder: Path) -> RedpandaTransport:
        servers = os.environ["VECTIS_TEST_BOOTSTRAP_SERVERS"]
        return RedpandaTransport(RedpandaSettings(bootstrap_servers=servers))
