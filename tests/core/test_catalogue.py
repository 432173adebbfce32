"""Event types in several versions, and old payloads made new."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import attrs
import pytest

from tests.core.worker_world import LETTERS, TOPIC, Shop, read
from vectis.core import Catalogue, Event, Hub, event_type, hookimpl, upcasts
from vectis.core.catalogue import event_of
from vectis.core.exceptions import PayloadError, VectisError
from vectis.core.letters.choice import Choice
from vectis.core.letters.replay import Replay
from vectis.core.message import Message
from vectis.core.testing import MemoryTransport, run_worker
from vectis_bus import Bus


@event_type("order.created", topic=TOPIC, version=1)
@attrs.frozen
class OldOrder:
    order_id: str
    total: float


@event_type("order.created", topic=TOPIC, version=2)
@attrs.frozen
class MiddleOrder:
    order_id: str
    total: Decimal


@event_type("order.created", topic=TOPIC, version=3, key="order_id")
@attrs.frozen
class Order:
    order_id: str
    total: Decimal
    currency: str


@upcasts("order.created", from_version=1)
def exact(payload: dict[str, Any]) -> dict[str, Any]:
    payload["total"] = f"{payload['total']:.2f}"
    return payload


@upcasts("order.created", from_version=2)
def in_euros(payload: dict[str, Any]) -> dict[str, Any]:
    return {**payload, "currency": "EUR"}


@upcasts("order.created", from_version=2)
def in_dollars(payload: dict[str, Any]) -> dict[str, Any]:
    return {**payload, "currency": "USD"}


@upcasts("order.created", from_version=2)
def forgetful(payload: dict[str, Any]) -> Any: ...


def catalogue_of(*what: Any) -> Catalogue:
    catalogue = Catalogue()
    for one in what:
        catalogue.register(one)
    return catalogue


def test_the_newest_version_is_what_a_type_is() -> None:
    catalogue = catalogue_of(Order, OldOrder, MiddleOrder)
    found = catalogue.find("order.created")
    assert found is not None
    assert (found.cls, len(catalogue), [known.cls for known in catalogue]) == (Order, 1, [Order])
    assert [known.version for known in catalogue.versions("order.created")] == [1, 2, 3]
    assert catalogue.versions("order.paid") == ()


def test_registering_twice_is_once() -> None:
    catalogue = catalogue_of(Order, Order, in_euros, in_euros)
    assert len(catalogue.versions("order.created")) == 1
    assert [upcaster.function for upcaster in catalogue.upcasters("order.created")] == [in_euros]


def test_payloads_go_through_every_version_on_their_way() -> None:
    catalogue = catalogue_of(OldOrder, MiddleOrder, Order, exact, in_euros)
    old = {"order_id": "7", "total": 1.5}
    new = {"order_id": "7", "total": "1.50", "currency": "EUR"}
    assert catalogue.upcast(old, 1, Order) == new
    assert catalogue.upcast(old, 1, MiddleOrder) == {"order_id": "7", "total": "1.50"}
    assert old == {"order_id": "7", "total": 1.5}
    assert catalogue.upcast(new, 3, Order) is new


@pytest.mark.parametrize(
    ("what", "version", "cls", "complaint"),
    [
        (
            (Order,),
            4,
            Order,
            r"in version 4, and the newest known here is version 3: upgrade .*Ord",
        ),
        ((), 4, Order, r"in version 4, and the newest known here is version 3"),
        ((Order,), 3, OldOrder, r"takes OldOrder, version 1: let it take Order, version 3"),
        ((Order, exact), 1, Order, r"version 3 of version 2: register .*from_version=2"),
        ((Order, exact, in_euros), 1, Order, r"upcaster app:exact could not .*: KeyError: 'total'"),
        ((Order, forgetful), 2, Order, r"upcaster app:forgetful .* returned no payload but a None"),
    ],
)
def test_a_version_that_cannot_be_had_is_named_with_what_to_do(
    what: tuple[Any, ...], version: int, cls: type, complaint: str
) -> None:
    with pytest.raises(PayloadError, match=complaint):
        catalogue_of(*what).upcast({"order_id": "7"}, version, cls)


def test_two_of_one_version_are_refused() -> None:
    @event_type("order.created", version=3)
    @attrs.frozen
    class Another:
        order_id: str

    with pytest.raises(VectisError, match=r"version 3 of .*Another.* give the newer one version=4"):
        catalogue_of(Order, Another)
    with pytest.raises(VectisError, match=r"app:in_dollars .* and so does app:in_euros"):
        catalogue_of(in_euros, in_dollars)


def test_a_type_belongs_to_one_plugin_in_all_its_versions() -> None:
    catalogue = catalogue_of(Order)
    catalogue.owner = "acme"
    with pytest.raises(VectisError, match=r"acme .*OldOrder.* already registered by app .*Order"):
        catalogue.register(OldOrder)


def test_what_a_broken_plugin_registered_is_forgotten() -> None:
    def registers(catalogue: Catalogue) -> None:
        for what in (OldOrder, Order, exact):
            catalogue.register(what)
        raise RuntimeError("broken")

    plugin = SimpleNamespace(vectis_register_events=hookimpl(registers))
    hub = Hub({}, plugins={"acme": plugin}, discover=False)
    assert hub.plugins[0].state == "quarantined"
    assert (hub.catalogue.find("order.created"), hub.catalogue.upcasters("order.created")) == (
        None,
        (),
    )


@pytest.mark.parametrize("version", [0, -1, True, "1", 1.0])
def test_versions_count_from_one(version: Any) -> None:
    with pytest.raises(VectisError, match="version"):
        event_type("order.created", version=version)(attrs.make_class("Order", ["order_id"]))
    with pytest.raises(VectisError, match="version"):
        upcasts("order.created", from_version=version)(lambda payload: payload)


async def asynchronous(payload: dict[str, Any]) -> dict[str, Any]:
    return payload


def nothing() -> dict[str, Any]:
    return {}


@pytest.mark.parametrize(
    ("function", "complaint"),
    [(asynchronous, "plain function"), (nothing, "with a payload alone"), (7, "plain function")],
)
def test_an_upcaster_is_a_plain_function_of_a_payload(function: Any, complaint: str) -> None:
    with pytest.raises(VectisError, match=complaint):
        upcasts("order.created", from_version=1)(function)


@pytest.mark.parametrize("what", [7, lambda payload: payload, attrs.make_class("Bare", [])])
def test_what_nobody_described_is_not_registered(what: Any) -> None:
    with pytest.raises(VectisError, match="add @event_type"):
        catalogue_of(what)


# ---------------------------------------------------------------- in the worker


def in_version(version: int | None, value: bytes, number: int = 1) -> Message:
    headers = [
        ("ce_specversion", b"1.0"),
        ("ce_id", b"%d" % number),
        ("ce_source", b"shop"),
        ("ce_type", b"order.created"),
    ]
    if version is not None:
        schema = b"urn:vectis:event:order.created:v%d" % version
        headers.append(("ce_dataschema", schema))
    return Message(TOPIC, b"7", value, tuple(headers))


def test_the_version_on_the_wire_chooses_and_a_newer_one_is_set_aside() -> None:
    seen: list[Order] = []
    pairs: list[dict[str, Any]] = []

    async def typed(event: Order) -> None:
        seen.append(event)

    async def pair(event_type: str, payload: dict[str, Any]) -> None:
        pairs.append(payload)

    def registers(catalogue: Catalogue) -> None:
        for what in (OldOrder, MiddleOrder, Order, exact, in_euros):
            catalogue.register(what)

    async def main() -> list[bytes]:
        plugin = SimpleNamespace(vectis_register_events=hookimpl(registers))
        shop = Shop(plugins={"acme": plugin})
        shop.on("order.created", typed)
        shop.on("order.created", pair)
        await shop.put(in_version(1, b'{"order_id":"1","total":1.5}'))
        await shop.put(in_version(2, b'{"order_id":"2","total":"1.5"}'))
        await shop.put(in_version(3, b'{"order_id":"3","total":"1.5","currency":"USD"}'))
        await shop.put(in_version(4, b'{"order_id":"4","sum":"1.5"}'))
        await shop.put(in_version(None, b'{"order_id":"5","total":"1.5","currency":"USD"}'))
        await shop.hub.publish(
            TOPIC, "order.created", {"order_id": "6", "total": "1", "currency": "USD"}
        )
        await shop.work(shop.finished(6))
        return [dict(letter.headers)["vectis_dlq_error"] for letter in await shop.letters()]

    errors = asyncio.run(main())
    assert [(order.order_id, order.total, order.currency) for order in seen] == [
        ("1", Decimal("1.50"), "EUR"),
        ("2", Decimal("1.5"), "EUR"),
        ("3", Decimal("1.5"), "USD"),
        ("5", Decimal("1.5"), "USD"),
        ("6", Decimal(1), "USD"),
    ]
    assert pairs[0] == {"order_id": "1", "total": 1.5}
    (error,) = errors
    assert error.startswith(b"PayloadError: order.created came in version 4, and the newest known")


# ---------------------------------------------------------------- on the wire


@event_type("parcel.sent", topic="parcels")
@attrs.frozen
class Parcel:
    order_id: str


@event_type("parcel.sent", topic="parcels", version=2, forward=True)
@attrs.frozen
class Parcel2:
    order_id: str
    carrier: str


@upcasts("parcel.sent", from_version=1)
def by_post(payload: dict[str, Any]) -> dict[str, Any]:
    return {**payload, "carrier": "post"}


def registers_parcels(catalogue: Catalogue) -> None:
    for what in (Parcel, Parcel2, by_post):
        catalogue.register(what)


def parcels(memory: MemoryTransport) -> Hub:
    plugin = SimpleNamespace(vectis_register_events=hookimpl(registers_parcels))
    plugins = {"bus": Bus, "memory": memory, "acme": plugin}
    return Hub({"consumer": {"group": "shop"}}, plugins=plugins, discover=False)


def versions_on(memory: MemoryTransport) -> list[bytes]:
    deliveries = asyncio.run(read(memory, "parcels"))
    schemas = [dict(delivery.headers)["ce_dataschema"] for delivery in deliveries]
    return [schema.removeprefix(b"urn:vectis:event:parcel.sent:") for schema in schemas]


def test_an_instance_is_of_the_version_of_its_class_when_an_emit_is_forwarded() -> None:
    memory = MemoryTransport()
    hub = parcels(memory)

    async def main() -> None:
        for instance in (Parcel("1"), Parcel2("2", "bike")):
            await hub.emit(event_of(instance))
        await hub.emit(Event("parcel.sent", {"order_id": "3", "carrier": "cart"}))

    asyncio.run(main())
    assert versions_on(memory) == [b"v1", b"v2", b"v2"]


def test_a_plain_payload_is_of_the_newest_version_unless_its_own_is_given() -> None:
    memory, seen = MemoryTransport(), []
    hub = parcels(memory)

    async def handle(event: Parcel2) -> None:
        seen.append((event.order_id, event.carrier))

    hub.on_event("parcel.sent", handle)

    async def main() -> None:
        await hub.publish("parcels", "parcel.sent", {"order_id": "1"}, version=1)
        await hub.publish("parcels", "parcel.sent", {"order_id": "2", "carrier": "bike"})
        await hub.publish("parcels", "parcel.sent", {"order_id": "3"}, version=1)
        old = {"event_type": "parcel.sent", "payload": {"order_id": "4"}, "version": 1}
        new = {**old, "payload": {"order_id": "5", "carrier": "cart"}, "version": None}
        await hub.publish_many("parcels", [old, new])

    asyncio.run(main())
    assert versions_on(memory) == [b"v1", b"v2", b"v1", b"v1", b"v2"]
    assert run_worker(hub).handled == 5
    assert sorted(seen) == [
        ("1", "post"),
        ("2", "bike"),
        ("3", "post"),
        ("4", "post"),
        ("5", "cart"),
    ]


@pytest.mark.parametrize("version", [0, -1, "1", 1.5, [1]])
def test_what_is_no_version_is_refused(version: Any) -> None:
    memory = MemoryTransport()
    hub = parcels(memory)
    for _ in range(2):  # a type that is new, and one that was published
        with pytest.raises(ValueError, match=r"parcel.sent: version=.* they count from 1"):
            asyncio.run(hub.publish("parcels", "parcel.sent", {}, version=version))
        asyncio.run(hub.publish("parcels", "parcel.sent", {"order_id": "1"}))
    assert versions_on(memory) == [b"v2", b"v2"]


def test_a_letter_of_a_version_that_nobody_knew_comes_home_after_the_upgrade() -> None:
    seen: list[Order] = []

    async def typed(event: Order) -> None:
        seen.append(event)

    async def main() -> None:
        shop = Shop()
        shop.hub.catalogue.register(Order)
        shop.on("order.created", typed)
        await shop.put(in_version(2, b'{"order_id":"2","total":"1.5"}'))
        await shop.work(shop.finished(1))
        assert seen == []
        assert b"from_version=2" in dict((await shop.letters())[0].headers)["vectis_dlq_error"]
        shop.hub.catalogue.register(in_euros)
        report = await Replay(shop.hub, "shop", [LETTERS], Choice()).run()
        assert report.clean

    asyncio.run(main())
    assert seen == [Order("2", Decimal("1.5"), "EUR")]
