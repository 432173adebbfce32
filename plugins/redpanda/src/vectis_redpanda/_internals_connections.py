"""What is needed of aiokafka's connections beyond its public names; belongs to `_internals`.

aiokafka closes a connection and waits for the end of it only when it has one in use. The others,
that it began at, that was refused, or that was being made, are forgotten, and with TLS a closed one
stays open until the broker has said goodbye: an event loop that ends before leaves a socket behind.

It was read in aiokafka 0.14. Whatever breaks with another version breaks here, and the tests in
`tests/redpanda/test_farewells.py` show it.
"""

from __future__ import annotations

import asyncio
from types import FunctionType, MethodType
from typing import TYPE_CHECKING, Any
from weakref import ref

from aiokafka import AIOKafkaProducer, errors
from aiokafka.client import AIOKafkaClient
from aiokafka.conn import AIOKafkaConnection, CloseReason

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiokafka import AIOKafkaConsumer
    from aiokafka.admin import AIOKafkaAdminClient

__all__ = ["Connection", "leave_none_open", "with_names"]

_FAREWELL = 0.5  # seconds for a broker to say goodbye; less than whoever drops a client waits


class Connection(AIOKafkaConnection):  # type: ignore[misc]
    """A connection whose end can be waited for, however it was closed."""

    _transport: asyncio.WriteTransport | None = None

    async def connect(self) -> Any:
        """Connect and log in; what fails at that leaves nothing open."""
        try:
            return await super().connect()
        except BaseException:
            self.abort()  # nothing was said that could get lost
            raise

    def close(self, reason: CloseReason | None = None, exc: BaseException | None = None) -> Any:
        """Begin to close, and return a future of the end."""
        if self._writer is not None:
            self._transport = self._writer.transport  # which is forgotten now
        return super().close(reason, exc)

    def abort(self) -> None:
        """Close without a farewell."""
        self.close()
        if self._transport is not None:
            self._transport.abort()

    async def end(self) -> None:
        """Close, and wait until it is; a broker that says no goodbye is left without one."""
        ended = self.close(CloseReason.SHUTDOWN)
        if self._transport is None:
            return  # it is not made yet
        try:
            await asyncio.wait([ended], timeout=_FAREWELL)
        finally:
            self.abort()


def leave_none_open(user: AIOKafkaProducer | AIOKafkaConsumer | AIOKafkaAdminClient) -> None:
    """Have no connection stay open once a client that has not started yet is closed.

    Its methods run as they are, only with another way to make a connection under the name that they
    call, so that all of them are known.
    """
    client = user.client if isinstance(user, AIOKafkaProducer) else user._client
    known: set[Connection] = set()
    is_closed = False
    close = client.close

    async def made(host: str, port: int, **options: Any) -> Connection:
        connection = Connection(host, port, **options)
        known.add(connection)  # also to keep it: a closed one is forgotten before its end
        try:
            await connection.connect()
        except BaseException:
            known.discard(connection)
            raise
        connection._closed_fut.add_done_callback(_forgetting(known, connection))
        if is_closed:  # a task of the client's was about to connect again
            connection.abort()
            raise errors.KafkaConnectionError(f"the client of {host}:{port} is closed")
        return connection

    async def close_known() -> None:
        nonlocal is_closed
        is_closed = True
        ends = [connection.end() for connection in known]
        try:
            # Together: it ends the task of the client's that would connect again, and then waits
            # for some of the same.
            await asyncio.gather(close(), *ends)
        finally:  # also for who is cancelled before any of these has begun
            if client._sync_task is not None:
                client._sync_task.cancel()
            for connection in tuple(known):
                connection.abort()

    client.bootstrap = with_names(client, "bootstrap", create_conn=made)
    client._get_conn = with_names(client, "_get_conn", create_conn=made)
    client.close = close_known


def _forgetting(known: set[Connection], connection: Connection) -> Callable[[object], None]:
    """Return what takes a connection out of those known, and keeps neither: it hangs at the socket.

    A client that is abandoned is collected with its connections, which close themselves then.
    """
    known_ref, connection_ref = ref(known), ref(connection)

    def forget(_: object) -> None:
        alive, ended = known_ref(), connection_ref()
        if alive is not None and ended is not None:
            alive.discard(ended)

    return forget


def with_names(client: AIOKafkaClient, method: str, **names: Any) -> Callable[..., Any]:
    """Return a method of a client that finds something else under names of its module."""
    found = getattr(AIOKafkaClient, method)
    changed = FunctionType(found.__code__, {**found.__globals__, **names})
    changed.__defaults__, changed.__kwdefaults__ = found.__defaults__, found.__kwdefaults__
    return MethodType(changed, client)
