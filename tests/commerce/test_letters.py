"""The demo's dead letters, read from a transport and printed."""

from __future__ import annotations

import asyncio

from vectis.core import Hub
from vectis.core.message import Message
from vectis.core.testing import MemoryTransport
from vectis.core.transport import Route
from vectis_commerce.demo.letters import Letter, count, read_letters

TOPIC = "vectis.orders.dlq"


def letters_of(*offsets: int) -> tuple[Letter, ...]:
    """Set a record aside for each offset, and read them."""

    async def main() -> tuple[Letter, ...]:
        async with Hub({}, plugins={"memory": MemoryTransport()}, discover=False) as hub:
            offer = hub.routing.offer(Route("service", TOPIC))
            assert offer is not None
            for offset in offsets:
                said = {"topic": "shop", "partition": "3", "offset": str(offset), "error": "no"}
                headers = tuple((f"vectis_dlq_{k}", v.encode()) for k, v in said.items())
                await offer.carrier.send(
                    Message(TOPIC, key=b"k", value=b"\x00text" + b"x" * 30, headers=headers)
                )
            return await read_letters(hub, TOPIC, within=0)

    return asyncio.run(main())


def test_a_record_that_was_set_aside_twice_is_one_record_with_two_letters() -> None:
    once, twice = letters_of(7, 8, 8)
    assert count([once, twice]) == "2 records, set aside 3 times in all"
    assert (once.place, twice.place) == ("shop/3@7", "shop/3@8")
    assert (len(once.kept), len(twice.kept)) == (1, 2)
    assert "set aside 2 times" in dict(twice.rows)["kept as"]
    assert "times" not in dict(once.rows)["kept as"]


def test_bytes_are_shown_as_text_where_they_are() -> None:
    (letter,) = letters_of(7)
    assert letter.size == 35
    assert dict(letter.rows)["bytes"].startswith("00 74 65 78 74 78")
    assert dict(letter.rows)["text"] == ".text" + 15 * "x"
