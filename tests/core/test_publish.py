from __future__ import annotations

import asyncio
import logging
import re
import threading
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import TYPE_CHECKING, Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vectis.core import Event, Hub, hookimpl
from vectis.core.default import use_hub
from vectis.core.events import publish_event, publish_many, publish_sync, shutdown_producer
from vectis.core.exceptions import (
    EncodeError,
    EventCancelled,
    HookError,
    PublishError,
    TransportError,
)
from vectis.core.explain import explain
from vectis.core.message import Message, Receipt, TopicPartition
from vectis.core.testing import MemoryTransport
from vectis.core.transport import Carrier, Route
from vectis_bus import Bus

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence

    from vectis.core.message import Delivery


def hub_with(tables: dict[str, Any] | None = None, **plugins: Any) -> Hub:
    return Hub(tables or {}, plugins={"bus": Bus, **plugins}, discover=False)


class Transport:
    """A transport that does what a test wants with each message."""

    def __init__(
        self,
        send: Callable[[Message], Awaitable[Any]] | None = None,
        send_many: Callable[[Sequence[Message]], Awaitable[list[Any]]] | None = None,
    ) -> None:
        self.sent: list[Message] = []
        self.closed: list[object] = []
        self._carrier = Carrier(send=send or self.send, send_many=send_many, close=self.close)

    async def send(self, message: Message) -> Receipt:
        self.sent.append(message)
        return Receipt(message.topic, 0, len(self.sent) - 1)

    async def close(self) -> None:
        self.closed.append(asyncio.get_running_loop())

    @hookimpl
    def vectis_emit(self, route: Route) -> Carrier | None:
        return self._carrier if route.scope == "service" else None

    @property
    def values(self) -> list[bytes | None]:
        return [message.value for message in self.sent]


# What comes back


def test_a_receipt_says_where_the_event_is_and_which_transport_took_it() -> None:
    hub = hub_with(memory=MemoryTransport())
    receipt = asyncio.run(hub.publish("orders", "order.created", {"n": 1}, "7", event_id="e1"))
    assert receipt is not None
    assert (receipt.topic, receipt.offset, receipt.event_id, receipt.transport) == (
        "orders",
        0,
        "e1",
        "memory",
    )
    assert hub.publication.counts["acknowledged"] == 1


def test_without_a_transport_there_is_none_one_debug_line_and_a_count(
    caplog: pytest.LogCaptureFixture,
) -> None:
    hub = hub_with()
    with caplog.at_level(logging.DEBUG, "vectis"):
        assert asyncio.run(hub.publish("orders", "order.created", {})) is None
    assert [(r.levelno, r.name) for r in caplog.records] == [(logging.DEBUG, "vectis.publish")]
    assert hub.publication.counts["disabled"] == 1


class Fussy(Transport):
    """A transport with settings, and a reason when it cannot be used."""

    @hookimpl
    def vectis_settings(self) -> type:
        return FussySettings

    @hookimpl
    def vectis_unavailable(self) -> str:
        return "the moon is up"

    @hookimpl
    def vectis_emit(self, route: Route) -> Carrier | None:
        return None


@attrs.frozen
class FussySettings:
    path: str | None = None


MISTAKE = {"fussy": {"pth": "events.db"}}


@pytest.mark.parametrize(
    ("tables", "reason"),
    [
        ({"hub": {"transport": "fussy"}}, "the moon is up"),
        ({"hub": {"transport": "fussy"}, **MISTAKE}, "plugin fussy is quarantined: .*pth"),
        (
            {"hub": {"transport": "fussy"}, "plugins": {"disable": ["fussy"]}},
            r"disabled by Hub\(config=...\)",
        ),
        (MISTAKE, "plugin fussy is quarantined: .*pth.*It is configured"),
    ],
)
def test_a_transport_that_somebody_configured_is_never_silent(
    tables: dict[str, Any], reason: str
) -> None:
    hub = hub_with(tables, fussy=Fussy)
    with pytest.raises(PublishError, match=f"t: nothing was published: .*{reason}") as no:
        asyncio.run(hub.publish("t", "a", {}))
    assert no.value.fate == "not_sent"
    with pytest.raises(PublishError, match=reason):
        asyncio.run(hub.publish_many("t", [{"event_type": "a"}]))
    hub.on_event("a", lambda event_type, payload: None, topic="t")
    [known] = explain(hub, "a").publishing
    assert re.search(reason, known.problem)


