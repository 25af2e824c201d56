"""Exceptions of tasks and their consequences for the job: one table."""

from enum import Enum

from ingest.parsing.errors import ParseError
from ingest.storage.errors import (
    BlobStoreError,
    CatalogUnavailableError,
    DocumentNotFoundError,
    GenerationChangedError,
    IngestError,
    KeyRevokedError,
    LeadlineError,
    LeaseLostError,
    LogEntryTooLargeError,
    RunNotFoundError,
    SourceGoneError,
    StorageFullError,
    StorageReadOnlyError,
    UploadError,
    VersionInUseError,
)
from ingest.storage.queue.records import Failure, JobKind
from retrieval.errors import (
    EncoderUnavailableError,
    IndexLostError,
    IndexRefusedError,
    IndexUnavailableError,
    RetrievalError,
)
from rlm.errors import (
    AnswerError,
    BudgetExhaustedError,
    ContextTooLongError,
    LanguageModelRefusedError,
    LanguageModelUnavailableError,
    RunCancelledError,
    RunPausedError,
    SandboxUnavailableError,
    SqlError,
    SqlLimitError,
    SqlRefusedError,
    UnpricedModelError,
)
from rlm.requests import QuestionError


class Outcome(Enum):
    """The consequence for a job whose task raised."""

    FAIL = "the document, or the question, is at fault: the same again would fail again"
    RETRY = "something around it is at fault: try again, up to the limit of attempts"
    WAIT = "something it needs is away: try again until it is back; the attempt does not count"
    ABANDON = "the job is no longer this worker's, or its document is gone"


OUTCOMES: dict[type[LeadlineError], Outcome] = {
    LeaseLostError: Outcome.ABANDON,
    RunNotFoundError: Outcome.ABANDON,
    DocumentNotFoundError: Outcome.ABANDON,
    KeyRevokedError: Outcome.FAIL,
    VersionInUseError: Outcome.WAIT,  # until the run has ended
    SourceGoneError: Outcome.WAIT,  # until what was made of it is redacted; then the run goes on without it
    LogEntryTooLargeError: Outcome.FAIL,
    ParseError: Outcome.FAIL,
    GenerationChangedError: Outcome.WAIT,
    CatalogUnavailableError: Outcome.WAIT,
    BlobStoreError: Outcome.WAIT,
    StorageFullError: Outcome.WAIT,  # while artifacts are written
    StorageReadOnlyError: Outcome.WAIT,
    UploadError: Outcome.RETRY,
    IngestError: Outcome.RETRY,
    IndexUnavailableError: Outcome.WAIT,
    IndexLostError: Outcome.WAIT,  # until it is made again
    IndexRefusedError: Outcome.RETRY,
    EncoderUnavailableError: Outcome.WAIT,
    RetrievalError: Outcome.RETRY,
    QuestionError: Outcome.FAIL,
    LanguageModelUnavailableError: Outcome.WAIT,
    LanguageModelRefusedError: Outcome.FAIL,
    ContextTooLongError: Outcome.FAIL,
    BudgetExhaustedError: Outcome.FAIL,
    UnpricedModelError: Outcome.FAIL,
    RunPausedError: Outcome.ABANDON,  # the run task has noted it
    RunCancelledError: Outcome.ABANDON,
    SqlError: Outcome.FAIL,
    SqlRefusedError: Outcome.FAIL,
    SqlLimitError: Outcome.FAIL,
    SandboxUnavailableError: Outcome.FAIL,
    AnswerError: Outcome.RETRY,
}


def outcome(error: Exception) -> Outcome:
    """Look up the nearest listed class. An unlisted error is a defect of ours, and a retry may still get past it."""
    for kind in type(error).__mro__:
        if kind in OUTCOMES:
            return OUTCOMES[kind]
    return Outcome.RETRY


def failure(error: Exception, kind: JobKind = JobKind.INGEST) -> Failure:
    """Word the reason for users. The text of an unexpected error may name internals, so it stays in the log."""
    if isinstance(error, LeadlineError):
        return Failure(error.code, *error.told)
    subject, again = ("question", "Ask") if kind is JobKind.RUN else ("document", "Upload it")
    return Failure(
        "internal_error",
        f"Leadline failed on this {subject} ({type(error).__name__}).",
        f"{again} again; if it fails again, report it with the log of the time.",
    )
