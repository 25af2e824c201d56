"""Send requests to a Qdrant server, retry those that may succeed later, and convert the client's errors to ours.

A server with several nodes is configured as several URLs, or as one name with several addresses. Each attempt to
connect to a name tries all of its addresses. With several URLs, the last one that answered is used until it fails or
hangs.
"""

import random
import time
from collections.abc import Callable, Mapping
from functools import partial
from itertools import zip_longest
from typing import Any, TypeVar

import httpx
from qdrant_client import QdrantClient
from qdrant_client.common.client_exceptions import QdrantException, ResourceExhaustedResponse
from qdrant_client.http.exceptions import ApiException, ResponseHandlingException, UnexpectedResponse

from retrieval.errors import IndexLostError, IndexRefusedError, IndexUnavailableError, RetryPolicy
from retrieval.index.server.qdrant_node import QdrantNode

T = TypeVar("T")

# Exceptions raised by Qdrant's client. Besides its own errors, the client raises ValueError for a response that is not
# JSON or does not fit its model, and AssertionError for a response without a result.
_CLIENT_ERRORS = (ApiException, QdrantException, ValueError, AssertionError)
_BUSY_STATUSES = frozenset({408, 429, 500, 502, 503, 504})
_UNREACHABLE_STATUSES = frozenset({502, 503, 504})
_AUTH_STATUSES = frozenset({401, 403})  # With these statuses, the server rejects the API key, not the request.
_CONNECTION_ERRORS = (httpx.TimeoutException, httpx.NetworkError, httpx.RemoteProtocolError)
_DETAIL_CHARS = 500
# Timeout for connecting, in seconds. It is long enough for a connection to succeed after two lost SYN packets, or after
# one if another node can be tried.
_CONNECT_SECONDS = 4.0
_CONNECT_SECONDS_WITH_OTHERS = 2.0
# Phrases in a cluster's 500 responses while a node is unreachable or being restored from another node.
_REPLICA_ERRORS = ("failed to apply operation", "active replica", "read operations failed")


class UnfinishedWriteError(Exception):
    """The server has not applied a write yet. The error's text completes the sentence "The vector server …"."""


class QdrantConnection:
    """A client that all threads of a process share.

    Create it after a fork, because a child process cannot use its parent's client.
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None,
        timeout_seconds: int,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Set up the client without sending anything. `timeout_seconds` applies to requests without their own timeout.

        An API key sent over `http` can be intercepted, so use `https` or a private network.
        """
        self.url = url
        self._sleep = sleep
        addresses = parse_addresses(url)
        # `api_key=` would send the same header, but it would log a warning about unencrypted connections at each start.
        headers = {"api-key": api_key} if api_key else {}
        # There is no need to find out soon that a node hangs if there is no other.
        self._nodes = [QdrantNode(address, headers) for address in addresses if len(addresses) > 1]
        self._clients = [
            _build_client(address, headers, timeout_seconds, node)
            for address, node in zip_longest(addresses, self._nodes)
        ]
        # Start with a random node in each process, to spread the load.
        self._at = random.randrange(len(self._clients))

    def call(
        self,
        request: Callable[[QdrantClient], T],
        retries: RetryPolicy,
        *,
        retried_statuses: frozenset[int] = frozenset(),
    ) -> T:
        """Call `request` with a client and return its result. Raises `IndexUnavailableError` if it fails.

        Each attempt tries the addresses in turn until one can be reached. Lost connections, timeouts, "busy" responses
        and the statuses in `retried_statuses` are retried, so `request` must be idempotent.
        """
        for wait in retries.iter_delays():
            try:
                return self._try_addresses(request)
            except UnfinishedWriteError:
                self._sleep(wait)
            except _CLIENT_ERRORS as error:
                if not _is_transient_error(error, retried_statuses):
                    raise self._convert_error(error) from error
                asked = error.retry_after_s if isinstance(error, ResourceExhaustedResponse) else 0
                self._sleep(max(wait, min(asked, retries.longest_wait_seconds)))
        return self.call_once(request)

    def call_once(self, request: Callable[[QdrantClient], T]) -> T:
        """Call `request` once, without retries, and return its result."""
        try:
            return self._try_addresses(request)
        except UnfinishedWriteError as error:
            raise IndexUnavailableError(
                f"The vector server at {self.url} {error}.",
                hint="The server is overloaded, or one of its nodes is being restored from another node. Try again "
                "later; repeating a write is safe.",
            ) from error
        except _CLIENT_ERRORS as error:
            raise self._convert_error(error) from error

    def call_each_address(self, request: Callable[[QdrantClient], T], retries: RetryPolicy) -> list[T]:
        """Call `request` at every address, and return the results of those that answer.

        If there are several addresses, each is called once, without retries. Raises `IndexUnavailableError` if none of
        them answers.
        """
        if len(self._clients) == 1:
            return [self.call(request, retries)]
        found: list[T] = []
        for client in self._clients:
            try:
                found.append(request(client))
            except _CLIENT_ERRORS as error:
                if not _is_unreachable_error(error):
                    raise self._convert_error(error) from error
                last = error
        if not found:
            raise self._convert_error(last) from last
        return found

    def close(self) -> None:
        for client in self._clients:
            client.close()
        for node in self._nodes:
            node.close()

    def _try_addresses(self, request: Callable[[QdrantClient], T]) -> T:
        last: Exception = AssertionError("no server address is configured")
        for at in self._choose_addresses():
            try:
                return request(self._clients[at])
            except (UnexpectedResponse, ResponseHandlingException) as error:
                # guard: next-qdrant-address
                if not _is_unreachable_error(error):
                    raise
                self._at = (at + 1) % len(self._clients)
                last = error
        raise last

    def _choose_addresses(self) -> list[int]:
        """Return the positions of the addresses to try, in order. If all nodes hang, each attempt tries one of them."""
        count, first = len(self._clients), self._at
        order = [(first + step) % count for step in range(count)]
        usable = [at for at in order if not self._nodes or not self._nodes[at].is_avoided()]
        return usable or order[:1]

    def _convert_error(self, error: Exception) -> IndexUnavailableError:
        if isinstance(error, UnexpectedResponse):
            # guard: lost-index-collection
            if _is_missing_collection_error(error):
                return IndexLostError("The vector server does not have the index's collection.")
            detail = f"The vector server at {self.url} returned status {error.status_code}: {_extract_message(error)}"
            status = error.status_code or 0
            refused = 400 <= status < 500 and status not in _BUSY_STATUSES | _AUTH_STATUSES
            kind = IndexRefusedError if refused else IndexUnavailableError
            return kind(detail, hint=_REPLICA_HINT if _is_replica_error(error) else self._get_status_hint(status))
        if isinstance(error, ResourceExhaustedResponse):
            return IndexUnavailableError(f"The vector server at {self.url} is not accepting more requests: {error}")
        cause = error.source if isinstance(error, ResponseHandlingException) else error
        reason = " ".join(f"{type(cause).__name__}: {cause}".split())[:_DETAIL_CHARS]
        if isinstance(cause, httpx.TransportError):
            ready = " and ".join(f"`curl {address}/readyz`" for address in parse_addresses(self.url))
            return IndexUnavailableError(
                f"The vector server at {self.url} does not respond ({reason}).",
                hint=f"Check that Qdrant is running and can be reached from this machine: {ready}. If the address is "
                "wrong, correct LEADLINE_QDRANT_URL.",
            )
        return IndexUnavailableError(
            f"The server at {self.url} does not respond like a Qdrant server ({reason}).",
            hint="Check that LEADLINE_QDRANT_URL contains the address of Qdrant's REST port (6333).",
        )

    def _get_status_hint(self, status: int) -> str | None:
        if status in (401, 403):
            return "Check LEADLINE_QDRANT_API_KEY: the key needs read and write access."
        if status == 404:
            return "The chunk's document was deleted in the meantime."
        if status == 507:
            return f"Free disk space on the vector server at {self.url}, or add some. No confirmed write was lost."
        if 400 <= status < 500 and status not in _BUSY_STATUSES:
            return (
                "If the message names a limit, raise that limit in the collection's strict mode. Otherwise, report the "
                "message."
            )
        return None


