"""What the tests of the core share: distributions that are installed for one test."""

from __future__ import annotations

import sys
from textwrap import dedent
from typing import TYPE_CHECKING, Protocol

import pytest

from vectis.core import marks
from vectis.core.default import use_hub
from vectis.core.marks import Registry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Install(Protocol):
    """Installs a distribution with one module and one entry point."""

    def __call__(
        self,
        name: str,
        source: str | None = "",
        *,
        entry: str = "",
        distribution: str = "",
        requires: str = "",
    ) -> Path: ...


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Install distributions for one test: a module, and an entry point that names it.

    The module is called like the plugin, with underscores; without source there is none.
    """
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))
    before = set(sys.modules)

    def put(
        name: str,
        source: str | None = "",
        *,
        entry: str = "",
        distribution: str = "",
        requires: str = "",
    ) -> Path:
        module = name.replace("-", "_")
        distribution = distribution or name
        if source is not None:
            (site / f"{module}.py").write_text(dedent(source), encoding="utf-8")
        info = site / f"{distribution.replace('-', '_')}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n"
            + f"Requires-Dist: attrs>=23.2\nRequires-Dist: {requires}\n" * bool(requires),
            encoding="utf-8",
        )
        (info / "entry_points.txt").write_text(
            f"[vectis.plugins]\n{name} = {entry or module}\n", encoding="utf-8"
        )
        return site

    yield put
    for added in set(sys.modules) - before:
        if getattr(sys.modules[added], "__file__", None) and str(site) in str(
            sys.modules[added].__file__
        ):
            del sys.modules[added]


@pytest.fixture
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Give a test a default hub and a registry of its own, in a folder without a config file."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(marks, "registry", Registry())
    before = use_hub(None)
    yield
    use_hub(None)
    monkeypatch.undo()
    use_hub(before)
