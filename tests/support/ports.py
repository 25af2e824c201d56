"""Ports for servers that are ended and started again at the same address."""

import random
import socket

# Below those that Linux gives to outgoing connections: one of these could take the port while its server is away, or
# be connected to itself.
_PORTS = range(20_000, 32_000)


def free_port() -> int:
    """A port of this machine on which nothing listens now."""
    while True:
        port = random.choice(_PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
