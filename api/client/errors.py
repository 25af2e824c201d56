"""A service's problems as exceptions.

ServiceError              the service refused or failed, in its own words
├── RefusedError          400, 413, 415, 422 …: the request is wrong, and the same one again would be refused again
│   └── IdempotencyError  its key belongs to another request
├── UnauthorizedError     401: there is no key, or it is not valid
├── ForbiddenError        403: the key may not do this
├── NotFoundError         404: there is no such thing, or not for this key
├── StateError            409, 412, 428: it is in another state than the request needs
├── QuotaError            429: too much, or too much at once; `retry_after_seconds` says when to come again
├── UnavailableError      423, 502, 503, 504, 507: something that it needs is away for now
├── ServerError           other 5xx: a defect; the service's log has the request id
└── NoAnswerError         nothing came back, or the connection broke
"""

from collections.abc import Mapping
from typing import Any

import httpx

from ingest.storage.errors import LeadlineError


class ServiceError(LeadlineError):
    """A service's error in its own words: `problem` is its stable code, and `body` has all that it said.

    `status` is 0 where there was no reply. `retry_after_seconds` is None where the service does not say when to come
    again.
    """

    code = "service_error"

    def __init__(
        self,
        detail: str,
        *,
        hint: str | None = None,
        problem: str = "",
        status: int = 0,
        request_id: str = "",
        retry_after_seconds: float | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail, hint=hint)
        self.problem = problem
        self.status = status
        self.request_id = request_id
        self.retry_after_seconds = retry_after_seconds
        self.body = dict(body or {})


class RefusedError(ServiceError):
    """The request is wrong."""


class IdempotencyError(RefusedError):
    """The idempotency key belongs to another request."""


class UnauthorizedError(ServiceError):
    """There is no API key, or it is not valid."""


class ForbiddenError(ServiceError):
    """The key is valid and may not do this."""


class NotFoundError(ServiceError):
    """There is no such thing, or not for this key."""


class StateError(ServiceError):
    """It is in another state than the request needs, or has changed since."""


class QuotaError(ServiceError):
    """Too much, or too much at once."""


class UnavailableError(ServiceError):
    """Something that the service needs is away for now."""


class ServerError(ServiceError):
    """The service failed."""


class NoAnswerError(ServiceError):
    """Nothing came back; `sent` says that the service may have begun to work on the request."""

    default_hint = "Is it running, and is LEADLINE_URL its address? `leadline up` starts one."

    def __init__(self, detail: str, *, hint: str | None = None, sent: bool = True) -> None:
        super().__init__(detail, hint=hint)
        self.sent = sent


_KINDS: Mapping[int, type[ServiceError]] = {
    401: UnauthorizedError,
    403: ForbiddenError,
    404: NotFoundError,
    409: StateError,
    412: StateError,
    423: UnavailableError,
    428: StateError,
    429: QuotaError,
    502: UnavailableError,
    503: UnavailableError,
    504: UnavailableError,
    507: UnavailableError,
}
_UNSENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)


def build_response_error(response: httpx.Response) -> ServiceError:
    """Return the error that a reply tells of, whose body was read."""
    try:
        body = response.json()
        detail, problem = str(body["detail"]), str(body["code"])
    except (ValueError, KeyError, TypeError):
        body, problem = {}, ""
        detail = f"The service answered {response.status_code}."
    return _build_error(
        response.status_code, detail, problem, body, _parse_retry_after(response.headers.get("retry-after", ""))
    )


def build_stream_error(problem: Mapping[str, Any]) -> ServiceError:
    """Return the error that the last event of a stream tells of."""
    return _build_error(
        int(problem.get("status", 0)), str(problem["detail"]), str(problem.get("code", "")), problem, None
    )


def build_no_answer_error(url: str, error: httpx.TransportError) -> NoAnswerError:
    """Return the error for a request without a reply."""
    return NoAnswerError(f"The service at {url} did not answer: {error!r}.", sent=not isinstance(error, _UNSENT))


def _build_error(status: int, detail: str, problem: str, body: Mapping[str, Any], after: float | None) -> ServiceError:
    kind = _KINDS.get(status, ServerError if status >= 500 else RefusedError)
    if problem == "idempotency_key_reused":
        kind = IdempotencyError
    return kind(
        detail,
        hint=str(body.get("hint", "")),
        problem=problem,
        status=status,
        request_id=str(body.get("request_id", "")),
        retry_after_seconds=after,
        body=body,
    )


def _parse_retry_after(retry_after: str) -> float | None:
    """Return the seconds that `Retry-After` names; this service never sends a date."""
    return float(retry_after) if retry_after.isdecimal() else None
