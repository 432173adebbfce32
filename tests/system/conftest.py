"""What several tests share: a folder for workers, and the wheels of every distribution."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from tests.system.environments import FOLDERS, run
from tests.system.workers import Place

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_TESTING = ("pytest", "hypothesis")


@pytest.fixture(scope="session")
def wheelhouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build our wheels and gather those of what they need, of build backends and testing."""
    house = tmp_path_factory.mktemp("wheelhouse")
    extras = {"vectis-redpanda": "[aiokafka]"}
    ours = [f"./{folder}{extras.get(name, '')}" for name, folder in FOLDERS.items()]
    pip = [sys.executable, "-m", "pip", "wheel", "-q", "-c", "constraints.txt"]
    # With the backend that is here: an environment of its own for each costs three seconds, and
    # installing from a checkout makes one anyway.
    run(*pip, "--no-build-isolation", "-w", house, *ours, "hatchling", "setuptools", *_TESTING)
    return house


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """Give a folder for workers; those that still run afterwards are killed."""
    place = Place(tmp_path)
    yield place
    for worker in place.workers:
        worker.clear()
