from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Any

import pytest

from vectis.core import Event, Hub, hookimpl
from vectis_bus import Bus

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from tests.core.conftest import Install
    from vectis.core.plugins import Plugin


def loaded(plugin: Any) -> Plugin:
    """Give one plugin to a hub and say what became of it."""
    hub = Hub({}, plugins={"bus": Bus, "acme": plugin}, discover=False)
    return hub.plugins[1]


def installed(name: str) -> tuple[Hub, Plugin]:
    hub = Hub({})
    (plugin,) = [plugin for plugin in hub.plugins if plugin.name == name]
    return hub, plugin


def emit(hub: Hub, event_type: str = "order.created") -> Any:
    return asyncio.run(_emit(hub, event_type))


async def _emit(hub: Hub, event_type: str) -> Any:
    return await hub.emit(Event(event_type))


# What may be a plugin


def test_a_module_with_marks_and_hooks_is_a_plugin(install: Install) -> None:
    install(
        "acme-audit",
        """
        from vectis.core import handles, hookimpl

        seen = []

        @handles("order.*", priority=20)
        async def record(event):
            seen.append(event.type)

        @hookimpl
        def vectis_after_emit(event, outcome):
            seen.append(outcome.status)
        """,
    )
    hub, plugin = installed("acme-audit")
    emit(hub)
    assert plugin.object.seen == ["order.created", "completed"]
    assert plugin.hooks == ("vectis_after_emit",)
    assert [(s.id, s.priority) for s in hub.subscriptions if s.plugin == "acme-audit"] == [
        ("acme-audit:record", 20)
    ]


def test_an_entry_point_may_name_a_class_or_an_object_in_a_module(install: Install) -> None:
    source = """
        from vectis.core import handles

        class Plugin:
            seen = []

            @handles("order.*")
            async def record(self, event):
                self.seen.append(event.type)

        plugin = Plugin()
        """
    for name, entry in [("as-class", "as_class:Plugin"), ("as-object", "as_object:plugin")]:
        install(name, source, entry=entry)
    hub = Hub({})
    emit(hub)
    for name in ("as-class", "as-object"):
        (plugin,) = [plugin for plugin in hub.plugins if plugin.name == name]
        assert plugin.object.seen == ["order.created"]


def test_the_properties_of_a_plugin_are_not_run() -> None:
    class Acme:
        @property
        def connection(self) -> None:
            raise AssertionError("nobody asked for it")

        @hookimpl
        def vectis_after_emit(self, event: Event) -> None: ...

    assert loaded(Acme).state == "loaded"


def test_hooks_may_leave_arguments_out_and_have_parameters_of_their_own() -> None:
    class Acme:
        @hookimpl
        def vectis_after_emit(self, outcome: Any, log: Any = None) -> None: ...

    assert loaded(Acme).state == "loaded"


def test_a_hook_may_have_another_name_in_the_plugin() -> None:
    class Acme:
        @hookimpl(specname="vectis_after_emit")
        def count(self, event: Event) -> None: ...

    assert loaded(Acme).hooks == ("vectis_after_emit",)


# What is quarantined: one plugin, and nothing else


