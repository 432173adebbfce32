"""Secrets never show: which settings are secret, and how they look wherever Vectis prints them.

This is about display only. Nothing is encrypted, and code that asks for the value gets the value.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

__all__ = ["MASK", "MaskedText", "is_secret", "masked", "seal", "secret"]

MASK = "********"

# Rather one setting too many behind a mask than one too few; `metadata={"secret": False}` shows it.
_TELLTALES = (
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "credential",
    "apikey",
    "accesskey",
    "privatekey",
)


def secret() -> Any:
    """Return the attrs field of a secret setting: a string, or None by default; masked everywhere.

    Example:
        >>> import attrs
        >>> from vectis.core.settings import secret
        >>> @attrs.frozen
        ... class Settings:
        ...     passcode: str | None = secret()
        >>> Settings("1234")
        Settings(passcode=********)
    """
    return attrs.field(default=None, repr=_masked_repr, metadata={"secret": True})


class MaskedText(str):
    """A secret string: equal to itself in every way, except that its repr shows nothing.

    Settings classes whose author forgot `repr=False` are covered by it.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return repr(MASK)


def is_secret(name: str, metadata: Mapping[Any, Any] | None = None) -> bool:
    """Tell whether a setting is secret: its metadata says so, or its name gives it away.

    Example:
        >>> is_secret("sasl_password"), is_secret("group"), is_secret("pin", {"secret": True})
        (True, False, True)
    """
    if metadata and "secret" in metadata:
        return bool(metadata["secret"])
    plain = "".join(letter for letter in name.casefold() if letter.isalnum())
    return any(word in plain for word in _TELLTALES)


def seal(value: Any) -> Any:
    """Return the value of a secret setting with every string in it as `MaskedText`."""
    if isinstance(value, str):
        return MaskedText(value)
    if type(value) in (tuple, list, set, frozenset):
        return type(value)(seal(item) for item in value)
    if type(value) is dict:
        return {key: seal(item) for key, item in value.items()}
    return value


def masked(value: Any, hide: bool = False) -> Any:
    """Return the value as it may be shown, secrets inside tables, lists and addresses included.

    Args:
        value: A setting's value.
        hide: True when the setting as a whole is secret; an empty one still shows as empty.
    """
    if hide:
        return MASK if value not in (None, "", (), [], {}) else value
    if isinstance(value, str):
        return _without_userinfo(value)
    if isinstance(value, Mapping):
        return {key: masked(item, is_secret(str(key))) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [masked(item) for item in value]
    if attrs.has(type(value)):
        return {
            field.alias: masked(getattr(value, field.name), is_secret(field.name, field.metadata))
            for field in attrs.fields(type(value))
        }
    return value


def _masked_repr(value: object) -> str:
    return repr(value) if value is None else MASK


def _without_userinfo(text: str) -> str:
    """Hide the password in `scheme://user:password@host`, the usual hiding place in an address."""
    if "://" not in text or "@" not in text:
        return text
    import re

    # Greedy on purpose: a password may hold an `@` of its own.
    return re.sub(r"(://[^\s/:@]*:)\S*@", rf"\1{MASK}@", text)
