from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from vectis.core.testing.contract import Features, Transport, TransportContract
from vectis_sqlite import SqliteSettings, SqliteTransport

if TYPE_CHECKING:
    from pathlib import Path

    from vectis.core.transport import Consumer


class TestSqliteTransport(TransportContract):
    features = Features(durable=True, expiry=True, max_size=5_000_000)

    def transport(self, folder: Path) -> SqliteTransport:
        return SqliteTransport(SqliteSettings(path=str(folder / "events.db")))

    def expire(self, transport: Transport, consumer: Consumer) -> None:
        assert isinstance(transport, SqliteTransport)
        with closing(sqlite3.connect(transport.path)) as other:
            other.execute("DELETE FROM members")
            other.execute("UPDATE leases SET member = NULL")
            other.execute("UPDATE groups SET generation = generation + 1")
            other.commit()


class TestSqliteTransportInNormalMode(TransportContract):
    features = Features(durable=True)

    def transport(self, folder: Path) -> SqliteTransport:
        return SqliteTransport(
            SqliteSettings(path=str(folder / "events.db"), synchronous="NORMAL", partitions=3)
        )
