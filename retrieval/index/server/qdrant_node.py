"""Tell a slow request from a node that hangs, such as a stopped process: its system still accepts connections.

A request that waits for a second has its node probed. While the node answers probes, the request may take as long as
its timeout allows. Otherwise, all requests that wait for the node fail at once and can be sent to another node.
"""

import select
import socket
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpcore
import httpx

# How long a request waits before its node is probed, and how long the node has to answer the probe, in seconds. A node
# answers a probe in milliseconds. If it is too busy for that, another node is the better choice.
_PATIENCE_SECONDS = 1.0
_PROBE_SECONDS = 1.0
# How long a node that hangs is avoided, in seconds. It is then the next choice if the node in use fails.
_AVOIDED_SECONDS = 10.0
# The longest time in seconds until a waiting request notices that another request found its node hanging.
_NOTICE_SECONDS = 0.1
# The largest part of a request that is sent at once. It fits into the free space of a socket that can be written to.
_PART_BYTES = 1 << 14
# The defaults of `httpx`.
_MAX_CONNECTIONS, _MAX_IDLE_CONNECTIONS, _IDLE_SECONDS = 100, 20, 5.0


class QdrantNode:
    """One of several addresses of a server, and whether it hangs. Thread-safe."""

    def __init__(self, address: str, headers: Mapping[str, str]) -> None:
        self._url = f"{address}/readyz"
        self._client = httpx.Client(headers=headers, timeout=_PROBE_SECONDS)
        self._probing = threading.Lock()
        self._hung_at: float | None = None

    def is_avoided(self) -> bool:
        return self.hung_since(time.monotonic() - _AVOIDED_SECONDS)

    def hung_since(self, moment: float) -> bool:
        """Return whether a probe failed after a moment of the monotonic clock."""
        return self._hung_at is not None and self._hung_at > moment

    def probe(self) -> None:
        """Find out whether the node answers, unless another thread is doing so. Any response is an answer."""
        if not self._probing.acquire(blocking=False):
            return
        try:
            self._client.get(self._url)
            self._hung_at = None
        except httpx.TransportError:
            self._hung_at = time.monotonic()
        finally:
            self._probing.release()

    def build_transport(self) -> httpx.BaseTransport:
        """Build a transport for requests to the node."""
        return _NodeTransport(
            httpcore.ConnectionPool(
                ssl_context=httpx.create_ssl_context() if self._url.startswith("https:") else None,
                max_connections=_MAX_CONNECTIONS,
                max_keepalive_connections=_MAX_IDLE_CONNECTIONS,
                keepalive_expiry=_IDLE_SECONDS,
                network_backend=_NodeBackend(self),
            )
        )

    def close(self) -> None:
        self._client.close()


class _NodeStream(httpcore.NetworkStream):
    """A connection to a node, which fails soon if the node hangs."""

    def __init__(self, inner: httpcore.NetworkStream, node: QdrantNode) -> None:
        self._inner = inner
        self._node = node

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        self._wait(select.POLLIN, timeout, httpcore.ReadTimeout)
        return self._inner.read(max_bytes, timeout)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for at in range(0, len(buffer), _PART_BYTES):
            self._wait(select.POLLOUT, timeout, httpcore.WriteTimeout)
            self._inner.write(buffer[at : at + _PART_BYTES], timeout)

    def close(self) -> None:
        self._inner.close()

    def start_tls(self, *arguments: Any, **options: Any) -> httpcore.NetworkStream:  # noqa: ANN401
        return _NodeStream(self._inner.start_tls(*arguments, **options), self._node)

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401
        return self._inner.get_extra_info(info)

    def _wait(self, event: int, timeout: float | None, error: type[httpcore.TimeoutException]) -> None:
        """Wait until the connection can be used. Raises `error` after the timeout, or if the node hangs."""
        connection: socket.socket = self._inner.get_extra_info("socket")
        # Bytes that were decrypted already do not show at the socket.
        if event == select.POLLIN and (tls := self._inner.get_extra_info("ssl_object")) and tls.pending():
            return
        poll = select.poll()
        poll.register(connection, event)
        started = time.monotonic()
        probe_at, end = started + _PATIENCE_SECONDS, started + (float("inf") if timeout is None else timeout)
        while not poll.poll(_NOTICE_SECONDS * 1000):
            if self._node.hung_since(started):
                raise error("the node does not answer a probe either")
            if (now := time.monotonic()) >= end:
                raise error("timed out")
            if now >= probe_at:
                self._node.probe()
                probe_at = time.monotonic() + _PATIENCE_SECONDS


class _NodeBackend(httpcore.NetworkBackend):
    def __init__(self, node: QdrantNode) -> None:
        self._node = node
        self._inner = httpcore.SyncBackend()

    def connect_tcp(self, *arguments: Any, **options: Any) -> httpcore.NetworkStream:  # noqa: ANN401
        return _NodeStream(self._inner.connect_tcp(*arguments, **options), self._node)


class _NodeTransport(httpx.BaseTransport):
    """A transport like the one of `httpx`, which does not take a network backend."""

    def __init__(self, pool: httpcore.ConnectionPool) -> None:
        self._pool = pool

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        url = request.url
        with _translate_errors():
            response = self._pool.handle_request(
                httpcore.Request(
                    method=request.method,
                    url=httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
                    headers=request.headers.raw,
                    content=request.stream,
                    extensions=request.extensions,
                )
            )
        assert isinstance(response.stream, Iterable)
        return httpx.Response(
            response.status,
            headers=response.headers,
            stream=_ResponseBody(response),
            extensions=response.extensions,
        )

    def close(self) -> None:
        self._pool.close()


class _ResponseBody(httpx.SyncByteStream):
    def __init__(self, response: httpcore.Response) -> None:
        self._response = response

    def __iter__(self) -> Iterator[bytes]:
        with _translate_errors():
            yield from self._response.iter_stream()

    def close(self) -> None:
        with _translate_errors():
            self._response.close()


@contextmanager
def _translate_errors() -> Iterator[None]:
    """Convert errors of `httpcore` to those of `httpx`, which have the same names."""
    try:
        yield
    except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError) as error:
        raise getattr(httpx, type(error).__name__)(str(error)) from error
