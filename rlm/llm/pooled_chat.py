"""One model on several servers, as a LangChain chat model.

A request may move to another server until it has produced output.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import aclosing, contextmanager
from typing import Any, ClassVar, cast

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from pydantic import PrivateAttr

from rlm.errors import LanguageModelError, LanguageModelTimeoutError, LanguageModelUnavailableError
from rlm.llm.chat_models import OpenAIChatModel
from rlm.llm.servers import PooledServer, ServerAttempt, ServerPool


class PooledChatModel(BaseChatModel):
    """A model that several identical servers offer. `pool` chooses a server by a request's `affinity`.

    A request moves to another server if its server was not reached, is busy or is shutting down. If the server had
    started to work on the request, the error is raised instead, so that its cost is counted before the request is
    repeated elsewhere. As with `OpenAIChatModel`, only asynchronous methods are used.
    """

    takes_affinity: ClassVar[bool] = True

    _chats: tuple[OpenAIChatModel, ...] = PrivateAttr()
    _pool: ServerPool = PrivateAttr()
    _call_seconds: float = PrivateAttr()

    def __init__(self, chats: Sequence[OpenAIChatModel], *, call_seconds: float, name: str) -> None:
        super().__init__()
        self._chats = tuple(chats)
        self._pool = ServerPool(name, len(chats), clock=time.monotonic)
        self._call_seconds = call_seconds

    @property
    def pool(self) -> ServerPool:
        return self._pool

    @property
    def _llm_type(self) -> str:
        return "leadline-pool"

    async def aclose(self) -> None:
        """Close the connections to every server. Must run on the event loop that used them."""
        await asyncio.gather(*(chat.aclose() for chat in self._chats), return_exceptions=True)

    def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:  # noqa: ANN401
        raise NotImplementedError("Only the asynchronous methods are supported.")

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        *args: Any,  # noqa: ANN401
        affinity: str = "",
        **kwargs: Any,  # noqa: ANN401
    ) -> ChatResult:
        search = _ServerSearch(self._pool, affinity, self._call_seconds)
        for attempt in search:
            with search.record_attempt(attempt):
                result = await self._get_chat(attempt)._agenerate(messages, *args, **kwargs)
                attempt.record_answer()
                return result
        raise search.error

    async def _astream(
        self,
        messages: list[BaseMessage],
        *args: Any,  # noqa: ANN401
        affinity: str = "",
        **kwargs: Any,  # noqa: ANN401
    ) -> AsyncIterator[ChatGenerationChunk]:
        search = _ServerSearch(self._pool, affinity, self._call_seconds)
        for attempt in search:
            with search.record_attempt(attempt):
                chunks = self._get_chat(attempt)._astream(messages, *args, **kwargs)
                async with aclosing(cast(AsyncGenerator[ChatGenerationChunk, None], chunks)):
                    async for chunk in chunks:
                        if not search.began:
                            search.began = True
                            attempt.record_answer()
                        yield chunk
                return
        raise search.error

    def _get_chat(self, attempt: ServerAttempt) -> OpenAIChatModel:
        return self._chats[attempt.server.number - 1]


class _ServerSearch:
    """The attempts to send one request, to one server after another."""

    def __init__(self, pool: ServerPool, affinity: str, call_seconds: float) -> None:
        self._pool = pool
        self._affinity = affinity
        self._call_seconds = call_seconds
        self._tried: list[PooledServer] = []
        self._errors: list[LanguageModelUnavailableError] = []
        self.began = False

    def __iter__(self) -> Iterator[ServerAttempt]:
        while (attempt := self._pool.start_attempt(self._affinity, self._tried)) is not None:
            self._tried.append(attempt.server)
            yield attempt

    @property
    def error(self) -> LanguageModelUnavailableError:
        """The error of a request that no server accepted: the error from the server with the shortest retry delay."""
        return min(self._errors, key=lambda each: each.retry_after_seconds or 0.0)

    @contextmanager
    def record_attempt(self, attempt: ServerAttempt) -> Iterator[None]:
        """Record one attempt. Its error is suppressed if another server may handle the request."""
        begun, outcome = time.monotonic(), "given_up"
        try:
            yield
            outcome = "ok"
        except LanguageModelUnavailableError as error:
            outcome = error.code
            self._pool.record_failure(attempt.server, retry_after_seconds=error.retry_after_seconds)
            if self.began or error.reached:
                raise
            self._errors.append(error)
        except LanguageModelError as error:
            outcome = error.code
            if isinstance(error, LanguageModelTimeoutError):
                self._pool.record_failure(attempt.server)
            raise
        except asyncio.CancelledError:
            if not self.began and time.monotonic() - begun >= self._call_seconds:
                outcome = LanguageModelTimeoutError.code
                self._pool.record_failure(attempt.server)
            raise
        finally:
            attempt.end_attempt(outcome)
