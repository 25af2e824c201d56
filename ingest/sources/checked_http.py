"""Reads from web servers: from checked addresses, within time and size limits, and never a truncated response."""

import asyncio
import time
import zlib
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx

from ingest.sources.errors import ItemRefusedError, SourceNotPermittedError, SourceRefusedError, SourceUnavailableError
from ingest.sources.port import SourceContext
from ingest.storage.errors import DestinationRejectedError
from ingest.storage.webhooks.destinations import Destinations
from ingest.storage.webhooks.pinned_http import open_client, send_request

# The name by which robots.txt addresses this client.
USER_AGENT = "Leadline"
BLOCK_BYTES = 65_536
# A body may take this many times as long as the first byte of a response.
_BODY_TIMEOUTS = 10
_MAX_TRIES = 3
# Maximum time to wait between two requests. A server that asks for more is tried again in the next sync.
MAX_WAIT_SECONDS = 60.0
# Statuses of servers that are overloaded for now (RFC 6585, RFC 9110), and of gateways in front of them.
_BUSY = frozenset({429, 503})
_DISCONNECTED = (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError)
_T = TypeVar("_T")


class Reply:
    """The status and headers of a response whose body has not been read yet."""

    def __init__(self, url: str, response: httpx.Response, run: Callable[[Coroutine[Any, Any, None]], None]) -> None:
        self.url = url
        self.status = response.status_code
        self.headers = response.headers
        self._response = response
        self._run = run

    @property
    def media_type(self) -> str:
        return str(self.headers.get("content-type", "")).partition(";")[0].strip().lower()

    @property
    def modified_at(self) -> float | None:
        return parse_http_date(self.headers.get("last-modified", ""))

    def save(self, path: Path, max_bytes: int) -> None:
        """Write the body to a file. Raises `ItemRefusedError` if the body is too large or its encoding is unknown."""
        announced = self.headers.get("content-length", "")
        if announced.isdecimal() and int(announced) > max_bytes:
            raise ItemRefusedError(f"{self.url} announces {int(announced):,} bytes; at most {max_bytes:,} are read.")
        with path.open("wb") as file:
            self._run(self._copy_body(file.write, max_bytes))

    async def _copy_body(self, write: Callable[[bytes], int], max_bytes: int) -> None:
        size = 0
        async for block in self._iter_decoded_blocks():
            size += len(block)
            if size > max_bytes:
                raise ItemRefusedError(f"{self.url} has more than {max_bytes:,} bytes, which is the limit.")
            write(block)

    async def _iter_decoded_blocks(self) -> AsyncIterator[bytes]:
        encoding = self.headers.get("content-encoding", "identity").strip().lower()
        raw = self._response.aiter_raw(BLOCK_BYTES)
        if encoding == "identity":
            async for block in raw:
                yield block
        elif encoding == "gzip":
            # httpx would decode a whole block at once, which may expand a thousandfold.
            inflater = zlib.decompressobj(wbits=31)
            async for block in raw:
                for part in iter_inflated(inflater, block, self.url):
                    yield part
            if not inflater.eof:
                raise SourceUnavailableError(f"The response of {self.url} is incomplete.")
        else:
            raise ItemRefusedError(f"{self.url} has the content encoding {encoding!r}, which was not asked for.")


@dataclass(frozen=True)
class _Request:
    method: str
    url: str
    headers: Mapping[str, str]
    content: bytes | None


