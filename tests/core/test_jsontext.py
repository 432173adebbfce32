import json
import re
import tracemalloc
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from typing import Any, NamedTuple
from uuid import UUID

import attrs
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vectis.core.exceptions import DecodeError, EncodeError
from vectis.core.jsontext import MAX_DEPTH, SHALLOW, from_json, rfc3339, to_json


class Status(Enum):
    PAID = "paid"
    PARTS = (1, 2)


class Level(IntEnum):
    HIGH = 3


class Currency(StrEnum):
    GBP = "GBP"


class Broken(Enum):
    NAN = float("nan")


class Point(NamedTuple):
    x: int
    y: int


class Money(float):
    """Stands for float types of other libraries, such as NumPy's."""


@attrs.frozen
class Line:
    sku: str
    amount: Any


@dataclass
class Address:
    city: Any
    _cache: int = 0


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


class TestWriting:
    @pytest.mark.parametrize(
        ("value", "text"),
        [
            (Decimal("19.90"), '"19.90"'),
            (
                UUID("6f9619ff-8b86-d011-b42d-00c04fc964ff"),
                '"6f9619ff-8b86-d011-b42d-00c04fc964ff"',
            ),
            (datetime(2026, 1, 31, 12, 30, tzinfo=UTC), '"2026-01-31T12:30:00+00:00"'),
            (date(2026, 1, 31), '"2026-01-31"'),
            (time(12, 30), '"12:30:00"'),
            (time(12, 30, tzinfo=UTC), '"12:30:00+00:00"'),
            (Status.PAID, '"paid"'),
            (Status.PARTS, "[1,2]"),
            (Level.HIGH, "3"),
            (Currency.GBP, '"GBP"'),
            ((1, 2), "[1,2]"),
            (Point(1, 2), "[1,2]"),
            (Money(1.5), "1.5"),
            (Line("85123A", Decimal("2.55")), '{"sku":"85123A","amount":"2.55"}'),
            (Address("Bergen"), '{"city":"Bergen"}'),
            ([Line("a", [Line("b", None)])], '[{"sku":"a","amount":[{"sku":"b","amount":null}]}]'),
            (2**64 - 1, "18446744073709551615"),
            (-(2**63), "-9223372036854775808"),
            ("späti", '"späti"'),
            (None, "null"),
        ],
    )
    def test_a_value_becomes_json(self, value: Any, text: str) -> None:
        assert to_json({"it": value}) == b'{"it":' + text.encode() + b"}"

    def test_a_naive_datetime_is_taken_as_utc(self) -> None:
        assert to_json(datetime(2026, 1, 31, 12, 30)) == b'"2026-01-31T12:30:00+00:00"'  # noqa: DTZ001 - what the test is about

    def test_an_aware_datetime_keeps_its_offset(self) -> None:
        there = timezone(-timedelta(hours=3, minutes=30))
        assert to_json(datetime(2026, 1, 31, tzinfo=there)) == b'"2026-01-31T00:00:00-03:30"'

    @given(st.datetimes(timezones=st.timezones()))
    def test_datetimes_stay_the_same_instant_even_with_seconds_in_the_offset(
        self, moment: datetime
    ) -> None:
        try:
            text = to_json(moment)
        except EncodeError:  # 0001-01-01 with such an offset lies before the first year in UTC
            assert moment.year in (1, 9999)
            return
        # Subtracting in UTC: equality of datetimes is always false in a repeated hour.
        read = datetime.fromisoformat(from_json(text))
        assert read - moment.astimezone(UTC) == timedelta(0)
        assert re.search(r"[+-]\d\d:\d\d\"$", text.decode())

    def test_a_null_that_is_no_nan_passes(self) -> None:
        value = {"none": None, "text": "null", "more": [None, {"a": (None, Status.PAID, 1.0)}]}
        assert json.loads(to_json(value))["more"][1]["a"] == [None, "paid", 1.0]

    @given(
        st.recursive(
            st.none()
            | st.booleans()
            | st.integers(-(2**63), 2**64 - 1)
            | st.text()
            | st.floats(allow_nan=False, allow_infinity=False),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        )
    )
    def test_what_json_can_say_comes_back_equal(self, value: Any) -> None:
        assert from_json(to_json(value)) == value

    @pytest.mark.parametrize("length", [1, 1_000, 30_000])
    def test_a_text_keeps_no_more_memory_than_it_needs(self, length: int) -> None:
        tracemalloc.start()
        try:
            texts = [to_json({"note": "x" * length}) for _ in range(50)]
            kept, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert kept < len(texts) * (len(texts[0]) + 200)


