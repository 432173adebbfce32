"""What handlers raise, as text for logs and dead letters.

Not `exc_info`: a handler's error often quotes what it was given, and a payload must not be able to
write lines of its own into a log. Whoever wants the error itself has `vectis_handler_error`.
"""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from contextlib import suppress
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vectis.core.exceptions import BatchFailed
from vectis.core.redact import one_line

if TYPE_CHECKING:
    from vectis.core.exceptions import RetryLater
    from vectis.core.message import Delivery

__all__ = ["failures_of", "fields_of", "stack_of", "text_of", "wait_of"]

_FRAMES = 10  # of the innermost calls
_CHAIN = 3  # errors that led to one another

_OURS = str(Path(__file__).parent.parent)


def fields_of(delivery: Delivery, handler: str = "") -> dict[str, object]:
    """Return what a log record about a delivery has as fields, for logs that are read by programs.

    Example:
        >>> from vectis.core.message import Delivery
        >>> from vectis.core.worker.errors import fields_of
        >>> fields_of(Delivery("orders", 3, 17), "app:sync_erp")["handler"]
        'app:sync_erp'
    """
    return {
        "topic": delivery.topic,
        "partition": delivery.partition,
        "offset": delivery.offset,
        "attempt": delivery.attempt,
        "handler": handler,
    }


def text_of(error: BaseException) -> str:
    """Return the text of an error, whatever its class makes of that."""
    try:
        return str(error)
    except BaseException:  # one whose text is broken must not take the worker with it
        return "its text cannot be shown"


def stack_of(error: BaseException) -> str:
    """Return where an error came from and what led to it, the worker's own frames left out.

    Example:
        >>> from vectis.core.worker.errors import stack_of
        >>> stack_of(ValueError("never raised"))
        ''
    """
    lines: list[str] = []
    cause: BaseException | None = error
    for _ in range(_CHAIN):
        if cause is None:
            break
        if cause is not error:
            lines.append(f"\nbecause of {type(cause).__name__}: {one_line(text_of(cause))}")
        frames = traceback.extract_tb(cause.__traceback__)
        theirs = [frame for frame in frames if not frame.filename.startswith(_OURS)]
        for frame in theirs[-_FRAMES:]:
            where = f'File "{frame.filename}", line {frame.lineno}, in {frame.name}'
            lines.append(f"\n  {where}: {frame.line}")
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    return "".join(lines)


def failures_of(error: BaseException, count: int) -> Mapping[int, BaseException]:
    """Return which deliveries of a batch have failed, by their index, and with what.

    All of them, unless the handler raised `BatchFailed` and named some of them.

    Args:
        error: What the handler raised.
        count: How many deliveries it was given.

    Example:
        >>> from vectis.core.exceptions import BatchFailed
        >>> from vectis.core.worker.errors import failures_of
        >>> failures_of(BatchFailed({1: KeyError("sku")}), count=3)
        {1: KeyError('sku')}
        >>> sorted(failures_of(TimeoutError(), count=3))
        [0, 1, 2]
    """
    if not isinstance(error, BatchFailed):
        return dict.fromkeys(range(count), error)
    errors: Any = getattr(error, "errors", None)  # a subclass may not have called `__init__`
    mistaken = _mistake(errors, count)
    if mistaken is None:
        named: Mapping[int, BaseException] = errors
        return named
    mistaken.__cause__ = error
    return dict.fromkeys(range(count), mistaken)


def _mistake(errors: object, count: int) -> Exception | None:
    """Return why it is not known from a `BatchFailed` which deliveries have failed."""
    unknown = "which ones have failed is not known, so all count as failed"
    if not isinstance(errors, Mapping):
        return TypeError(
            f"BatchFailed has no `errors` by index, so {unknown}. A subclass calls "
            "super().__init__(errors)"
        )
    if not all(index in range(count) for index in errors):
        return IndexError(
            f"BatchFailed names {sorted(map(str, errors))}, and the batch has {count} payloads, "
            f"counted from 0: {unknown}"
        )
    if odd := [n for n, error in errors.items() if not isinstance(error, BaseException)]:
        return TypeError(
            f"BatchFailed has no error for {sorted(odd)} but something else, such as a text or a "
            f"class: {unknown}. Give an error for each, such as ValueError(...)"
        )
    return None


def wait_of(error: RetryLater) -> float:
    """Return the seconds that a handler asks to wait.

    Args:
        error: What the handler raised. A subclass may have set `seconds` itself.

    Raises:
        ValueError: They are no time to wait: the delivery would not be run again.

    Example:
        >>> from vectis.core.exceptions import RetryLater
        >>> from vectis.core.worker.errors import wait_of
        >>> wait_of(RetryLater(5))
        5.0
    """
    with suppress(Exception):  # it may be no number, or too large for one
        if 0 <= error.seconds < inf:
            return float(error.seconds)
    raise ValueError(
        f"the `seconds` of {type(error).__name__} are no time to wait, so this counts as a failed "
        "attempt: they must be a number, finite, and 0 or more"
    ) from error