def test_a_variable_counts_as_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VECTIS_FUSSY_PTH", "events.db")
    monkeypatch.setenv("VECTIS_FUSSY_NUMBER", "seven")

    @attrs.frozen
    class Settings:
        number: int = 1

    class Numbered(Transport):
        @hookimpl
        def vectis_settings(self) -> type:
            return Settings

    with pytest.raises(PublishError, match="plugin fussy is quarantined"):
        asyncio.run(hub_with(fussy=Numbered).publish("t", "a", {}))


def test_a_broken_plugin_that_nobody_configured_or_that_carries_nothing_leaves_it_silent() -> None:
    class Broken:
        def __init__(self) -> None:
            raise ValueError("broken")

    class Audit:
        @hookimpl
        def vectis_settings(self) -> type:
            return FussySettings

    hub = hub_with({"audit": {"pth": 1}}, broken=Broken, audit=Audit)
    assert {p.name for p in hub.plugins if p.state == "quarantined"} == {"broken", "audit"}
    assert asyncio.run(hub.publish("t", "a", {})) is None


def test_another_transport_that_offers_is_enough() -> None:
    hub = hub_with(MISTAKE, fussy=Fussy, memory=MemoryTransport())
    assert asyncio.run(hub.publish("t", "a", {})) is not None


def test_a_bus_in_quarantine_is_named_when_handlers_wait_for_it() -> None:
    hub = hub_with({"bus": {"budget": 1}})
    hub.subscribe("a", lambda event: None)
    with pytest.raises(TransportError, match=r"plugin bus is quarantined: .*budget.*Mend it") as no:
        asyncio.run(_emit(hub, Event("a")))
    assert "Install" not in str(no.value)


def test_publishing_inside_a_handler_follows_its_event() -> None:
    transport = Transport()
    hub = hub_with(transport=transport)

    async def handle(event: Event) -> None:
        await hub.publish("t", "b", {})

    hub.subscribe("a", handle)
    event = Event("a")
    asyncio.run(_emit(hub, event))
    headers = dict(transport.sent[0].headers)
    assert headers["ce_causationid"] == headers["ce_correlationid"] == event.id.encode()


async def _emit(hub: Hub, event: Event) -> None:
    (await hub.emit(event)).raise_for_errors()


# What is refused before anything is sent, with a transport and without one


