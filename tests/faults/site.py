"""A broker that faults happen to: it is killed and paused, and its connections are broken."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import attrs

from tests.kafka.broker import brokers
from tests.kafka.node import PLAIN, Listener
from tests.kafka.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.kafka.broker import Broker

__all__ = ["FAULTS", "Site", "site_in"]

PROXIED = "PROXIED"


@attrs.frozen
class Site:
    """A broker and the proxy that its clients come through. Each fault lasts as long as its block.

    Args:
        broker: The broker.
        proxy: The proxy in front of it.
    """

    broker: Broker
    proxy: Proxy

    @property
    def servers(self) -> str:
        """The bootstrap servers, by way of the proxy."""
        return self.broker.node.address(PROXIED)

    @contextmanager
    def killed(self) -> Iterator[None]:
        """The broker is killed, and started again at the end."""
        self.broker.kill()
        yield
        self.broker.start()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """The broker is stopped in its tracks."""
        self.broker.pause()
        yield
        self.broker.resume()

    @contextmanager
    def cut(self) -> Iterator[None]:
        """Every connection breaks, once."""
        self.proxy.cut()
        yield

    @contextmanager
    def refused(self) -> Iterator[None]:
        """Connections break and cannot be made."""
        self.proxy.refuse()
        yield
        self.proxy.accept()

    @contextmanager
    def delayed(self) -> Iterator[None]:
        """Everything takes half a second more, there and back."""
        self.proxy.delay(0.25)
        yield
        self.proxy.delay(0)

    @contextmanager
    def half_open(self) -> Iterator[None]:
        """Connections can be made, and nothing comes through."""
        self.proxy.stall()
        yield
        self.proxy.flow()

    @contextmanager
    def unanswered(self) -> Iterator[None]:
        """The broker does as it is asked, nobody hears of it, and then connections break."""
        self.proxy.stall(answers_only=True)
        yield
        self.proxy.cut()
        self.proxy.flow()


FAULTS = ("killed", "paused", "cut", "refused", "delayed", "half_open", "unanswered")
"""The names of all that can happen."""


@contextmanager
def site_in(folder: Path, jars: Path) -> Iterator[Site]:
    """Start such a broker, and end it afterwards.

    Args:
        folder: Where its folder is made.
        jars: The folder of Kafka's jars.
    """
    with Proxy() as proxy:
        listeners = (PLAIN, Listener(PROXIED, advertised=proxy.port))
        with brokers(folder, jars, listeners=listeners) as (broker,):
            proxy.target = broker.node.ports[PROXIED]
            yield Site(broker, proxy)
