"""The exceptions raised by the client.

ServiceError              the base class of all errors
├── RefusedError          400, 413, 415, 422 …: the request is invalid, and a retry would fail again
│   └── IdempotencyError  the idempotency key was used for a different request
├── UnauthorizedError     401: the API key is missing or invalid
├── ForbiddenError        403: the API key does not permit this
├── NotFoundError         404: the object does not exist, or the key cannot access it
├── StateError            409, 412, 428: the object's state does not allow this, or it has changed
├── QuotaError            429: a quota or rate limit is exceeded; see `retry_after_seconds`
├── UnavailableError      423, 502, 503, 504, 507: the service or one of its dependencies is temporarily unavailable
├── ServerError           other 5xx: a defect in the service; its log has the request id
└── NoAnswerError         no response was received, or the connection broke
"""

import re
from collections.abc import Mapping
from typing import Any

import httpx

from ingest.storage.errors import LeadlineError


class ServiceError(LeadlineError):
    """The base class of all errors raised by the client.

    Attributes:
        detail: What happened, as a sentence.
        hint: What to do now; may be empty.
        problem: The service's stable error code, such as `document_not_found`; empty if there is none.
        status: The HTTP status, or 0 if there was no response.
        request_id: The id of the request in the service's log; may be empty.
        retry_after_seconds: The number of seconds to wait before a retry, or None if the service sent none.
        body: The whole problem document as JSON.

    Example:
        try:
            document = client.document(document_id)
        except NotFoundError:
            document = None
        except ServiceError as error:
            print(error.status, error.problem, error.detail, error.hint)
            raise
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
    """The request is invalid (400, 413, 415, 422 and other 4xx). A retry would fail again."""


class IdempotencyError(RefusedError):
    """The idempotency key was already used for a different request."""


class UnauthorizedError(ServiceError):
    """The API key is missing or invalid (401)."""


class ForbiddenError(ServiceError):
    """The API key is valid but does not permit this (403)."""


class NotFoundError(ServiceError):
    """The object does not exist, or the API key cannot access it (404)."""


class StateError(ServiceError):
    """The object's state does not allow this, or it has changed in the meantime (409, 412, 428)."""


class QuotaError(ServiceError):
    """A quota or rate limit is exceeded (429). `retry_after_seconds` is the time until a retry, if known."""


class UnavailableError(ServiceError):
    """The service or one of its dependencies is temporarily unavailable (423, 502, 503, 504, 507)."""


class ServerError(ServiceError):
    """The service failed with an internal error (other 5xx). Its log contains the `request_id`."""


class NoAnswerError(ServiceError):
    """The service did not respond, or the connection broke.

    Attributes:
        sent: Whether the request may have reached the service, which may then have acted on it.
    """

    default_hint = (
        "Check that the service is running and that LEADLINE_URL is its address. Start a service with `leadline up`."
    )

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
_UNREACHABLE = (
    "cannot reach the service",
    "Check that the service is running, and that the proxy has its address, such as proxy_pass of nginx.",
)
# Errors that proxies send themselves: their meaning, and the setting of the proxy.
_PROXY_ERRORS: Mapping[int, tuple[str, str]] = {
    413: (
        "rejected the request because it is too large",
        "Raise the largest request that the proxy accepts, such as client_max_body_size of nginx.",
    ),
    502: _UNREACHABLE,
    503: _UNREACHABLE,
    504: (
        "stopped waiting for the service",
        "Raise the time that the proxy waits, such as proxy_read_timeout of nginx, or request a background run.",
    ),
}
_UNSENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)


def build_response_error(response: httpx.Response) -> ServiceError:
    """Build the error for an error response, whose body must have been read."""
    try:
        body = response.json()
        detail, problem = str(body["detail"]), str(body["code"])
    except (ValueError, KeyError, TypeError):
        detail, hint = _describe_foreign_response(response)
        body, problem = {"hint": hint} if hint else {}, ""
    return _build_error(
        response.status_code, detail, problem, body, _parse_retry_after(response.headers.get("retry-after", ""))
    )


def _describe_foreign_response(response: httpx.Response) -> tuple[str, str]:
    """Return the detail and the hint for an error response that is no problem of the service.

    A response without the service's `X-Request-Id` comes from a proxy before the service.
    """
    status = response.status_code
    if "x-request-id" in response.headers:
        return f"The service responded with status {status}.", ""
    name = response.headers.get("server", "")
    proxy = f"A proxy ({name})" if name else "A proxy"
    meaning, hint = _PROXY_ERRORS.get(status, ("responded instead of the service", "Check the proxy and its log."))
    return f"{proxy} {meaning} (status {status}).", hint


def build_stream_error(problem: Mapping[str, Any]) -> ServiceError:
    """Build the error described by the last event of a stream."""
    return _build_error(
        int(problem.get("status", 0)), str(problem["detail"]), str(problem.get("code", "")), problem, None
    )


def build_no_answer_error(url: str, error: httpx.TransportError) -> NoAnswerError:
    """Build the error for a request without a response."""
    return NoAnswerError(
        f"The service at {url} did not respond: {_describe_transport_error(error)}.",
        sent=not isinstance(error, _UNSENT),
    )


def _describe_transport_error(error: httpx.TransportError) -> str:
    if isinstance(error, httpx.ConnectTimeout):
        return "the connection was not established in time"
    if isinstance(error, httpx.TimeoutException):
        return "no data arrived in time"
    text = re.sub(r"^\[Errno -?\d+\] ", "", str(error)).rstrip(".")
    return text[:1].lower() + text[1:] if text else type(error).__name__


def _build_error(
    status: int, detail: str, problem: str, body: Mapping[str, Any], retry_after_seconds: float | None
) -> ServiceError:
    kind = _KINDS.get(status, ServerError if status >= 500 else RefusedError)
    if problem == "idempotency_key_reused":
        kind = IdempotencyError
    return kind(
        detail,
        hint=str(body.get("hint", "")),
        problem=problem,
        status=status,
        request_id=str(body.get("request_id", "")),
        retry_after_seconds=retry_after_seconds,
        body=body,
    )


def _parse_retry_after(header: str) -> float | None:
    """Parse a `Retry-After` header in seconds. Dates are ignored, because the service never sends them."""
    return float(header) if header.isdecimal() else None
