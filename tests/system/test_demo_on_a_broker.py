"""`vectis demo --broker` on a real broker: the same orders, nobody else's topics, every way in."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import attrs
import pytest
from aiokafka.admin import AIOKafkaAdminClient

from tests.kafka.leftovers import run
from tests.kafka.secured import PASSWORD, USER
from tests.system.demos import SHIPPED, TOTALS, demo, result_of, shell, totals_of

if TYPE_CHECKING:
    from pathlib import Path

    from tests.kafka.fixtures import Shared
    from tests.kafka.secured import Secured


@attrs.frozen
class Left:
    """What a demo left behind.

    Args:
        result: What it wrote.
        folder: Where it worked.
        topics: Those that the broker has since.
        groups: Likewise.
    """

    result: dict[str, Any]
    folder: Path
    topics: set[str]
    groups: set[str]


def names_on(servers: str) -> tuple[set[str], set[str]]:
    """Return the topics and the groups that a broker has."""

    async def ask() -> tuple[set[str], set[str]]:
        admin = AIOKafkaAdminClient(bootstrap_servers=servers)
        await admin.start()
        try:
            groups = await admin.list_consumer_groups()
            topics = {name for name in await admin.list_topics() if not name.startswith("__")}
            return topics, {name for name, _ in groups}
        finally:
            await admin.close()

    return run(ask())


@pytest.fixture(scope="module")
def left(broker: Shared, tmp_path_factory: pytest.TempPathFactory) -> Left:
    """Run the demo once on the broker that everybody uses."""
    here = tmp_path_factory.mktemp("demo")
    topics, groups = names_on(broker.servers)
    result = result_of("--broker", broker.servers, cwd=here)
    topics_since, groups_since = names_on(broker.servers)
    return Left(result, here / "vectis-demo", topics_since - topics, groups_since - groups)


def test_500_real_orders_arrive_to_the_cent_and_to_the_piece(left: Left, broker: Shared) -> None:
    assert left.result["matches"]
    assert left.result["differences"] == []
    assert totals_of(left.result) == TOTALS
    assert left.result["broker"] == broker.servers
    (letter,) = left.result["dead_letters"]
    assert "not UTF-8" in letter["error"]


def test_it_touches_only_topics_and_groups_of_its_own(left: Left) -> None:
    orders, inventory = left.result["topics"]
    name = orders.removesuffix(".orders")
    assert re.fullmatch(r"vectis-demo\.\d{8}-\d{4}-[0-9a-f]{4}", name)
    assert inventory == f"{name}.inventory"
    assert left.topics == {orders, f"{orders}.dlq", inventory, f"{inventory}.dlq"}
    assert left.groups == {f"{name}.ledger"}


def test_the_commands_work_in_the_folder_that_it_leaves(left: Left, broker: Shared) -> None:
    orders, _ = left.result["topics"]
    explained = shell("vectis explain order.created", left.folder)
    assert f"to {orders} (vectis.toml:" in explained
    assert f"carried by redpanda 0.1.0: brokers {broker.servers}, PLAINTEXT" in explained
    assert "commerce:enter_order" in explained
    assert "not UTF-8" in shell("vectis dlq list", left.folder)
    assert "0 failed" in shell("vectis doctor", left.folder)
    first = shell(f"vectis tail {orders} --from-beginning --limit 1 --type 'order.*'", left.folder)
    assert '"order_id"' in first


def test_of_several_workers_one_is_killed_and_the_others_lose_and_double_nothing(
    broker: Shared, tmp_path: Path
) -> None:
    done = demo("--broker", broker.servers, "--kill-worker", "--processes", "2", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert f"  broker  {broker.servers}" in done.stdout
    assert re.search(r"killed worker 1 of 2 \(SIGKILL\) at [\d,]+ entries", done.stdout)
    assert "the broker waits 6 s for it" in done.stdout
    assert re.search(
        r"A worker was killed .*: "
        r"([\d,]+ redeliveries, all absorbed by the ledger|no redelivery could be provoked)",
        done.stdout,
    )
    for row in TOTALS:
        assert re.search(rf"^  {row} .* 0(\.00)?$", done.stdout, re.MULTILINE)
    assert "Matches: file = ledger + cancelled, to the cent and to the piece." in done.stdout
    assert re.search(rf"The topics vectis-demo\.\S+\.\* stay on {broker.servers}", done.stdout)


def test_variables_let_it_in_where_passwords_and_certificates_are_asked_for(
    secured_broker: Secured, tmp_path: Path
) -> None:
    orders = tmp_path / "orders.jsonl"
    orders.write_text("\n".join(SHIPPED[:30]), encoding="utf-8")
    (tmp_path / "ca.pem").write_bytes(secured_broker.authority.file.read_bytes())
    result = result_of(
        *("--broker", "--orders", orders),
        cwd=tmp_path,
        VECTIS_REDPANDA_BOOTSTRAP_SERVERS=secured_broker.broker.node.address("SASL_SSL"),
        VECTIS_REDPANDA_SECURITY_PROTOCOL="SASL_SSL",
        VECTIS_REDPANDA_SASL_MECHANISM="SCRAM-SHA-512",
        VECTIS_REDPANDA_SASL_USERNAME=USER,
        VECTIS_REDPANDA_SASL_PASSWORD=PASSWORD,
        VECTIS_REDPANDA_SSL_CAFILE="ca.pem",
        VECTIS_CONSUMER_GROUP="somebody-elses",  # no business of the demo
    )
    assert result["matches"]
    assert result["totals"]["orders"]["file"] == "30"
    for path in (tmp_path / "vectis-demo").iterdir():
        assert PASSWORD.encode() not in path.read_bytes()


def test_a_broker_that_cannot_be_reached_is_said_with_exit_code_2(tmp_path: Path) -> None:
    done = demo("--broker", "127.0.0.1:1", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("Error: --broker 127.0.0.1:1: the demo gets no topics of its own")
    assert "nothing listens there" in done.stderr


@pytest.mark.parametrize("address", ["kafka://broker", "one\ntwo"])
def test_what_is_no_address_is_refused_with_exit_code_2(address: str, tmp_path: Path) -> None:
    done = demo("--broker", address, cwd=tmp_path)
    assert done.returncode == 2
    assert re.search(r"is no (server|address)", done.stderr)
    assert "Traceback" not in done.stderr
