"""A chat model as tests ask it: one thing after the other, on an event loop of its own."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, cast

from langchain_core.messages import AIMessage, AIMessageChunk

from rlm.llm.chat_models import OpenAIChatModel


class AskedChat:
    """Closed by whoever made it."""

    def __init__(self, chat: OpenAIChatModel) -> None:
        self._chat = chat
        self._runner = asyncio.Runner()

    def invoke(self, prompt: str, **options: Any) -> AIMessage:  # noqa: ANN401 - LangChain's own
        return self._runner.run(self._chat.ainvoke(prompt, **options))

    def invoke_all(self, prompts: list[str], **options: Any) -> list[AIMessage]:  # noqa: ANN401
        """All at once."""

        async def ask() -> list[AIMessage]:
            return await asyncio.gather(*(self._chat.ainvoke(prompt, **options) for prompt in prompts))

        return self._runner.run(ask())

    def stream(self, prompt: str, *, most_pieces: int | None = None) -> list[AIMessageChunk]:
        """The pieces; given up after `most_pieces`."""

        async def ask() -> list[AIMessageChunk]:
            pieces: list[AIMessageChunk] = []
            stream = cast(AsyncGenerator[AIMessageChunk, None], self._chat.astream(prompt))
            async with aclosing(stream):
                async for piece in stream:
                    pieces.append(piece)
                    if len(pieces) == most_pieces:
                        break
            return pieces

        return self._runner.run(ask())

    def close(self) -> None:
        self._runner.run(self._chat.aclose())
        self._runner.close()
