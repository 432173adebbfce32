"""The testing kit: what its fixtures give, and what its assertions say when they fail."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from vectis.core import Event, Hub, event_bus, hookimpl, marks, publish_event
from vectis.core.default import existing_hub
from vectis.core.exceptions import PluginError, Reject, RetryLater, TransportError
from vectis.core.testing import Captured, FakeClock, MemoryTransport, isolated_hub, pump, run_worker

if TYPE_CHECKING:
    from collections.abc import Callable

TOPIC = "vectis.orders"


def publish(hub: Hub, *numbers: int, event_type: str = "order.created") -> None:
    for number in numbers:
        hub.publish_sync(TOPIC, event_type, {"n": number}, key="7")


# ---------------------------------------------------------------- isolated hubs


def test_a_hub_has_what_was_chosen_and_nothing_else(make_hub: Callable[..., Hub]) -> None:
    loaded = {p.name for p in make_hub("commerce").plugins if p.state == "loaded"}
    assert loaded == {"bus", "commerce", "memory"}


def test_the_environment_and_config_files_do_not_reach_it(
    make_hub: Callable[..., Hub], monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setenv("VECTIS_CONSUMER_GROUP", "production")
    (tmp_path / "vectis.toml").write_text('[consumer]\ngroup = "production"\n', encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert make_hub().consumer_settings.group == "test"


def test_config_wins_over_the_defaults_key_by_key(make_hub: Callable[..., Hub]) -> None:
    made = make_hub(config={"consumer": {"max_attempts": 2}})
    assert (made.consumer_settings.max_attempts, made.consumer_settings.group) == (2, "test")


def test_a_chosen_plugin_that_is_broken_is_an_error_with_its_reason() -> None:
    broken = ModuleType("broken")
    broken.vectis_startup = hookimpl(specname="vectis_startup")(lambda hubb: None)  # type: ignore[attr-defined]
    with pytest.raises(PluginError, match="hubb"):
        isolated_hub(plugins={"broken": broken})


def test_one_that_is_not_installed_is_an_error() -> None:
    with pytest.raises(PluginError, match=r"'comerce'.*did you mean 'commerce'"):
        isolated_hub("comerce")


def test_an_installed_one_cannot_be_given_as_well() -> None:
    with pytest.raises(PluginError, match="choose it by name"):
        isolated_hub(plugins={"commerce": ModuleType("commerce")})


def test_it_is_the_default_hub_with_marks_of_its_own(hub: Hub, captured: Captured) -> None:
    assert existing_hub() is hub

    async def main() -> None:
        event_bus.subscribe("order.created", lambda event: None)
        await event_bus.emit(Event("order.created"))
        await publish_event(TOPIC, "order.created", {"n": 1})

    asyncio.run(main())
    captured.emitted("order.created")
    captured.published("order.created", {"n": 1}, topic=TOPIC)
    assert marks.registry.waiting() == ()


def test_hubs_are_shut_down_when_the_test_ends(pytester_run: Callable[[str], str]) -> None:
    printed = pytester_run(
        """
        from vectis.core import Event, hookimpl

        class Closing:
            @hookimpl
            def vectis_shutdown(self):
                print("closed")

        def test_it(make_hub):
            make_hub(plugins={"closing": Closing}).emit_sync(Event("order.created"))

        def test_later(hub, captured):
            captured.emitted("order.created")
        """
    )
    assert "closed" in printed
    assert "nobody emitted order.created. What was emitted:" in printed
    assert "1 failed, 1 passed" in printed


@pytest.fixture
def pytester_run(tmp_path: Any) -> Callable[[str], str]:
    """Runs a file of tests in a process of its own, as somebody else's project would."""
    from textwrap import dedent

    def run(source: str) -> str:
        (tmp_path / "test_it.py").write_text(dedent(source), encoding="utf-8")
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-s", "-p", "no:cacheprovider", "test_it.py"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout + done.stderr

    return run


def test_the_plugin_loads_nothing_until_a_test_asks_for_it() -> None:
    script = (
        "import sys, pytest\n"
        "import vectis.core.testing.plugin\n"
        "print(sorted(name for name in sys.modules if name.startswith('vectis.')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == str(
        ["vectis.core", "vectis.core.testing", "vectis.core.testing.plugin"]
    )


def test_the_tests_on_the_page_pass_on_the_plugin_of_the_page(
    pytester_run: Callable[[str], str], tmp_path: Any
) -> None:
    page = (Path(__file__).parents[2] / "docs/plugins.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```py(?:thon)?\n(.*?)^```", page, re.M | re.S)
    (plugin,) = (block for block in blocks if "class LoyaltyEarned" in block)
    (tests,) = (block for block in blocks if block.startswith("# test_acme_loyalty.py"))
    (tmp_path / "acme_loyalty.py").write_text(plugin, encoding="utf-8")
    printed = pytester_run(tests)
    assert f"{tests.count('def test_')} passed" in printed, printed


# ---------------------------------------------------------------- captured


def test_an_assertion_returns_all_that_match(hub: Hub, captured: Captured) -> None:
    for number in (1, 2, 1):
        hub.emit_sync(Event("order.created", {"n": number, "total": "3"}))
    assert len(captured.emitted("order.created")) == 3
    assert len(captured.emitted("order.created", {"n": 1})) == 2