@pytest.mark.parametrize("plugins", [{}, {"memory": MemoryTransport()}])
@pytest.mark.parametrize(
    ("payload", "message"),
    [
        ({"lines": [{}, {"amount": float("nan")}]}, r"payload\.lines\[1\]\.amount"),
        ({"scan": b"..."}, r"payload\.scan"),
        ({"when": object()}, r"payload\.when"),
    ],
)
def test_a_payload_that_is_not_json_is_refused_by_the_path_inside(
    plugins: dict[str, Any], payload: dict[str, Any], message: str
) -> None:
    with pytest.raises(EncodeError, match=message):
        asyncio.run(hub_with(**plugins).publish("t", "a", payload))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("t", "", {}), ValueError, "needs a type"),
        (("t", "a", [1]), TypeError, "data must be a dict"),
        (("t", "a", {}, 7), TypeError, r"key must be a str or bytes, not int; write key=str"),
        *(
            ((topic, "a", {}), PublishError, "is no topic's name: it has 1 to 249 letters")
            for topic in ("", ".", "..", "or ders", "orders/eu", "orders\n", "x" * 250, None, 7)
        ),
        (("t", "order created", {}), ValueError, "no subscription could name this type"),
    ],
)
def test_wrong_arguments_are_refused_by_name(
    arguments: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        asyncio.run(hub_with().publish(*arguments))


def test_a_message_over_the_cap_is_never_sent() -> None:
    transport = Transport()
    hub = hub_with({"hub": {"max_message_bytes": 1000}}, transport=transport)
    with pytest.raises(PublishError, match="max_message_bytes") as refused:
        asyncio.run(hub.publish("t", "a", {"text": "x" * 2000}))
    assert refused.value.fate == "not_sent"
    assert transport.sent == []


# Hooks


def guard(call: Any) -> Any:
    class Guard:
        vectis_before_publish = staticmethod(hookimpl(call, specname="vectis_before_publish"))

    return Guard


def test_a_guard_may_replace_the_message() -> None:
    def stamp(message: Message) -> Message:
        return Message(message.topic, message.key, message.value, (("stamp", b"1"),))

    transport = Transport()
    asyncio.run(hub_with(transport=transport, stamp=guard(stamp)).publish("t", "a", {}))
    assert transport.sent[0].headers == (("stamp", b"1"),)


@pytest.mark.parametrize("in_place", [False, True])
def test_a_message_that_guards_made_larger_than_the_cap_is_never_sent(in_place: bool) -> None:
    seen: list[object] = []

    def enlarge(message: Message) -> Message | None:
        if not in_place:
            return attrs.evolve(message, value=b"x" * 2000)
        message.value = b"x" * 2000
        return None

    class After:
        @hookimpl
        def vectis_after_publish(self, error: BaseException | None) -> None:
            seen.append(error)

    transport = Transport()
    tables = {"hub": {"max_message_bytes": 1000}}
    hub = hub_with(tables, transport=transport, acme=guard(enlarge), after=After)
    with pytest.raises(
        PublishError, match=r"after the vectis_before_publish hooks .*2,"
    ) as refused:
        asyncio.run(hub.publish("t", "a", {}))
    assert refused.value.fate == "not_sent"
    assert (transport.sent, seen) == ([], [refused.value])


@pytest.mark.parametrize("error", [EventCancelled("not today"), ValueError("no rates")])
def test_a_guard_that_raises_sends_nothing_and_is_named(error: Exception) -> None:
    def stop(message: Message) -> None:
        raise error

    transport = Transport()
    hub = hub_with(transport=transport, stop=guard(stop))
    with pytest.raises((EventCancelled, HookError), match=str(error)) as stopped:
        asyncio.run(hub.publish("t", "a", {}))
    assert isinstance(stopped.value, EventCancelled | HookError)
    assert stopped.value.plugin == "stop"
    assert transport.sent == []


def test_around_and_after_see_the_message_and_its_end() -> None:
    seen: list[Any] = []

    class Acme:
        @hookimpl
        @asynccontextmanager
        async def vectis_around_publish(self, message: Message) -> AsyncIterator[None]:
            seen.append(f"enter {message.topic}")
            try:
                yield
            finally:
                seen.append("exit")

        @hookimpl
        async def vectis_after_publish(
            self, receipt: Receipt | None, error: BaseException | None
        ) -> None:
            seen.append((receipt and receipt.offset, error and str(error)))

    async def fail(message: Message) -> Receipt:
        raise TransportError("disk full")

    asyncio.run(hub_with(acme=Acme, transport=Transport()).publish("t", "a", {}))
    with pytest.raises(PublishError, match="t: disk full"):
        asyncio.run(hub_with(acme=Acme, transport=Transport(fail)).publish("t", "a", {}))
    assert seen == ["enter t", "exit", (0, None), "enter t", "exit", (None, "t: disk full")]


def test_calls_of_one_key_keep_their_order_past_a_slow_guard() -> None:
    waiting: dict[bytes, asyncio.Event] = {}
    asked: list[bytes] = []

    async def slow(message: Message) -> None:
        assert message.value is not None
        asked.append(message.value)
        if message.value in waiting:
            await waiting[message.value].wait()

    transport = Transport()
    hub = hub_with(transport=transport, slow=guard(slow))

    async def main() -> None:
        first = waiting[b'{"n":0}'] = asyncio.Event()
        calls = [asyncio.create_task(hub.publish("t", "a", {"n": n}, "7")) for n in range(3)]
        other = asyncio.create_task(hub.publish("t", "a", {"n": 9}, "8"))
        await other  # another key does not wait
        assert transport.values == [b'{"n":9}']
        first.set()
        await asyncio.gather(*calls)

    asyncio.run(main())
    assert transport.values == [b'{"n":9}', b'{"n":0}', b'{"n":1}', b'{"n":2}']
    assert asked[:2] == [b'{"n":0}', b'{"n":9}']


def test_a_caller_that_gives_up_while_it_waits_leaves_the_others_in_order() -> None:
    go = asyncio.Event()

    async def slow(message: Message) -> None:
        await go.wait()

    transport = Transport()
    hub = hub_with(transport=transport, slow=guard(slow))

    async def main() -> None:
        calls = [asyncio.create_task(hub.publish("t", "a", {"n": n}, "7")) for n in range(3)]
        await asyncio.sleep(0)
        calls[1].cancel()
        go.set()
        await asyncio.wait(calls)

    asyncio.run(main())
    assert transport.values == [b'{"n":0}', b'{"n":2}']


@pytest.mark.parametrize("hook", ["vectis_before_publish", "vectis_after_publish"])
def test_a_hook_may_publish_to_the_key_whose_turn_it_has(hook: str) -> None:
    class Acme:
        @hookimpl(specname=hook)
        async def trace(self, message: Message, hub: Hub) -> None:
            if b"trace" not in (message.value or b""):
                await asyncio.gather(hub.publish("t", "a", {"trace": 1}, "7"))

    transport = Transport()
    asyncio.run(hub_with(acme=Acme, transport=transport).publish("t", "a", {"n": 1}, "7"))
    assert sorted(map(str, transport.values)) == sorted(["b'{\"trace\":1}'", "b'{\"n\":1}'"])


# Faults of the transport


def test_a_transport_that_does_not_answer_is_an_error_within_the_timeout() -> None:
    async def never(message: Message) -> Receipt:
        await asyncio.Event().wait()
        raise AssertionError

    hub = hub_with({"hub": {"publish_timeout": 0.05}}, transport=Transport(never))
    with pytest.raises(PublishError, match=r"publish_timeout = 0\.05 s.*same event_id") as late:
        asyncio.run(hub.publish("t", "a", {}))
    assert late.value.fate == "unknown"
    assert hub.publication.counts["failed"] == 1


def test_a_caller_that_is_cancelled_learns_that_and_not_of_a_timeout() -> None:
    asked = asyncio.Event()

    async def never(message: Message) -> Receipt:
        asked.set()
        await asyncio.Event().wait()
        raise AssertionError

    hub = hub_with(transport=Transport(never))

    async def main() -> bool:
        task = asyncio.create_task(hub.publish("t", "a", {}))
        await asked.wait()
        task.cancel()
        await asyncio.wait([task])
        return task.cancelled()

    assert asyncio.run(main())


def test_one_late_answer_among_many_fails_alone() -> None:
    async def send(message: Message) -> Receipt:
        if message.value == b'{"n":3}':
            await asyncio.Event().wait()
        return Receipt("t", 0, 0)

    hub = hub_with({"hub": {"publish_timeout": 0.05}}, transport=Transport(send))

    async def main() -> list[Any]:
        calls = [hub.publish("t", "a", {"n": n}) for n in range(20)]
        return await asyncio.gather(*calls, return_exceptions=True)

    results = asyncio.run(main())
    assert [n for n, result in enumerate(results) if isinstance(result, PublishError)] == [3]


def test_a_new_event_says_all_that_an_event_would() -> None:
    transport = Transport()
    hub = hub_with({"hub": {"source": "shop"}}, transport=transport)
    event = Event("a", {"n": 1}, "till", 7, id="e1")
    asyncio.run(hub.publish("t", "a", {"n": 1}, "k", event_id="e1", source="till", user_id=7))
    asyncio.run(hub.publication.publish(event, "t", "k"))
    new, given = (dict(message.headers) for message in transport.sent)
    assert {**new, "ce_time": b""} == {**given, "ce_time": b""}
    assert new["ce_source"] == b"till"
    assert datetime.now(UTC) - datetime.fromisoformat(new["ce_time"].decode()) < timedelta(hours=1)
    assert transport.sent[0].key == transport.sent[1].key == b"k"


def test_an_error_of_the_transport_becomes_a_publish_error_with_its_cause() -> None:
    async def broken(message: Message) -> Receipt:
        raise OSError("connection reset")

    with pytest.raises(PublishError, match="connection reset") as failed:
        asyncio.run(hub_with(transport=Transport(broken)).publish("t", "a", {}))
    assert isinstance(failed.value.__cause__, OSError)


def test_a_publish_error_of_the_transport_stays_what_it_is() -> None:
    async def reject(message: Message) -> Receipt:
        raise PublishError("too large for the broker", fate="rejected")

    with pytest.raises(PublishError, match="too large for the broker") as failed:
        asyncio.run(hub_with(transport=Transport(reject)).publish("t", "a", {}))
    assert failed.value.fate == "rejected"


# Many at once


def numbers(count: int) -> list[dict[str, Any]]:
    return [{"event_type": "a", "payload": {"n": n}, "key": str(n % 3)} for n in range(count)]


@pytest.mark.parametrize("hooks", [False, True])
def test_publish_many_keeps_the_order_with_hooks_and_without(hooks: bool) -> None:
    seen: list[Message] = []
    plugins: dict[str, Any] = {"watch": guard(lambda message: seen.append(message))}
    transport = Transport()
    hub = hub_with(transport=transport, **(plugins if hooks else {}))
    receipts = asyncio.run(hub.publish_many("t", numbers(1200)))
    assert receipts is not None
    assert [receipt.offset for receipt in receipts] == list(range(1200))
    assert transport.values == [b'{"n":%d}' % n for n in range(1200)]
    assert len(seen) == (1200 if hooks else 0)


def test_publish_many_uses_the_bulk_call_of_a_transport() -> None:
    calls: list[int] = []

    async def send_many(messages: Sequence[Message]) -> list[Any]:
        calls.append(len(messages))
        return [Receipt("t", 0, n) for n in range(len(messages))]

    hub = hub_with(transport=Transport(send_many=send_many))
    receipts = asyncio.run(hub.publish_many("t", numbers(700)))
    assert receipts is not None
    assert (calls, len({receipt.event_id for receipt in receipts})) == ([700], 700)


TEXTS = st.sampled_from(["7", "order-8", "é", "", "a\nb", "\ud800"])
ODD = st.fixed_dictionaries(
    {
        "event_type": st.sampled_from(["order.created", "order.paid", "", 7]),
        "payload": st.sampled_from(
            [{}, {"n": 1}, {"total": Decimal("1.50")}, {"x": None}, {"x": float("nan")}, [1], None]
        ),
    },
    optional={
        "key": TEXTS | st.sampled_from([None, b"raw", b"\xff", 7]),
        "event_id": TEXTS | st.none(),
        "source": st.sampled_from(["shop", None]),
        "user_id": st.sampled_from([None, 42]),
        "version": st.sampled_from([None, 1, 3]),
    },
)
USUAL = st.fixed_dictionaries(
    {
        "event_type": st.sampled_from(["order.created", "order.paid"]),
        "payload": st.dictionaries(st.text(max_size=4), st.integers(0, 9) | st.none(), max_size=2),
        "key": st.sampled_from(["7", "order-8"]),
        "event_id": st.sampled_from(["e1", "e2"]),
    }
)
ALIKE = st.sampled_from([(), ("key",), ("event_id",), ("key", "event_id")]).flatmap(
    lambda without: st.lists(
        USUAL.map(lambda event: {name: event[name] for name in event if name not in without}),
        min_size=1,
        max_size=4,
    )
)


async def read_all(transport: MemoryTransport) -> Sequence[Delivery]:
    reader = transport.consumer(["t"], None)
    await reader.start(on_assigned=nothing, on_revoked=nothing)
    deliveries = await reader.fetch(max_records=100, timeout=0)
    await reader.close()
    return deliveries


async def nothing(partitions: frozenset[TopicPartition]) -> None: ...


@given(events=ALIKE | st.lists(USUAL | ODD, min_size=1, max_size=4), cause=st.booleans())
def test_publish_many_says_of_each_event_what_publish_says(
    events: list[dict[str, Any]], cause: bool
) -> None:
    def written(one_by_one: bool) -> object:
        transport = MemoryTransport(partitions=1)
        hub = hub_with({"hub": {"max_message_bytes": 400}}, memory=transport)

        async def publish(event: Event | None = None) -> None:
            if one_by_one:
                for given in events:
                    await hub.publish("t", **given)
            else:
                await hub.publish_many("t", events)

        async def run() -> None:
            if cause:
                hub.subscribe("caused", publish, required=True)
                await hub.emit(Event("caused", {}, id="cause"))
            else:
                await publish()

        try:
            asyncio.run(run())
        except Exception as error:
            return repr(error)
        deliveries = asyncio.run(read_all(transport))
        new = {"ce_time"} | (set() if "event_id" in events[0] else {"ce_id", "ce_correlationid"})
        return [
            (d.key, d.value, [header for header in d.headers if header[0] not in new])
            for d in deliveries
        ]

    assert written(one_by_one=False) == written(one_by_one=True)


def test_publish_many_says_which_of_them_failed() -> None:
    async def send_many(messages: Sequence[Message]) -> list[Any]:
        answers: list[Any] = [Receipt("t", 0, n) for n in range(len(messages))]
        answers[1] = PublishError("too large", fate="rejected")
        return answers

    hub = hub_with(transport=Transport(send_many=send_many))
    with pytest.raises(PublishError, match=r"1 of 3 messages .* on t.*too large") as failed:
        asyncio.run(hub.publish_many("t", numbers(3)))
    assert [isinstance(result, Receipt) for result in failed.value.results] == [True, False, True]
    assert hub.publication.counts == {"acknowledged": 2, "failed": 1}


def test_publish_many_sends_nothing_when_one_of_them_cannot_be_encoded() -> None:
    transport = Transport()
    hub = hub_with(transport=transport)
    wrong = {"event_type": "a", "payload": {"x": object()}}
    with pytest.raises(EncodeError):
        asyncio.run(hub.publish_many("t", [*numbers(3), wrong]))
    assert transport.sent == []


def test_publish_many_goes_in_chunks_and_leaves_the_loop_to_others() -> None:
    taken, calls, turns = 0, list[tuple[int, int]](), 0

    def events() -> Iterator[dict[str, Any]]:
        nonlocal taken
        for number in range(3500):
            taken += 1
            yield {"event_type": "a", "payload": {"n": number}}

    async def send_many(messages: Sequence[Message]) -> list[Any]:
        calls.append((len(messages), taken))
        return [Receipt("t", 0, n) for n in range(len(messages))]

    async def main() -> list[Receipt] | None:
        async def beside() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0)
                turns += 1

        task = asyncio.create_task(beside())
        hub = hub_with(transport=Transport(send_many=send_many))
        receipts = await hub.publish_many("t", events())
        task.cancel()
        return receipts

    receipts = asyncio.run(main())
    assert receipts is not None
    assert len(receipts) == len({receipt.event_id for receipt in receipts}) == 3500
    # No more is taken from the iterable than what is about to be sent.
    assert calls == [(1000, 1000), (1000, 2000), (1000, 3000), (500, 3500)]
    assert turns >= 3


