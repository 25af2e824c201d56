"""Requests to a Qdrant server: retried when that can help, with every error of the client turned into ours.

A server of several nodes is a name with several addresses, or several addresses. Connecting to a name tries each of its
addresses; of several addresses, the one that answered last is used until it is away.
"""

import random
import time
from collections.abc import Callable
from typing import TypeVar

import httpx
from qdrant_client import QdrantClient
from qdrant_client.common.client_exceptions import QdrantException, ResourceExhaustedResponse
from qdrant_client.http.exceptions import ApiException, ResponseHandlingException, UnexpectedResponse

from retrieval.errors import IndexLostError, IndexRefusedError, IndexUnavailableError, RetryPolicy

T = TypeVar("T")

# Besides these the client raises ValueError for an answer that is not JSON or does not fit its model, and
# AssertionError for an answer without a result.
_CLIENT_ERRORS = (ApiException, QdrantException, ValueError, AssertionError)
_BUSY_STATUSES = frozenset({408, 429, 500, 502, 503, 504})
_UNREACHABLE_STATUSES = frozenset({502, 503, 504})
_AUTH_STATUSES = frozenset({401, 403})  # a wrong key says nothing about the request
_CONNECTION_ERRORS = (httpx.TimeoutException, httpx.NetworkError, httpx.RemoteProtocolError)
_DETAIL_CHARS = 500
# Two packets that ask for a connection are lost before a machine counts as away.
_CONNECT_SECONDS = 4.0
# Words of a cluster's answers 500 while one of its nodes is away or is being made good from another.
_REPLICA_ERRORS = ("failed to apply operation", "active replica", "read operations failed")


class UnfinishedWriteError(Exception):
    """The server has not done a write yet; the text completes the sentence "The vector server …"."""


