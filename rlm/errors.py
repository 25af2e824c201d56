"""Errors raised while answering, and helpers that detect cancellation during long work without model calls.

AnswerError
├── LanguageModelError
│   ├── LanguageModelUnavailableError   still loading, unavailable, crashed or too busy: a later retry may succeed
│   │   └── LanguageModelRestingError   too many calls in a row were unanswered, so calls are paused
│   ├── LanguageModelTimeoutError       the model was reached but did not answer in time
│   ├── LanguageModelRefusedError       the server rejects all such requests: key, model name, parameter
│   ├── ContextTooLongError             the prompt does not fit in the context window
│   └── LanguageModelOutputError        the model answered, but not in the requested format
│       └── LanguageModelReplyTooLargeError   the reply exceeds the size limit, or is compressed
├── BudgetExhaustedError                the run has spent its budget
├── UnpricedModelError                  dollars are limited, but the model's price is unknown
├── RunPausedError                      the run has reached its budget, and waits for a user
├── RunCancelledError                   the caller cancelled the run
├── RunTooLargeError                    the run would cost more than is allowed without confirmation
├── CorpusError
│   ├── UnknownHandleError              the span is not in any document in scope
│   │   ├── DocumentGoneError           the document was deleted, replaced or hidden after the start
│   │   └── DocumentUnreadableError     the document's stored text was changed or is missing
│   └── PatternError                    the regular expression is invalid, or takes too long
├── SqlError                         the engine cannot run the SQL; one repair is tried
├── SqlRefusedError                  the SQL is not a single SELECT over the tables in scope
├── SqlLimitError                    the query exceeds its limit on time, memory or result size
└── SandboxError
    ├── SandboxUnavailableError         the requested isolation is not available
    └── SandboxLostError                the interpreter crashed, and its variables are lost
"""

import time
from collections.abc import Callable, Iterable, Iterator
from typing import ClassVar, TypeVar

from ingest.storage.errors import LeadlineError


class AnswerError(LeadlineError):
    """Base class of errors raised while answering a question."""

    code: ClassVar[str] = "answer_error"


class LanguageModelError(AnswerError):
    """A call to the language model failed."""

    code = "language_model_error"


class LanguageModelUnavailableError(LanguageModelError):
    """No language model accepts the request at the moment. `retry_after_seconds` is the server's estimate, or None.

    `sent` is true if a request was sent, and `reached` if the model received the request and may have worked on it.
    `silent` is true if there was no response at all because connecting timed out.
    """

    code = "language_model_unavailable"
    default_hint = "Try again shortly; if the language model stays unavailable, check its log."

    def __init__(
        self,
        detail: str,
        *,
        hint: str | None = None,
        retry_after_seconds: float | None = None,
        sent: bool = True,
        reached: bool = False,
        silent: bool = False,
    ) -> None:
        super().__init__(detail, hint=hint)
        self.retry_after_seconds = retry_after_seconds
        self.sent = sent
        self.reached = reached
        self.silent = silent


class LanguageModelRestingError(LanguageModelUnavailableError):
    """Too many consecutive calls to the model were unanswered.

    This call was not sent, and no call will be sent until the waiting period is over.
    """

    default_hint = "Ask again after that time. If the language model still does not answer, check its log."


class LanguageModelTimeoutError(LanguageModelError):
    """The language model was reached, but no response arrived in time."""

    code = "language_model_timeout"
    default_hint = "Ask for less at a time, or try again when fewer questions are being answered."


class LanguageModelRefusedError(LanguageModelError):
    """The server rejects all requests of this kind, so a retry would also be rejected."""

    code = "language_model_refused"
    default_hint = "Check the language model's address, name and API key in the settings."


class ContextTooLongError(LanguageModelError):
    """The prompt and the requested answer do not fit in the model's context window. Nothing was truncated."""

    code = "context_too_long"
    default_hint = "Send fewer or shorter passages, or use a model with a larger context window."


class LanguageModelOutputError(LanguageModelError):
    """The answer is not in the requested format: invalid JSON, a different schema, or cut off at the token limit."""

    code = "language_model_output"
    default_hint = "Allow more output tokens, or ask again; larger models follow a schema more reliably."

    def __init__(self, detail: str, *, hint: str | None = None, cut_off: bool = False) -> None:
        """Create the error. `cut_off` is true if the answer reached its token limit."""
        super().__init__(detail, hint=hint)
        self.cut_off = cut_off


class LanguageModelReplyTooLargeError(LanguageModelOutputError):
    """The reply exceeds the size limit, or is compressed. `detail` names the server and is only for the log."""

    public_detail = "The language model's response was too large."
    default_hint = (
        "Check that the language model's address belongs to an OpenAI-compatible server, and check the server's log."
    )