def test_publish_many_stops_after_a_chunk_of_which_nothing_arrived() -> None:
    calls = 0

    async def send_many(messages: Sequence[Message]) -> list[Any]:
        nonlocal calls
        calls += 1
        if calls == 2:
            await asyncio.Event().wait()
        return [Receipt("t", 0, n) for n in range(len(messages))]

    hub = hub_with({"hub": {"publish_timeout": 0.05}}, transport=Transport(send_many=send_many))
    with pytest.raises(PublishError, match=r"2,500 of 3,500 .* publish_timeout") as failed:
        asyncio.run(hub.publish_many("t", numbers(3500)))
    fates = [getattr(result, "fate", "receipt") for result in failed.value.results]
    assert fates == ["receipt"] * 1000 + ["unknown"] * 1000 + ["not_sent"] * 1500
    assert calls == 2


def test_publish_many_leaves_in_an_iterator_what_it_does_not_send() -> None:
    async def send_many(messages: Sequence[Message]) -> list[Any]:
        raise TransportError("the file is locked")

    def work() -> Iterator[dict[str, Any]]:
        for number in count():
            yield {"event_type": "a", "payload": {"n": number}}

    endless = work()
    hub = hub_with(transport=Transport(send_many=send_many))
    with pytest.raises(PublishError, match=r"1,000 of 1,000 .* locked") as failed:
        asyncio.run(hub.publish_many("t", endless))
    assert len(failed.value.results) == 1000
    assert next(endless)["payload"] == {"n": 1000}


