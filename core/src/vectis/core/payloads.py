"""Payloads as instances of event classes: what arrives as JSON is checked and given its types.

cattrs does the work, strictly: a number is no string, `true` is no int, and what a type is written
as is the only form it is read from. Keys that a class does not know are left alone, so that a
sender may add some. Imported only when somebody wants a class: cattrs costs 40 ms.

The way out, from an instance to JSON, is `vectis.core.jsontext`; which version of a payload a class
can take is decided by the catalogue.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar

import attrs
from cattrs import ClassValidationError

from vectis.core._payload_hooks import quick, telling
from vectis.core._payload_misfit import Inside, Misfit
from vectis.core.exceptions import PayloadError, SubscriptionError
from vectis.core.jsontext import path_step
from vectis.core.redact import one_line

__all__ = ["reader_of", "structure"]

T = TypeVar("T")

Read = Callable[[Any], Any]


def structure(payload: Any, cls: type[T]) -> T:
    """Return the instance of an attrs class that a payload describes.

    Decimals, UUIDs, datetimes (RFC 3339, with an offset), dates and times are read from strings,
    enums from their values. Keys that the class does not have are ignored.

    Args:
        payload: What was decoded from JSON.
        cls: An attrs class, with types that JSON can hold.

    Raises:
        PayloadError: It does not fit; the message names the first place that does not.
        SubscriptionError: The class itself has a type that cannot be read from JSON.

    Example:
        >>> from decimal import Decimal
        >>> import attrs
        >>> from vectis.core.payloads import structure
        >>> amount = attrs.field(type=Decimal)
        >>> Line = attrs.make_class("Line", {"product_id": attrs.field(type=str), "amount": amount})
        >>> structure({"product_id": "milk", "amount": "1.20"}, Line)
        Line(product_id='milk', amount=Decimal('1.20'))
        >>> structure({"product_id": "milk", "amount": 1.2}, Line)
        Traceback (most recent call last):
        ...
        vectis.core.exceptions.PayloadError: payload.amount must be a string with a decimal \
number, not a number with a point
    """
    instance: T = reader_of(cls)(payload)
    return instance


def reader_of(cls: type) -> Read:
    """Return what makes instances of a class from payloads, as `structure` does.

    Args:
        cls: An attrs class.

    Raises:
        SubscriptionError: It has a type that cannot be read from JSON.
    """
    try:
        read = quick.get_structure_hook(cls)
    except Exception as error:
        raise SubscriptionError(
            f"payloads cannot be read as {cls.__module__}.{cls.__qualname__}: "
            f"{one_line(str(error))} ({type(error).__name__}). Its fields must have types that "
            "JSON can hold, imported at run time"
        ) from error

    def structured(payload: Any) -> Any:
        try:
            return read(payload, cls)
        except Exception:
            refusal = _refusal(payload, cls)
        raise refusal  # here, so that it carries no traceback through cattrs

    return structured


def _refusal(payload: Any, cls: type) -> PayloadError:
    """Read it again, slowly, to find out where it does not fit."""
    try:
        telling.structure(payload, cls)
    except Exception as error:
        path, problem = _first_fault(error, "payload")
        return PayloadError(f"{path} {problem}")
    return PayloadError(f"payload does not fit {cls.__qualname__} every time")


def _first_fault(error: BaseException, path: str) -> tuple[str, str]:
    """Return the path of the first thing that does not fit, and what is wrong with it."""
    if isinstance(error, ClassValidationError):
        noted, others = error.group_exceptions()
        for inner, note in noted:
            where = path + path_step(note.name)
            if isinstance(inner, KeyError) and inner.args == (note.name,):
                return where, "is missing"
            return _first_fault(inner, where)
        return _complaint(others[0], error.cl, path)
    if isinstance(error, Inside) and error.__cause__ is not None:
        return _first_fault(error.__cause__, path + path_step(error.step))
    if isinstance(error, Misfit):
        return path, str(error)
    return path, f"is refused: {_words(error)}"


def _complaint(error: BaseException, cls: type, path: str) -> tuple[str, str]:
    """Return what a class's own validators or converters complain about, in their words."""
    words = _words(error)
    for field in attrs.fields(cls) if attrs.has(cls) else ():
        if field in error.args or re.search(rf"\b{re.escape(field.name)}\b", words):
            return path + path_step(field.name), f"is refused by {cls.__qualname__}: {words}"
    return path, f"is refused by {cls.__qualname__}: {words}"


def _words(error: BaseException) -> str:
    # attrs' validators add their own workings to the arguments; the first one is the sentence.
    text = str(error.args[0]) if error.args else ""
    return one_line(text, 200) or type(error).__name__
