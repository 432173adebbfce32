"""Brokers for any test: one that most of them share, and what starts one of a test's own.

VECTIS_TEST_BOOTSTRAP_SERVERS points the same tests at another broker, a Redpanda for instance;
those that need one of their own, to end it or to give it passwords, are skipped then.
Without Java or Maven all of them are skipped; with CI set that is a failure.
"""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING, Any, NoReturn

import attrs
import pytest

from tests.kafka.broker import brokers
from tests.kafka.jars import Missing, fetch, java
from tests.kafka.topics import create_topic, unique_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.kafka.broker import Broker

SERVERS = "VECTIS_TEST_BOOTSTRAP_SERVERS"


@attrs.frozen
class Shared:
    """A broker that other tests use as well, and that nobody may end.

    Args:
        servers: Its bootstrap servers; no encryption, no passwords.
    """

    servers: str


def pytest_collection_finish(session: pytest.Session) -> None:
    """Fetch the jars before the first test: it may take longer than a test is given."""
    names = {name for item in session.items for name in getattr(item, "fixturenames", ())}
    if not names.isdisjoint({"broker", "kafka_jars"}) and SERVERS not in os.environ:
        _jars()


@pytest.fixture(scope="session")
def kafka_jars() -> Path:
    """The jars of a broker that a test may do anything to."""
    if SERVERS in os.environ:
        pytest.skip(f"needs a broker of its own, and {SERVERS} names another")
    found = _jars()
    return _absent(found) if isinstance(found, Missing) else found


@pytest.fixture(scope="session")
def broker(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Shared]:
    """The broker that most tests use, each with topics of its own."""
    elsewhere = os.environ.get(SERVERS)
    if elsewhere:
        yield Shared(elsewhere)
        return
    jars: Path = request.getfixturevalue("kafka_jars")
    with brokers(tmp_path_factory.mktemp("broker"), jars) as (one,):
        yield Shared(one.servers)


@pytest.fixture
def own_broker(kafka_jars: Path, tmp_path: Path) -> Iterator[Broker]:
    """A broker of one test's own, to be killed and paused; it takes three seconds."""
    with brokers(tmp_path / "broker", kafka_jars) as (one,):
        yield one


@pytest.fixture
def new_topic(broker: Shared, request: pytest.FixtureRequest) -> Callable[..., str]:
    """Make a topic on the shared broker and return its name; takes what `create_topic` takes."""

    def make(**options: Any) -> str:
        return create_topic(broker.servers, unique_name(request.node.name), **options)

    return make


@cache
def _jars() -> Path | Missing:
    try:
        java()
        return fetch()
    except Missing as missing:
        return missing


def _absent(reason: Missing) -> NoReturn:
    """Skip, from one place, so that the summary has one line for all of them."""
    if os.environ.get("CI", "").lower() not in ("", "0", "false"):
        pytest.fail(f"{reason}; with CI set nothing is skipped for that", pytrace=False)
    pytest.skip(str(reason))
