"""The header that tells OpenAI's clients whether to send a failed request again."""

import pytest
from fastapi import FastAPI, Request

from api.http.problems import AnswersFullError, BadRequestError, ProblemHandlers, ServiceBusyError
from ingest.storage.errors import (
    DocumentStateError,
    LeadlineError,
    OriginalLostError,
    RequestInProgressError,
)
from ingest.storage.quotas.records import Quota, QuotaExceededError, QuotaStatus
from rlm.errors import LanguageModelOutputError, LanguageModelTimeoutError, LanguageModelUnavailableError


def header(error: LeadlineError, path: str = "/v1/responses") -> str | None:
    handlers = ProblemHandlers(lambda _: "", lambda each: each.startswith("/v1/responses"))
    request = Request({"type": "http", "path": path, "headers": [], "app": FastAPI()})
    return handlers.build_error_response(request, error).headers.get("x-should-retry")


@pytest.mark.parametrize(
    "error",
    [
        LanguageModelOutputError("x"),
        LanguageModelTimeoutError("x"),
        DocumentStateError("x"),
        OriginalLostError("x"),
    ],
    ids=lambda each: each.code,
)
def test_a_request_that_would_fail_or_be_paid_again_is_not_repeated(error: LeadlineError) -> None:
    assert header(error) == "false"


@pytest.mark.parametrize(
    "error",
    [
        AnswersFullError("x"),
        ServiceBusyError("x"),
        LanguageModelUnavailableError("x"),
        RequestInProgressError("x"),
    ],
    ids=lambda each: each.code,
)
def test_a_request_that_may_succeed_soon_is_repeated(error: LeadlineError) -> None:
    assert header(error) == "true"


def test_other_errors_and_other_paths_have_no_such_header() -> None:
    assert header(BadRequestError("x")) is None
    assert header(LanguageModelOutputError("x"), "/v1/answers") is None


@pytest.mark.parametrize(("retry_after", "expected"), [(20.0, "true"), (86_400.0, "false")])
def test_a_quota_is_waited_for_if_it_resets_within_a_minute(retry_after: float, expected: str) -> None:
    status = QuotaStatus(Quota.TOKENS_PER_DAY, "tenant", 1, 1)
    assert header(QuotaExceededError("x", status=status, retry_after=retry_after)) == expected
