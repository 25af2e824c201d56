"""What a failing job means: the one table from exceptions to what happens next."""

from enum import Enum

from ingest.documents import Failure
from ingest.errors import (
    DocumentNotFoundError,
    IngestError,
    LeadlineError,
    LeaseLostError,
    ParseError,
    StorageFullError,
    UploadError,
)
from retrieval.errors import IndexRefusedError, IndexUnavailableError, RetrievalError


class Outcome(Enum):
    """What to do with a job whose task raised."""

    FAIL = "the document is at fault: the same again would fail again"
    RETRY = "something around it is at fault: try again, up to the limit of attempts"
    WAIT = "something it needs is away: try again until it is back; the attempt does not count"
    ABANDON = "the job is no longer this worker's, or its document is gone"


OUTCOMES: dict[type[LeadlineError], Outcome] = {
    LeaseLostError: Outcome.ABANDON,
    DocumentNotFoundError: Outcome.ABANDON,
    ParseError: Outcome.FAIL,
    StorageFullError: Outcome.WAIT,  # while artifacts are written
    UploadError: Outcome.RETRY,
    IngestError: Outcome.RETRY,
    IndexUnavailableError: Outcome.WAIT,
    IndexRefusedError: Outcome.RETRY,
    RetrievalError: Outcome.RETRY,
}


def outcome(error: Exception) -> Outcome:
    """By the nearest listed class; what is not ours is a defect, and a retry may still get past it."""
    for kind in type(error).__mro__:
        if kind in OUTCOMES:
            return OUTCOMES[kind]
    return Outcome.RETRY


def failure(error: Exception) -> Failure:
    """The reason a user reads. The text of an error that is not ours may name internals, so it stays in the log."""
    if isinstance(error, LeadlineError):
        return Failure(error.code, error.detail, error.hint)
    return Failure(
        "internal_error",
        f"Leadline failed on this document ({type(error).__name__}).",
        "Upload it again; if it fails again, report it with the log of the time.",
    )