def test_publish_many_takes_nothing_out_of_an_element_that_is_no_mapping() -> None:
    queued = iter(numbers(3))
    with pytest.raises(TypeError, match="takes a list of mappings"):
        asyncio.run(hub_with(transport=Transport()).publish_many("t", [queued]))  # type: ignore[list-item]
    assert list(queued) == numbers(3)


def test_publish_many_says_what_was_sent_before_its_iterable_failed() -> None:
    transport = Transport()

    def rows(number: int) -> Iterator[dict[str, Any]]:
        yield from numbers(number)
        raise OSError("cursor lost")

    with pytest.raises(
        PublishError, match=r"after 1,500 events, of which 500 .*cursor lost"
    ) as failed:
        asyncio.run(hub_with(transport=transport).publish_many("t", rows(1500)))
    results = failed.value.results
    assert [isinstance(result, Receipt) for result in results] == [True] * 1000 + [False] * 500
    assert {getattr(result, "fate", None) for result in results[1000:]} == {"not_sent"}
    assert isinstance(failed.value.__cause__, OSError)
    assert len(transport.sent) == 1000
    with pytest.raises(OSError, match="cursor lost"):  # as it is when nothing was sent
        asyncio.run(hub_with(transport=Transport()).publish_many("t", rows(500)))


