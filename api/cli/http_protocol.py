"""uvicorn's HTTP/1.1 protocol, with the bounds that it leaves open: connections, and the time that a head may take."""

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

_BODY = (
    b'{"type":"/problems/service_busy","title":"Service busy","status":503,"code":"service_busy",'
    b'"detail":"All connections are taken.","hint":"Connect again after the seconds that Retry-After names."}'
)
_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\nretry-after: 2\r\n"
    b"connection: close\r\ncontent-length: %d\r\n\r\n%s" % (len(_BODY), _BODY)
)


class BoundedProtocol(H11Protocol):
    """Answers 503 above so many connections, and closes those that are too slow.

    Those are a connection whose request head has not come whole within `head_seconds` of the connection's begin or of
    the head's first byte, and one that goes on sending a body for as long after its answer.
    """

    most_connections = 1_000
    head_seconds = 20.0
    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:  # noqa: ANN401 - of asyncio
        super().connection_made(transport)
        if len(self.connections) > self.most_connections:
            transport.write(_FULL)
            transport.close()
            return
        self._expect_head()

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        self._expect_head()
        super().data_received(data)
        if self._is_working():
            self._forget_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget_head()
        super().connection_lost(exc)

    def _is_working(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _expect_head(self) -> None:
        if self._head_timer is None and not self._is_working():
            # guard: head-timeout
            self._head_timer = self.loop.call_later(self.head_seconds, self._give_up)

    def _forget_head(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _give_up(self) -> None:
        self._head_timer = None
        if not self.transport.is_closing():
            self.transport.close()


def bounded_protocol(*, connections: int, head_seconds: float) -> type[H11Protocol]:
    """Return the protocol with these bounds; the server makes one for each connection."""
    return type("Bounded", (BoundedProtocol,), {"most_connections": connections, "head_seconds": head_seconds})
