"""Interfaces of language models: a deployment's model, and sub-calls that turn prompts into replies or failures."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from retrieval.model_text import neutralize_tokens
from rlm.errors import (
    AnswerError,
    BudgetExhaustedError,
    ContextTooLongError,
    LanguageModelError,
    LanguageModelOutputError,
    LanguageModelRefusedError,
    LanguageModelTimeoutError,
    LanguageModelUnavailableError,
    UnpricedModelError,
    not_cancelled,
)
from rlm.llm.budgets import Usage
from rlm.llm.profiles import ModelProfile

if TYPE_CHECKING:  # The import takes a third of a second, and only code that calls a model needs it.
    from langchain_core.language_models import BaseChatModel

_ERRORS_BY_CODE: dict[str, type[AnswerError]] = {
    kind.code: kind
    for kind in (
        BudgetExhaustedError,
        ContextTooLongError,
        LanguageModelOutputError,
        LanguageModelRefusedError,
        LanguageModelTimeoutError,
        LanguageModelUnavailableError,
        UnpricedModelError,
    )
}


@dataclass(frozen=True)
class ChatModel:
    """A chat model that is ready for calls, with its sizes and capabilities."""

    chat: "BaseChatModel"
    profile: ModelProfile


class LanguageModel(Protocol):
    """The language model of a deployment. It may still be loading or be switched off."""

    def get_state(self) -> Mapping[str, Any]:
        """Return the `state` (`loading`, `ready`, `failed` or `none`), the `model` name, and further details."""

    def acquire(self) -> ChatModel | None:
        """Return the model, or None if it is switched off.

        Raises `LanguageModelUnavailableError` while it loads or after it has crashed.
        """

    def close(self) -> None: ...


class ReadSpan(NamedTuple):
    """The code points `[start, end)` of one version's normalized text."""

    document_id: str
    version_id: str
    start: int
    end: int


@dataclass(frozen=True)
class SubCall:
    """One request. In a batch, `system` and the beginning of `prompt` are identical, so that prefix caches work.

    `schema` is the JSON schema that the reply must follow, or None for free text. `purpose` names the operator, tool or
    stage that makes the call (`answer`, `route`, `classify`, `llm_query`, …). It is shown in trajectories and not
    included in the cache key. `spans` are the document spans that the prompt is known to contain; they are not included
    in the key either.
    """

    system: str
    prompt: str
    max_tokens: int
    schema: Mapping[str, object] | None = None
    purpose: str = "llm_query"
    spans: tuple["ReadSpan", ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "system", neutralize_tokens(self.system))
        # guard: prompts-without-chat-tokens
        object.__setattr__(self, "prompt", neutralize_tokens(self.prompt))
        # guard: schemas-without-chat-tokens
        object.__setattr__(self, "schema", _neutralize_json(self.schema))

    @property
    def content(self) -> tuple[object, ...]:
        """Everything that determines the answer, as JSON values."""
        return (self.system, self.prompt, self.max_tokens, self.schema)


@dataclass(frozen=True)
class SubReply:
    """The model's answer. A `cached` reply costs nothing; its `usage` is the usage of the original call.

    `cut_off` is true for a free-text reply that reached its token limit. Such a reply is still used.
    """

    text: str
    usage: Usage
    cached: bool = False
    cut_off: bool = False

    @property
    def paid_usage(self) -> Usage:
        """The usage that was charged to the run for this reply."""
        return Usage() if self.cached else self.usage


@dataclass(frozen=True)
class SubFailure:
    """A call without a reply. `code` is the code of a `LeadlineError`; `detail` is a sentence without internal details.

    `error` is the exception, with its hint and retry delay. It is None if the failure was read from a log.
    """

    code: str
    detail: str
    usage: Usage = field(default_factory=Usage)
    error: AnswerError | None = field(default=None, compare=False, repr=False)

    @property
    def paid_usage(self) -> Usage:
        return self.usage


def _neutralize_json(value: Any) -> Any:  # noqa: ANN401
    match value:
        case str():
            return neutralize_tokens(value)
        case Mapping():
            return {_neutralize_json(name): _neutralize_json(each) for name, each in value.items()}
        case list() | tuple():
            return [_neutralize_json(each) for each in value]
    return value


Finished = Callable[[int, SubReply | SubFailure], None]


def ignore_result(position: int, result: SubReply | SubFailure) -> None:
    """Ignore the result of a call."""


def rebuild_error(failure: SubFailure) -> AnswerError:
    """Return the exception behind a failure, or an equivalent exception if the failure was read from a log."""
    return failure.error or _ERRORS_BY_CODE.get(failure.code, LanguageModelError)(failure.detail)


class BatchedSubCalls(Protocol):
    """Makes the sub-calls of one run, using the run's tenant, model, budget and cache."""

    def run(
        self, calls: Sequence[SubCall], *, cancelled: Callable[[], bool] = not_cancelled
    ) -> Sequence[SubReply | SubFailure]:
        """Return one result for each call, in the order of `calls`. A failing call never affects the others.

        Calls that the budget does not cover are not sent, and their result is `SubFailure("budget_exhausted")`. Raises
        `RunCancelledError` soon after `cancelled` returns True, and cancels requests in progress.
        """


class SubCalls(BatchedSubCalls, Protocol):
    """Sub-calls that can also stream a single reply while it is being written."""

    def stream(
        self, call: SubCall, *, cancelled: Callable[[], bool] = not_cancelled
    ) -> Iterator[str | SubReply | SubFailure]:
        """Yield pieces of one free-text reply as they arrive, and finally the whole reply or its failure.

        A cached or logged reply is yielded as one piece. If the model thinks first, the pieces do not contain its
        thoughts. The concatenation of the pieces is the text of the reply, unless the last item is a failure. The
        request is not sent before the first item is requested, and closing the iterator cancels the request. Raises the
        same errors as `run`.
        """


class ReportedSubCalls(SubCalls, Protocol):
    """Sub-calls that report each result as it arrives, so that a long batch can be logged call by call."""

    def run(
        self,
        calls: Sequence[SubCall],
        *,
        cancelled: Callable[[], bool] = not_cancelled,
        on_result: Finished = ignore_result,
    ) -> Sequence[SubReply | SubFailure]:
        """Run in the same way as `BatchedSubCalls.run`, and report each result as soon as it is known.

        `on_result` is called with the call's position and result, in any thread, before `run` returns. An exception
        that it raises ends the batch and is raised here.
        """


def request_reply(calls: BatchedSubCalls, call: SubCall, *, cancelled: Callable[[], bool] = not_cancelled) -> SubReply:
    """Return the reply to one call. Raises the call's error if the call failed."""
    (result,) = calls.run([call], cancelled=cancelled)
    if isinstance(result, SubFailure):
        raise rebuild_error(result)
    return result
