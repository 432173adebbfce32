"""A TCP proxy in the test that can cut, delay and hold back what passes, and refuse connections.

Clients follow the listeners that a broker advertises: for their connections to come through here,
the broker has to advertise the proxy's port, see `Listener.advertised`.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import suppress
from threading import Thread
from typing import TYPE_CHECKING, Self, TypeVar

from tests.kafka.ports import HOST, free_port

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from types import TracebackType

__all__ = ["Proxy"]

PATIENCE = 10.0  # seconds that a change may take
CHUNK = 65_536  # bytes
TRIES = 20  # at a port that is free and not taken the moment after

Result = TypeVar("Result")


class Proxy:
    """Passes connections on to a port of this machine, from a thread of its own.

    Attributes:
        port: Where clients find it. It is the same after `refuse` and `accept`.
        target: Where it passes them on to; set it before the first one comes.
        accepted: How many connections it has taken.
    """

    def __init__(self) -> None:
        self.port = 0
        self.target = 0
        self.accepted = 0
        self._delay = 0.0
        self._pipes: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, name="proxy", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._run(self._open())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._run(self._shut())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE)
        self._loop.close()

    def cut(self) -> None:
        """Break every connection; new ones are taken."""
        self._run(self._cut())

    def refuse(self) -> None:
        """Break every connection and refuse new ones, as a machine without a broker does."""
        self._run(self._shut())

    def accept(self) -> None:
        """Take connections again."""
        self._run(self._listen())

    def delay(self, seconds: float) -> None:
        """Hold every byte back that long, in each direction; 0 ends it."""
        self._delay = seconds

    def stall(self, *, answers_only: bool = False) -> None:
        """Pass nothing on, of connections that are there and of new ones, until `flow`.

        Args:
            answers_only: Pass requests on, so that the broker does what nobody hears of.
        """
        self._run(self._hold(requests=not answers_only))

    def flow(self) -> None:
        """Pass on what was held back, and everything that follows."""
        self._run(self._release())

    # ------------------------------------------------------------ on the proxy's loop

    def _run(self, job: Coroutine[None, None, Result]) -> Result:
        return asyncio.run_coroutine_threadsafe(job, self._loop).result(PATIENCE)

    async def _open(self) -> None:
        self._requests, self._answers = asyncio.Event(), asyncio.Event()
        await self._release()
        for attempt in range(TRIES):
            self.port = free_port()
            try:
                return await self._listen()
            except OSError:
                if attempt == TRIES - 1:
                    raise
        return None

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._take, HOST, self.port)

    async def _shut(self) -> None:
        self._server.close()
        await self._cut()

    async def _cut(self) -> None:
        pipes = list(self._pipes)
        for pipe in pipes:
            pipe.cancel()
        await asyncio.gather(*pipes, return_exceptions=True)

    async def _hold(self, *, requests: bool) -> None:
        self._answers.clear()
        if requests:
            self._requests.clear()

    async def _release(self) -> None:
        self._requests.set()
        self._answers.set()

    def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        pipe = self._loop.create_task(self._pipe(reader, writer))
        self._pipes.add(pipe)

        def end(done: asyncio.Task[None]) -> None:
            self._pipes.discard(done)
            _reset(writer)  # here, because one that is cancelled at once never began

        pipe.add_done_callback(end)

    async def _pipe(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_connection(HOST, self.target)
        except OSError:
            return
        ways = (self._pass(reader, back, self._requests), self._pass(there, writer, self._answers))
        passing = [asyncio.ensure_future(way) for way in ways]
        try:
            await asyncio.wait(passing, return_when=asyncio.FIRST_COMPLETED)
        finally:
            _reset(back)  # first: who is cancelled a second time gets no further
            for way in passing:
                way.cancel()
            await asyncio.gather(*passing, return_exceptions=True)

    async def _pass(
        self, source: asyncio.StreamReader, to: asyncio.StreamWriter, flowing: asyncio.Event
    ) -> None:
        """Pass on until either end is closed, in the order it came, each byte when it is due."""
        waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(256)

        async def read() -> None:
            with suppress(ConnectionError):
                while chunk := await source.read(CHUNK):
                    await waiting.put((self._loop.time() + self._delay, chunk))
            await waiting.put((self._loop.time() + self._delay, b""))

        reading = asyncio.ensure_future(read())
        try:
            with suppress(ConnectionError):
                while True:
                    due, chunk = await waiting.get()
                    await asyncio.sleep(max(0.0, due - self._loop.time()))
                    await flowing.wait()
                    if not chunk:
                        return
                    to.write(chunk)
                    await to.drain()
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close without a farewell: whoever loses a connection for good does not get one either."""
    connection: socket.socket = writer.get_extra_info("socket")
    if connection.fileno() < 0:
        return  # the other side has reset it, and it is closed
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
