from __future__ import annotations

import enum
import functools
import re
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vectis.core.exceptions import SubscriptionError
from vectis.core.marks import subscription
from vectis.core.subscription import check_pattern, pattern_matches

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from vectis.core import Event

segments = st.sampled_from(["order", "created", "line", "a-b", "x1"])
types = st.lists(segments, min_size=1, max_size=4).map(".".join)
patterns = st.lists(segments | st.just("*"), min_size=1, max_size=4).map(".".join)


def as_regex(pattern: str) -> str:
    """The rule in other words: `*` is one segment, and one or more at the end."""
    *first, last = pattern.split(".")
    parts = [r"[^.]+" if part == "*" else re.escape(part) for part in first]
    parts.append(r"[^.]+(\.[^.]+)*" if last == "*" else re.escape(last))
    return r"\.".join(parts)


@given(patterns, types)
def test_a_pattern_matches_what_its_segments_say(pattern: str, event_type: str) -> None:
    assert pattern_matches(check_pattern(pattern), event_type) == bool(
        re.fullmatch(as_regex(pattern), event_type)
    )


@given(types)
def test_every_type_matches_itself_and_the_star(event_type: str) -> None:
    assert pattern_matches(event_type, event_type)
    assert pattern_matches("*", event_type)


@pytest.mark.parametrize("pattern", ["", ".", "a.", ".a", "a..b", "ord*", "a.*b", "a b", None, 7])
def test_what_is_no_pattern_is_refused_with_an_example(pattern: object) -> None:
    with pytest.raises(SubscriptionError, match=r"as in 'order\.\*'"):
        check_pattern(pattern)


def test_a_member_of_an_enum_of_strings_is_a_pattern() -> None:
    class Older(str, enum.Enum):  # noqa: UP042 - as code written before 3.11 has it
        CREATED = "order.created"

    assert type(check_pattern(Older.CREATED)) is str


async def no_parameters() -> None: ...
async def two_parameters(event: Event, payload: dict[str, Any]) -> None: ...
async def keyword_only(*, event: Event) -> None: ...


@pytest.mark.parametrize("handler", [no_parameters, two_parameters, keyword_only])
def test_a_bus_handler_that_does_not_take_the_event_is_refused_with_its_parameters(
    handler: Any,
) -> None:
    with pytest.raises(SubscriptionError) as refused:
        subscription("process", "order.created", handler)
    message = str(refused.value)
    assert f"handler {handler.__name__}(" in message
    assert f"async def {handler.__name__}(event)" in message
    for parameter in ("payload", "event"):
        if parameter in handler.__code__.co_varnames:
            assert parameter in message


def test_a_consuming_handler_takes_type_and_payload() -> None:
    async def handle(event: Event) -> None: ...

    with pytest.raises(SubscriptionError, match=r"async def handle\(event_type, payload\)"):
        subscription("service", "order.created", handle)


@pytest.mark.parametrize("handler", [None, "handle", 7])
def test_what_cannot_be_called_is_refused(handler: Any) -> None:
    with pytest.raises(SubscriptionError, match=r"must be callable with \(event\)"):
        subscription("process", "order.created", handler)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *(("priority", value) for value in (True, 1.5, "10", None)),
        *(("timeout", value) for value in (0, -1, True, "1", float("nan"), float("inf"))),
        *(("once", value) for value in (1, None, "yes")),
        *(("required", value) for value in (0, None, "no")),
        *(("topic", value) for value in (7, "")),
    ],
)
def test_an_option_with_a_value_that_it_cannot_have_is_named_with_its_handler(
    option: str, value: object
) -> None:
    def record(event: Event) -> None: ...

    with pytest.raises(SubscriptionError, match=f"handler record: {option} must be"):
        subscription("process", "order.created", record, **{option: value})


@pytest.mark.parametrize("timeout", [None, 1, 0.5])
def test_options_that_fit_are_kept(timeout: float | None) -> None:
    async def record(event: Event) -> None: ...

    made = subscription("process", "a", record, priority=-3, timeout=timeout, required=True)
    assert (made.priority, made.timeout, made.required) == (-3, timeout, True)


def plain(event: Event) -> None: ...


async def asynchronous(event: Event) -> None: ...


class Asynchronous:
    async def __call__(self, event: Event) -> None: ...

    async def method(self, event: Event) -> None: ...


@functools.wraps(asynchronous)
def wrapped(event: Event) -> Any:
    return asynchronous(event)


@pytest.mark.parametrize(
    "handler",
    [asynchronous, Asynchronous(), Asynchronous().method, functools.partial(asynchronous), wrapped],
)
def test_what_can_be_cancelled_may_have_a_timeout(handler: Any) -> None:
    assert subscription("process", "a", handler, timeout=1).timeout == 1


@pytest.mark.parametrize(
    "handler", [plain, [].append, functools.partial(plain), lambda event: asynchronous(event)]
)
def test_a_timeout_is_refused_for_what_cannot_be_cancelled(handler: Any) -> None:
    assert subscription("process", "a", handler).timeout is None
    with pytest.raises(SubscriptionError, match=r"timeout .* make it `async def`, or leave"):
        subscription("process", "a", handler, timeout=1)


def generator(event: Event) -> Iterator[None]:
    yield


async def async_generator(event: Event) -> AsyncIterator[None]:
    yield


class Generating:
    def __call__(self, event: Event) -> Iterator[None]:
        yield


@pytest.mark.parametrize("handler", [generator, async_generator, Generating()])
def test_a_handler_that_would_run_nothing_is_refused(handler: Any) -> None:
    with pytest.raises(SubscriptionError, match=r"has a `yield`"):
        subscription("process", "order.created", handler)


class Auditor:
    def record(self, event: Event) -> None: ...

    def __call__(self, event: Event) -> None: ...


def with_default(event: Event, verbose: bool = False) -> None: ...
def with_rest(*events: Event, **options: Any) -> None: ...


@pytest.mark.parametrize(
    ("handler", "name"),
    [
        (Auditor().record, "Auditor.record"),
        (Auditor(), "Auditor"),
        (with_default, "with_default"),
        (with_rest, "with_rest"),
        (functools.partial(with_default, verbose=True), "partial"),
        (print, "print"),
    ],
)
def test_whatever_takes_an_event_is_a_handler_and_has_a_name(handler: Any, name: str) -> None:
    assert subscription("process", "order.created", handler).name == name


def test_the_id_of_a_subscription_is_what_the_config_calls_it() -> None:
    made = subscription("process", "order.*", with_default, plugin="acme")
    assert made.id == "acme:with_default"
    assert str(made) == "acme:with_default on order.*"


def test_the_same_handler_subscribed_twice_is_two_subscriptions() -> None:
    first = subscription("process", "order.*", with_default)
    second = subscription("process", "order.*", with_default)
    assert first != second
    assert len({first, second, first}) == 2
