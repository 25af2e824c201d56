"""Errors on the command line name commands, not routes."""

from collections.abc import Iterator

import pytest

import api.http.problems  # noqa: F401 - its errors are subclasses, too
import rlm.errors  # noqa: F401
from api.cli.hints import _HINTS, describe_failure, get_command_line_hint
from api.client import ServiceError
from ingest.storage.errors import LeadlineError

# No command works on these objects, or the error is about the request itself, which no user of a command writes.
_ELSEWHERE = {
    "body_too_large",
    "feedback_not_found",
    "file_not_found",
    "grant_not_found",
    "item_not_found",
    "page_not_found",
    "run_paused",
    "table_not_found",
    "upload_not_found",
    "upload_state",
    "webhook_not_found",
    "tus_version",
}


def iter_errors(base: type[LeadlineError] = LeadlineError) -> Iterator[type[LeadlineError]]:
    for each in base.__subclasses__():
        yield each
        yield from iter_errors(each)


def test_hints_that_name_a_route_have_another_one_for_the_command_line() -> None:
    with_route = {each.code for each in iter_errors() if "/v1/" in each.default_hint or "Bearer" in each.default_hint}
    assert with_route
    assert with_route - set(_HINTS) <= _ELSEWHERE, with_route - set(_HINTS) - _ELSEWHERE


def test_no_hint_of_the_command_line_is_for_an_unknown_error() -> None:
    assert set(_HINTS) <= {each.code for each in iter_errors()}


@pytest.mark.parametrize("code", sorted(_HINTS))
def test_a_hint_of_the_command_line_names_no_route(code: str) -> None:
    hint = get_command_line_hint(ServiceError("No.", hint="List the runs with GET /v1/runs.", problem=code))
    assert "/v1/" not in hint
    assert "leadline " in hint


def test_the_waiting_time_is_in_seconds_and_a_failure_has_its_request_id() -> None:
    busy = ServiceError(
        "Busy.",
        hint="Retry after the number of seconds in Retry-After.",
        status=503,
        retry_after_seconds=7,
        request_id="r1",
    )
    assert get_command_line_hint(busy) == "Retry after 7 seconds. The request id is r1."


def test_a_failure_says_whether_the_same_file_helps_if_the_service_knows() -> None:
    said = {"detail": "It failed.", "hint": "Look."}
    assert describe_failure(said) == "It failed. Look."
    assert describe_failure({**said, "retryable": False}) == "It failed. Look. The same file would fail again."
    again = describe_failure({**said, "retryable": True})
    assert again == "It failed. Look. To retry it, run `leadline ingest` with the same file again."
