"""PostgreSQL connections that fail soon if the server hangs, as a stopped process does.

Neither `statement_timeout` nor `tcp_user_timeout` helps: the server itself enforces the first, and the system of a
stopped process still acknowledges packets.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.abc import RV, PQGen
from sqlalchemy import Connection, Engine, event

# How long no connection is opened after the server did not respond in time, in seconds.
_PAUSE_SECONDS = 1.0


class ResponseLimit:
    """The seconds that an engine's connections wait for the server. Remembers if the server lately took longer."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._expired_at = float("-inf")

    def require_responsive_server(self) -> None:
        """Raise `psycopg.OperationalError` if the server did not respond in time a moment ago."""
        if time.monotonic() - self._expired_at < _PAUSE_SECONDS:
            raise self._build_error()

    def expire(self) -> psycopg.OperationalError:
        """Record that the server did not respond in time, and return the error to raise."""
        self._expired_at = time.monotonic()
        return self._build_error()

    def _build_error(self) -> psycopg.OperationalError:
        return psycopg.OperationalError(f"no response within {self.seconds:g} seconds")


class WatchedConnection(psycopg.Connection[Any]):
    """A connection that is closed if the server sends nothing for as long as `limit` allows."""

    limit: ResponseLimit | None = None
    extra_seconds = 0.0

    def wait(self, gen: PQGen[RV], interval: float = 0.1, timeout: float | None = None) -> RV:
        return super().wait(self._watch(gen), interval, timeout)

    def _watch(self, gen: PQGen[RV]) -> PQGen[RV]:
        """Pass on the states that `gen` waits for. The driver sends 0 if nothing was ready during an interval."""
        try:
            awaited = next(gen)
            since = time.monotonic()
            while True:
                ready = yield awaited
                if ready:
                    since = time.monotonic()
                elif self.limit and time.monotonic() - since >= self.limit.seconds + self.extra_seconds:
                    self.pgconn.finish()  # The pool replaces connections that are closed.
                    raise self.limit.expire()
                awaited = gen.send(ready)
        except StopIteration as end:
            result: RV = end.value
            return result


def limit_waits(engine: Engine, seconds: float) -> None:
    """Limit how long the engine's connections wait for the server, unless `allow_longer_waits` allows more."""
    limit = ResponseLimit(seconds)

    @event.listens_for(engine, "do_connect")
    def connect(_: object, __: object, arguments: Sequence[str], options: Mapping[str, Any]) -> WatchedConnection:
        limit.require_responsive_server()
        try:
            connection = WatchedConnection.connect(*arguments, **options)
        except psycopg.errors.ConnectionTimeout as error:
            raise limit.expire() from error
        connection.limit = limit
        return connection

    engine.dispose()  # Connections that were opened without a limit are replaced.


@contextmanager
def allow_longer_waits(connection: Connection, seconds: float) -> Iterator[None]:
    """Let the server take this many seconds longer during the block, because statements may wait for locks."""
    driver: Any = connection.connection.driver_connection
    if not isinstance(driver, WatchedConnection):
        yield
        return
    driver.extra_seconds = seconds
    try:
        yield
    finally:
        driver.extra_seconds = 0.0