def test_a_failure_shows_what_was_there_instead(hub: Hub, captured: Captured) -> None:
    with pytest.raises(AssertionError, match=r"What was emitted:\n  nothing$"):
        captured.emitted("order.paid")
    hub.emit_sync(Event("order.created", {"n": 1}))
    publish(hub, 7)
    with pytest.raises(AssertionError, match=r"with \{'n': 2\}.*\n  order.created \{'n': 1\}$"):
        captured.emitted("order.created", {"n": 2})
    with pytest.raises(AssertionError, match=r"on elsewhere.*\n.* on vectis.orders, key '7'"):
        captured.published("order.created", topic="elsewhere")
    with pytest.raises(AssertionError, match=r"order\.created was emitted"):
        captured.not_emitted("order.created")
    with pytest.raises(AssertionError, match=r"order\.created was published"):
        captured.not_published("order.created")
    captured.clear()
    captured.not_emitted("order.created")
    captured.not_published("order.created")


def test_many_lines_are_cut(hub: Hub, captured: Captured) -> None:
    for number in range(30):
        hub.emit_sync(Event("order.created", {"n": number}))
    with pytest.raises(AssertionError, match=r"and 10 more$"):
        captured.emitted("order.paid")


# ---------------------------------------------------------------- the pumped worker


def test_all_that_is_there_is_handled_and_what_follows_from_it(hub: Hub) -> None:
    seen: list[Any] = []

    async def create(event_type: str, payload: dict[str, Any]) -> None:
        await hub.publish(TOPIC, "order.paid", payload)

    hub.on_event("order.created", create, topic=TOPIC)
    hub.on_event("order.paid", lambda event_type, payload: seen.append(payload["n"]), topic=TOPIC)
    publish(hub, *range(500))
    assert run_worker(hub).handled == 1000
    assert sorted(seen) == list(range(500))


def test_what_was_handled_does_not_come_again(hub: Hub) -> None:
    hub.on_event("order.created", lambda event_type, payload: None, topic=TOPIC)
    publish(hub, 1)
    assert [run_worker(hub).handled, run_worker(hub).handled] == [1, 0]
    publish(hub, 2)
    assert run_worker(hub).handled == 1


def test_retries_take_no_time_and_the_clock_says_how_long_they_were(
    hub: Hub, captured: Captured
) -> None:
    async def fail(event_type: str, payload: dict[str, Any]) -> None:
        raise RuntimeError("the ERP is away")

    hub.on_event("order.created", fail, topic=TOPIC)
    publish(hub, 1)
    clock = FakeClock()
    report = run_worker(hub, clock=clock)
    assert (report.retried, report.dead_lettered, len(clock.waits)) == (4, 1, 4)
    (letter,) = captured.dead_lettered("app", error="the ERP is away")
    assert letter.attempts == 5
    assert len(captured.failures) == 5
    with pytest.raises(AssertionError, match=r"no dead letter of other:x.*\n.*the ERP is away"):
        captured.dead_lettered("other:x")
    with pytest.raises(AssertionError, match=r"fail for order\.created: RuntimeError"):
        captured.no_failures()


def test_too_many_dead_letters_pause_by_the_same_clock(make_hub: Callable[..., Hub]) -> None:
    hub = make_hub(config={"consumer": {"dead_letters_per_minute": 2}})

    async def refuse(event_type: str, payload: dict[str, Any]) -> None:
        raise Reject("never")

    hub.on_event("order.created", refuse, topic=TOPIC)
    publish(hub, *range(4))
    clock = FakeClock()
    assert run_worker(hub, clock=clock).dead_lettered == 4
    assert clock.now() == pytest.approx(60.0)


def test_what_waits_longer_than_wanted_comes_again_in_the_next_call(hub: Hub) -> None:
    times = []

    async def later(event_type: str, payload: dict[str, Any]) -> None:
        times.append(clock.now())
        if clock.now() < 100:
            raise RetryLater(60)

    hub.on_event("order.created", later, topic=TOPIC)
    publish(hub, 1)
    clock = FakeClock()
    assert run_worker(hub, clock=clock, within=90).handled == 0
    assert run_worker(hub, clock=clock, within=90).handled == 1
    assert times == [0.0, 60.0, 60.0, 120.0]


def test_a_handler_that_does_not_end_is_named(hub: Hub) -> None:
    async def hang(event_type: str, payload: dict[str, Any]) -> None:
        await asyncio.Event().wait()

    hub.on_event("order.created", hang, topic=TOPIC)
    publish(hub, 1)
    with pytest.raises(AssertionError, match=r"not done within 0.05 s: app:hang at vectis.orders"):
        run_worker(hub, timeout=0.05)


def test_another_transport_cannot_be_pumped() -> None:
    class Other:
        """No memory transport, though it uses one."""

        inner = MemoryTransport()

        @hookimpl
        def vectis_subscribe(self, route: Any, subscription: Any) -> Any:
            return self.inner.vectis_subscribe(route, subscription, None)  # type: ignore[arg-type]

        @hookimpl
        def vectis_consume(self, topics: Any, group: Any) -> Any:
            return self.inner.consumer(topics, group)

    hub = Hub({"consumer": {"group": "shop"}}, plugins={"other": Other()}, discover=False)
    hub.on_event("order.created", print, topic=TOPIC)
    with pytest.raises(TransportError, match="only the memory transport can be pumped"):
        asyncio.run(pump(hub))


# ---------------------------------------------------------------- the clock


def test_timers_are_called_in_order_and_cancelled_ones_are_not() -> None:
    clock, called = FakeClock(), list[str]()
    clock.call_later(2, lambda: called.append("second"))

    def and_then() -> None:
        clock.call_later(0.5, lambda: called.append("first"))

    clock.call_later(1, and_then)
    clock.call_later(1.7, lambda: called.append("never")).cancel()
    assert clock.next == 1
    clock.advance(10)
    assert (called, clock.now()) == (["first", "second"], 10.0)
    assert clock.next is None
