"""Ports that are free, and that no connection takes by chance while a broker is away."""

from __future__ import annotations

import random
import socket

__all__ = ["HOST", "free_port"]

HOST = "127.0.0.1"

# Below those that systems give to outgoing connections. A port from there could go to somebody
# while its broker is restarted, and a client that dials a dead one may even reach itself.
RANGE = range(12_000, 32_000)


def free_port() -> int:
    """Return a port that nobody listens on; a moment later somebody may."""
    while True:
        port = random.choice(RANGE)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
        return port