class BudgetExhaustedError(AnswerError):
    """The run has spent its budget, or too little of it remains for the next step."""

    code = "budget_exhausted"
    default_hint = (
        "Ask again with a larger budget or about fewer documents; records already judged are not charged again."
    )

    def __init__(
        self, detail: str, *, hint: str | None = None, resource: str = "", may_fit_later: bool = False
    ) -> None:
        """Create the error.

        `resource` is the limit that was reached, such as `calls`. `may_fit_later` is true if calls in progress have
        reserved the missing amount and may release some of it.
        """
        super().__init__(detail, hint=hint)
        self.resource = resource
        self.may_fit_later = may_fit_later


class UnpricedModelError(AnswerError):
    """The budget has a limit in dollars, but the model's profile has no price."""

    code = "model_unpriced"
    default_hint = (
        "Limit calls and tokens instead, or add the model's price to the file that LEADLINE_MODEL_PROFILES names."
    )


class RunPausedError(AnswerError):
    """The run reached its budget and waits until a user raises the budget or ends the run.

    All completed work is in the run's log.
    """

    code = "run_paused"
    default_hint = (
        "Increase the run's budget with POST /v1/runs/{id}/continue, or end the run with POST /v1/runs/{id}/finish."
    )

    def __init__(self, detail: str, *, resource: str = "") -> None:
        """Create the error. `resource` is the limit that was reached, such as `calls`."""
        super().__init__(detail)
        self.resource = resource


class RunCancelledError(AnswerError):
    """The run was cancelled, and none of its work continues."""

    code = "run_cancelled"


class RunTooLargeError(AnswerError):
    """The estimated cost of a run exceeds the limit for work without confirmation. Nothing was spent."""

    code = "confirmation_required"
    default_hint = "Send the question again with `confirm`, set a budget, or name fewer documents."


class CorpusError(AnswerError):
    """The documents in scope cannot satisfy a request."""

    code = "corpus_error"


class UnknownHandleError(CorpusError):
    """The span is not in any document in scope."""

    code = "handle_unknown"
    default_hint = "Use only handles that this corpus returned. To get new ones, list its documents."


class DocumentGoneError(UnknownHandleError):
    """A document in scope was deleted, replaced or hidden from the principal after answering had started."""

    code = "document_gone"
    default_hint = "Ask the question again to use the current documents."


class DocumentUnreadableError(UnknownHandleError):
    """The stored text or table of a document in scope was changed or is missing. No part of the document is read."""

    code = "document_unreadable"
    default_hint = (
        "Exclude the document, restore it from a backup, or upload it again. Run `leadline verify` for details."
    )

    def __init__(self, detail: str, *, document_id: str, hint: str | None = None) -> None:
        super().__init__(detail, hint=hint)
        self.document_id = document_id


class PatternError(CorpusError):
    """The regular expression is invalid, or one step of its search exceeded the time limit."""

    code = "pattern_invalid"
    default_hint = "Simplify the pattern; nested repetitions such as (a+)+ may never finish."


class SqlError(AnswerError):
    """The engine cannot run the SQL. `detail` is the engine's own message, which is used to repair the query."""

    code = "sql_invalid"
    default_hint = "Rephrase the question with the exact names of the table's columns."


class SqlRefusedError(AnswerError):
    """The SQL is not a single SELECT over the given tables: it writes, reads files or has several statements."""

    code = "sql_refused"
    default_hint = "Only a single SELECT over the record tables in scope is allowed."


class SqlLimitError(AnswerError):
    """The query exceeds a limit on time, memory or result size."""

    code = "sql_limit"
    default_hint = "Ask about fewer records or fewer columns."


class SandboxError(AnswerError):
    """The sandbox that runs a model's code failed."""

    code = "sandbox_error"


class SandboxUnavailableError(SandboxError):
    """The requested isolation is not available on this machine. Code is never run with weaker isolation."""

    code = "sandbox_unavailable"
    public_detail = "Code written by a model cannot run on this machine."
    default_hint = "Run `leadline doctor` for details; bubblewrap needs user namespaces."


class SandboxLostError(SandboxError):
    """The interpreter crashed, or was killed because it used too much memory or time. Its variables are lost."""

    code = "sandbox_lost"


Item = TypeVar("Item")

_SECONDS = 0.2


def not_cancelled() -> bool:
    """Return False, for callers that never cancel."""
    return False


def require_not_cancelled(cancelled: Callable[[], bool]) -> None:
    """Raise `RunCancelledError` if the run was cancelled."""
    if cancelled():
        raise RunCancelledError("The run was cancelled.")


def iter_unless_cancelled(
    items: Iterable[Item], cancelled: Callable[[], bool], *, interval_seconds: float = _SECONDS
) -> Iterator[Item]:
    """Yield the items, checking `cancelled` before the first one and then every `interval_seconds`.

    Raises `RunCancelledError` if the run was cancelled.
    """
    due = 0.0
    for item in items:
        now = time.monotonic()
        if now >= due:
            require_not_cancelled(cancelled)
            due = now + interval_seconds
        yield item
