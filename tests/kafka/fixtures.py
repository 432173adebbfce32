"""Brokers for any test: one that most of them share, and what starts one of a test's own.

VECTIS_TEST_BOOTSTRAP_SERVERS points the same tests at another broker, a Redpanda for instance;
those that need one of their own, to end it or to give it passwords, are skipped then.
Without Java or Maven all of them are skipped; with CI set that is a failure.

Every run of pytest loads this module. What needs aiokafka is imported where it is used, because
that takes a fifth of a second, and some sessions do without aiokafka.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from tests.kafka.broker import brokers
from tests.kafka.jars import Missing, fetch, java
from tests.kafka.tansu import tansu_in
from tests.sharing import is_last_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.kafka.broker import Broker
    from tests.kafka.cluster import Cluster
    from tests.kafka.secured import Secured

SERVERS = "VECTIS_TEST_BOOTSTRAP_SERVERS"
SHARED, OWN = "broker", "kafka_jars"  # the fixtures that all others here are made from
RUNNING = pytest.StashKey[ExitStack]()  # ends the brokers of a session


@attrs.frozen
class Shared:
    """A broker that other tests use as well, and that nobody may end.

    Args:
        servers: Its bootstrap servers; no encryption, no passwords.
        session: Seconds without a sign of life after which it can be told to give up a member.
    """

    servers: str
    session: float = 6.0


def pytest_collection_finish(session: pytest.Session) -> None:
    """Fetch the jars before the first test: it may take longer than a test is given."""
    if SERVERS not in os.environ and any(map(_wants_broker, session.items)):
        _jars()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what cannot run: here and not in a fixture, because then one line tells of all."""
    if not _wants_broker(item):
        return
    if SERVERS in os.environ:
        if OWN in _fixtures(item):
            pytest.skip(f"needs a broker of its own, and {SERVERS} names another")
        return
    missing = _jars()
    if isinstance(missing, Missing):
        if os.environ.get("CI", "").lower() not in ("", "0", "false"):
            pytest.fail(f"{missing}; with CI set nothing is skipped for that", pytrace=False)
        pytest.skip(str(missing))


def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """End the brokers when nobody will ask for them: each idles on a thirtieth of a core."""
    if RUNNING in item.config.stash and is_last_of("brokers", item, nextitem):
        item.config.stash[RUNNING].close()


@pytest.fixture(scope="session")
def running(pytestconfig: pytest.Config) -> Iterator[ExitStack]:
    """What the brokers of a session run in."""
    with ExitStack() as stack:
        pytestconfig.stash[RUNNING] = stack
        yield stack


@pytest.fixture(scope="session")
def kafka_jars() -> Path:
    """What a test starts a broker from that it may do anything to."""
    jars = _jars()
    assert isinstance(jars, Path), "tests are skipped without"
    return jars


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory, running: ExitStack) -> Shared:
    """The broker that most tests use, each with topics of its own."""
    elsewhere = os.environ.get(SERVERS)
    if elsewhere:
        return Shared(elsewhere)
    jars = _jars()
    assert isinstance(jars, Path), "tests are skipped without"
    # As Kafka is by default: the contract of transports publishes to topics that nobody has made.
    settings = {"auto.create.topics.enable": "true"}
    folder = tmp_path_factory.mktemp("broker")
    (one,) = running.enter_context(brokers(folder, jars, settings=settings))
    return Shared(one.servers, session=2.0)


@pytest.fixture(scope="session")
def mortal_broker(
    kafka_jars: Path, tmp_path_factory: pytest.TempPathFactory, running: ExitStack
) -> Broker:
    """What `own_broker` lends from test to test; a start takes three seconds."""
    (one,) = running.enter_context(brokers(tmp_path_factory.mktemp("mortal"), kafka_jars))
    return one


@pytest.fixture
def own_broker(mortal_broker: Broker) -> Broker:
    """A broker that is one test's own while it lasts, to be killed and paused."""
    mortal_broker.restore()
    return mortal_broker


@pytest.fixture(scope="session")
def secured_broker(
    kafka_jars: Path, tmp_path_factory: pytest.TempPathFactory, running: ExitStack
) -> Secured:
    """A broker that asks for passwords and certificates."""
    from tests.kafka.secured import secured

    return running.enter_context(secured(tmp_path_factory.mktemp("secured"), kafka_jars))


@pytest.fixture(scope="module")
def cluster(kafka_jars: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three brokers; a test that ends one starts it again."""
    from tests.kafka.cluster import cluster_of

    with cluster_of(3, tmp_path_factory.mktemp("cluster"), kafka_jars) as three:
        yield three


@pytest.fixture(scope="session")
def tansu(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    """A broker of another make, which needs no Java; see `tests.kafka.tansu` for what it lacks."""
    with tansu_in(tmp_path_factory.mktemp("tansu")) as servers:
        yield Shared(servers)


@pytest.fixture
def new_topic(broker: Shared, request: pytest.FixtureRequest) -> Callable[..., str]:
    """Make a topic on the shared broker and return its name; takes what `create_topic` takes."""
    from tests.kafka.topics import create_topic, unique_name

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


def _wants_broker(item: pytest.Item) -> bool:
    return not {SHARED, OWN}.isdisjoint(_fixtures(item))


def _fixtures(item: pytest.Item) -> list[str]:
    return getattr(item, "fixturenames", [])  # an example in a page or a docstring has none
