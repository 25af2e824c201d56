"""Chooses among the servers of one model, and avoids a failing server for a while.

A conversation stays with one server, whose cache holds the beginning of its prompts, unless that server is busier than
the others: rendezvous hashing (Thaler & Ravishankar, 1998) with bounded loads (Mirrokni, Thorup & Zadimoghaddam, 2018;
their c = 1.25). After a failure, a server is retried after a delay that doubles each time, at first with a single
request.
"""

import hashlib
import threading
from collections.abc import Callable, Collection
from math import ceil

from rlm.llm.metrics import SERVER_OPEN, SERVER_REQUESTS, SERVER_RESTING

_LOAD_FACTOR = 1.25
_FIRST_REST_SECONDS = 1.0
_LONGEST_REST_SECONDS = 30.0


class PooledServer:
    """One server, identified by a number from 1 where its address must stay private."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.in_flight = 0
        self.failures = 0
        self.resting_until = 0.0
        self.last_taken = 0


class ServerAttempt:
    """One request to one server. It must be ended exactly once."""

    def __init__(self, pool: "ServerPool", server: PooledServer) -> None:
        self._pool = pool
        self.server = server
        self._ended = False

    def record_answer(self) -> None:
        """Record that the server has started to answer and is therefore healthy."""
        self._pool.record_answer(self.server)

    def end_attempt(self, outcome: str) -> None:
        """Release the slot of this attempt. `outcome` is `ok`, `given_up` or an error code."""
        if not self._ended:
            self._ended = True
            self._pool.end_request(self.server, outcome)


class ServerPool:
    """The servers of one model.

    Requests choose a server on the event loop; health checks run in threads of their own.
    """

    def __init__(self, model: str, count: int, *, clock: Callable[[], float]) -> None:
        self._model = model
        self._clock = clock
        self._lock = threading.Lock()
        self._taken = 0
        self.servers = tuple(PooledServer(number) for number in range(1, count + 1))
        for server in self.servers:
            self._update_metrics(server)

    def start_attempt(self, affinity: str, tried_servers: Collection[PooledServer] = ()) -> ServerAttempt | None:
        """Return an attempt at the best server that is not in `tried_servers`, or None if no other server is healthy.

        The first attempt always gets a server. If all servers are resting, it gets the server whose rest ends first.
        """
        with self._lock:
            rest = [each for each in self.servers if each not in tried_servers]
            well = [each for each in rest if self._is_healthy(each)]
            if not well and (tried_servers or not rest):
                return None
            server = (
                self._select_best_server(well, affinity) if well else min(rest, key=lambda each: each.resting_until)
            )
            server.in_flight += 1
            self._taken += 1
            server.last_taken = self._taken
            self._update_metrics(server)
            return ServerAttempt(self, server)

    def record_failure(self, server: PooledServer, *, retry_after_seconds: float | None = None) -> None:
        """Stop sending requests to a server for a while.

        The delay is either requested by the server, or doubles with each consecutive failure. Requests that fail
        together count as one failure.
        """
        with self._lock:
            now = self._clock()
            if now >= server.resting_until:
                server.failures += 1
                pause = _FIRST_REST_SECONDS * 2.0 ** min(server.failures - 1, 10)
                server.resting_until = now + min(_LONGEST_REST_SECONDS, pause)
            if retry_after_seconds is not None and retry_after_seconds > 0:
                asked = now + min(retry_after_seconds, _LONGEST_REST_SECONDS)
                server.resting_until = max(server.resting_until, asked)
            self._update_metrics(server)

    def record_answer(self, server: PooledServer) -> None:
        """Record that a server is responding again. This ends its pause."""
        with self._lock:
            server.failures, server.resting_until = 0, 0.0
            self._update_metrics(server)

    def end_request(self, server: PooledServer, outcome: str) -> None:
        """Record that a request to a server has ended."""
        with self._lock:
            server.in_flight -= 1
            self._update_metrics(server)
        SERVER_REQUESTS.labels(self._model, str(server.number), outcome).inc()

    def compute_resting_seconds(self, server: PooledServer) -> float:
        """Return the remaining seconds for which a server gets no requests while other servers are healthy."""
        return max(0.0, server.resting_until - self._clock())

    def _is_healthy(self, server: PooledServer) -> bool:
        # guard: resting-server-gets-nothing
        if self._clock() < server.resting_until:
            return False
        return not server.failures or not server.in_flight  # A failed server is tested with a single request.

    def _select_best_server(self, servers: list[PooledServer], affinity: str) -> PooledServer:
        if not affinity:
            return min(servers, key=lambda each: (each.in_flight, each.last_taken))
        most = ceil(_LOAD_FACTOR * (sum(each.in_flight for each in servers) + 1) / len(servers))
        preferred = sorted(servers, key=lambda each: _compute_rendezvous_score(affinity, each.number), reverse=True)
        return next(each for each in preferred if each.in_flight < most)

    def _update_metrics(self, server: PooledServer) -> None:
        number = str(server.number)
        SERVER_OPEN.labels(self._model, number).set(server.in_flight)
        SERVER_RESTING.labels(self._model, number).set(self._clock() < server.resting_until)


def _compute_rendezvous_score(affinity: str, number: int) -> bytes:
    return hashlib.blake2b(f"{affinity}\0{number}".encode(), digest_size=8).digest()
