"""CloudEvents attributes: their names, and what their texts may hold.

Shared by both directions of the codec; what an event or a message looks like is not known here.
"""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import datetime
from typing import Literal

from vectis.core.exceptions import DecodeError
from vectis.core.redact import one_line

REQUIRED = ("specversion", "id", "source", "type")
STRINGS = frozenset({*REQUIRED, "time", "dataschema", "subject", "datacontenttype"})
"""The attributes of the specification itself; extensions may be boolean or integer as well."""

SCHEMA = "urn:vectis:event:"

# The names as nearly everybody writes them, so that the usual header costs one look-up.
ATTRIBUTES = {
    "content-type": "datacontenttype",
    **{
        f"ce_{name}": name
        for name in (
            *REQUIRED,
            "time",
            "dataschema",
            "subject",
            "correlationid",
            "causationid",
            "userid",
            "partitionkey",
            "traceparent",
        )
    },
}

NAME = re.compile("[a-z0-9]+")
_MEDIA_TYPE = re.compile(r"\s*([^\s;/]+)/([^\s;/]+)\s*(?:;(.*))?", re.DOTALL)
_UTF_8 = re.compile(r'\s*charset\s*=\s*"?utf-?8"?\s*', re.IGNORECASE)
_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)

Media = Literal["json", "structured", "other"]

_USUAL_MEDIA: dict[str, Media] = {
    "application/json": "json",
    "application/cloudevents+json": "structured",
}

# What the CloudEvents type String forbids: control characters, surrogates, noncharacters.
_FORBIDDEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef"
    + "".join(chr(plane << 16 | low) for plane in range(17) for low in (0xFFFE, 0xFFFF))
    + "]"
)


def is_attribute_text(text: str) -> bool:
    """Tell whether CloudEvents allows this text as the value of an attribute."""
    # isprintable() is ten times faster than the search, and a little stricter.
    return text.isprintable() or not _FORBIDDEN.search(text)


def check_text(name: str, text: str) -> None:
    """Raise `DecodeError` when a received text is none that an attribute may have."""
    if not is_attribute_text(text):
        raise DecodeError(f"{name} holds characters that CloudEvents forbids in attributes")


def attribute_name(header: str) -> str:
    """Return the attribute that a header carries, or an empty string."""
    lower = header.lower()
    if lower == "content-type":
        return "datacontenttype"
    if lower.startswith("ce_") and NAME.fullmatch(lower, 3) and lower != "ce_data":
        return lower[3:]
    return ""


def header_of(name: str) -> str:
    """Return the header that carries an attribute, fit for an error message."""
    return one_line("content-type" if name == "datacontenttype" else f"ce_{name}", 80)


def version_in(schema: str, event_type: str) -> int | None:
    """Return the version that a `dataschema` of ours names, None when it is somebody else's."""
    prefix = f"{SCHEMA}{event_type}:v"
    digits = schema[len(prefix) :]
    if schema.startswith(prefix) and digits.isascii() and digits.isdecimal() and len(digits) < 10:
        return int(digits)
    return None


def read_time(text: str) -> datetime:
    """Return the moment of an RFC 3339 text, or raise `DecodeError`."""
    # fromisoformat alone reads more than RFC 3339, such as week dates and times without an offset.
    if _RFC_3339.fullmatch(text):
        try:
            return datetime.fromisoformat(text)
        except ValueError:
            # datetime knows no leap seconds (23:59:60) and no lower case.
            second = "59" if text[17:19] == "60" else text[17:19]
            with suppress(ValueError):  # the 31st of February, and the like
                return datetime.fromisoformat(text[:17] + second + text[19:].upper())
    raise DecodeError(f"time {one_line(text, 40)!r} is not RFC 3339, such as 2026-01-31T12:30:00Z")


def media_of(content_type: str) -> Media:
    """Sort a content type: JSON in UTF-8, a whole CloudEvent in JSON, or anything else."""
    if content_type in _USUAL_MEDIA:
        return _USUAL_MEDIA[content_type]
    match = _MEDIA_TYPE.fullmatch(content_type)
    if match is None:
        return "other"
    kind, subtype = match[1].lower(), match[2].lower()
    for parameter in (match[3] or "").split(";"):
        if "charset" in parameter.lower() and not _UTF_8.fullmatch(parameter):
            return "other"
    if kind == "application" and subtype.startswith("cloudevents"):
        # Batches and formats other than JSON exist; nobody here reads them.
        return "structured" if subtype == "cloudevents+json" else "other"
    return "json" if subtype == "json" or subtype.endswith("+json") else "other"
