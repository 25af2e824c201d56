"""A chat model that says what a test wrote for it."""

from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatResult
from pydantic import Field

PROMPT_TOKENS = 100
REPLY_TOKENS = 10


class ScriptedChat(BaseChatModel):
    """Gives `script` in order, raising what is an exception; every prompt and its options are kept.

    A call that the script has no line for fails the test. Each reply counts 100 tokens read and 10 written.
    """

    script: list[Any]
    prompts: list[list[BaseMessage]] = Field(default_factory=list)
    options: list[dict[str, Any]] = Field(default_factory=list)

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def prompt_text(self, call: int = 0) -> str:
        """All of a call's messages as one text; calls count from 0."""
        return "\n".join(str(message.content) for message in self.prompts[call])

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,  # noqa: ANN401 - the signature of the class that is extended
    ) -> ChatResult:
        self.prompts.append(messages)
        self.options.append(kwargs)
        if len(self.prompts) > len(self.script):
            raise AssertionError(f"call {len(self.prompts)} of the model is not in the script")
        line = self.script[len(self.prompts) - 1]
        if isinstance(line, BaseException):
            raise line
        usage = UsageMetadata(
            input_tokens=PROMPT_TOKENS, output_tokens=REPLY_TOKENS, total_tokens=PROMPT_TOKENS + REPLY_TOKENS
        )
        return ChatResult(generations=[ChatGeneration(message=AIMessage(str(line), usage_metadata=usage))])
