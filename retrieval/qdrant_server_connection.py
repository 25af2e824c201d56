"""Requests to a Qdrant server: retried when that can help, with every error of the client turned into ours."""

import time
from collections.abc import Callable
from typing import TypeVar

import httpx
from qdrant_client import QdrantClient
from qdrant_client.common.client_exceptions import QdrantException, ResourceExhaustedResponse
from qdrant_client.http.exceptions import ApiException, ResponseHandlingException, UnexpectedResponse

from retrieval.errors import IndexRefusedError, IndexUnavailableError
from retrieval.retries import RetryPolicy

T = TypeVar("T")

# Besides these the client raises ValueError for an answer that is not JSON or does not fit its model, and
# AssertionError for an answer without a result.
_CLIENT_ERRORS = (ApiException, QdrantException, ValueError, AssertionError)
_BUSY = frozenset({408, 429, 500, 502, 503, 504})
_OPERATORS = frozenset({401, 403})  # a wrong key says nothing about the request
_LOST = (httpx.TimeoutException, httpx.NetworkError, httpx.RemoteProtocolError)
_DETAIL_CHARS = 500


class UnfinishedWriteError(Exception):
    """The server took a write into its log, but did not wait until the write was applied."""


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
        self._client = QdrantClient(
            url=url,
            timeout=timeout_seconds,
            # With `api_key=` the client would send the same, but warn at each start where the network is private.
            headers={"api-key": api_key} if api_key else {},
            # The check is a thread that can only warn; `prepare` refuses an old server with an error.
            check_compatibility=False,
        )

    def call(
        self, request: Callable[[QdrantClient], T], retries: RetryPolicy, *, again_on: frozenset[int] = frozenset()
    ) -> T:
        """Return the result of `request`. Raises `IndexUnavailableError` when the server refuses or stays away.

        Lost connections, timeouts, answers that say "busy" and statuses in `again_on` are retried, so a request must be
        safe to repeat.
        """
        for wait in retries.waits():
            try:
                return request(self._client)
            except UnfinishedWriteError:
                self._sleep(wait)
            except _CLIENT_ERRORS as error:
                if not _passing(error, again_on):
                    raise self._ours(error) from error
                asked = error.retry_after_s if isinstance(error, ResourceExhaustedResponse) else 0
                self._sleep(max(wait, min(asked, retries.longest_wait_seconds)))
        return self.call_once(request)

    def call_once(self, request: Callable[[QdrantClient], T]) -> T:
        """Return the result of `request` as `call` does, without a second attempt."""
        try:
            return request(self._client)
        except UnfinishedWriteError as error:
            raise IndexUnavailableError(
                f"The vector server at {self.url} has not applied a write yet.",
                hint="It is overloaded: try again later; writing twice does no harm.",
            ) from error
        except _CLIENT_ERRORS as error:
            raise self._ours(error) from error

    def close(self) -> None:
        self._client.close()

    def _ours(self, error: Exception) -> IndexUnavailableError:
        if isinstance(error, UnexpectedResponse):
            detail = f"The vector server at {self.url} answered {error.status_code}: {_said(error)}"
            status = error.status_code or 0
            refused = 400 <= status < 500 and status not in _BUSY | _OPERATORS
            kind = IndexRefusedError if refused else IndexUnavailableError
            return kind(detail, hint=self._hint(status))
        if isinstance(error, ResourceExhaustedResponse):
            return IndexUnavailableError(f"The vector server at {self.url} takes no more requests now: {error}")
        cause = error.source if isinstance(error, ResponseHandlingException) else error
        reason = " ".join(f"{type(cause).__name__}: {cause}".split())[:_DETAIL_CHARS]
        if isinstance(cause, httpx.TransportError):
            return IndexUnavailableError(
                f"The vector server at {self.url} does not answer ({reason}).",
                hint=f"See that Qdrant runs and can be reached from this machine: `curl {self.url}/readyz`; "
                "if the address is wrong, correct LEADLINE_QDRANT_URL.",
            )
        return IndexUnavailableError(
            f"What answers at {self.url} does not answer as a Qdrant server does ({reason}).",
            hint="See what listens there, and that LEADLINE_QDRANT_URL names Qdrant's REST port (6333).",
        )

    def _hint(self, status: int) -> str | None:
        if status in (401, 403):
            return "Check LEADLINE_QDRANT_API_KEY: it must be a key that may read and write."
        if status == 404:
            return (
                "If the collection is gone, start again (that makes it) and index the documents again; "
                "if a chunk is, its document was deleted meanwhile."
            )
        if status == 507:
            return f"Free or add disk on the vector server at {self.url}; nothing that was answered is lost."
        if 400 <= status < 500 and status not in _BUSY:
            return "If it names a limit, raise it in the collection's strict mode; otherwise report it with this text."
        return None


def _said(error: UnexpectedResponse) -> str:
    """Return the server's own words, cut to a readable length."""
    try:
        text = str(error.structured()["status"]["error"])
    except (ValueError, KeyError, TypeError):
        text = error.content.decode("utf-8", "replace").strip() or error.reason_phrase
    return text[:_DETAIL_CHARS]


def _passing(error: Exception, again_on: frozenset[int]) -> bool:
    """True if the same request may succeed in a moment."""
    if isinstance(error, UnexpectedResponse):
        return error.status_code in _BUSY or error.status_code in again_on
    if isinstance(error, ResponseHandlingException):
        return isinstance(error.source, _LOST)
    return isinstance(error, ResourceExhaustedResponse)
