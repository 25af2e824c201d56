"""The retry policy of both clients, for use with tenacity: which requests are retried, and after which delay."""

from typing import Any

from tenacity import RetryCallState, retry_if_exception, stop_after_attempt, wait_exponential_jitter

from api.client.calls import Call
from api.client.errors import NoAnswerError, QuotaError, ServiceError, StateError, UnavailableError

# Maximum delay before a retry. If the delay is longer, the client raises an error, because a program should not sleep
# until a daily quota resets.
_MAX_WAIT_SECONDS = 60.0
_backoff = wait_exponential_jitter(multiplier=0.2, max=10.0, jitter=0.2)


def build_retry_policy(call: Call[Any], tries: int) -> dict[str, Any]:
    """Build the arguments for tenacity's `Retrying` and `AsyncRetrying`."""
    return {
        "stop": stop_after_attempt(tries),
        "wait": _compute_wait_seconds,
        "retry": retry_if_exception(lambda error: _should_retry(error, call)),
        "reraise": True,
    }


def _should_retry(error: BaseException, call: Call[Any]) -> bool:
    """Return True if a retry may succeed and cannot repeat work that the service has already done.

    The service responds with 429 or 503 before it does any work. After a 502 or 504 from a proxy, or a broken
    connection, it may have done the work.
    """
    match error:
        case NoAnswerError():
            # guard: client-retries-safe-calls
            return call.repeatable or not error.sent
        case StateError():  # The response to an earlier attempt was lost, and that attempt is still in progress.
            return error.problem == "request_under_way"
        case QuotaError() | UnavailableError():
            if (error.retry_after_seconds or 0.0) > _MAX_WAIT_SECONDS:
                return False
            return call.repeatable or (error.status in (429, 503) and error.problem != "")
    return False


def _compute_wait_seconds(state: RetryCallState) -> float:
    error = state.outcome and state.outcome.exception()
    retry_after = error.retry_after_seconds if isinstance(error, ServiceError) else None
    return _backoff(state) if retry_after is None else retry_after
