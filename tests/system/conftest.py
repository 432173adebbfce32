"""The wheels of every distribution, built once for all tests that install them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from tests.system.environments import FOLDERS, run

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def wheelhouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build our wheels and gather those of all dependencies, also of the build backend."""
    house = tmp_path_factory.mktemp("wheelhouse")
    extras = {"vectis-redpanda": "[aiokafka]"}
    ours = [f"./{folder}{extras.get(name, '')}" for name, folder in FOLDERS.items()]
    pip = [sys.executable, "-m", "pip", "wheel", "-q", "-c", "constraints.txt"]
    run(*pip, "-w", house, *ours, "hatchling", "setuptools")
    return house