class QdrantConnection:
    """One client for all threads of a process; made after a fork, never carried over one."""

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None,
        timeout_seconds: int,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Set up the client without sending anything. `timeout_seconds` is for requests that name none.

        Over `http` an API key can be read on the way: use `https`, or a network of your own.
        """
        self.url = url
        self._sleep = sleep
        self._clients = [_build_client(address, api_key, timeout_seconds) for address in parse_addresses(url)]
        # Processes begin at different nodes, so that no node is asked by all.
        self._at = random.randrange(len(self._clients))

    def call(
        self, request: Callable[[QdrantClient], T], retries: RetryPolicy, *, again_on: frozenset[int] = frozenset()
    ) -> T:
        """Return the result of `request`. Raises `IndexUnavailableError` when the server refuses or stays away.

        Each attempt goes from one address to the next until one is not away. Lost connections, timeouts, answers that
        say "busy" and statuses in `again_on` are retried, so a request must be safe to repeat.
        """
        for wait in retries.iter_waits():
            try:
                return self._try_addresses(request)
            except UnfinishedWriteError:
                self._sleep(wait)
            except _CLIENT_ERRORS as error:
                if not _is_transient(error, again_on):
                    raise self._convert_error(error) from error
                asked = error.retry_after_s if isinstance(error, ResourceExhaustedResponse) else 0
                self._sleep(max(wait, min(asked, retries.longest_wait_seconds)))
        return self.call_once(request)

    def call_once(self, request: Callable[[QdrantClient], T]) -> T:
        """Return the result of `request` as `call` does, without a second attempt."""
        try:
            return self._try_addresses(request)
        except UnfinishedWriteError as error:
            raise IndexUnavailableError(
                f"The vector server at {self.url} {error}.",
                hint="It is overloaded, or one of its nodes is being made good from another: try again later; writing "
                "twice does no harm.",
            ) from error
        except _CLIENT_ERRORS as error:
            raise self._convert_error(error) from error

    def call_each_address(self, request: Callable[[QdrantClient], T], retries: RetryPolicy) -> list[T]:
        """Return the results of `request` from every address that answers. Raises `IndexUnavailableError` if none does.

        Of several addresses, each is asked once: one that is away is left out.
        """
        if len(self._clients) == 1:
            return [self.call(request, retries)]
        found: list[T] = []
        for client in self._clients:
            try:
                found.append(request(client))
            except _CLIENT_ERRORS as error:
                if not _is_unreachable(error):
                    raise self._convert_error(error) from error
                last = error
        if not found:
            raise self._convert_error(last) from last
        return found

    def close(self) -> None:
        for client in self._clients:
            client.close()

    def _try_addresses(self, request: Callable[[QdrantClient], T]) -> T:
        for others in reversed(range(len(self._clients))):
            at = self._at
            try:
                return request(self._clients[at])
            except (UnexpectedResponse, ResponseHandlingException) as error:
                # guard: next-qdrant-address
                if not _is_unreachable(error):
                    raise
                self._at = (at + 1) % len(self._clients)
                if not others:
                    raise
        raise AssertionError("a server has an address")

    def _convert_error(self, error: Exception) -> IndexUnavailableError:
        if isinstance(error, UnexpectedResponse):
            # guard: lost-index-collection
            if _is_missing_collection(error):
                return IndexLostError("The vector server does not have the index's collection.")
            detail = f"The vector server at {self.url} answered {error.status_code}: {_extract_message(error)}"
            status = error.status_code or 0
            refused = 400 <= status < 500 and status not in _BUSY_STATUSES | _AUTH_STATUSES
            kind = IndexRefusedError if refused else IndexUnavailableError
            return kind(detail, hint=_REPLICA_HINT if _is_replica_error(error) else self._get_status_hint(status))
        if isinstance(error, ResourceExhaustedResponse):
            return IndexUnavailableError(f"The vector server at {self.url} takes no more requests now: {error}")
        cause = error.source if isinstance(error, ResponseHandlingException) else error
        reason = " ".join(f"{type(cause).__name__}: {cause}".split())[:_DETAIL_CHARS]
        if isinstance(cause, httpx.TransportError):
            ready = " and ".join(f"`curl {address}/readyz`" for address in parse_addresses(self.url))
            return IndexUnavailableError(
                f"The vector server at {self.url} does not answer ({reason}).",
                hint=f"See that Qdrant runs and can be reached from this machine: {ready}; if the "
                "address is wrong, correct LEADLINE_QDRANT_URL.",
            )
        return IndexUnavailableError(
            f"What answers at {self.url} does not answer as a Qdrant server does ({reason}).",
            hint="See what listens there, and that LEADLINE_QDRANT_URL names Qdrant's REST port (6333).",
        )

    def _get_status_hint(self, status: int) -> str | None:
        if status in (401, 403):
            return "Check LEADLINE_QDRANT_API_KEY: it must be a key that may read and write."
        if status == 404:
            return "The chunk's document was deleted meanwhile."
        if status == 507:
            return f"Free or add disk on the vector server at {self.url}; nothing that was answered is lost."
        if 400 <= status < 500 and status not in _BUSY_STATUSES:
            return "If it names a limit, raise it in the collection's strict mode; otherwise report it with this text."
        return None


_REPLICA_HINT = (
    "A node of the vector server is away, or is being made good from another; what waits goes on when it is back. If "
    "writes stop whenever one node is away, set LEADLINE_QDRANT_WRITE_CONSISTENCY below the number of replicas."
)


def parse_addresses(url: str) -> list[str]:
    """Return the addresses that a setting names, with commas between them."""
    return [address.strip().rstrip("/") for address in url.split(",") if address.strip()]


def _build_client(address: str, api_key: str | None, timeout_seconds: int) -> QdrantClient:
    return QdrantClient(
        url=address,
        timeout=timeout_seconds,
        # With `api_key=` the client would send the same, but warn at each start where the network is private.
        headers={"api-key": api_key} if api_key else {},
        # The check is a thread that can only warn; `prepare` refuses an old server with an error.
        check_compatibility=False,
        event_hooks={"request": [_shorten_connect_timeout]},
    )


def _shorten_connect_timeout(request: httpx.Request) -> None:
    """Wait for a connection for less time than for an answer, so that the next address is tried soon."""
    limits = request.extensions.get("timeout", {})
    limits["connect"] = min(limits.get("connect") or _CONNECT_SECONDS, _CONNECT_SECONDS)


def _is_replica_error(error: UnexpectedResponse) -> bool:
    said = _extract_message(error).lower()
    return error.status_code == 500 and any(words in said for words in _REPLICA_ERRORS)


def _is_missing_collection(error: UnexpectedResponse) -> bool:
    said = _extract_message(error).lower()
    return error.status_code == 404 and "collection" in said and "doesn't exist" in said


def _is_unreachable(error: Exception) -> bool:
    """True if another node may answer what this one cannot."""
    if isinstance(error, UnexpectedResponse):
        return error.status_code in _UNREACHABLE_STATUSES or _is_replica_error(error)
    return isinstance(error, ResponseHandlingException) and isinstance(error.source, _CONNECTION_ERRORS)


def _extract_message(error: UnexpectedResponse) -> str:
    """Return the server's own words, cut to a readable length."""
    try:
        text = str(error.structured()["status"]["error"])
    except (ValueError, KeyError, TypeError):
        text = error.content.decode("utf-8", "replace").strip() or error.reason_phrase
    return " ".join(text.split())[:_DETAIL_CHARS]


def _is_transient(error: Exception, again_on: frozenset[int]) -> bool:
    """True if the same request may succeed in a moment."""
    if isinstance(error, UnexpectedResponse):
        return error.status_code in _BUSY_STATUSES or error.status_code in again_on
    if isinstance(error, ResponseHandlingException):
        return isinstance(error.source, _CONNECTION_ERRORS)
    return isinstance(error, ResourceExhaustedResponse)
