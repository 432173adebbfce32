"""Headers come back byte for byte, and what many records share stands in the file once."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vectis.core.exceptions import PublishError
from vectis.core.message import Headers, Message
from vectis.core.testing.contract import Member, close
from vectis_sqlite import SqliteSettings, SqliteTransport

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

USUAL: Headers = (
    ("ce_specversion", b"1.0"),
    ("ce_source", b"shop"),
    ("ce_type", b"order.created"),
    ("content-type", b"application/json"),
)

NAMES = st.one_of(st.sampled_from([name for name, _ in USUAL]), st.text(max_size=5))
VALUES = st.one_of(st.sampled_from([value for _, value in USUAL]), st.binary(max_size=20))
ANY = st.lists(st.tuples(NAMES, VALUES), max_size=6).map(tuple)
ALIKE = st.tuples(
    st.sampled_from([USUAL, (*USUAL, ("ce_dataschema", b"urn:v1"))]),
    st.lists(st.tuples(st.sampled_from(["ce_id", "ce_time"]), VALUES), max_size=3).map(tuple),
).map(lambda parts: (*parts[0], *parts[1]))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "events.db"


def transport_for(file: Path) -> SqliteTransport:
    return SqliteTransport(SqliteSettings(path=str(file), partitions=1))


async def send(transport: SqliteTransport, headers: Sequence[Headers]) -> None:
    send_many = transport.carrier("orders").send_many
    assert send_many is not None
    for answer in await send_many([Message("orders", b"7", b"{}", each) for each in headers]):
        if isinstance(answer, BaseException):
            raise answer


async def stored(transport: SqliteTransport, count: int) -> list[Headers]:
    async with Member(transport, "orders", None) as reader:
        return [delivery.headers for delivery in await reader.read(count)]


def count_of(file: Path, table: str) -> int:
    with closing(sqlite3.connect(file)) as check:
        (count,) = check.execute(f"SELECT count(*) FROM {table}").fetchone()
        return int(count)


@settings(max_examples=20, deadline=None, suppress_health_check=[*HealthCheck])
@given(st.lists(st.one_of(ANY, ALIKE), min_size=1, max_size=20))
def test_any_headers_come_back_as_they_were(
    tmp_path_factory: pytest.TempPathFactory, headers: list[Headers]
) -> None:
    file = tmp_path_factory.mktemp("headers") / "events.db"

    async def main() -> list[Headers]:
        transport = transport_for(file)
        await send(transport, headers)
        read = await stored(transport, len(headers))
        await close(transport, "orders")
        return read

    assert asyncio.run(main()) == headers


@pytest.mark.parametrize("odd", [("ce_id", b"1", b"more"), ("ce_id",), (), ("ce_id", 1)])
def test_what_is_no_header_is_refused_also_where_its_like_was_met(file: Path, odd: Any) -> None:
    async def main() -> None:
        transport = transport_for(file)
        good = (*USUAL, ("ce_id", b"1"))
        await send(transport, [good, good])
        with pytest.raises(PublishError, match="headers must be pairs") as refused:
            await send(transport, [(*USUAL, odd)])
        assert refused.value.fate == "rejected"
        assert await stored(transport, 2) == [good, good]
        await close(transport, "orders")

    asyncio.run(main())


@pytest.mark.parametrize("count", [1, 64, 65])
def test_a_name_that_is_no_text_is_refused_among_few_and_many(file: Path, count: int) -> None:
    odd: Any = (*((f"name-{n}", b"7") for n in range(count - 1)), (5, b"7"))

    async def main() -> None:
        transport = transport_for(file)
        with pytest.raises(PublishError, match="headers must be pairs"):
            await send(transport, [odd])
        await close(transport, "orders")

    asyncio.run(main())


def test_what_a_producer_always_says_stands_in_the_file_once(file: Path) -> None:
    alike = [(*USUAL, ("ce_id", b"%036d" % number)) for number in range(100)]

    async def main() -> None:
        transport = transport_for(file)
        await send(transport, alike)
        assert await stored(transport, 100) == alike
        await close(transport, "orders")

    asyncio.run(main())
    with closing(sqlite3.connect(file)) as check:
        ((layout, longest),) = check.execute(
            "SELECT layout, max(length(headers)) FROM records GROUP BY layout"
        ).fetchall()
    assert all(f'"{value.decode()}"' in layout for _, value in USUAL)
    assert longest == len("1\n") + 36


def test_long_values_and_ever_new_names_do_not_fill_the_table(file: Path) -> None:
    long = [(("ce_source", b"%d" % number * 2_000),) for number in range(3)]
    new = [((f"name-{number}", b"7"),) for number in range(4_200)]

    async def main() -> None:
        transport = transport_for(file)
        await send(transport, [*long, *new])
        assert await stored(transport, 4_203) == [*long, *new]
        await close(transport, "orders")

    asyncio.run(main())
    assert count_of(file, "layouts") == 4_096
    with closing(sqlite3.connect(file)) as check:
        assert check.execute("SELECT max(length(text)) FROM layouts").fetchone() < (100,)


def test_a_layout_that_was_rolled_back_is_not_referred_to(file: Path) -> None:
    async def main() -> None:
        transport = transport_for(file)
        await send(transport, [()])
        with closing(sqlite3.connect(file)) as other:
            other.execute(
                "CREATE TRIGGER refuse BEFORE INSERT ON log BEGIN SELECT RAISE(ABORT, 'no'); END"
            )
            with pytest.raises((PublishError, sqlite3.IntegrityError)):
                await send(transport, [USUAL])
            other.execute("DROP TRIGGER refuse")
        assert count_of(file, "layouts") == 0
        await send(transport, [USUAL])
        assert await stored(transport, 2) == [(), USUAL]
        await close(transport, "orders")

    asyncio.run(main())


def test_two_transports_that_meet_the_same_headers_share_the_layout(file: Path) -> None:
    async def main() -> None:
        one, two = (
            transport_for(file),
            SqliteTransport(
                SqliteSettings(
                    path=str(file), partitions=1, busy_timeout=4.0
                )  # a writer of its own
            ),
        )
        for _ in range(3):
            await send(one, [USUAL])
            await send(two, [USUAL])
        assert await stored(one, 6) == [USUAL] * 6
        await close(one, "orders")
        await close(two, "orders")

    asyncio.run(main())
    assert count_of(file, "layouts") == 1
