"""Ports for servers that are ended and started again at the same address."""

import os
import random
import socket

# Below those that Linux gives to outgoing connections: one of these could take the port while its server is away, or
# be connected to itself.
_PORTS = range(20_000, 32_000)
# Each process of the suite has ports of its own: what one has chosen, or keeps for a server that is away, is nobody
# else's.
_PROCESSES = 16
_given: set[int] = set()


def free_port() -> int:
    """A port of this machine on which nothing listens now; none is given twice."""
    process = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % _PROCESSES
    while True:
        port = random.choice(_PORTS[process::_PROCESSES])
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in _given:
            _given.add(port)
            return port
