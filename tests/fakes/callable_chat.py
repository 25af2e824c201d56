"""A chat model that asks a function what to say, one request at a time or many at once."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from pydantic import PrivateAttr

PROMPT_TOKENS = 20
REPLY_TOKENS = 5

Answer = str | tuple[str, str]


class CallableChat(BaseChatModel):
    """`answer` gets the last message's text and gives a reply, or one with its finish reason, or raises.

    `prompts`, `options`, `streamed`, `most_at_once` and `given_up` say what came in. A reply counts 20 tokens
    read and 5 written.
    """

    answer: Callable[[str], Awaitable[Answer]]
    _state: dict[str, Any] = PrivateAttr(
        default_factory=lambda: {
            "prompts": [],
            "options": [],
            "streamed": [],
            "at_once": 0,
            "most_at_once": 0,
            "given_up": 0,
        }
    )

    @property
    def _llm_type(self) -> str:
        return "callable"

    @property
    def prompts(self) -> list[str]:
        return self._state["prompts"]  # type: ignore[no-any-return]

    @property
    def options(self) -> list[dict[str, Any]]:
        return self._state["options"]  # type: ignore[no-any-return]

    @property
    def streamed(self) -> list[bool]:
        return self._state["streamed"]  # type: ignore[no-any-return]

    @property
    def most_at_once(self) -> int:
        return int(self._state["most_at_once"])

    @property
    def given_up(self) -> int:
        return int(self._state["given_up"])

    def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:  # noqa: ANN401 - the base class's signature
        raise AssertionError("sub-calls are asynchronous")

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,  # noqa: ANN401 - the base class's signature
    ) -> ChatResult:
        self.streamed.append(False)
        return whole(await self._reply(messages, kwargs))

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,  # noqa: ANN401 - the base class's signature
    ) -> AsyncIterator[ChatGenerationChunk]:
        self.streamed.append(True)
        yield await self._reply(messages, kwargs)

    async def _reply(self, messages: list[BaseMessage], kwargs: dict[str, Any]) -> ChatGenerationChunk:
        state = self._state
        state["prompts"].append(str(messages[-1].content))
        state["options"].append(kwargs)
        state["at_once"] += 1
        state["most_at_once"] = max(state["most_at_once"], state["at_once"])
        try:
            answer = await self.answer(str(messages[-1].content))
        except asyncio.CancelledError:
            state["given_up"] += 1
            raise
        finally:
            state["at_once"] -= 1
        text, finish = answer if isinstance(answer, tuple) else (answer, "stop")
        usage = UsageMetadata(
            input_tokens=PROMPT_TOKENS, output_tokens=REPLY_TOKENS, total_tokens=PROMPT_TOKENS + REPLY_TOKENS
        )
        return ChatGenerationChunk(
            message=AIMessageChunk(content=text, usage_metadata=usage), generation_info={"finish_reason": finish}
        )


def whole(chunk: ChatGenerationChunk) -> ChatResult:
    """A stream's only chunk as a reply that was not streamed."""
    said = chunk.message
    assert isinstance(said, AIMessageChunk)
    info = chunk.generation_info or {}
    message = AIMessage(content=said.text, usage_metadata=said.usage_metadata, response_metadata=info)
    return ChatResult(generations=[ChatGeneration(message=message, generation_info=info)])