class TestRefusing:
    @pytest.mark.parametrize(
        ("value", "message"),
        [
            (float("nan"), "payload.lines[3].amount: nan (float) is not JSON; send None"),
            (float("inf"), "payload.lines[3].amount: inf (float) is not JSON"),
            (Money("-inf"), "payload.lines[3].amount: -inf (float) is not JSON"),
            (Broken.NAN, "payload.lines[3].amount: nan (float) is not JSON"),
            (Decimal("NaN"), "payload.lines[3].amount: a Decimal that is no finite number"),
            (b"x", "payload.lines[3].amount: bytes is not JSON; send a str, or base64 it yourself"),
            (bytearray(), "payload.lines[3].amount: bytearray is not JSON; send a str"),
            ({1, 2}, "payload.lines[3].amount: set is not JSON and has no order; send a list"),
            (2**64, "payload.lines[3].amount: an int beyond 64 bits"),
            (-(2**63) - 1, "payload.lines[3].amount: an int beyond 64 bits"),
            ("\ud800", "payload.lines[3].amount: text with a lone surrogate"),
            ({"\udfff": 1}, "payload.lines[3].amount: text with a lone surrogate"),
            ({7: 1}, "payload.lines[3].amount: a key of type int is not JSON; use a plain str"),
            ({None: 1}, "payload.lines[3].amount: a key of type NoneType"),
            ({Currency.GBP: 1}, "payload.lines[3].amount: a key of type Currency"),
            (timedelta(1), "payload.lines[3].amount: timedelta is not JSON; send its total_sec"),
            (object(), "payload.lines[3].amount: a value of type object is not JSON; send a dict"),
            (3j, "payload.lines[3].amount: a value of type complex is not JSON"),
            (Line("a", {"b": b""}), "payload.lines[3].amount.amount.b: bytes is not JSON"),
            (Line("a", float("nan")), "payload.lines[3].amount.amount: nan (float)"),
            (Address(float("nan")), "payload.lines[3].amount.city: nan (float)"),
            (Point(1, {2}), "payload.lines[3].amount[1]: set is not JSON"),  # type: ignore[arg-type]  # a wrong value is the point
            ({"odd key": {1}}, 'payload.lines[3].amount["odd key"]: set is not JSON'),
            ({"a\r\nb": {1}}, 'payload.lines[3].amount["a b"]: set is not JSON'),
            ({"": {1}}, 'payload.lines[3].amount[""]: set is not JSON'),
        ],
    )
    def test_the_error_names_the_path_the_type_and_the_way_out(
        self, value: Any, message: str
    ) -> None:
        payload = {"order_id": 7, "lines": [{}, None, {}, {"sku": "a", "amount": value}]}
        with pytest.raises(EncodeError) as caught:
            to_json(payload)
        assert str(caught.value).startswith(message)

    def test_a_missing_await_is_named(self) -> None:
        async def total() -> int:
            return 1

        coroutine = total()
        with pytest.raises(EncodeError, match=r"payload\.total: coroutine .*`await` is missing"):
            to_json({"total": coroutine})
        coroutine.close()

    def test_the_value_itself_goes_by_the_name_given(self) -> None:
        with pytest.raises(EncodeError, match=r"^data: set is not JSON"):
            to_json({1}, root="data")

    def test_a_value_that_contains_itself_is_refused(self) -> None:
        payload: dict[str, Any] = {"lines": [{}]}
        payload["lines"][0]["order"] = payload
        with pytest.raises(
            EncodeError, match=r"^payload\.lines\[0\]\.order: this dict contains itself"
        ):
            to_json(payload)

    def test_the_same_value_twice_side_by_side_is_no_circle(self) -> None:
        line = {"a": None}
        assert to_json([line, line]) == b'[{"a":null},{"a":null}]'

    def test_nesting_is_allowed_up_to_the_limit(self) -> None:
        assert to_json(nested(MAX_DEPTH)).count(b"[") == MAX_DEPTH

    @pytest.mark.parametrize("levels", [MAX_DEPTH + 1, 1_000, 100_000])
    def test_deeper_nesting_is_refused(self, levels: int) -> None:
        with pytest.raises(EncodeError, match="nested deeper than 254 levels; flatten it"):
            to_json(nested(levels))

    def test_deep_in_the_callers_stack_it_is_an_encode_error_too(self) -> None:
        def descend() -> None:
            try:
                descend()
            except RecursionError:
                with pytest.raises(EncodeError):
                    to_json([nested(200), {1}])
                raise

        with pytest.raises(RecursionError):
            descend()

    def test_an_unset_attribute_is_an_encode_error(self) -> None:
        with pytest.raises(EncodeError, match="payload"):
            to_json({"line": object.__new__(Line)})

    @given(st.text(st.characters(codec=None, categories=None)), st.integers(0, 3))
    def test_errors_are_one_bounded_line_whatever_the_keys_are(self, key: str, depth: int) -> None:
        payload: Any = {1}
        for _ in range(10**depth):
            payload = {key: payload}
        with pytest.raises(EncodeError) as caught:
            to_json(payload)
        assert str(caught.value).isprintable()
        assert len(str(caught.value)) < 400


