"""The errors of answering, and how long work without model calls notices that it was cancelled.

AnswerError
├── LanguageModelError
│   ├── LanguageModelUnavailableError   still loading, away, died or too busy: the same question may work later
│   │   └── LanguageModelRestingError   it let too many calls in a row go unanswered, and is not asked for a while
│   ├── LanguageModelTimeoutError       it was reached and did not answer in time
│   ├── LanguageModelRefusedError       it will not take such requests at all: key, model name, parameter
│   ├── ContextTooLongError             this prompt does not fit the model's window
│   └── LanguageModelOutputError        it answered, but not in the shape that was asked for
│       └── LanguageModelReplyTooLargeError   it sent more bytes than a reply may have, or hid how many
├── BudgetExhaustedError                the run may not spend any more
├── UnpricedModelError                  dollars were limited, and nobody knows what the model costs
├── RunPausedError                      the run has met its budget, and waits for a person
├── RunCancelledError                   the caller does not want the answer any more
├── RunTooLargeError                    the run would cost more than may be spent without being asked
├── CorpusError
│   ├── UnknownHandleError              no such span among the documents in scope
│   │   ├── DocumentGoneError           its document was deleted, replaced or closed meanwhile
│   │   └── DocumentUnreadableError     its document's stored text was changed or is missing
│   └── PatternError                    a regular expression that cannot be read, or takes too long
├── SqlError                         the engine cannot run the SQL, and says why: worth one repair
├── SqlRefusedError                  the SQL is anything but one SELECT over the tables in scope
├── SqlLimitError                    the query takes more time, memory or room than it may
└── SandboxError
    ├── SandboxUnavailableError         the isolation that was asked for cannot be had
    └── SandboxLostError                the interpreter died, and its variables with it
"""

import time
from collections.abc import Callable, Iterable, Iterator
from typing import ClassVar, TypeVar

from ingest.storage.errors import LeadlineError


class AnswerError(LeadlineError):
    """Any error that answering a question can raise."""

    code: ClassVar[str] = "answer_error"


class LanguageModelError(AnswerError):
    """The language model could not do its task."""

    code = "language_model_error"


class LanguageModelUnavailableError(LanguageModelError):
    """No language model takes the request now; `retry_after_seconds` is the server's estimate, or None.

    `sent` is true if a request left, and `reached` if the model had it and may have worked on it. `silent` is true if
    not even a refusal came: connecting timed out.
    """

    code = "language_model_unavailable"
    default_hint = "Try again shortly; if it stays away, look at the language model's log."

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
    """The model left too many calls in a row unanswered; this call was not sent, and none is until the rest is over."""

    default_hint = "Ask again then; if it stays silent, look at the language model's log."


class LanguageModelTimeoutError(LanguageModelError):
    """The language model was reached but sent nothing for too long."""

    code = "language_model_timeout"
    default_hint = "Ask for less at once, or wait until fewer questions are being answered."


class LanguageModelRefusedError(LanguageModelError):
    """The server understood the request and refuses requests of its kind. Trying again gives the same result."""

    code = "language_model_refused"
    default_hint = "Check the language model's address, name and API key in the settings."


class ContextTooLongError(LanguageModelError):
    """The prompt and the answer asked for do not fit the model's window; nothing was cut silently."""

    code = "context_too_long"
    default_hint = "Send fewer or shorter passages, or use a model with a larger window."


class LanguageModelOutputError(LanguageModelError):
    """The answer is not of the shape that was asked for: broken JSON, another schema, or cut off by the token limit."""

    code = "language_model_output"
    default_hint = "Allow more output tokens, or ask again; a larger model keeps to a schema more often."

    def __init__(self, detail: str, *, hint: str | None = None, cut_off: bool = False) -> None:
        """`cut_off` is true if the answer ended because its tokens ran out."""
        super().__init__(detail, hint=hint)
        self.cut_off = cut_off


class LanguageModelReplyTooLargeError(LanguageModelOutputError):
    """The reply has more bytes than it may, or is compressed. The detail names the server, and is for the log alone."""

    public_detail = "The language model's reply was too large."
    default_hint = "See that the language model's address is that of an OpenAI-compatible server, and look at its log."


class BudgetExhaustedError(AnswerError):
    """The run has spent its budget, or the rest does not cover the next step."""

    code = "budget_exhausted"
    default_hint = (
        "Ask again with a larger budget, or of fewer documents; records that were judged before are not paid for again."
    )

    def __init__(
        self, detail: str, *, hint: str | None = None, resource: str = "", may_fit_later: bool = False
    ) -> None:
        """`resource` is the limit that was met, such as `calls`; `may_fit_later` is true if calls under way hold what
        is missing and may give some of it back."""
        super().__init__(detail, hint=hint)
        self.resource = resource
        self.may_fit_later = may_fit_later


