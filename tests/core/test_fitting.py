"""Plugins made for another version of the core are set aside before they are imported."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.requirements import Requirement

from vectis.core import Hub
from vectis.core.distributions import about, installed
from vectis.core.fitting import core_version, unfit

if TYPE_CHECKING:
    from tests.core.conftest import Install
    from vectis.core.plugins import Plugin

numbers = st.integers(min_value=0, max_value=3)
versions = st.lists(numbers, min_size=1, max_size=4).map(lambda parts: ".".join(map(str, parts)))
clauses = st.tuples(st.sampled_from([">=", "<=", "==", ">", "<"]), versions).map("".join)


def made(name: str) -> Plugin:
    (plugin,) = [plugin for plugin in Hub({}).plugins if plugin.name == name]
    return plugin


@pytest.mark.parametrize(
    ("requirement", "version", "fits"),
    [
        ("vectis-core", "0.1.0", True),
        ("vectis-core>=0.1.0", "0.1.0", True),
        ("Vectis_Core >= 0.1, < 0.3", "0.2.9", True),
        ("vectis-core>=0.1,<0.3", "0.3.0", False),
        ("vectis-core==0.1", "0.1.0", True),
        ("vectis-core~=0.1.2", "0.1.1", False),
        ("vectis-core~=0.1.2", "0.1.7", True),
        ("vectis-core==0.1.*", "0.1.7", True),
        ("vectis-core!=0.1.7", "0.1.7", False),
        ("vectis-core (>=0.1)", "0.1.7", True),
        ("vectis-core>=0.1", "0.2.0.dev3", True),
        ("vectis-core>=0.2", "0.2.0rc1", False),
        ('vectis-core>=9; python_version < "3"', "0.1.0", True),
        ('vectis-core>=9; extra == "new"', "0.1.0", True),
        ('vectis-core>=9; python_version > "3"', "0.1.0", False),
        ("vectis-core @ https://example.org/core.whl", "0.1.0", True),
        ("vectis-core-extras>=9", "0.1.0", True),
        ("vectis-core>=9", "", True),  # the core was copied, not installed: nothing is known
    ],
)
def test_a_requirement_is_read_as_pip_reads_it(requirement: str, version: str, fits: bool) -> None:
    assert unfit(["attrs>=23.2", requirement], version) == (None if fits else requirement)


@given(version=versions, specifier=st.lists(clauses, max_size=3).map(",".join))
def test_what_is_compared_without_packaging_is_compared_alike(version: str, specifier: str) -> None:
    requirement = f"vectis-core{specifier}"
    expected = Requirement(requirement).specifier.contains(version, prereleases=True)
    assert (unfit([requirement], version) is None) == expected


def test_a_plugin_for_a_newer_core_is_quarantined_unimported(install: Install) -> None:
    install("acme", "raise SystemExit('imported')", requires="vectis-core>=7.2")
    plugin = made("acme")
    assert plugin.state == "quarantined"
    assert plugin.reason == (
        "it is made for another version of the core: it requires vectis-core>=7.2, and "
        f"vectis-core {core_version()} is installed"
    )
    assert plugin.remedy == (
        f"install a version of acme that is made for vectis-core {core_version()}, or "
        "`vectis plugins disable acme`"
    )
    assert "acme" not in sys.modules


def test_a_plugin_that_fits_is_loaded(install: Install) -> None:
    install("acme", requires=f"vectis-core=={core_version()}")
    assert made("acme").state == "loaded"


def test_a_requirement_that_is_none_is_said_to_be_none(install: Install) -> None:
    install("acme", requires="vectis-core>=>=1")
    assert "Requires-Dist: vectis-core>=>=1 is no requirement" in made("acme").reason


def test_a_disabled_plugin_may_be_for_any_core(install: Install) -> None:
    install("acme", requires="vectis-core>=7.2")
    (plugin,) = [p for p in Hub({"plugins": {"disable": ["acme"]}}).plugins if p.name == "acme"]
    assert plugin.state == "disabled"


def test_the_quarantine_is_logged_like_any_other(
    install: Install, caplog: pytest.LogCaptureFixture
) -> None:
    install("acme", requires="vectis-core>=7.2")
    Hub({})
    assert "plugin acme (acme 1.0) is quarantined: it is made for another" in caplog.text


def test_only_the_headers_of_a_distribution_are_read(install: Install) -> None:
    site = install("acme")
    metadata = site / "acme-1.0.dist-info" / "METADATA"
    headers = "Metadata-Version: 2.1\r\nName: acme\r\nVersion: 1.0\r\nRequires-Dist: one\r\n"
    metadata.write_bytes(f"{headers}\r\nRequires-Dist: two\r\nName: other\r\n".encode())
    found = installed("acme")
    assert found is not None
    assert (found.name, found.version, found.requires) == ("acme", "1.0", ("one",))
    assert installed("acme-of-another-name") is None
    assert about(None).name == ""
