"""What a module registered that then failed to import, and the import that is tried again."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from vectis.core import Hub
from vectis.core.default import default_hub, existing_hub, use_hub
from vectis.core.exceptions import ConfigError
from vectis.core.worker.process import import_handlers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("fresh")

SHOP = """
import builtins

from vectis.core import event_bus, handles, on_event
from vectis.core.default import default_hub
from acme_trial import stock


@handles("order.created")
def marked(event): ...


@on_event("order.created", topic="orders")
def consumes(event_type, payload): ...


def subscribed(event): ...


event_bus.subscribe("order.created", subscribed)
event_bus.subscribe("order.created", stock.reserve)
default_hub().subscribe("order.paid", subscribed)
if not hasattr(builtins, "acme_mended"):
    raise ValueError("half written")
"""
STOCK = """
from vectis.core import event_bus, handles


@handles("order.created")
def counts(event): ...


def reserve(event): ...


event_bus.subscribe("order.paid", reserve)
"""
WHOLE = [
    "app:consumes on order.created",
    "app:counts on order.created",
    "app:marked on order.created",
    "app:reserve on order.created",
    "app:reserve on order.paid",
    "app:subscribed on order.created",
    "app:subscribed on order.paid",
]


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    package = tmp_path / "acme_trial"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "stock.py").write_text(STOCK)
    (package / "shop.py").write_text(SHOP)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "acme_trial.shop"
    for name in [name for name in sys.modules if name.startswith("acme_trial")]:
        del sys.modules[name]


def subscribed() -> list[str]:
    return sorted(map(str, default_hub().subscriptions))


def test_nothing_of_a_module_that_failed_is_kept_and_all_of_those_that_did_not(shop: str) -> None:
    use_hub(Hub({}))
    with pytest.raises(ConfigError, match="half written"):
        import_handlers([shop])
    assert subscribed() == ["app:counts on order.created", "app:reserve on order.paid"]
    use_hub(Hub({}))  # marks are kept for further hubs
    assert subscribed() == ["app:counts on order.created"]


def test_an_import_that_is_tried_again_registers_everything_once(
    shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_hub(Hub({}))
    with pytest.raises(ConfigError):
        import_handlers([shop])
    monkeypatch.setattr("builtins.acme_mended", True, raising=False)
    import_handlers([shop])
    assert subscribed() == WHOLE


def test_what_waits_for_a_hub_is_taken_back_as_well(
    shop: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "acme_trial" / "shop.py"
    source.write_text(SHOP.replace("default_hub().subscribe", "event_bus.subscribe"))
    with pytest.raises(ConfigError):
        import_handlers([shop])
    assert existing_hub() is None
    monkeypatch.setattr("builtins.acme_mended", True, raising=False)
    import_handlers([shop])
    assert subscribed() == WHOLE