class CheckedHttp:
    """Sends requests one after the other. `headers` are sent with each.

    Each host has a client of its own, because connections are kept alive: see `open_client`.
    """

    def __init__(
        self,
        destinations: Destinations,
        *,
        timeout_seconds: float,
        headers: Mapping[str, str] | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._destinations = destinations
        self._seconds = timeout_seconds
        self._headers = {"Accept-Encoding": "gzip", **(headers or {})}
        self.sleep = sleep
        self._runner = asyncio.Runner()
        self._clients: dict[str, httpx.AsyncClient] = {}

    @contextmanager
    def open(
        self, url: str, headers: Mapping[str, str] | None = None, content: bytes | None = None, *, method: str = ""
    ) -> Iterator[Reply]:
        """Send a request, and repeat it if the server is busy. Redirects are not followed.

        A request must change nothing on the server, whatever its method.

        Raises `SourceUnavailableError` if the server does not respond, and `SourceRefusedError` if the address is not
        allowed.
        """
        method = method or ("GET" if content is None else "POST")
        request = _Request(method, url, {**self._headers, **(headers or {})}, content)
        response = self._send(request)
        try:
            yield Reply(url, response, lambda reading: self._run(url, reading, self._seconds * _BODY_TIMEOUTS))
        finally:
            self._run(url, response.aclose(), self._seconds)

    def close(self) -> None:
        for client in self._clients.values():
            self._runner.run(client.aclose())
        self._clients.clear()
        self._runner.close()

    def _send(self, request: _Request) -> httpx.Response:
        url = request.url
        for attempt in range(1, _MAX_TRIES + 1):
            try:
                response = self._run(url, self._send_once(request), self._seconds)
            except SourceUnavailableError as error:
                # The server may have closed an idle connection just as it was used again.
                if attempt == _MAX_TRIES or not isinstance(error.__cause__, _DISCONNECTED):
                    raise
                continue
            if response.status_code not in _BUSY:
                return response
            self._run(url, response.aclose(), self._seconds)
            wait_seconds = _parse_retry_after(response.headers.get("retry-after", ""))
            if attempt == _MAX_TRIES or wait_seconds > MAX_WAIT_SECONDS:
                break
            self.sleep(wait_seconds)
        raise SourceUnavailableError(f"{url} answered with the status {response.status_code}: the server is busy.")

    async def _send_once(self, request: _Request) -> httpx.Response:
        host = urlsplit(request.url).netloc
        if host not in self._clients:
            client = open_client(httpx.create_ssl_context(), limits=httpx.Limits(max_keepalive_connections=1))
            client.timeout = httpx.Timeout(None)  # `_run` limits the time as a whole, httpx only the time of each read.
            self._clients[host] = client
        return await send_request(
            self._clients[host], self._destinations, request.method, request.url, request.headers, request.content
        )

    def _run(self, url: str, work: Coroutine[Any, Any, _T], seconds: float) -> _T:
        try:
            return self._runner.run(_finish_in_time(work, seconds))
        except TimeoutError as error:
            raise SourceUnavailableError(f"{url} did not respond completely within {seconds:g} seconds.") from error
        except DestinationRejectedError as error:
            if isinstance(error.__cause__, OSError):
                raise SourceUnavailableError(error.detail) from error
            raise SourceRefusedError(error.detail, hint=error.hint) from error
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            raise SourceUnavailableError(f"{url} could not be reached: {error!r}.") from error


def check_address(url: str, context: SourceContext) -> None:
    """Check an address without resolving its host. Raises `SourceNotPermittedError`."""
    try:
        context.destinations.check_url(url)
    except DestinationRejectedError as error:
        raise SourceNotPermittedError(error.detail, hint=error.hint) from error


async def _finish_in_time(work: Coroutine[Any, Any, _T], seconds: float) -> _T:
    async with asyncio.timeout(seconds):
        return await work


def iter_inflated(inflater: "zlib._Decompress", block: bytes, url: str) -> Iterator[bytes]:
    """Decompress a block piece by piece, so that a small block cannot fill the memory."""
    while block:
        try:
            yield inflater.decompress(block, BLOCK_BYTES)
        except zlib.error as error:
            raise SourceUnavailableError(f"The compressed content of {url} is damaged.") from error
        block = inflater.unconsumed_tail


def parse_http_date(text: str) -> float | None:
    """Parse a date of an HTTP header, in seconds since 1970. Returns None if it is invalid."""
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, IndexError):
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _parse_retry_after(text: str) -> float:
    """Return the seconds to wait, which servers give as a number or a date. The default is one second."""
    if text.isdecimal() and len(text) < 10:
        return float(text)
    moment = parse_http_date(text)
    return 1.0 if moment is None else max(0.0, moment - datetime.now(UTC).timestamp())
