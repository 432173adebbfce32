"""What one node of Kafka is told: its listeners and its `server.properties`, as data and text."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from tests.kafka.ports import HOST, free_port

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

__all__ = ["CONTROLLER", "PLAIN", "Listener", "Node", "nodes"]

CONTROLLER = "CONTROLLER"


@attrs.frozen
class Listener:
    """One way into a broker.

    Args:
        name: What it is called, `PLAINTEXT` for instance.
        protocol: Kafka's name of the security protocol.
        advertised: The port that clients are told to use, when it is not the listener's own: a
            proxy's. Clients follow what a broker advertises, wherever they dialled first.
        settings: Kafka's settings of this listener alone.
    """

    name: str
    protocol: str = "PLAINTEXT"
    advertised: int | None = None
    settings: Mapping[str, str] = attrs.field(factory=dict, repr=False)


PLAIN = Listener("PLAINTEXT")
"""Without encryption and without passwords; brokers speak to each other through it."""


@attrs.frozen
class Node:
    """One node: broker and controller in one process.

    Args:
        id: From 1.
        ports: By the name of the listener.
        listeners: Besides the controller's.
        voters: Of the quorum, as Kafka writes them.
        settings: Kafka's settings that differ from ours.
    """

    id: int
    ports: Mapping[str, int]
    listeners: Sequence[Listener]
    voters: Sequence[str]
    settings: Mapping[str, str] = attrs.field(repr=False)

    def address(self, listener: str) -> str:
        """Return `host:port` by which clients reach a listener, through its proxy if it has one."""
        (found,) = [one for one in self.listeners if one.name == listener]
        return f"{HOST}:{found.advertised or self.ports[listener]}"

    def properties(self, data: Path) -> str:
        """Return the text of `server.properties`.

        Args:
            data: The folder that the node keeps its records in.
        """
        every = {**self._settings(), "log.dirs": str(data), **self.settings}
        for listener in self.listeners:
            prefix = f"listener.name.{listener.name.lower()}."
            every |= {f"{prefix}{key}": value for key, value in listener.settings.items()}
        return "".join(f"{key}={value}\n" for key, value in every.items())

    def _settings(self) -> dict[str, str]:
        copies = str(len(self.voters))
        enough = str(len(self.voters) // 2 + 1)
        protocols = {one.name: one.protocol for one in self.listeners} | {CONTROLLER: "PLAINTEXT"}
        return {
            "process.roles": "broker,controller",
            "node.id": str(self.id),
            "controller.quorum.voters": ",".join(self.voters),
            "controller.listener.names": CONTROLLER,
            "inter.broker.listener.name": PLAIN.name,
            "listeners": ",".join(f"{name}://{HOST}:{port}" for name, port in self.ports.items()),
            "advertised.listeners": ",".join(
                f"{one.name}://{self.address(one.name)}" for one in self.listeners
            ),
            "listener.security.protocol.map": ",".join(
                f"{name}:{protocol}" for name, protocol in protocols.items()
            ),
            # Whoever misspells a topic is told so.
            "auto.create.topics.enable": "false",
            "num.partitions": "4",
            "default.replication.factor": copies,
            "min.insync.replicas": enough,
            "offsets.topic.replication.factor": copies,
            "transaction.state.log.replication.factor": copies,
            "transaction.state.log.min.isr": enough,
            # Fifty each by default, which takes seconds to make.
            "offsets.topic.num.partitions": "4",
            "transaction.state.log.num.partitions": "4",
            # A group is there at once, and members may be given up early in a test.
            "group.initial.rebalance.delay.ms": "0",
            "group.min.session.timeout.ms": "500",
            # A node that was killed loses its partitions after 3 seconds rather than 9.
            "broker.session.timeout.ms": "3000",
            "broker.heartbeat.interval.ms": "500",
            # Compaction looks for work all the time, not every 15 seconds.
            "log.cleaner.backoff.ms": "50",
            # With 128 MB ready for compaction a small heap is half gone.
            "log.cleaner.dedupe.buffer.size": "4194304",
        }


def nodes(
    count: int, listeners: Sequence[Listener], settings: Mapping[str, str]
) -> tuple[Node, ...]:
    """Return nodes of one cluster, on ports that are free now."""
    names = [*(one.name for one in listeners), CONTROLLER]
    ports = [{name: free_port() for name in names} for _ in range(count)]
    voters = [f"{id}@{HOST}:{own[CONTROLLER]}" for id, own in enumerate(ports, 1)]
    return tuple(Node(id, own, listeners, voters, settings) for id, own in enumerate(ports, 1))
