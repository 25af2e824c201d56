"""A chat model over sub-calls, for whoever reads with one: with the run's budget and log, and given up with it."""

from collections.abc import Callable, Sequence
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, SystemMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatResult

from rlm.answers import Usage
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
)
from rlm.strategies import never
from rlm.subcalls.port import SubCall, SubFailure, SubReply

# How many requests a message took, in its `response_metadata`.
CALLS = "calls"
_RAISED: dict[str, type[AnswerError]] = {
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


class SubCallsChat(BaseChatModel):
    """Each prompt is one sub-call of `run`, that of a `SubCalls`; a failure is raised as the error that it was.

    `max_tokens` must be bound.
    """

    run: Callable[..., Sequence[SubReply | SubFailure]]
    purpose: str
    cancelled: Callable[[], bool] = never

    @property
    def _llm_type(self) -> str:
        return "sub-calls"

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,  # noqa: ANN401 - the signature of the class that is extended
    ) -> ChatResult:
        schema = kwargs.get("response_format", {}).get("json_schema", {}).get("schema")
        call = SubCall(
            "\n\n".join(message.text for message in messages if isinstance(message, SystemMessage)),
            "\n\n".join(message.text for message in messages if not isinstance(message, SystemMessage)),
            kwargs["max_tokens"],
            schema,
            self.purpose,
        )
        (result,) = self.run([call], cancelled=self.cancelled)
        if isinstance(result, SubFailure):
            raise raised(result)
        return ChatResult(generations=[ChatGeneration(message=_message(result))])


def raised(failure: SubFailure) -> AnswerError:
    """The error that a failure was, or one like it where it came out of a log."""
    return failure.error or _RAISED.get(failure.code, LanguageModelError)(failure.detail)


def _message(reply: SubReply) -> AIMessage:
    paid = Usage() if reply.cached else reply.usage
    read, written = paid.prompt_tokens, paid.completion_tokens
    usage = UsageMetadata(input_tokens=read, output_tokens=written, total_tokens=read + written)
    return AIMessage(reply.text, usage_metadata=usage, response_metadata={CALLS: paid.calls})
