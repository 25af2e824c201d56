"""Tests that the code of a failure decides whether the document can be retried."""

import pytest

from ingest.parsing.errors import ParseError, UnsupportedTypeError, is_retryable
from ingest.storage.errors import BacklogFullError, BlobStoreError, KeyRevokedError, LeadlineError


def test_no_failure_of_a_parser_is_retryable() -> None:
    faults: list[type[LeadlineError]] = [ParseError, *ParseError.__subclasses__(), UnsupportedTypeError]
    assert not any(is_retryable(each.code) for each in faults)


@pytest.mark.parametrize("passing", [BacklogFullError, BlobStoreError, KeyRevokedError])
def test_failures_of_the_environment_are_retryable(passing: type[LeadlineError]) -> None:
    assert is_retryable(passing.code)
    assert is_retryable("internal_error")
