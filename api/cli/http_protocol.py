"""uvicorn's HTTP/1.1 protocol, with limits on connections and on request heads."""

import asyncio
import ipaddress
from collections import Counter
from typing import Any, cast

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from api.settings.addresses import Network, get_network_key

_BUSY_BODY = (
    b'{"type":"/problems/service_busy","title":"Service busy","status":503,"code":"service_busy",'
    b'"detail":"%s","hint":"Try again after the number of seconds in Retry-After."}'
)
_BUSY_HEAD = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\nretry-after: 2\r\n"
    b"connection: close\r\ncontent-length: %d\r\n\r\n%s"
)

# Maximum number of connections whose unread bodies are drained at the same time. With this maximum, one read from each
# of these connections blocks the event loop for only a few milliseconds in total.
_MAX_DRAINING = 8
_LENGTHS = {b"content-length", b"transfer-encoding"}


class StrictConnection(h11.Connection):
    """An h11 connection that rejects request heads that allow request smuggling.

    h11 accepts lines that end in a bare LF, folded headers, and `Content-Length` together with `Transfer-Encoding`. A
    proxy may parse these differently, and then sees different requests than this server.
    """

    def next_event(self) -> Any:  # noqa: ANN401 - h11's events and its two sentinels
        if self.their_state is h11.IDLE:
            head = self.trailing_data[0].partition(b"\r\n\r\n")[0]
            # guard: strict-request-lines
            if head.count(b"\n") != head.count(b"\r\n"):
                raise h11.RemoteProtocolError("A header line does not end with CRLF.")
            # guard: folded-headers
            if b"\n " in head or b"\n\t" in head:
                raise h11.RemoteProtocolError("A header is folded over several lines.")
        event = super().next_event()
        # guard: one-body-length
        if isinstance(event, h11.Request) and {name for name, _ in event.headers} >= _LENGTHS:
            raise h11.RemoteProtocolError("The request has both Content-Length and Transfer-Encoding.")
        return event


class Connections:
    """The open connections of a process, limited in total and per address.

    If the total limit is reached, a new connection replaces the one that has been idle longest. Trusted proxies have no
    per-address limit, because a proxy forwards the requests of many clients.
    """

    def __init__(self, max_connections: int, max_per_address: int, trusted_proxies: tuple[Network, ...]) -> None:
        self._most = max_connections
        self._most_of_address = max_per_address
        self._proxies = trusted_proxies
        self._open: dict[BoundedProtocol, str | None] = {}
        self._of_address: Counter[str] = Counter()
        self._waiting: dict[BoundedProtocol, None] = {}  # Idle connections, longest idle time first.
        self._draining: set[BoundedProtocol] = set()

    def add(self, connection: "BoundedProtocol") -> bytes | None:
        """Register a new connection. Returns None, or the reason why the connection must be rejected."""
        key = self._find_limit_key(connection.client[0] if connection.client else None)
        # guard: connections-of-address
        if key is not None and self._of_address[key] >= self._most_of_address:
            return b"This address has reached its limit on open connections."
        if len(self._open) >= self._most:
            idlest = next(iter(self._waiting), None)
            if idlest is None:
                return b"All connections are in use."
            # guard: idle-connections-make-room
            self._close_connection(idlest)
        self._open[connection] = key
        if key is not None:
            self._of_address[key] += 1
        self._waiting[connection] = None
        return None

    def mark_busy(self, connection: "BoundedProtocol") -> None:
        """Mark a connection as processing a request."""
        self._waiting.pop(connection, None)

    def mark_idle(self, connection: "BoundedProtocol") -> None:
        """Mark a connection as idle."""
        if connection in self._open:
            self._waiting[connection] = None

    def try_start_draining(self, connection: "BoundedProtocol") -> bool:
        """Reserve a slot for discarding the rest of a body or a malformed request. Returns False if no slot is free.

        Some clients read the response only after sending the whole body, so the body must be read even after
        the server has responded. Slots are limited, because reading hundreds of such bodies would block the event loop.
        """
        if len(self._draining) >= _MAX_DRAINING:
            return False
        self._draining.add(connection)
        return True

    def stop_draining(self, connection: "BoundedProtocol") -> None:
        """Release the connection's slot for discarding a body, if it has one."""
        self._draining.discard(connection)

    def remove(self, connection: "BoundedProtocol") -> None:
        """Unregister a connection. Does nothing if it is not registered."""
        self.stop_draining(connection)
        self._waiting.pop(connection, None)
        key = self._open.pop(connection, None)
        if key is None:
            return
        self._of_address[key] -= 1
        if not self._of_address[key]:
            del self._of_address[key]

    def _close_connection(self, connection: "BoundedProtocol") -> None:
        self.remove(connection)
        connection.transport.close()

    def _find_limit_key(self, host: str | None) -> str | None:
        """Return the key that groups the connections of one address, or None for a proxy or a Unix socket."""
        try:
            address = ipaddress.ip_address(host or "")
        except ValueError:
            return None
        return None if any(address in proxy for proxy in self._proxies) else get_network_key(str(address))


