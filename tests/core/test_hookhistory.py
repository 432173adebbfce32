"""An invented hook grows an argument and loses another, and every plugin ever written goes on.

The page of hooks is in two versions here; the plugins were written for the one or for the other.
"""

from __future__ import annotations

import asyncio
import warnings
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from vectis.core import Hub, hookimpl, loader
from vectis.core.hookhistory import Deprecation, added, deprecated, history
from vectis.core.hookspecs import hookspec
from vectis.core.lifecycle import Lifecycle
from vectis.core.plugins import Plugin


@added("0.1.0")
@hookspec
def vectis_after_invoice(number: str) -> None:
    """Observer. As it was at first."""


def page(*hooks: Any) -> ModuleType:
    made = ModuleType("page")
    vars(made).update(ASSEMBLY=(), TRANSPORT=(), LIFECYCLE=tuple(h.__name__ for h in hooks))
    vars(made).update({hook.__name__: hook for hook in hooks})
    return made


OLD = page(vectis_after_invoice)


def new_page() -> ModuleType:
    @added("0.1.0", total="0.3.0")
    @deprecated("0.4.0", argument="number", instead="invoice.number")
    @hookspec
    def vectis_after_invoice(number: str, invoice: Any, total: str) -> None:
        """Observer. With another argument, and one on its way out."""

    @added("0.1.0")
    @deprecated("0.4.0", instead="vectis_after_invoice")
    @hookspec
    def vectis_invoiced(number: str) -> None:
        """Observer. On its way out as a whole."""

    return page(vectis_after_invoice, vectis_invoiced)


INVOICE = SimpleNamespace(number="2026-7")
GIVEN = {"number": "2026-7", "invoice": INVOICE, "total": "9.99"}
seen: list[tuple[Any, ...]] = []


class Old:
    @hookimpl
    def vectis_after_invoice(self, number: str) -> None:
        seen.append(("old", number))


class New:
    @hookimpl
    async def vectis_after_invoice(self, invoice: Any, total: str) -> None:
        seen.append(("new", invoice.number, total))


class Older:
    @hookimpl(specname="vectis_invoiced")
    async def note(self, number: str) -> None:
        seen.append(("older", number))


def place(page: ModuleType, **plugins: Any) -> tuple[loader.Manager, list[Plugin]]:
    manager = loader.Manager(page)
    made = [
        Plugin(name=name, object=each, distribution=f"acme-{name}", version="1.2")
        for name, each in plugins.items()
    ]
    loader.load(made, manager)
    return manager, made


def call(manager: loader.Manager, hook: str) -> list[tuple[Any, ...]]:
    seen.clear()
    asyncio.run(Lifecycle(manager).observe(hook, GIVEN))
    return list(seen)


def test_a_plugin_from_before_an_argument_was_added_goes_on() -> None:
    with pytest.warns(DeprecationWarning, match="plugin old"):
        manager, plugins = place(new_page(), old=Old, new=New)
    assert [plugin.state for plugin in plugins] == ["loaded", "loaded"]
    assert call(manager, "vectis_after_invoice") == [("new", "2026-7", "9.99"), ("old", "2026-7")]


def test_a_deprecated_argument_is_named_with_the_plugin_and_what_to_use() -> None:
    with pytest.warns(DeprecationWarning, match="plugin old") as caught:
        _, [plugin] = place(new_page(), old=Old)
    sentence = (
        "the argument 'number' of vectis_after_invoice is deprecated since 0.4.0: "
        "use invoice.number"
    )
    assert [str(one.message) for one in caught] == [f"plugin old (acme-old 1.2): {sentence}"]
    assert plugin.outdated == (sentence,)


def test_the_warning_stands_at_the_function_of_the_plugin() -> None:
    with pytest.warns(DeprecationWarning, match="plugin old") as caught:
        place(new_page(), old=Old)
    (one,) = caught
    assert one.filename == __file__
    assert one.lineno == Old.vectis_after_invoice.__code__.co_firstlineno


def test_each_plugin_is_warned_about() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        place(new_page(), one=Old, two=Old)
    assert [str(each.message).split()[1] for each in caught] == ["one", "two"]


def test_a_deprecated_hook_is_still_called_and_named() -> None:
    with pytest.warns(DeprecationWarning, match="plugin older .*: implement vectis_after_invoice$"):
        manager, _ = place(new_page(), older=Older)
    assert call(manager, "vectis_invoiced") == [("older", "2026-7")]


def test_who_uses_nothing_deprecated_is_not_warned() -> None:
    _, [plugin] = place(new_page(), new=New)
    assert plugin.outdated == ()
    _, [plugin] = place(OLD, old=Old)
    assert plugin.outdated == ()


def test_a_plugin_that_is_newer_than_the_core_is_told_what_there_is() -> None:
    _, [plugin] = place(OLD, new=New)
    assert plugin.state == "quarantined"
    assert "offers no argument 'invoice'; it offers (number)" in plugin.reason


def test_a_hook_remembers_its_history() -> None:
    said = history(new_page().vectis_after_invoice)
    assert (said.added, dict(said.arguments)) == ("0.1.0", {"total": "0.3.0"})
    assert said.deprecations == (Deprecation("number", "0.4.0", "invoice.number"),)
    assert history(len).added == ""


def test_no_hook_of_today_makes_anybody_warn() -> None:
    from vectis_bus import Bus

    (plugin,) = Hub({}, plugins={"bus": Bus}, discover=False).plugins
    assert plugin.outdated == ()
