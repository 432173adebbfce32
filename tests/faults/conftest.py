"""How large the scenarios are, what they are seeded with, and where they take place.

FAULT_FULL=1 runs them in full, as `nox -s faults` does; FAULT_SEED repeats a run; FAULT_ORDERS
names a file of orders instead of the one that is shipped.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import pytest

from tests.faults.scene import Scene
from tests.faults.size import FULL
from vectis_commerce.demo.orders import shipped_orders

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def full() -> bool:
    """Whether to run everything in full rather than a short selection."""
    return FULL


@pytest.fixture
def random(full: bool, request: pytest.FixtureRequest) -> Random:
    """The only chance in a scenario; a failed test shows its seed."""
    seed = os.environ.get("FAULT_SEED") or (str(time.time_ns()) if full else "7")
    print(f"FAULT_SEED={seed} {request.node.name}")
    return Random(f"{seed} {request.node.name}")


@pytest.fixture
def orders_file() -> Path:
    """The orders that are published."""
    return Path(os.environ.get("FAULT_ORDERS") or shipped_orders())


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """An empty folder with a config, whose processes are gone afterwards."""
    scene = Scene(tmp_path)
    yield scene
    scene.clear()
