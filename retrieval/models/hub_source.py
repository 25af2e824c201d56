"""Model files from a hub over HTTP, resumed where a connection broke."""

import re
import time
from collections.abc import Callable
from pathlib import Path

import httpx

from retrieval.errors import ModelSourceError
from retrieval.models.manifest import Address, HubAddress, ModelFile
from retrieval.models.source import Arrived

_BUSY = frozenset({408, 425, 429, 500, 502, 503, 504})


class HubSource:
    """Fetches a URL with `httpx`, so the usual proxy and certificate variables apply.

    A part is continued only if the server named its content with a strong ETag: `<part>.etag` keeps it, `If-Range`
    sends it back, and a server that has other content by now, or knows no ranges, starts from the first byte.
    Once the hub cannot be reached it is not tried again by this object, so that a machine without one waits
    `connect_timeout_seconds` once and not once a file.
    """

    name = "hub"

    def __init__(
        self,
        *,
        connect_timeout_seconds: float = 5.0,
        read_timeout_seconds: float = 60.0,
        tries: int = 3,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._timeout = httpx.Timeout(read_timeout_seconds, connect=connect_timeout_seconds)
        self._tries = tries
        self._pause = pause
        self._unreachable = ""

    def opens(self, address: Address) -> bool:
        return isinstance(address, HubAddress)

    def scratch_bytes(self, address: Address) -> int:
        return 0

    def deliver(self, file: ModelFile, address: Address, part: Path, arrived: Arrived) -> None:
        """Raises `ModelSourceError` after `tries` requests in a row that brought nothing."""
        if not isinstance(address, HubAddress):
            raise TypeError(f"{type(address).__name__} is no hub address")
        if self._unreachable:
            raise self._failed(file, f"not tried again ({self._unreachable})")
        with httpx.Client(follow_redirects=True, timeout=self._timeout) as client:
            download = _Download(client, file, address.url, part, arrived)
            barren = 0
            while not download.whole:
                before = download.held_bytes()
                reason = self._request(download)
                barren = 0 if download.held_bytes() > before else barren + 1
                if reason and barren == self._tries:
                    raise self._failed(file, reason)
                if reason:
                    self._pause(min(2.0**barren, 10.0))
        etag_beside(part).unlink(missing_ok=True)

    def _request(self, download: "_Download") -> str:
        """One request; returns why it ended early, or "" if it did not. Raises `ModelSourceError` for good."""
        try:
            return download.request()
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError) as error:
            self._unreachable = f"no connection to {error.request.url.host}: {error}"
            raise self._failed(download.file, self._unreachable) from error
        except httpx.HTTPStatusError as error:
            reason = f"answered {error.response.status_code} for {download.url}"
            if error.response.status_code in _BUSY:
                return reason
            raise self._failed(download.file, reason) from error
        except (httpx.NetworkError, httpx.RemoteProtocolError, httpx.TimeoutException) as error:
            return f"the connection broke: {str(error) or type(error).__name__}"
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise self._failed(download.file, str(error) or type(error).__name__) from error

    def _failed(self, file: ModelFile, reason: str) -> ModelSourceError:
        return ModelSourceError(file.name, [(self.name, reason)])


class _Download:
    """One URL on its way into one part; each request goes on from what the part holds."""

    def __init__(self, client: httpx.Client, file: ModelFile, url: str, part: Path, arrived: Arrived) -> None:
        self.file = file
        self.url = url
        self._client = client
        self._part = part
        self._etag = etag_beside(part)
        self._arrived = arrived
        self.whole = self.held_bytes() == file.size_bytes

    def held_bytes(self) -> int:
        """The leading bytes that can be continued."""
        return self._part.stat().st_size if self._part.exists() and self._etag.exists() else 0

    def request(self) -> str:
        """Returns why the content ended early, or "". Raises httpx's errors and `ModelSourceError`."""
        have = self.held_bytes()
        # Identity: a length and a range must count the file's bytes, not those of a compressed form of it.
        headers = {"Accept-Encoding": "identity"}
        if have:
            headers |= {"Range": f"bytes={have}-", "If-Range": self._etag.read_text(encoding="ascii")}
        with self._client.stream("GET", self.url, headers=headers) as response:
            if response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
                self._etag.unlink(missing_ok=True)
                return "could not go on from the part"
            response.raise_for_status()
            start = have if response.status_code == httpx.codes.PARTIAL_CONTENT else 0
            self._require_length(response, start)
            return self._receive(response, start)

    def _receive(self, response: httpx.Response, start: int) -> str:
        got = start
        with self._part.open("ab" if start else "wb") as opened:
            if start == 0:
                self._note_etag(response)
            self._arrived(got)
            # As they arrive: blocks of a fixed size would lose what was gathered for the next one at a break.
            for block in response.iter_bytes():
                got += len(block)
                if got > self.file.size_bytes:
                    raise self._refused("sends more bytes than the manifest names")
                opened.write(block)
                self._arrived(got)
        self.whole = got == self.file.size_bytes
        return "" if self.whole else f"ended after {got:,} bytes"

    def _require_length(self, response: httpx.Response, start: int) -> None:
        """Refuse a sign-in page or another file before it is downloaded."""
        if response.status_code == httpx.codes.PARTIAL_CONTENT:
            stated = response.headers.get("Content-Range", "")
            if not re.fullmatch(rf"bytes {start}-\d+/({self.file.size_bytes}|\*)", stated):
                raise self._refused(f"answered with the range {stated!r} to a request for bytes {start:,} and on")
        elif (length := response.headers.get("Content-Length")) not in {None, str(self.file.size_bytes)}:
            raise self._refused(f"offers {length} bytes where the manifest names {self.file.size_bytes}")

    def _note_etag(self, response: httpx.Response) -> None:
        etag = response.headers.get("ETag", "")
        self._etag.unlink(missing_ok=True)
        if etag.startswith('"') and etag.isascii():
            self._etag.write_text(etag, encoding="ascii")

    def _refused(self, reason: str) -> ModelSourceError:
        self._etag.unlink(missing_ok=True)
        return ModelSourceError(self.file.name, [(HubSource.name, reason)])


def etag_beside(part: Path) -> Path:
    """The file that says which content the leading bytes of `part` are of; without it they are not continued."""
    return part.with_name(f"{part.name}.etag")