def test_publish_many_says_what_was_sent_before_one_that_cannot_be_encoded() -> None:
    transport = Transport()
    events = numbers(2600)
    events[2100] = {"event_type": "a", "payload": {"x": object()}}
    with pytest.raises(PublishError, match=r"600 of 2,600 messages") as failed:
        asyncio.run(hub_with(transport=transport).publish_many("t", events))
    results = failed.value.results
    assert [isinstance(result, Receipt) for result in results] == [True] * 2000 + [False] * 600
    assert {getattr(result, "fate", None) for result in results[2000:]} == {"not_sent"}
    assert "payload.x" in str(results[2100])
    assert isinstance(results[2100], PublishError)
    assert isinstance(results[2100].__cause__, EncodeError)
    assert len(transport.sent) == 2000


def test_publish_many_without_a_transport_still_refuses_what_production_would() -> None:
    assert asyncio.run(hub_with().publish_many("t", numbers(3))) is None
    with pytest.raises(EncodeError, match=r"payload\.x"):
        asyncio.run(hub_with().publish_many("t", [{"event_type": "a", "payload": {"x": object()}}]))


def test_publish_many_of_nothing_is_nothing() -> None:
    assert asyncio.run(hub_with(transport=Transport()).publish_many("t", [])) == []


def test_publish_many_takes_mappings_and_names_what_is_wrong_with_one() -> None:
    with pytest.raises(TypeError, match=r"a mapping with event_type and .*'type', 'payload'"):
        asyncio.run(hub_with().publish_many("t", [{"type": "a", "payload": {}}]))


