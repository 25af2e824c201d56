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


class JobOutcome(Enum):
    """The consequence for a job whose task raised."""

    FAIL = "the document, or the question, is at fault: the same again would fail again"
    RETRY = "something around it is at fault: try again, up to the limit of attempts"
    WAIT = "something it needs is away: try again until it is back; the attempt does not count"
    ABANDON = "the job is no longer this worker's, or its document is gone"


OUTCOMES: dict[type[LeadlineError], JobOutcome] = {
    LeaseLostError: JobOutcome.ABANDON,
    RunNotFoundError: JobOutcome.ABANDON,
    DocumentNotFoundError: JobOutcome.ABANDON,
    KeyRevokedError: JobOutcome.FAIL,
    VersionInUseError: JobOutcome.WAIT,  # until the run has ended
    SourceGoneError: JobOutcome.WAIT,  # until what was made of it is redacted; then the run goes on without it
    LogEntryTooLargeError: JobOutcome.FAIL,
    ParseError: JobOutcome.FAIL,
    GenerationChangedError: JobOutcome.WAIT,
    CatalogUnavailableError: JobOutcome.WAIT,
    BlobStoreError: JobOutcome.WAIT,
    StorageFullError: JobOutcome.WAIT,  # while artifacts are written
    StorageReadOnlyError: JobOutcome.WAIT,
    UploadError: JobOutcome.RETRY,
    IngestError: JobOutcome.RETRY,
    IndexUnavailableError: JobOutcome.WAIT,
    IndexLostError: JobOutcome.WAIT,  # until it is made again
    IndexRefusedError: JobOutcome.RETRY,
    EncoderUnavailableError: JobOutcome.WAIT,
    RetrievalError: JobOutcome.RETRY,
    QuestionError: JobOutcome.FAIL,
    LanguageModelUnavailableError: JobOutcome.WAIT,
    LanguageModelRefusedError: JobOutcome.FAIL,
    ContextTooLongError: JobOutcome.FAIL,
    BudgetExhaustedError: JobOutcome.FAIL,
    UnpricedModelError: JobOutcome.FAIL,
    RunPausedError: JobOutcome.ABANDON,  # the run task has noted it
    RunCancelledError: JobOutcome.ABANDON,
    SqlError: JobOutcome.FAIL,
    SqlRefusedError: JobOutcome.FAIL,
    SqlLimitError: JobOutcome.FAIL,
    SandboxUnavailableError: JobOutcome.FAIL,
    AnswerError: JobOutcome.RETRY,
}


def get_outcome(error: Exception) -> JobOutcome:
    """Look up the nearest listed class. An unlisted error is a defect of ours, and a retry may still get past it."""
    for kind in type(error).__mro__:
        if kind in OUTCOMES:
            return OUTCOMES[kind]
    return JobOutcome.RETRY


def build_failure(error: Exception, kind: JobKind = JobKind.INGEST) -> Failure:
    """Word the reason for users. The text of an unexpected error may name internals, so it stays in the log."""
    if isinstance(error, LeadlineError):
        return Failure(error.code, *error.public_message)
    subject, again = ("question", "Ask") if kind is JobKind.RUN else ("document", "Upload it")
    return Failure(
        "internal_error",
        f"Leadline failed on this {subject} ({type(error).__name__}).",
        f"{again} again; if it fails again, report it with the log of the time.",
    )
