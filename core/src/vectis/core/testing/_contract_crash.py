"""A publisher in a process of its own, killed in the middle of its work."""

from __future__ import annotations

import asyncio
import multiprocessing
from typing import TYPE_CHECKING

from vectis.core.message import Message

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from pathlib import Path

    from vectis.core.testing._contract_tools import Contract

__all__ = ["publish_until_killed"]

_KEYS = 10


def publish_until_killed(
    contract: type[Contract], folder: Path, topic: str, *, count: int
) -> list[int]:
    """Let a process publish, kill it after so many receipts, and return the numbers it had.

    Args:
        contract: The class of the tests, importable by its name: it makes the transport there.
        folder: The transport's folder.
        topic: Where the numbers go, on ten keys, rising for each of them.
        count: How many receipts to wait for.
    """
    spawn = multiprocessing.get_context("spawn")
    here, there = spawn.Pipe(duplex=False)
    process = spawn.Process(target=_publish, args=(contract, folder, topic, there), daemon=True)
    process.start()
    there.close()  # so that reading ends when the process does
    acknowledged: list[int] = []
    try:
        while len(acknowledged) < count:
            acknowledged.append(int(here.recv_bytes()))
        process.kill()
        while True:
            acknowledged.append(int(here.recv_bytes()))
    except (EOFError, OSError):  # the end, or the half of a number
        pass
    finally:
        process.kill()
        process.join()
        here.close()
    assert len(acknowledged) >= count, "the publishing process ended by itself, see its error"
    return acknowledged


def _publish(contract: type[Contract], folder: Path, topic: str, pipe: Connection) -> None:
    async def customer(key: int) -> None:
        number = key
        while True:
            await send(Message(topic, b"k%d" % key, b"%d" % number))
            pipe.send_bytes(b"%d" % number)
            number += _KEYS

    async def main() -> None:
        await asyncio.gather(*(customer(key) for key in range(_KEYS)))

    send = contract().transport(folder).carrier(topic).send
    asyncio.run(main())