# From code without an event loop, and at the end


@pytest.mark.usefixtures("fresh")
class TestDefaultHub:
    def use(self, **plugins: Any) -> Hub:
        hub = hub_with(**plugins)
        use_hub(hub)
        return hub

    def test_publish_sync_publishes_on_one_background_loop(self) -> None:
        loops: set[object] = set()

        async def send(message: Message) -> Receipt:
            loops.add(asyncio.get_running_loop())
            return Receipt("t", 0, 0)

        self.use(transport=Transport(send))
        threads = [
            threading.Thread(target=publish_sync, args=("t", "a", {"n": n})) for n in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert publish_sync("t", "a", {}) is not None
        assert len(loops) == 1

    def test_publish_sync_is_refused_inside_a_loop_and_names_await(self) -> None:
        async def main() -> None:
            publish_sync("t", "a", {})

        with pytest.raises(RuntimeError, match=r"use `await publish"):
            asyncio.run(main())

    def test_publish_sync_raises_what_publish_does(self) -> None:
        with pytest.raises(EncodeError, match=r"payload\.n"):
            publish_sync("t", "a", {"n": float("inf")})

    def test_publish_sync_follows_the_event_of_the_handler_that_calls_it(self) -> None:
        from vectis.core.events import event_bus

        transport = Transport()
        self.use(transport=transport)

        def handle(event: Event) -> None:
            publish_sync("t", "b", {})

        event_bus.subscribe("a", handle)
        event = Event("a")
        event_bus.emit_sync(event).raise_for_errors()
        assert dict(transport.sent[0].headers)["ce_causationid"] == event.id.encode()

    def test_publish_many_of_the_facade(self) -> None:
        transport = Transport()
        self.use(transport=transport)
        receipts = asyncio.run(publish_many("t", numbers(3)))
        assert receipts is not None
        assert len(receipts) == len(transport.sent) == 3

    def test_shutdown_on_a_loop_starts_at_once_and_returns_its_task(self) -> None:
        transport = Transport()
        self.use(transport=transport)

        async def main() -> None:
            await publish_event("t", "a", {})
            task = shutdown_producer()
            assert isinstance(task, asyncio.Task)
            await task
            await shutdown_producer()  # twice is fine
            assert transport.closed == [asyncio.get_running_loop()] * 2
            assert await publish_event("t", "a", {}) is not None  # and opens anew
            await shutdown_producer()

        asyncio.run(main())

    def test_shutdown_without_a_loop_has_closed_when_it_returns(self) -> None:
        transport = Transport()
        self.use(transport=transport)
        publish_sync("t", "a", {})
        shutdown_producer()
        shutdown_producer()
        assert len(transport.closed) == 2

    def test_shutdown_on_a_loop_closes_what_publish_sync_opened_too(self) -> None:
        opened: list[object] = []

        async def send(message: Message) -> Receipt:
            opened.append(asyncio.get_running_loop())
            return Receipt("t", 0, 0)

        transport = Transport(send)
        self.use(transport=transport)
        publish_sync("t", "a", {})

        async def main() -> None:
            await publish_event("t", "a", {})
            await shutdown_producer()

        asyncio.run(main())
        assert set(transport.closed) == set(opened)
        assert len(opened) == len(transport.closed) == 2

    def test_two_loops_in_a_row_both_publish(self) -> None:
        self.use(memory=MemoryTransport())

        async def main() -> Any:
            receipt = await publish_event("t", "a", {}, "7")
            await shutdown_producer()
            return receipt

        assert [asyncio.run(main()).offset, asyncio.run(main()).offset] == [0, 1]

    def test_one_producer_that_does_not_close_does_not_keep_the_others_open(self) -> None:
        class Stuck(Transport):
            async def close(self) -> None:
                raise TransportError("cannot flush")

            @hookimpl
            def vectis_emit(self, route: Route) -> Carrier | None:
                return self._carrier if route.name == "stuck" else None

        class Fine(Transport):
            @hookimpl
            def vectis_emit(self, route: Route) -> Carrier | None:
                return self._carrier if route.name == "fine" else None

        fine = Fine()
        hub = hub_with(stuck=Stuck(), fine=fine)

        async def main() -> None:
            await hub.publish("stuck", "a", {})
            await hub.publish("fine", "a", {})
            with pytest.raises(TransportError, match="cannot flush"):
                await hub.close_producers()

        asyncio.run(main())
        assert len(fine.closed) == 1


@pytest.mark.parametrize("hooked", [False, True])
def test_calls_of_a_key_keep_their_order_also_while_the_hub_is_starting(hooked: bool) -> None:
    class Database:
        @hookimpl
        async def vectis_startup(self) -> None:
            for _ in range(20):
                await asyncio.sleep(0)

    class Observer:
        @hookimpl
        def vectis_after_publish(self) -> None: ...

    observers = {"observer": Observer} if hooked else {}
    hub = Hub(
        {}, plugins={"memory": MemoryTransport(), "db": Database, **observers}, discover=False
    )
    offsets: dict[int, int] = {}

    async def publish(number: int) -> None:
        receipt = await hub.publish("t", "a", {"n": number}, key="k")
        assert receipt is not None
        offsets[receipt.offset] = number

    async def main() -> None:
        calls = [asyncio.create_task(publish(number)) for number in range(4)]
        await hub.startup()
        await asyncio.gather(*calls, publish(4))

    asyncio.run(main())
    assert [offsets[offset] for offset in sorted(offsets)] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    "events",
    [{"event_type": "a", "payload": {}}, "order.created", 7, ["order.created"], [("a", {})]],
)
def test_publish_many_says_that_it_takes_a_list_of_mappings(events: Any) -> None:
    with pytest.raises(TypeError, match="publish_many takes a list of mappings"):
        asyncio.run(hub_with().publish_many("t", events))
