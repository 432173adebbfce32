"""The demo on a broker that others use as well: topics and a group of each demo's own.

The topics of the catalogue may hold somebody's orders, or those of an earlier demo. So `[topics]`
in the folder's `vectis.toml` puts others in their place, which nobody had before, and which `vectis
topics create` makes. They stay, for whoever looks around; the broker drops their records in time.
"""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, Any

import attrs

from vectis.core.catalogue import describe
from vectis_commerce.demo.transport import Unusable, environment_of
from vectis_commerce.events import ALL, INVENTORY, ORDERS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vectis_commerce.demo.folder import Folder

__all__ = ["NAME", "USUAL", "Broker"]

USUAL = "localhost:9092"
"""Where a broker on the same machine listens."""

NAME = "vectis-demo"
"""What the names of all topics and groups of demos begin with."""

_PREFIX = "VECTIS_REDPANDA_"
_SERVERS = f"{_PREFIX}BOOTSTRAP_SERVERS"
_NOT_PASSED_ON = f"{_PREFIX}GROUP_INSTANCE_ID"  # it is one process's, and the demo has several
_HANDOVER = 6.0  # seconds; brokers allow no shorter session unless they are told to
_KEPT = 86_400  # seconds

_VECTIS = "from vectis.core.cli import main; raise SystemExit(main())"
_CONFIG = """\
[redpanda]
# Passwords and certificates are not kept here: commands need the variables that the demo had.
bootstrap_servers = {servers}
session_timeout = {handover}  # seconds until the partitions of a killed worker go to another
retention_age = {kept}  # seconds that records were to be kept when the topics were made

# In place of vectis.orders and vectis.inventory, where somebody's own events may be. See them with
#     vectis tail {orders} --from-beginning
[topics]
{topics}
"""


def _new_name() -> str:
    """Return a name that no other demo has; the time in it is for whoever clears up."""
    return f"{NAME}.{datetime.now(UTC):%Y%m%d-%H%M}-{token_hex(2)}"


@attrs.frozen
class Broker:
    """Redpanda or Apache Kafka, which is running already.

    Args:
        broker: The servers, `host:port`, several separated by commas.
        variables: `VECTIS_REDPANDA_*` variables: how to be let in.
        name: What the names of the topics and of the group begin with.
    """

    broker: str
    variables: Mapping[str, str] = attrs.field(factory=dict, repr=False)  # passwords are among them
    name: str = attrs.field(factory=_new_name)
    plugin: str = "redpanda"
    handover: float = _HANDOVER

    @classmethod
    def at(cls, address: str | None, environ: Mapping[str, str]) -> Broker:
        """Return the broker that somebody means.

        Args:
            address: The servers; None: those of the environment, else `USUAL`.
            environ: Its `VECTIS_REDPANDA_*` variables are passed on, files as absolute paths.

        Example:
            >>> from vectis_commerce.demo.broker import Broker
            >>> Broker.at(None, {"VECTIS_REDPANDA_BOOTSTRAP_SERVERS": "one:9092"}).broker
            'one:9092'
            >>> Broker.at(None, {}).broker
            'localhost:9092'
        """
        servers = address or environ.get(_SERVERS) or USUAL
        # A relative path would start at the demo's folder, where its config file is.
        passed_on = {
            name: str(Path(value).absolute()) if value and name.endswith("FILE") else value
            for name, value in environ.items()
            if name.startswith(_PREFIX) and name != _NOT_PASSED_ON
        }
        return cls(servers, {**passed_on, _SERVERS: servers})

    @property
    def facts(self) -> tuple[tuple[str, str], ...]:
        """Where it is, and what the demo is going to leave there."""
        return (("broker", self.broker), ("topics", f"{self.name}.*, which nothing else uses"))

    @property
    def group(self) -> str:
        """The group of this demo's worker."""
        return f"{self.name}.ledger"

    @property
    def topics(self) -> dict[str, list[str]]:
        """The topics of this demo, and the event types of each."""
        topics: dict[str, list[str]] = {}
        for known in map(describe, ALL):
            if known.topic in (ORDERS, INVENTORY):
                topics.setdefault(self._own(known.topic), []).append(known.name)
        return topics

    @property
    def config(self) -> str:
        """The tables `[redpanda]` and `[topics]`."""
        topics = (f"{_text(topic)} = {json.dumps(types)}" for topic, types in self.topics.items())
        return _CONFIG.format(
            servers=_text(self.broker),
            handover=self.handover,
            kept=_KEPT,
            orders=self._own(ORDERS),
            topics="\n".join(topics),
        )

    async def prepare(self, folder: Folder) -> None:
        """Make the topics, as anybody would: with `vectis topics create`, in the folder.

        Raises:
            Unusable: The broker cannot be reached, or does not make them.
        """
        wanted = tuple(self.topics)
        code, said, complained = await self._vectis(folder, "topics", "create", "--json", *wanted)
        answer = _answer(said)
        problems = [*answer.get("failed", {}).values()]
        problems += [f"{topic} is there already" for topic in answer.get("existed", ())]
        if problems or code != 0:
            # Of several topics the same is said.
            why = problems[0] if problems else complained.removeprefix("Error: ")
            raise Unusable(f"--broker {self.broker}: the demo gets no topics of its own: {why}")

    async def _vectis(self, folder: Folder, *arguments: str) -> tuple[int, str, str]:
        """Run a command in the folder; return its exit code, and what it said and complained."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", _VECTIS, *arguments),
            cwd=folder.path,
            env=environment_of(self),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            output = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        said, complained = (text.decode(errors="replace").strip() for text in output)
        assert process.returncode is not None, "its output has ended"
        return process.returncode, said, complained

    def _own(self, topic: str) -> str:
        return f"{self.name}.{topic.rpartition('.')[2]}"


def _answer(said: str) -> dict[str, Any]:
    try:
        answer = json.loads(said)
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)  # which TOML reads as well
