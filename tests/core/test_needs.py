"""Plugins that need each other: who is set aside with whom, and who comes first."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from vectis.core import Hub, handles, hookimpl
from vectis.core.needs import dependents
from vectis.core.settings import Config
from vectis_bus import Bus

if TYPE_CHECKING:
    from tests.core.conftest import Install
    from vectis.core.events import Event


def plugin(*requires: str, after: tuple[str, ...] = ()) -> Any:
    class Acme:
        vectis_requires = requires
        vectis_after = after

        @handles("order.created")
        async def record(self, event: Event) -> None: ...

    return Acme


def states(hub: Hub) -> dict[str, str]:
    return {plugin.name: plugin.state for plugin in hub.plugins}


def reason(hub: Hub, name: str) -> str:
    (found,) = [plugin.reason for plugin in hub.plugins if plugin.name == name]
    return found


def remedy(hub: Hub, name: str) -> str:
    (found,) = [plugin.remedy for plugin in hub.plugins if plugin.name == name]
    return found


def hub_of(config: dict[str, dict[str, Any]] | None = None, **plugins: Any) -> Hub:
    return Hub(config or {}, plugins={"bus": Bus, **plugins}, discover=False)


def order(hub: Hub) -> list[str]:
    return [subscription.plugin for subscription in hub.subscriptions]


def test_a_plugin_is_registered_after_the_one_that_it_needs() -> None:
    hub = hub_of(a=plugin("c"), b=plugin(), c=plugin(), d=plugin("a"))
    assert order(hub) == ["b", "c", "a", "d"]
    assert {*states(hub).values()} == {"loaded"}


def test_without_any_needs_the_order_is_that_of_the_names_and_of_the_program() -> None:
    assert order(hub_of(b=plugin(), a=plugin())) == ["b", "a"]


def test_one_may_follow_another_without_needing_it() -> None:
    assert order(hub_of(a=plugin(after=("b",)), b=plugin())) == ["b", "a"]
    assert order(hub_of(a=plugin(after=("b",)))) == ["a"]


def test_what_it_needs_is_not_installed() -> None:
    hub = hub_of(acme=plugin("buss"))
    assert states(hub)["acme"] == "quarantined"
    assert reason(hub, "acme") == (
        "it needs plugin 'buss', which is not installed; did you mean 'bus'?"
    )
    assert remedy(hub, "acme") == (
        "install the distribution that brings plugin buss, or correct vectis_requires in Acme, "
        "or `vectis plugins disable acme`"
    )
    assert order(hub) == []


def test_what_it_needs_is_in_a_distribution_that_its_own_requires(install: Install) -> None:
    install("acme", "vectis_requires = ('zero',)", requires="acme-zero>=2")
    assert remedy(Hub({}), "acme") == (
        "`pip install acme-zero`, which acme requires, or `vectis plugins disable acme`"
    )


def test_a_plugin_is_not_suggested_instead_of_what_it_needs_itself() -> None:
    assert "did you mean" not in reason(hub_of(acmes=plugin("acme")), "acmes")


def test_what_it_needs_is_disabled() -> None:
    hub = hub_of({"plugins": {"disable": ["other"]}}, acme=plugin("other"), other=plugin())
    assert reason(hub, "acme") == ("it needs plugin other, which is disabled by Hub(config=...)")
    assert remedy(hub, "acme") == (
        "`vectis plugins enable other`, or `vectis plugins disable acme`"
    )
    config = Config.of({}, {"VECTIS_PLUGINS_DISABLE": "other"})
    hub = Hub(config, plugins={"acme": plugin("other"), "other": plugin()}, discover=False)
    assert remedy(hub, "acme").startswith("take other out of VECTIS_PLUGINS_DISABLE, or ")


def test_what_it_needs_is_left_out_by_an_allow_list() -> None:
    hub = hub_of({"plugins": {"enable": ["bus", "acme"]}}, acme=plugin("other"), other=plugin())
    assert reason(hub, "acme").endswith("which is not in the list of Hub(config=...)")


def test_what_it_needs_is_broken_and_so_is_everything_down_the_line(install: Install) -> None:
    install("broken", "raise ValueError('no licence file')")
    install("middle", "vectis_requires = ('broken',)")
    install("outer", "vectis_requires = ['middle']")
    install("bystander", "")
    hub = Hub({})
    for name in ("broken", "middle", "outer"):
        assert states(hub)[name] == "quarantined"
        assert "no licence file" in reason(hub, name)
    assert reason(hub, "middle").startswith("it needs plugin broken (broken 1.0), which is quar")
    assert states(hub)["bystander"] == "loaded"


class Unfit:
    vectis_requires = ()

    @hookimpl
    def vectis_register_handlers(self, hub: Hub) -> None:
        raise ValueError("no licence file")


def test_one_that_fails_late_takes_those_along_that_need_it() -> None:
    hub = hub_of(a=plugin("z"), m=plugin(), z=Unfit)
    assert states(hub) == {"bus": "loaded", "a": "quarantined", "m": "loaded", "z": "quarantined"}
    assert order(hub) == ["m"]
    assert "a" not in dict(hub.manager.list_name_plugin())


def test_a_circle_is_named_by_all_of_its_plugins_and_by_no_other() -> None:
    hub = hub_of(b=plugin("c"), c=plugin("a"), a=plugin("b"), d=plugin("a"), e=plugin())
    for name in ("a", "b", "c"):
        assert "in a circle of plugins" in reason(hub, name)
        assert "a -> b -> c -> a" in reason(hub, name)
        assert remedy(hub, name).endswith(
            "until then `vectis plugins disable a` and `vectis plugins disable b` and "
            "`vectis plugins disable c`"
        )
    assert remedy(hub, "d") == "mend plugin a, or `vectis plugins disable d`"
    assert reason(hub, "d").startswith("it needs plugin a, which is quarantined: it is in a circle")
    assert order(hub) == ["e"]


def test_a_plugin_that_needs_itself_is_a_circle_too() -> None:
    assert "acme -> acme" in reason(hub_of(acme=plugin("acme")), "acme")


def test_two_circles_are_both_named() -> None:
    hub = hub_of(a=plugin("b"), b=plugin("a"), c=plugin(after=("d",)), d=plugin("c"))
    assert "a -> b -> a" in reason(hub, "a")
    assert "c -> d -> c" in reason(hub, "d")
    # c only follows d, so that it works without.
    assert remedy(hub, "d").endswith("`vectis plugins disable d`, which c can do without")


@pytest.mark.parametrize("wrong", ["other", 7, {"other"}, (7,), property(lambda self: ())])
def test_needs_that_are_no_names_in_a_tuple_are_refused(wrong: object) -> None:
    acme = type("Acme", (), {"vectis_requires": wrong})
    hub = hub_of(acme=acme, other=plugin())
    assert states(hub)["acme"] == "quarantined"
    assert 'write the names as a tuple, vectis_requires = ("commerce",)' in reason(hub, "acme")


def test_needs_of_an_object_may_be_its_own() -> None:
    hub = hub_of(acme=SimpleNamespace(vectis_requires=("other",)), other=plugin())
    (acme,) = [plugin for plugin in hub.plugins if plugin.name == "acme"]
    assert (acme.state, acme.requires) == ("loaded", ("other",))


# Starting and ending


def telling(
    log: list[str], name: str, *requires: str, first: bool = False, last: bool = False
) -> Any:
    class Acme:
        vectis_requires = requires

        @hookimpl(tryfirst=first, trylast=last)
        def vectis_startup(self) -> None:
            log.append(f"start {name}")

        @hookimpl
        def vectis_shutdown(self) -> None:
            log.append(f"end {name}")

    return Acme


async def start_and_end(hub: Hub) -> None:
    async with hub:
        pass


def test_what_others_need_starts_before_them_and_ends_after_them() -> None:
    log: list[str] = []
    hub = hub_of(a=telling(log, "a", "c"), b=telling(log, "b"), c=telling(log, "c"))
    asyncio.run(start_and_end(hub))
    assert log == ["start b", "start c", "start a", "end a", "end c", "end b"]


def test_a_start_can_still_ask_to_be_the_first_or_the_last() -> None:
    log: list[str] = []
    hub = hub_of(
        a=telling(log, "a", last=True),
        b=telling(log, "b", last=True),
        c=telling(log, "c"),
        d=telling(log, "d", first=True),
        e=telling(log, "e", first=True),
    )
    asyncio.run(start_and_end(hub))
    assert log[:5] == ["start d", "start e", "start c", "start a", "start b"]


def test_those_that_need_a_plugin_are_found_through_others() -> None:
    hub = hub_of(a=plugin(), b=plugin("a"), c=plugin("b"), d=plugin())
    assert [plugin.name for plugin in dependents("a", hub.plugins)] == ["b", "c"]
