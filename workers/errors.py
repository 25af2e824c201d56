"""The table that maps exceptions raised by tasks to their consequences for the job."""

from enum import Enum

from ingest.parsing.errors import ParseError
from ingest.sources.errors import SourceError, SourceUnavailableError
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
    SourceCredentialsError,
    SourceGoneError,
    SourceNotFoundError,
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
from rlm.output_forms import OutputFormError
from rlm.requests import QuestionError


class JobOutcome(Enum):
    """The consequence of an exception for the job whose task raised it."""

    FAIL = "the document or question is at fault: a retry would fail the same way"
    RETRY = "the job's environment is at fault: retry it, up to the limit of attempts"
    WAIT = "a dependency is unavailable: retry until it is available again, without using up an attempt"
    ABANDON = "the job no longer belongs to this worker, or its document is gone"


OUTCOMES: dict[type[LeadlineError], JobOutcome] = {
    LeaseLostError: JobOutcome.ABANDON,
    RunNotFoundError: JobOutcome.ABANDON,
    DocumentNotFoundError: JobOutcome.ABANDON,
    KeyRevokedError: JobOutcome.FAIL,
    VersionInUseError: JobOutcome.WAIT,  # wait until the run that reads the version has ended
    # Wait until derived content is redacted; then the run continues without the deleted document.
    SourceGoneError: JobOutcome.WAIT,
    LogEntryTooLargeError: JobOutcome.FAIL,
    ParseError: JobOutcome.FAIL,
    GenerationChangedError: JobOutcome.WAIT,
    CatalogUnavailableError: JobOutcome.WAIT,
    BlobStoreError: JobOutcome.WAIT,
    StorageFullError: JobOutcome.WAIT,  # this error is raised while artifacts are being written
    StorageReadOnlyError: JobOutcome.WAIT,
    UploadError: JobOutcome.RETRY,
    SourceNotFoundError: JobOutcome.ABANDON,
    SourceCredentialsError: JobOutcome.FAIL,
    SourceError: JobOutcome.FAIL,
    SourceUnavailableError: JobOutcome.RETRY,
    IngestError: JobOutcome.RETRY,
    IndexUnavailableError: JobOutcome.WAIT,
    IndexLostError: JobOutcome.WAIT,  # wait until the index is rebuilt
    IndexRefusedError: JobOutcome.RETRY,
    EncoderUnavailableError: JobOutcome.WAIT,
    RetrievalError: JobOutcome.RETRY,
    QuestionError: JobOutcome.FAIL,
    OutputFormError: JobOutcome.FAIL,
    LanguageModelUnavailableError: JobOutcome.WAIT,
    LanguageModelRefusedError: JobOutcome.FAIL,
    ContextTooLongError: JobOutcome.FAIL,
    BudgetExhaustedError: JobOutcome.FAIL,
    UnpricedModelError: JobOutcome.FAIL,
    RunPausedError: JobOutcome.ABANDON,  # the run task has already recorded the pause
    RunCancelledError: JobOutcome.ABANDON,
    SqlError: JobOutcome.FAIL,
    SqlRefusedError: JobOutcome.FAIL,
    SqlLimitError: JobOutcome.FAIL,
    SandboxUnavailableError: JobOutcome.FAIL,
    AnswerError: JobOutcome.RETRY,
}


_RETRY_WORDS = {
    JobKind.RUN: ("question", "Ask the question"),
    JobKind.SYNC: ("source", "Synchronize the source"),
}


def get_job_outcome(error: Exception) -> JobOutcome:
    """Return the outcome for the exception's nearest base class in the table.

    Other exceptions are caused by a bug, and a retry may succeed.
    """
    for kind in type(error).__mro__:
        if kind in OUTCOMES:
            return OUTCOMES[kind]
    return JobOutcome.RETRY


def build_failure(error: Exception, kind: JobKind = JobKind.INGEST) -> Failure:
    """Describe the failure for users.

    The message of an unexpected error may reveal internals, so it is only logged.
    """
    if isinstance(error, LeadlineError):
        return Failure(error.code, *error.public_message)
    subject, again = _RETRY_WORDS.get(kind, ("document", "Upload the document"))
    return Failure(
        "internal_error",
        f"An unexpected error ({type(error).__name__}) occurred while processing this {subject}.",
        f"{again} again. If the error occurs again, report it with the log from that time.",
    )