class UnpricedModelError(AnswerError):
    """A limit in dollars needs a price for the model, and its profile has none."""

    code = "model_unpriced"
    default_hint = (
        "Limit calls and tokens instead, or give the model's price in the file that LEADLINE_MODEL_PROFILES names."
    )


class RunPausedError(AnswerError):
    """The run has met its budget, and waits for a person who adds to it or ends it; its log has all that was done."""

    code = "run_paused"
    default_hint = "Add to its budget with POST /v1/runs/{id}/continue, or end it with POST /v1/runs/{id}/finish."

    def __init__(self, detail: str, *, resource: str = "") -> None:
        """`resource` is the limit that was met, such as `calls`."""
        super().__init__(detail)
        self.resource = resource


class RunCancelledError(AnswerError):
    """The run was cancelled; none of it continues."""

    code = "run_cancelled"


class RunTooLargeError(AnswerError):
    """The estimate of a run exceeds what may be spent without confirmation; nothing was spent."""

    code = "confirmation_required"
    default_hint = "Send the question again with `confirm`, set a budget, or name fewer documents."


class CorpusError(AnswerError):
    """The documents in scope were asked for something they cannot give."""

    code = "corpus_error"


class UnknownHandleError(CorpusError):
    """The span is in no document of the scope."""

    code = "handle_unknown"
    default_hint = "Use handles that this corpus gave out; list its documents again."


class DocumentGoneError(UnknownHandleError):
    """A document of the scope was deleted, replaced or closed to the principal while an answer was being made."""

    code = "document_gone"
    default_hint = "Ask the question again: its answer will rest on the documents as they are then."


class DocumentUnreadableError(UnknownHandleError):
    """The stored text or table of a document in scope was changed, or is missing; nothing of it is read."""

    code = "document_unreadable"
    default_hint = "Leave the document out, or have it put back from a backup or uploaded again: `leadline verify`."

    def __init__(self, detail: str, *, document_id: str, hint: str | None = None) -> None:
        super().__init__(detail, hint=hint)
        self.document_id = document_id


class PatternError(CorpusError):
    """The regular expression cannot be read, or one step of it took longer than a search may."""

    code = "pattern_invalid"
    default_hint = "Simplify the pattern; nested repetitions such as (a+)+ take for ever."


class SqlError(AnswerError):
    """The engine cannot run the SQL; `detail` is its own message, which a repair starts from."""

    code = "sql_invalid"
    default_hint = "Ask again in other words; name the table's columns as they are called."


class SqlRefusedError(AnswerError):
    """The SQL is not one SELECT over the tables that were given: it writes, reads files or does several things."""

    code = "sql_refused"
    default_hint = "Only one SELECT over the record tables in scope is run."


class SqlLimitError(AnswerError):
    """The query takes more time, memory or room for its result than it may."""

    code = "sql_limit"
    default_hint = "Ask about fewer records, or for fewer columns."


class SandboxError(AnswerError):
    """The sandbox that runs a model's code could not do its work."""

    code = "sandbox_error"


class SandboxUnavailableError(SandboxError):
    """The isolation that was asked for cannot be had on this machine; nothing runs with a weaker one."""

    code = "sandbox_unavailable"
    public_detail = "Code that models write cannot run here."
    default_hint = "See `leadline doctor`; bubblewrap needs user namespaces."


class SandboxLostError(SandboxError):
    """The interpreter died or had to be killed: memory, time or a crash. Its variables are gone."""

    code = "sandbox_lost"


Item = TypeVar("Item")

_SECONDS = 0.2


def not_cancelled() -> bool:
    """For callers that never cancel."""
    return False


def require_not_cancelled(cancelled: Callable[[], bool]) -> None:
    """Raise `RunCancelledError` if the run was cancelled."""
    if cancelled():
        raise RunCancelledError("The run was cancelled.")


def iter_unless_cancelled(
    items: Iterable[Item], cancelled: Callable[[], bool], *, seconds: float = _SECONDS
) -> Iterator[Item]:
    """Yield the items; `cancelled` is asked before the first one and then every `seconds`.

    Raises `RunCancelledError`.
    """
    due = 0.0
    for item in items:
        now = time.monotonic()
        if now >= due:
            require_not_cancelled(cancelled)
            due = now + seconds
        yield item