class TestReading:
    @pytest.mark.parametrize(
        ("data", "message"),
        [
            (b"", "payload is not JSON: it is empty"),
            (b"{", "payload is not JSON: .*at byte 1 of 1"),
            (b"[1,NaN]", "payload is not JSON: .*at byte 3 of 7"),
            ('{"é":"éé", x}'.encode(), "payload is not JSON: .*at byte 14 of 16"),
            (b'{"a":"\xc3\xa9\xff"}', "payload is not JSON: not UTF-8 at byte 8 of 11"),
            (rb'"\ud800"', "payload is not JSON: .*surrogate"),
            (b'"\xed\xa0\x80"', "payload is not JSON: not UTF-8 at byte 1 of 5"),
            (b"1e999", "payload is not JSON: number is infinity"),
            (b"\xef\xbb\xbf{}", "payload is not JSON: .*BOM"),
        ],
    )
    def test_the_error_names_the_byte(self, data: bytes, message: str) -> None:
        with pytest.raises(DecodeError, match=f"^{message}"):
            from_json(data)

    @pytest.mark.parametrize("levels", [MAX_DEPTH + 1, 1_000, 1_025, 100_000])
    @pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}")])
    def test_deep_nesting_is_a_decode_error(
        self, levels: int, opening: bytes, closing: bytes
    ) -> None:
        with pytest.raises(DecodeError, match=r"depth limit|nested deeper than 254"):
            from_json(opening * levels + b"1" + closing * levels)

    def test_the_shortest_text_that_is_too_deep(self) -> None:
        deepest = b"[" * MAX_DEPTH + b"]" * MAX_DEPTH
        assert len(deepest) + 1 == SHALLOW
        from_json(deepest + b" ")
        with pytest.raises(DecodeError, match="nested deeper than 254"):
            from_json(b"[" + deepest + b"]")

    def test_nesting_up_to_the_limit_and_many_brackets_side_by_side_are_fine(self) -> None:
        assert from_json(b"[" * MAX_DEPTH + b"1" + b"]" * MAX_DEPTH) == nested(MAX_DEPTH)
        assert from_json(b"[" + b"{}," * 1000 + b"{}]") == [{}] * 1001

    def test_the_last_of_two_equal_keys_counts(self) -> None:
        assert from_json(b'{"a":1,"a":2}') == {"a": 2}

    @given(st.binary() | st.text('[]{}",:\\u019eE.-+ntrfalse').map(str.encode))
    @example(b"[" * 100_000)
    def test_only_decode_errors_come_out_and_the_rest_can_be_written_again(
        self, data: bytes
    ) -> None:
        try:
            value = from_json(data)
        except DecodeError as error:
            message = str(error)
        else:
            message = ""
            assert from_json(to_json(value)) == value
        assert message.isprintable()
        assert len(message) < 300


def test_rfc3339_writes_offsets_in_minutes_only() -> None:
    odd = timezone(timedelta(minutes=19, seconds=32))
    assert rfc3339(datetime(1880, 1, 1, tzinfo=odd)) == "1879-12-31T23:40:28+00:00"
