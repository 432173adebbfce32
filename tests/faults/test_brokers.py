"""Brokers that die, stop and lose their connections while events are published and handled.

Nothing acknowledged is lost, every call that publishes returns or raises within its deadline, and
the workers come back by themselves: no process of a scenario is started anew.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from tests.faults.broker_scene import BrokerScene
from tests.faults.orders import plan, publications
from tests.faults.site import FAULTS, site_in
from tests.faults.size import FULL
from tests.faults.stage import TOPIC
from tests.faults.trace import sent_in
from vectis_commerce.demo import ledger
from vectis_commerce.demo.check import reckon
from vectis_commerce.demo.orders import read_orders
from vectis_commerce.events import INVENTORY, ORDERS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path
    from random import Random

    from tests.faults.site import Site
    from tests.faults.stage import Process
    from tests.kafka.cluster import Cluster

HANDLERS = "vectis_commerce.demo.consumer"
TIMES = 5 if FULL else 1
# Seconds: in full beyond the session of a member, and always beyond the deadline of a call.
LONGEST = 20.0 if FULL else 2.5
SEQUENCES = {"mixed": FAULTS} | ({one: (one,) * TIMES for one in FAULTS} if FULL else {})


@pytest.fixture
def site(kafka_jars: Path, tmp_path: Path) -> Iterator[Site]:
    with site_in(tmp_path / "broker", kafka_jars) as site:
        yield site


@pytest.fixture
def ending() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def begin(scene: BrokerScene) -> tuple[Process, list[Process]]:
    """Have two workers and a publisher at work."""
    workers = [scene.worker(), scene.worker()]
    scene.until_at_work(*workers)
    publisher = scene.insistent()
    scene.until_more()
    return publisher, workers


def suffer(scene: BrokerScene, fault: AbstractContextManager[None], seconds: float) -> None:
    """Have something happen for a while, and see that work goes on afterwards."""
    with fault:
        time.sleep(seconds)  # no condition to wait for: it lasts as long as it lasts
    scene.until_more()


def visit(scene: BrokerScene) -> None:
    """Have a third worker join, take its part, and leave in good order."""
    third = scene.worker()
    scene.until_at_work(third)
    scene.until_more()
    assert third.stop() == 0, third.said()
    scene.until_more()


def conclude(scene: BrokerScene, publisher: Process, workers: list[Process]) -> None:
    """Have everything handled, and hold the history against what was promised."""
    scene.enough()
    scene.until(lambda: publisher.popen.poll() == 0, "for the publisher")
    scene.until_nothing_is_left()
    assert [worker.stop() for worker in workers] == [0, 0], scene.said()
    findings = scene.findings(scene.publications())
    assert not findings.problems, findings


def scene_at(site: Site, folder: Path, ending: ExitStack) -> BrokerScene:
    folder.mkdir()
    scene = BrokerScene(folder, site.servers, site.broker.servers, copies=1)
    ending.callback(scene.clear)
    return scene


@pytest.mark.parametrize("faults", SEQUENCES.values(), ids=SEQUENCES)
def test_faults_one_after_another(
    site: Site, tmp_path: Path, ending: ExitStack, random: Random, faults: tuple[str, ...]
) -> None:
    scene = scene_at(site, tmp_path / "scene", ending)
    publisher, workers = begin(scene)
    for number, fault in enumerate(random.sample(faults, k=len(faults))):
        seconds = random.uniform(0, LONGEST) if number else LONGEST
        print(f"{fault} for {seconds:.1f} s")
        suffer(scene, getattr(site, fault)(), seconds)
    visit(scene)
    conclude(scene, publisher, workers)
    assert site.proxy.accepted > len(scene.processes), "clients came through the proxy"


def test_leaders_that_die(
    cluster: Cluster, tmp_path: Path, ending: ExitStack, random: Random
) -> None:
    scene = BrokerScene(tmp_path, cluster.servers, cluster.servers, copies=3)
    ending.callback(scene.clear)
    publisher, workers = begin(scene)
    for _ in range(TIMES):
        partition = random.randrange(4)
        leader = cluster.leader(TOPIC, partition)
        leader.kill()
        cluster.leader(TOPIC, partition, after=leader)
        scene.until_more()
        leader.start()
        cluster.until_whole(TOPIC)
    conclude(scene, publisher, workers)


def test_the_ledger_is_exact_when_a_worker_is_killed_and_another_joins(
    site: Site, tmp_path: Path, ending: ExitStack, orders_file: Path, random: Random
) -> None:
    folder = tmp_path / "scene"
    folder.mkdir()
    servers = site.broker.servers
    scene = BrokerScene(folder, servers, servers, copies=1, topics=(INVENTORY, ORDERS))
    ending.callback(scene.clear)
    scene.configure(
        plugins={"enable": ["bus", "commerce", "recorder", "redpanda"]},
        hub={"publish_timeout": 30.0},
    )
    orders = read_orders(orders_file).orders
    planned = plan(orders)
    workers = [scene.worker(HANDLERS), scene.worker(HANDLERS)]
    scene.until_at_work(*workers)
    publisher = scene.publisher(orders_file)
    for moment in sorted(random.uniform(0, 0.8) for _ in range(TIMES)):
        scene.until_finished(int(moment * len(planned)))
        victim = random.randrange(len(workers))
        workers[victim].kill()
        workers[victim] = scene.worker(HANDLERS)
    scene.until(lambda: publisher.popen.poll() == 0, "for the publisher", patience=600)
    scene.until_nothing_is_left()
    scene.until_at_work(*workers)
    assert [worker.stop() for worker in workers] == [0, 0], scene.said()
    findings = scene.findings(publications(planned, sent_in(folder)))
    assert not findings.problems, findings
    reckoning = reckon(orders, (), ledger.read(folder / "ledger.db"))
    assert reckoning.matches, reckoning.differences[:10]