class BoundedProtocol(H11Protocol):
    """A protocol that responds with 503 when `Connections` is full, and closes slow connections.

    A connection is closed if a request head takes longer than `head_seconds` to arrive, counted from the opening of the
    connection or from the head's first byte. It is also closed if the client is still sending the body `head_seconds`
    after the response.

    What a client sends after a malformed request is discarded for as long. If the connection were closed at once, the
    client's system would report a reset instead of the response.
    """

    bounds: Connections
    head_seconds = 20.0
    _head_timer: asyncio.TimerHandle | None = None
    _is_discarding = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - uvicorn's arguments
        super().__init__(*args, **kwargs)
        self.conn = StrictConnection(h11.SERVER, cast(int, self.config.h11_max_incomplete_event_size))

    def connection_made(self, transport: Any) -> None:  # noqa: ANN401 - of asyncio
        super().connection_made(transport)
        reason = self.bounds.add(self)
        if reason is not None:
            body = _BUSY_BODY % reason
            transport.write(_BUSY_HEAD % (len(body), body))
            transport.close()
            return
        self._start_head_timer()

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing() or self._is_discarding:
            return
        self._start_head_timer()
        super().data_received(data)
        if self.conn.their_state is not h11.SEND_BODY and not self._is_discarding:
            self.bounds.stop_draining(self)
        if self._is_request_in_progress():
            self._cancel_head_timer()
            self.bounds.mark_busy(self)

    def send_400_response(self, msg: str) -> None:
        self._is_discarding = not self._is_request_in_progress() and self.bounds.try_start_draining(self)
        if not self._is_discarding:
            super().send_400_response(msg)
            return
        body = msg.encode()
        headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(body))]
        headers.append((b"connection", b"close"))
        for event in (h11.Response(status_code=400, headers=headers), h11.Data(data=body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.write_eof()  # `head_seconds` later at the latest, the connection is closed.

    def on_response_complete(self) -> None:
        self.cycle.body = bytearray()  # Free the unread body, which would otherwise stay in memory.
        self.bounds.mark_idle(self)
        super().on_response_complete()
        if self._is_request_in_progress():  # The next, pipelined request has already arrived.
            self.bounds.mark_busy(self)
        elif self.conn.their_state is h11.SEND_BODY:
            self._start_head_timer()
            # guard: refused-bodies-unread
            if not self.bounds.try_start_draining(self):
                self.flow.pause_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel_head_timer()
        self.bounds.remove(self)
        super().connection_lost(exc)

    def _is_request_in_progress(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _start_head_timer(self) -> None:
        if self._head_timer is None and not self._is_request_in_progress():
            # guard: head-timeout
            self._head_timer = self.loop.call_later(self.head_seconds, self._close_slow_connection)

    def _cancel_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _close_slow_connection(self) -> None:
        self._head_timer = None
        if not self.transport.is_closing():
            self.transport.close()


def build_protocol_class(connections: Connections, *, head_seconds: float) -> type[H11Protocol]:
    """Build a protocol class with these limits, which the server instantiates for each connection."""
    return type("Bounded", (BoundedProtocol,), {"bounds": connections, "head_seconds": head_seconds})
