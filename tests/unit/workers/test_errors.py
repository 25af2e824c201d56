from collections.abc import Iterator

import api.cli.client  # noqa: F401 - defines errors of the edge
from api.http.problems import STATUS, ApiError
from ingest.parsing.errors import DamagedDocumentError
from ingest.storage.errors import CatalogUnavailableError, LeadlineError, LeaseLostError, StorageFullError
from retrieval.errors import IndexRefusedError, IndexUnavailableError
from rlm.errors import LanguageModelRestingError, LanguageModelTimeoutError, UnpricedModelError
from workers.errors import OUTCOMES, JobOutcome, build_failure, get_job_outcome


def core_errors(kind: type[LeadlineError] = LeadlineError) -> Iterator[type[LeadlineError]]:
    """Every class below the root that the core defines."""
    for below in kind.__subclasses__():
        if below.__module__.split(".")[0] in ("ingest", "retrieval", "rlm"):
            yield below
        yield from core_errors(below)


def test_every_error_of_the_core_has_a_status() -> None:
    import rlm.loop.strategy
    import rlm.requests

    missing = [kind for kind in core_errors() if not any(base in STATUS for base in kind.__mro__)]
    assert missing == []
    assert len(list(core_errors())) > 25
    assert rlm.requests
    assert rlm.loop.strategy


def test_every_error_that_ingest_can_meet_has_an_outcome() -> None:
    relevant = [kind for kind in core_errors() if kind.__module__.split(".")[0] in ("ingest", "retrieval")]
    assert [kind for kind in relevant if not any(base in OUTCOMES for base in kind.__mro__)] == []


def test_an_error_of_the_edge_carries_its_own_status() -> None:
    assert all(400 <= kind.status <= 503 for kind in ApiError.__subclasses__())


def test_a_bad_document_fails_at_once_and_a_bad_moment_is_tried_again() -> None:
    assert get_job_outcome(DamagedDocumentError("x")) is JobOutcome.FAIL
    assert get_job_outcome(IndexUnavailableError("x")) is JobOutcome.WAIT
    assert get_job_outcome(IndexRefusedError("x")) is JobOutcome.RETRY
    assert get_job_outcome(StorageFullError("x")) is JobOutcome.WAIT
    assert get_job_outcome(CatalogUnavailableError("x")) is JobOutcome.WAIT
    assert get_job_outcome(LeaseLostError("x")) is JobOutcome.ABANDON
    assert get_job_outcome(UnpricedModelError("x")) is JobOutcome.FAIL
    assert get_job_outcome(LanguageModelTimeoutError("x")) is JobOutcome.RETRY
    assert get_job_outcome(LanguageModelRestingError("x")) is JobOutcome.WAIT
    assert get_job_outcome(ZeroDivisionError()) is JobOutcome.RETRY


def test_the_reason_of_a_defect_names_no_internals() -> None:
    reason = build_failure(RuntimeError("/secret/path"))
    assert "/secret" not in f"{reason.detail}{reason.hint}"
    assert reason.hint