_REPLICA_HINT = (
    "A node of the vector server is unreachable, or is being restored from another node. Waiting jobs resume once it "
    "is back. If writes stop whenever one node is down, set LEADLINE_QDRANT_WRITE_CONSISTENCY below the number of "
    "replicas."
)


def parse_addresses(url: str) -> list[str]:
    """Split a setting into addresses, which are separated by commas."""
    return [address.strip().rstrip("/") for address in url.split(",") if address.strip()]


def _build_client(
    address: str, headers: Mapping[str, str], timeout_seconds: int, node: QdrantNode | None
) -> QdrantClient:
    options: dict[str, Any] = {}
    if node is not None:
        # As the least specific mount, it leaves the proxies of the environment in effect.
        options["mounts"] = {"all://": node.build_transport()}
    seconds = _CONNECT_SECONDS if node is None else _CONNECT_SECONDS_WITH_OTHERS
    return QdrantClient(
        url=address,
        timeout=timeout_seconds,
        headers=dict(headers),
        # The client's own version check runs in a thread and can only log a warning. If a server is too old, it is
        # rejected when the collection is prepared.
        check_compatibility=False,
        event_hooks={"request": [partial(_shorten_connect_timeout, seconds)]},
        **options,
    )


def _shorten_connect_timeout(seconds: float, request: httpx.Request) -> None:
    """Shorten the connect timeout, so that the next address is tried sooner."""
    limits = request.extensions.get("timeout", {})
    limits["connect"] = min(limits.get("connect") or seconds, seconds)


def _is_replica_error(error: UnexpectedResponse) -> bool:
    said = _extract_message(error).lower()
    return error.status_code == 500 and any(words in said for words in _REPLICA_ERRORS)


def _is_missing_collection_error(error: UnexpectedResponse) -> bool:
    said = _extract_message(error).lower()
    return error.status_code == 404 and "collection" in said and "doesn't exist" in said


def _is_unreachable_error(error: Exception) -> bool:
    """Return whether the node is unreachable, in which case another node may answer the request."""
    if isinstance(error, UnexpectedResponse):
        return error.status_code in _UNREACHABLE_STATUSES or _is_replica_error(error)
    return isinstance(error, ResponseHandlingException) and isinstance(error.source, _CONNECTION_ERRORS)


def _extract_message(error: UnexpectedResponse) -> str:
    """Return the server's own message, truncated to a readable length."""
    try:
        text = str(error.structured()["status"]["error"])
    except (ValueError, KeyError, TypeError):
        text = error.content.decode("utf-8", "replace").strip() or error.reason_phrase
    return " ".join(text.split())[:_DETAIL_CHARS]


def _is_transient_error(error: Exception, retried_statuses: frozenset[int]) -> bool:
    """Return whether the same request may succeed after a short delay."""
    if isinstance(error, UnexpectedResponse):
        return error.status_code in _BUSY_STATUSES or error.status_code in retried_statuses
    if isinstance(error, ResponseHandlingException):
        return isinstance(error.source, _CONNECTION_ERRORS)
    return isinstance(error, ResourceExhaustedResponse)
