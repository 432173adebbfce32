"""The way out for many usual events at once, column by column.

Most of it is done by functions that are written in C, for a whole column in one call. Whatever is
out of the ordinary is not judged here: the answer is None, and `_encode` writes the same one by
one, or says what is wrong.
"""

from __future__ import annotations

from itertools import repeat
from typing import TYPE_CHECKING, Any, TypeGuard

from vectis.core._encode import KEY_NAME
from vectis.core.jsontext import to_json
from vectis.core.message import Message

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vectis.core._encode import Template
    from vectis.core.message import Headers

__all__ = ["encode_alike"]


def encode_alike(
    templates: Sequence[Template],
    payloads: Sequence[dict[str, Any]],
    keys: Sequence[str | None] | None,
    ids: Sequence[str],
    time: bytes,
) -> list[Message] | None:
    """Write events of one topic that are given by their values.

    Args:
        templates: Of each event, all with the same topic.
        payloads: Their data.
        keys: Their keys; None when none of them has one.
        ids: Their ids.
        time: RFC 3339, the same for all.

    Returns:
        Their messages; None when one of them needs a closer look.

    Raises:
        EncodeError: A payload is not JSON.
    """
    if keys is not None and {*keys} == {None}:
        keys = None
    if not _are_plain(ids) or not (keys is None or _are_plain(keys)):
        return None
    values = [*map(to_json, payloads)]
    raw_ids = [id.encode() for id in ids]
    at = ("ce_time", time)
    headers: list[Headers]
    raw_keys: Sequence[bytes | None] = [None] * len(values)
    key_size = 0
    if keys is None:
        headers = [
            (*template.stated, ("ce_id", id), at, ("ce_correlationid", id))
            for template, id in zip(templates, raw_ids, strict=True)
        ]
    else:
        raw = [key.encode() for key in keys]
        raw_keys = raw
        key_size = 2 * max(map(len, raw)) + KEY_NAME
        headers = [
            (
                *template.stated,
                ("ce_id", id),
                at,
                ("ce_correlationid", id),
                ("ce_partitionkey", key),
            )
            for template, id, key in zip(templates, raw_ids, raw, strict=True)
        ]
    first = templates[0]
    largest = max(template.size for template in {*templates}) + len(time) + key_size
    largest += 2 * max(map(len, raw_ids)) + max(map(len, values))
    if largest > first.max_bytes:
        return None  # though it may be that no event has the longest of everything
    return [*map(Message, repeat(first.topic), raw_keys, values, headers)]


def _are_plain(texts: Sequence[str | None]) -> TypeGuard[Sequence[str]]:
    """Tell whether these are texts that may stand in an attribute without a closer look."""
    if {*map(type, texts)} != {str} or not all(texts):
        return False
    together = "".join(texts)  # type: ignore[arg-type]  # this was just looked at
    return together.isascii() and together.isprintable()
