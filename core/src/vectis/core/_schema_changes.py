"""What changed between two JSON Schemas of one version of an event type, field by field.

They are schemas as `vectis.core.schemas` writes them, one of which may come out of a file. Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vectis.core.schemas import Schema

__all__ = ["Change", "Rule", "schema_changes"]

Rule = Literal[
    "type-added",
    "type-removed",
    "version-added",
    "version-removed",
    "version-retired",
    "upcaster-missing",
    "topic-changed",
    "key-changed",
    "optional-field-added",
    "required-field-added",
    "field-removed",
    "field-retyped",
    "field-made-required",
    "field-made-optional",
]

_PASS: frozenset[Rule] = frozenset(
    (
        "type-added",
        "version-added",
        "version-retired",
        "optional-field-added",
        "field-made-optional",
    )
)

_NOTES = ("title", "description", "default", "$schema", "$defs", "required")
"""What a schema says beside the form; `required` is compared field by field."""


@attrs.frozen
class Change:
    """One difference between a snapshot and the catalogue.

    Args:
        rule: What it is.
        where: The type, its version, and the path inside its payload.
        message: What changed and, when it breaks, what to do.
    """

    rule: Rule
    where: str
    message: str

    @property
    def breaks(self) -> bool:
        """Whether messages or programs that fitted before do no longer."""
        return self.rule not in _PASS


def schema_changes(was: Schema, now: Schema, where: str) -> Iterator[Change]:
    """Yield what changed, the first fields first.

    Args:
        was: The whole schema in the snapshot, with what it refers to.
        now: The whole schema of the class as it is.
        where: The type and its version, for the changes.
    """
    yield from _Comparison(was, now).compare(was, now, where)


class _Comparison:
    """Two whole schemas, for what their parts refer to."""

    def __init__(self, was: Schema, now: Schema) -> None:
        self._was = was
        self._now = now
        self._compared: set[tuple[str, str]] = set()

    def compare(self, was: Any, now: Any, where: str) -> Iterator[Change]:
        """Yield what changed between two parts."""
        pair = (str(_name_of(was)), str(_name_of(now)))
        if pair != ("", ""):
            if pair in self._compared:  # a class that holds itself
                return
            self._compared.add(pair)
        was, now = _resolved(was, self._was), _resolved(now, self._now)
        if not isinstance(was, dict) or not isinstance(now, dict):
            if was != now:
                yield _retyped(where, was, now)
            return
        if "properties" in was and "properties" in now:
            yield from self._fields(was, now, where)
            return
        if _shape(was) != _shape(now):
            yield _retyped(where, was, now)
            return
        for word, inside in (("items", "[]"), ("additionalProperties", "[*]")):
            if word in was:
                yield from self.compare(was[word], now[word], f"{where}{inside}")
        for word in ("prefixItems", "anyOf"):
            for number, (one, other) in enumerate(
                zip(was.get(word, ()), now.get(word, ()), strict=True)
            ):
                inside = f"[{number}]" if word == "prefixItems" else ""
                yield from self.compare(one, other, f"{where}{inside}")

    def _fields(self, was: Schema, now: Schema, where: str) -> Iterator[Change]:
        old, new = was["properties"], now["properties"]
        needed, needs = was.get("required", ()), now.get("required", ())
        for name in old:
            path = _inside(where, name)
            if name not in new:
                yield Change(
                    "field-removed", path, "is gone: keep it, or make a new version without it"
                )
                continue
            yield from self.compare(old[name], new[name], path)
            if name in needs and name not in needed:
                yield Change(
                    "field-made-required",
                    path,
                    "may be missing in what was published before: keep its default, or make a new "
                    "version",
                )
            if name in needed and name not in needs:
                yield Change("field-made-optional", path, "may be missing from now on")
        for name in new:
            path = _inside(where, name)
            if name in old:
                continue
            if name in needs:
                yield Change(
                    "required-field-added",
                    path,
                    "is missing in what was published before: give it a default, or make a new "
                    "version",
                )
            else:
                yield Change("optional-field-added", path, "is new and has a default")


def _inside(where: str, name: str) -> str:
    return f"{where}.{name}" if " version " not in where or ":" in where else f"{where}: {name}"


def _name_of(schema: Any) -> str:
    reference = schema.get("$ref", "") if isinstance(schema, dict) else ""
    return str(reference)


def _resolved(schema: Any, whole: Schema) -> Any:
    name = _name_of(schema).rpartition("/")[2]
    return whole["$defs"][name] if name else schema


def _shape(schema: Schema) -> Schema:
    """Return what must stay as it is, without what is compared on its own."""
    shape = {word: value for word, value in schema.items() if word not in _NOTES}
    for word in ("items", "additionalProperties"):
        if word in shape:
            shape[word] = None
    for word in ("prefixItems", "anyOf"):
        if word in shape:
            shape[word] = [_kind(one) for one in shape[word]]
    return shape


def _kind(schema: Schema) -> Any:
    return "$ref" if "$ref" in schema else schema.get("type")


def _retyped(where: str, was: Any, now: Any) -> Change:
    return Change(
        "field-retyped",
        where,
        f"was {_words(was)} and is {_words(now)}: keep its type, or make a new version",
    )


def _words(schema: Any) -> str:
    """Return what a schema describes, in a few words."""
    if not isinstance(schema, dict):
        return "anything" if schema else "nothing"
    if "anyOf" in schema:
        return " or ".join(_words(one) for one in schema["anyOf"])
    if "enum" in schema:
        return f"one of {', '.join(map(repr, schema['enum']))}"
    if "$ref" in schema:
        return _name_of(schema).rpartition("/")[2]
    if schema.get("title"):
        return str(schema["title"])
    if not schema.get("type"):
        return "anything"
    form = schema.get("format")
    return f"{schema['type']} ({form})" if form else str(schema["type"])
