"""Reading the dead letters of the demo, without taking them away from whoever replays them."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

import attrs

from vectis.core.letters import Settled, read_record
from vectis.core.reader import Reader

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vectis.core import Hub
    from vectis.core.message import Delivery

__all__ = ["Letter", "count", "read_letters"]

_PREVIEW = 20  # bytes


@attrs.frozen
class Letter:
    """One record that was set aside, once or, after a kill, again.

    Args:
        place: Where the record was, `topic/partition@offset`.
        kept: Where its letters are, one for each time that it was set aside.
        error: Why it was set aside.
        size: How many bytes the record has.
        preview: Its first bytes, in hexadecimal.
        text: The same as text, with a dot for what cannot be printed.
        value: All its bytes.
    """

    place: str
    kept: tuple[str, ...]
    error: str
    size: int
    preview: str
    text: str
    value: bytes = attrs.field(repr=False)

    @property
    def rows(self) -> tuple[tuple[str, str], ...]:
        """What there is to show of it, in words."""
        kept = ", ".join(self.kept)
        times = f", set aside {len(self.kept)} times" if len(self.kept) > 1 else ""
        return (
            ("record", f"{self.place}, {self.size:,} bytes"),
            ("why", self.error.removeprefix(f"{self.place}: ")),
            ("bytes", self.preview),
            ("text", self.text),
            ("kept as", f"{kept}{times}, with its reason in the headers"),
        )


async def read_letters(hub: Hub, topic: str, *, within: float) -> tuple[Letter, ...]:
    """Return the letters, those of one record together: after a kill it may be set aside again.

    Args:
        hub: The hub whose transport has them.
        topic: Where they are.
        within: Seconds to wait for the first one; without any the answer is empty.
    """
    deadline = monotonic() + within
    async with Reader(hub, (topic,)) as reader:
        found = await reader.now()
        while not found and (left := deadline - monotonic()) > 0:
            found = await reader.fetch(timeout=left)
    letters: dict[str, Letter] = {}
    for delivery in found:
        if isinstance(read_record(delivery), Settled):
            continue  # a note that one was replayed, and no letter
        letter = _letter(delivery)
        before = letters.get(letter.place)
        kept = (*before.kept, *letter.kept) if before else letter.kept
        letters[letter.place] = attrs.evolve(letter, kept=kept)
    return tuple(letters.values())


def _letter(delivery: Delivery) -> Letter:
    said = {name: value.decode(errors="replace") for name, value in delivery.headers}
    where = [said.get(f"vectis_dlq_{part}", "?") for part in ("topic", "partition", "offset")]
    value = delivery.value or b""
    start = value[:_PREVIEW]
    return Letter(
        place=f"{where[0]}/{where[1]}@{where[2]}",
        kept=(delivery.place,),
        error=said.get("vectis_dlq_error", "?"),
        size=len(value),
        preview=f"{start.hex(' ')}{' …' if len(value) > len(start) else ''}",
        text="".join(chr(byte) if 32 <= byte < 127 else "." for byte in start),
        value=value,
    )


def count(letters: Sequence[Letter]) -> str:
    """Say how many records were set aside, and how often when that is more.

    Example:
        >>> from vectis_commerce.demo.letters import count
        >>> count(())
        '0 records'
    """
    times = sum(len(letter.kept) for letter in letters)
    records = "1 record" if len(letters) == 1 else f"{len(letters):,} records"
    return records + (f", set aside {times:,} times in all" if times > len(letters) else "")