@pytest.mark.parametrize(
    ("source", "cause"),
    [
        ("raise ValueError('no licence file')", "ValueError: no licence file"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("import acme_not_there", "No module named 'acme_not_there'"),
        ("def broken(:", "SyntaxError"),
        (None, "No module named 'acme_audit'"),
    ],
)
def test_a_plugin_that_does_not_import_is_set_aside_with_its_cause(
    install: Install, source: str | None, cause: str, caplog: pytest.LogCaptureFixture
) -> None:
    install("acme-audit", source)
    hub, plugin = installed("acme-audit")
    assert plugin.state == "quarantined"
    assert cause in plugin.reason
    assert "cannot be imported from 'acme_audit'" in plugin.reason
    (record,) = [r for r in caplog.records if r.name == "vectis.plugins"]
    assert "acme-audit (acme-audit 1.0)" in record.getMessage()
    assert f"What to do: {plugin.remedy}" in record.getMessage()
    assert "\n" not in record.getMessage()
    assert emit(hub).status == "completed"  # everything else works


def test_ctrl_c_during_an_import_is_no_quarantine(install: Install) -> None:
    install("acme-audit", "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        Hub({})


def test_an_attribute_that_the_module_lacks_is_named(install: Install) -> None:
    install("acme-audit", entry="acme_audit:Plugin")
    _, plugin = installed("acme-audit")
    assert plugin.state == "quarantined"
    assert "has no attribute 'Plugin'" in plugin.reason


def test_a_class_that_needs_arguments_is_set_aside() -> None:
    class Acme:
        def __init__(self, url: str) -> None: ...

    plugin = loaded(Acme)
    assert plugin.state == "quarantined"
    assert "Acme cannot be made without arguments" in plugin.reason
    assert "'url'" in plugin.reason


def test_a_plugin_that_fails_half_way_leaves_nothing_behind() -> None:
    class Acme:
        @hookimpl
        def vectis_register_handlers(self, hub: Hub) -> None:
            hub.subscribe("order.*", print)
            raise SystemExit("no database")

        @hookimpl
        def vectis_before_emit(self) -> None:
            raise AssertionError("its hooks are gone too")

    hub = Hub({}, plugins={"bus": Bus, "acme": Acme}, discover=False)
    assert hub.plugins[1].state == "quarantined"
    assert "SystemExit: no database" in hub.plugins[1].reason
    assert hub.subscriptions == ()
    assert emit(hub).ran == ()


def test_wrong_settings_set_only_their_own_plugin_aside() -> None:
    hub = Hub({"bus": {"budget": 50}}, plugins={"bus": Bus, "acme": object()}, discover=False)
    assert [plugin.state for plugin in hub.plugins] == ["quarantined", "loaded"]
    assert "budget" in hub.plugins[0].reason
    assert "budget_ms" in hub.plugins[0].reason


def test_a_marked_method_with_a_wrong_signature_sets_its_plugin_aside() -> None:
    from vectis.core import handles

    class Acme:
        @handles("order.*")
        def record(self, event: Event, outcome: Any) -> None: ...

    plugin = loaded(Acme)
    assert plugin.state == "quarantined"
    assert "Acme.record(event: 'Event', outcome: 'Any')" in plugin.reason


# Hooks that do not fit


def refused(plugin: Any) -> str:
    found = loaded(plugin)
    assert found.state == "quarantined"
    assert found.reason.startswith("has a hook that does not fit: ")
    return found.reason


def test_an_unknown_hook_name_suggests_the_nearest() -> None:
    class Acme:
        @hookimpl
        def vectis_after_emitt(self, event: Event) -> None: ...

    reason = refused(Acme)
    assert "there is no hook vectis_after_emitt; did you mean vectis_after_emit?" in reason


def test_a_hook_name_like_none_points_at_the_page_of_all() -> None:
    class Acme:
        @hookimpl
        def something_else(self) -> None: ...

    assert "see vectis.core.hookspecs" in refused(Acme)


def test_an_argument_that_the_hook_does_not_offer_is_named_with_those_it_does() -> None:
    class Acme:
        @hookimpl
        def vectis_after_emit(self, event: Event, result: Any) -> None: ...

    reason = refused(Acme)
    assert "vectis_after_emit offers no argument 'result'" in reason
    assert "(event, outcome, hub)" in reason


def test_an_argument_that_pluggy_would_never_give_is_refused() -> None:
    class Default:
        @hookimpl
        def vectis_after_emit(self, outcome: Any = None) -> None: ...

    class KeywordOnly:
        @hookimpl
        def vectis_after_emit(self, *, outcome: Any) -> None: ...

    for plugin in (Default, KeywordOnly):
        assert "'outcome' would never be given" in refused(plugin)


@pytest.mark.parametrize(
    "hook", ["vectis_settings", "vectis_register_events", "vectis_register_handlers"]
)
def test_async_def_is_refused_where_nobody_awaits(hook: str) -> None:
    class Acme:
        @hookimpl(specname=hook)
        async def assemble(self) -> None: ...

    assert f"{hook} is called without awaiting; write it with plain `def`" in refused(Acme)


@pytest.mark.parametrize("hook", ["vectis_subscribe", "vectis_emit", "vectis_consume"])
def test_async_def_is_refused_on_transport_hooks(hook: str) -> None:
    class Acme:
        @hookimpl(specname=hook)
        async def offer(self) -> None: ...

    assert "write it with plain `def`" in refused(Acme)


@pytest.mark.parametrize("style", ["wrapper", "hookwrapper"])
@pytest.mark.parametrize(
    ("hook", "instead"),
    [
        ("vectis_before_emit", "vectis_around_emit"),
        ("vectis_after_emit", "vectis_around_emit"),
        ("vectis_before_publish", "vectis_around_publish"),
        ("vectis_after_consume", "vectis_around_consume"),
        ("vectis_startup", "vectis_around_emit"),
    ],
)
def test_wrappers_are_refused_and_the_around_hook_is_named(
    style: str, hook: str, instead: str
) -> None:
    class Acme:
        @hookimpl(specname=hook, wrapper=style == "wrapper", hookwrapper=style == "hookwrapper")
        def wrap(self) -> Iterator[None]:
            yield

    reason = refused(Acme)
    assert "coroutines instead of results" in reason
    assert f"from {instead} instead" in reason


def test_a_wrapper_of_a_transport_hook_is_refused_instead_of_taken_for_an_offer() -> None:
    class Acme:
        @hookimpl(wrapper=True)
        def vectis_emit(self) -> Iterator[None]:
            yield

    assert "vectis_emit cannot be wrapped" in refused(Acme)


def test_a_generator_that_nobody_would_run_is_refused() -> None:
    class Around:
        @hookimpl
        async def vectis_around_emit(self) -> AsyncIterator[None]:
            yield

    class After:
        @hookimpl
        def vectis_after_emit(self) -> Iterator[None]:
            yield

    assert "decorate it with @contextlib.asynccontextmanager" in refused(Around)
    assert "use an around hook" in refused(After)


def test_an_async_context_manager_is_an_around_hook() -> None:
    class Acme:
        @hookimpl
        @contextlib.asynccontextmanager
        async def vectis_around_emit(self) -> AsyncIterator[None]:
            yield

    assert loaded(Acme).state == "loaded"


def test_a_quarantine_is_logged_as_an_error(caplog: pytest.LogCaptureFixture) -> None:
    class Acme:
        @hookimpl
        def vectis_after_emitt(self) -> None: ...

    loaded(Acme)
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
