from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

import pytest

from vectis.core import Event, Hub, handles, on_event
from vectis.core.exceptions import SubscriptionError
from vectis.core.marks import Registry, marked, registry, subscription
from vectis_bus import Bus

if TYPE_CHECKING:
    from tests.core.conftest import Install

pytestmark = pytest.mark.usefixtures("fresh")


def module(name: str, source: str) -> ModuleType:
    made = ModuleType(name)
    exec(source, vars(made))
    return made


def test_a_mark_leaves_the_function_as_it_is() -> None:
    @handles("order.*")
    def record(event: Event) -> str:
        return event.type

    assert record(Event("order.created")) == "order.created"


def test_marks_of_a_module_are_found_in_the_order_they_are_written() -> None:
    made = module(
        "acme",
        """
from vectis.core import handles, on_event
@handles("b", priority=10)
def second(event): ...
@on_event("a", topic="t")
async def first(event_type, payload): ...
""",
    )
    assert [(h.__name__, m.scope, m.pattern, m.options) for h, m in marked(made)] == [
        (
            "second",
            "process",
            "b",
            {"priority": 10, "once": False, "timeout": None, "required": False},
        ),
        ("first", "service", "a", {"topic": "t", "batch": None}),
    ]


def test_several_marks_on_one_function_are_several_subscriptions() -> None:
    @handles("order.created")
    @handles("order.paid")
    def record(event: Event) -> None: ...

    made = ModuleType(record.__module__)
    vars(made)["record"] = record
    assert [mark.pattern for _, mark in marked(made)] == ["order.paid", "order.created"]


def test_a_marked_function_that_a_module_only_imported_is_not_its_own() -> None:
    made = module("acme", "from vectis.core import handles")
    elsewhere = module("other", "from vectis.core import handles\n@handles('a')\ndef f(event): ...")
    vars(made)["f"] = vars(elsewhere)["f"]
    assert list(marked(made)) == []


def test_marked_methods_are_bound_to_the_object_and_inherited() -> None:
    class Base:
        @handles("order.*")
        def record(self, event: Event) -> Any:
            return self

    class Plugin(Base): ...

    plugin = Plugin()
    ((handler, _),) = marked(plugin)
    assert handler(Event("order.created")) is plugin


def test_a_wrong_signature_is_refused_where_the_function_is_written() -> None:
    with pytest.raises(SubscriptionError, match=r"record\(order: 'Any', event: 'Event'\)"):

        @handles("order.*")
        def record(order: Any, event: Event) -> None: ...

    with pytest.raises(SubscriptionError, match=r"sync_erp\(payload: 'Any'\).*event_type, payload"):

        @on_event("order.created")
        async def sync_erp(payload: Any) -> None: ...


def test_a_wrong_pattern_is_refused_where_the_function_is_written() -> None:
    with pytest.raises(SubscriptionError, match="ord"):
        handles("ord*")
    with pytest.raises(SubscriptionError, match="''"):
        on_event("")


def test_marks_and_subscriptions_reach_the_hub_in_the_order_they_were_made() -> None:
    from vectis.core import marks
    from vectis.core.default import use_hub
    from vectis.core.events import event_bus

    def one(event: Event) -> None: ...

    event_bus.subscribe("a", one)

    @handles("a")
    def two(event: Event) -> None: ...

    def three(event: Event) -> None: ...

    event_bus.subscribe("a", three)
    assert [s.name for s in marks.registry.waiting()] == ["one", "three"]
    hub = Hub({}, plugins={"bus": Bus}, discover=False)
    use_hub(hub)

    @handles("a")
    def four(event: Event) -> None: ...

    assert [s.name for s in hub.subscriptions] == ["one", "two", "three", "four"]
    assert marks.registry.waiting() == ()


def test_a_mark_goes_to_every_later_default_hub_a_subscription_only_to_the_first() -> None:
    from vectis.core.default import use_hub
    from vectis.core.events import event_bus

    @handles("a")
    def mark(event: Event) -> None: ...

    event_bus.subscribe("a", lambda event: None)
    first, second = Hub({}, discover=False), Hub({}, discover=False)
    use_hub(first)
    use_hub(second)
    assert [s.name for s in first.subscriptions] == ["mark", "<lambda>"]
    assert [s.name for s in second.subscriptions] == ["mark"]


def test_what_waits_can_be_unsubscribed() -> None:
    waiting = Registry()
    kept = subscription("process", "a", print)
    dropped = subscription("process", "b", print)
    for made in (kept, dropped):
        waiting.subscribe(made)
    assert waiting.unsubscribe("b", print)
    assert not waiting.unsubscribe(dropped)
    assert waiting.waiting() == (kept,)


def test_a_plugins_marks_are_the_plugins_and_not_the_applications(install: Install) -> None:
    from vectis.core.default import default_hub

    install("acme-audit", "from vectis.core import handles\n@handles('a')\ndef record(event): ...")
    assert [s.id for s in default_hub().subscriptions if s.pattern == "a"] == ["acme-audit:record"]


def test_a_disabled_plugins_marks_stay_out_also_when_the_application_imports_it(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    from importlib import import_module

    from vectis.core.default import default_hub

    install("acme-audit", "from vectis.core import handles\n@handles('a')\ndef record(event): ...")
    monkeypatch.setenv("VECTIS_PLUGINS_DISABLE", "acme-audit")
    import_module("acme_audit")
    assert "acme_audit" in sys.modules
    assert [s.id for s in default_hub().subscriptions if s.pattern == "a"] == []


def test_the_registry_is_one_however_the_consumer_module_is_imported() -> None:
    assert isinstance(registry, Registry)
    assert on_event.__module__ == "vectis.core.marks"


def test_a_handler_elsewhere_in_a_plugins_package_does_not_run_because_something_imported_it(
    install: Install,
) -> None:
    site = install("acme-shop", source=None, entry="acme_shop")
    package = site / "acme_shop"
    package.mkdir()
    (package / "__init__.py").write_text("", encoding="utf-8")
    (package / "demo.py").write_text(
        "from vectis.core import handles\n@handles('a')\ndef record(event): ...\n",
        encoding="utf-8",
    )
    importlib.import_module("acme_shop.demo")
    assert [s.id for s in Hub({}).subscriptions if s.plugin == "acme-shop"] == []


def test_options_are_checked_where_the_mark_is_written_also_on_methods() -> None:
    with pytest.raises(SubscriptionError, match=r"handler Audit\.record: priority must be"):

        class Audit:
            @handles("a", priority=cast("Any", "first"))
            def record(self, event: Event) -> None: ...


def test_a_timeout_for_a_plain_function_is_refused_where_the_mark_is_written() -> None:
    with pytest.raises(SubscriptionError, match=r"handler Audit\.record: a timeout cancels"):

        class Audit:
            @handles("a", timeout=1)
            def record(self, event: Event) -> None: ...


def test_a_mark_without_brackets_says_how_to_write_it() -> None:
    def record(event: Event) -> None: ...

    with pytest.raises(SubscriptionError, match=r"record .*write @handles\('order\.created'\)"):
        handles(cast("Any", record))
    with pytest.raises(SubscriptionError, match=r"write @on_event\('order\.created'\)"):
        on_event(cast("Any", record))
