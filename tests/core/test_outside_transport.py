"""The contract suite as a third party uses it: on a transport that Vectis knows nothing of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.core.folder_transport import LIMIT, FolderConsumer, FolderTransport
from vectis.core.testing.contract import Features, Transport, TransportContract

if TYPE_CHECKING:
    from pathlib import Path

    from vectis.core.transport import Consumer


class TestFolderTransport(TransportContract):
    features = Features(durable=True, expiry=True, refused_size=LIMIT + 1)

    def transport(self, folder: Path) -> FolderTransport:
        return FolderTransport(folder)

    def expire(self, transport: Transport, consumer: Consumer) -> None:
        assert isinstance(consumer, FolderConsumer)
        consumer.state.remove(consumer)
