"""A reranker that sends HTTP requests to `/rerank`, as offered by Cohere, Jina and vLLM, or to vLLM's `/score`."""

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from retrieval.bounded_replies import ResponseTooLargeError, build_response_limit_hooks
from retrieval.errors import (
    RerankerError,
    RerankerOutputError,
    RerankerTimeoutError,
    RerankerUnavailableError,
    RetryPolicy,
)
from retrieval.model_text import neutralize_tokens
from retrieval.rerank.port import CorpusSnapshot, require_remaining_seconds

# Retry a request only once and soon, because a user is waiting for the search. The search's deadline must also allow
# the retry.
RETRIES = RetryPolicy(attempts=2, first_wait_seconds=0.05, longest_wait_seconds=0.2)
_BUSY_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})
_CONNECTION_ERRORS = (httpx.NetworkError, httpx.RemoteProtocolError)
# Maximum size of a response, in bytes. This limit is generous, because some servers return the passages with the
# scores.
_MAX_RESPONSE_BYTES = 16 * 1024**2
_DETAIL_CHARS = 300


@dataclass(frozen=True)
class _EndpointFormat:
    """The request fields of an endpoint type, and the location of the scores in its response."""

    members: Callable[[str, Sequence[str]], Mapping[str, Any]]
    entries: str
    score: str


_RERANK_FORMAT = _EndpointFormat(
    lambda query, passages: {"query": query, "documents": list(passages), "top_n": len(passages)},
    entries="results",
    score="relevance_score",
)
_SCORE_FORMAT = _EndpointFormat(
    lambda query, passages: {"text_1": query, "text_2": list(passages)}, entries="data", score="score"
)


class HttpReranker:
    """A client shared by all threads of a process. `url` is the endpoint, or a base URL to which `/rerank` is added.

    The server may insert passages into a chat template, so template tokens in them are neutralized. Requests are
    retried after lost connections and "busy" responses, if the deadline allows it.
    """

    def __init__(
        self,
        url: str,
        model: str,
        *,
        api_key: str | None = None,
        retries: RetryPolicy = RETRIES,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Set up the client without sending anything. Raises `RerankerError` if the address is invalid."""
        self.fingerprint = model
        self._shape = _SCORE_FORMAT if url.rstrip("/").endswith("/score") else _RERANK_FORMAT
        path = "" if url.rstrip("/").endswith(("/score", "/rerank")) else "/rerank"
        self._url = url.rstrip("/") + path
        self._retries = retries
        self._sleep = sleep
        try:
            httpx.URL(self._url)
        except httpx.InvalidURL as error:
            raise RerankerError(f"{url} is not a valid address: {error}.", hint="Correct LEADLINE_RERANKER.") from error
        self._client = httpx.Client(
            headers={"Authorization": f"Bearer {api_key}"} if api_key else {},
            event_hooks=build_response_limit_hooks(_MAX_RESPONSE_BYTES),
        )

    def score_passages(
        self, query: str, passages: Sequence[str], *, deadline: float, corpus: CorpusSnapshot | None = None
    ) -> Sequence[float]:
        if not passages:
            return []
        body = {
            "model": self.fingerprint,
            **self._shape.members(neutralize_tokens(query), [neutralize_tokens(each) for each in passages]),
        }
        return self._parse_scores(self._send_request_with_retries(body, deadline), len(passages))

    def close(self) -> None:
        self._client.close()

    def _send_request_with_retries(self, body: Mapping[str, Any], deadline: float) -> bytes:
        """Send a request with retries, and return the response body."""
        for wait in self._retries.iter_delays():
            try:
                return self._send_request_once(body, deadline)
            except httpx.HTTPError as error:
                if not _is_transient_error(error) or wait >= require_remaining_seconds(deadline):
                    raise self._convert_error(error) from error
                self._sleep(wait)
        try:
            return self._send_request_once(body, deadline)
        except httpx.HTTPError as error:
            raise self._convert_error(error) from error

    def _send_request_once(self, body: Mapping[str, Any], deadline: float) -> bytes:
        """Send a request once, and return the response body. Raises httpx's errors.

        The deadline is also checked while the response is being received.
        """
        try:
            return self._post_request(body, deadline)
        except ResponseTooLargeError as error:
            raise RerankerOutputError(f"The reranker cannot be used: {error}") from error

    def _post_request(self, body: Mapping[str, Any], deadline: float) -> bytes:
        with self._client.stream("POST", self._url, json=body, timeout=require_remaining_seconds(deadline)) as response:
            reply = bytearray()
            for block in response.iter_bytes():
                require_remaining_seconds(deadline)
                reply += block
            if not response.is_success:
                said = " ".join(reply.decode("utf-8", "replace").split())[:_DETAIL_CHARS]
                raise httpx.HTTPStatusError(said, request=response.request, response=response)
        return bytes(reply)

    def _parse_scores(self, content: bytes, passage_count: int) -> list[float]:
        """Return the scores in the passages' order. Raises `RerankerOutputError` if the response is invalid."""
        try:
            entries = json.loads(content)[self._shape.entries]
            scored = {
                _require_passage_index(entry["index"], passage_count): float(entry[self._shape.score])
                for entry in entries
            }
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise RerankerOutputError(
                f"The response from the reranker at {self._url} has the wrong format "
                f"({type(error).__name__}: {str(error)[:_DETAIL_CHARS]})."
            ) from error
        if len(scored) != passage_count or len(entries) != passage_count:
            raise RerankerOutputError(f"The reranker at {self._url} scored {len(scored)} of {passage_count} passages.")
        if not all(map(math.isfinite, scored.values())):
            raise RerankerOutputError(f"The reranker at {self._url} returned a score that is not a finite number.")
        return [scored[position] for position in range(passage_count)]

    def _convert_error(self, error: httpx.HTTPError) -> RerankerError:
        if isinstance(error, httpx.TimeoutException):
            return RerankerTimeoutError(f"The reranker at {self._url} did not respond in time.")
        if not isinstance(error, httpx.HTTPStatusError):
            reason = f"{type(error).__name__}: {error}"
            return RerankerUnavailableError(
                f"The reranker at {self._url} does not respond ({reason[:_DETAIL_CHARS]}).",
                hint="Check that the reranker is running and can be reached from this machine, or correct "
                "LEADLINE_RERANKER.",
            )
        status = error.response.status_code
        detail = f"The reranker at {self._url} returned status {status}: {error}"
        if status in (401, 403):
            return RerankerUnavailableError(detail, hint="Check LEADLINE_RERANKER_API_KEY.")
        if status == 404:
            return RerankerUnavailableError(detail, hint="Check the address and the model's name in LEADLINE_RERANKER.")
        return (RerankerUnavailableError if status in _BUSY_STATUSES else RerankerError)(detail)


def _require_passage_index(index: object, passage_count: int) -> int:
    if type(index) is not int or not 0 <= index < passage_count:
        raise ValueError(f"the index {index!r} is out of range for {passage_count} passages")
    return index


def _is_transient_error(error: httpx.HTTPError) -> bool:
    """Return whether the same request may succeed if it is retried."""
    if isinstance(error, httpx.HTTPStatusError):
        return error.response.status_code in _BUSY_STATUSES
    return isinstance(error, _CONNECTION_ERRORS)
