"""A small load balancer: it asks its backends whether they are ready, and passes connections on to those that are."""

import itertools
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import httpx

from tests.support.forwarding import Address, Forwarder

_PROBE_SECONDS = 0.25


class Balancer(Forwarder):
    """Passes each connection to one backend, in turn. One that is not ready gets no new ones; those it has go on.

    Where none is ready, or one has just gone, the others are tried, as balancers do. It reads no request, so a
    connection that breaks is the client's to see.
    """

    def __init__(self, ports: Sequence[int]) -> None:
        super().__init__()
        self._ports = tuple(ports)
        self._out = set(ports)
        self._turn = itertools.count()

    def is_in(self, port: int) -> bool:
        with self._lock:
            return port not in self._out

    def targets(self) -> Sequence[Address]:
        with self._lock:
            first = next(self._turn) % len(self._ports)
            turned = self._ports[first:] + self._ports[:first]
            return [("127.0.0.1", port) for port in sorted(turned, key=self._out.__contains__)]

    def probe(self) -> None:
        """Ask each backend; one that is slow to say stays as it is, because it has much to do."""
        for port in self._ports:
            try:
                ready = httpx.get(f"http://127.0.0.1:{port}/health/ready", timeout=5).status_code == 200
            except httpx.TimeoutException:
                continue
            except httpx.TransportError:
                ready = False
            with self._lock:
                self._out = self._out - {port} if ready else self._out | {port}


@contextmanager
def balancing(ports: Sequence[int]) -> Iterator[Balancer]:
    """A balancer over the backends at these ports, which may be down yet."""
    ended = threading.Event()
    with Balancer(ports).running() as balancer:

        def watch() -> None:
            while not ended.wait(_PROBE_SECONDS):
                balancer.probe()

        watching = threading.Thread(target=watch)
        watching.start()
        try:
            yield balancer
        finally:
            ended.set()
            watching.join()
