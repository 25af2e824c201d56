"""When a request is sent again, and after how long: one policy for both kinds of client, kept by tenacity."""

from typing import Any

from tenacity import RetryCallState, retry_if_exception, stop_after_attempt, wait_exponential_jitter

from api.client.calls import Call
from api.client.errors import NoAnswerError, QuotaError, ServiceError, StateError, UnavailableError

# A program waits no longer than this by itself; a quota that is renewed tomorrow is an error now.
_MAX_WAIT_SECONDS = 60.0
_backoff = wait_exponential_jitter(multiplier=0.2, max=10.0, jitter=0.2)


def build_retry_policy(call: Call[Any], tries: int) -> dict[str, Any]:
    """Return what tenacity's `Retrying` and `AsyncRetrying` take for a call."""
    return {
        "stop": stop_after_attempt(tries),
        "wait": _compute_wait_seconds,
        "retry": retry_if_exception(lambda error: _should_retry(error, call)),
        "reraise": True,
    }


def _should_retry(error: BaseException, call: Call[Any]) -> bool:
    """True if the same request may succeed later, and does no harm if the first one was worked on after all.

    The service answers 429 and 503 before it begins, but a proxy's 502 or 504 and a broken connection say nothing of
    what was done.
    """
    match error:
        case NoAnswerError():
            # guard: client-retries-safe-calls
            return call.repeatable or not error.sent
        case StateError():  # an earlier try of this request, whose reply was lost, is still worked on
            return error.problem == "request_under_way"
        case QuotaError() | UnavailableError():
            if (error.retry_after_seconds or 0.0) > _MAX_WAIT_SECONDS:
                return False
            return call.repeatable or (error.status in (429, 503) and error.problem != "")
    return False


def _compute_wait_seconds(state: RetryCallState) -> float:
    error = state.outcome and state.outcome.exception()
    asked = error.retry_after_seconds if isinstance(error, ServiceError) else None
    return _backoff(state) if asked is None else asked
