"""Sub-calls of all runs of a process: in parallel up to each model's limit, in order, and given up when told to.

Runs are threads; the requests are on one event loop in a thread of its own, where giving one up closes its connection.
"""

import asyncio
import random
import threading
import time
from collections.abc import Callable, Coroutine, Hashable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from langchain_core.language_models import BaseChatModel

from ingest.catalog.replies import StoredReply
from rlm.errors import RunCancelledError
from rlm.llm.batch import BoundSubCalls, Ended, kept_reply
from rlm.llm.budgets import Budget
from rlm.llm.cache import NoReplyCache, ReplyCache
from rlm.llm.generators import note_generators
from rlm.llm.port import SubCall, SubCalls, SubReply
from rlm.llm.profiles import ModelProfile
from rlm.llm.rate_limit import Clock, Lane, RetryBudget, Sleep
from rlm.llm.request import Journey, Line, Settlements
from rlm.llm.single_flight import CacheDesk, InFlight, read_cache
from rlm.usage import Usage

# Closing connections takes milliseconds; a model that runs in a thread cannot be stopped and is left behind.
_GRACE_SECONDS = 1.0


class SubCallScheduler:
    """Made once in a process and closed at its end; binds runs to models."""

    def __init__(
        self,
        cache: ReplyCache | None = None,
        *,
        clock: Clock = time.monotonic,
        sleep: Sleep = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._cache: ReplyCache = cache or NoReplyCache()
        self._clock, self._sleep, self._jitter = clock, sleep, jitter
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="reply-cache")
        self._desk = CacheDesk(self._cache, self._executor)
        self._in_flight = InFlight()
        self._settlements = Settlements()
        self._models: dict[str, tuple[Lane, RetryBudget]] = {}
        self._closing: dict[int, Any] = {}
        self._lock = threading.Lock()
        self._loop = asyncio.new_event_loop()
        self._loop.call_soon(note_generators)
        self._thread = threading.Thread(target=self._loop.run_forever, name="sub-calls", daemon=True)
        self._thread.start()

    def bind(
        self,
        chat: BaseChatModel,
        profile: ModelProfile,
        *,
        tenant_id: str,
        budget: Budget,
        run: Hashable | None = None,
    ) -> SubCalls:
        """Sub-calls of one run. Budgets of a run's parts are bound with the same `run`: the model is shared by runs."""
        with self._lock:
            if hasattr(chat, "aclose"):
                self._closing[id(chat)] = chat
            if profile.name not in self._models:
                lane = Lane(profile.parallel_calls, clock=self._clock, sleep=self._sleep)
                self._models[profile.name] = (lane, RetryBudget())
            lane, retries = self._models[profile.name]
            lane.places = profile.parallel_calls
        line = Line(
            chat=chat,
            profile=profile,
            tenant_id=tenant_id,
            budget=budget,
            run=object() if run is None else run,
            lane=lane,
            retries=retries,
            settlements=self._settlements,
            clock=self._clock,
            sleep=self._sleep,
            jitter=self._jitter,
        )
        return BoundSubCalls(self, line)

    def close(self) -> None:
        """Give up what is under way, and close the models' connections."""
        if self._loop.is_closed():
            return
        asyncio.run_coroutine_threadsafe(self._wind_up(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._executor.shutdown()

    async def _wind_up(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        if others:
            await asyncio.wait(others, timeout=_GRACE_SECONDS)
        closed = [chat.aclose() for chat in self._closing.values()]
        await asyncio.gather(*closed, return_exceptions=True)  # what cannot be closed ends with the process
        await self._loop.shutdown_asyncgens()

    def start(self, work: Coroutine[Any, Any, None], ended: Ended) -> Callable[[], None]:
        """Begin `work` on the loop and return what gives it up; `ended` gets what it raised, or None.

        Raises `RunCancelledError` when the scheduler is closed.
        """
        tasks: list[asyncio.Task[None]] = []

        def begin() -> None:
            tasks.append(self._loop.create_task(work))
            tasks[0].add_done_callback(lambda task: ended(_raised(task)))

        def give_up() -> None:
            self._loop.call_soon_threadsafe(lambda: tasks[0].cancel())

        if self._loop.is_closed():
            work.close()
            raise RunCancelledError("The service is stopping.")
        self._loop.call_soon_threadsafe(begin)
        return give_up

    def cached(self, tenant_id: str, keys: Sequence[str]) -> Mapping[str, StoredReply]:
        """What is kept for these keys."""
        return read_cache(self._cache, tenant_id, set(keys))

    async def reply(self, line: Line, key: str, call: SubCall, used: list[Usage]) -> SubReply:
        """The reply to one call; `used` gets what was spent on it.

        It comes from an equal call under way, from the cache, where one may have come in since the batch began, or
        from the model; then it is kept before anyone sees it, so that a killed process does not pay for it again.
        """
        journey = Journey(line, call)

        async def ask() -> SubReply:
            if kept := await self._desk.look_up(line.tenant_id, key):
                return kept_reply(kept)
            try:
                reply = await journey.reply()
            finally:
                used.append(journey.used)
            usage = reply.usage
            paid = StoredReply(key, reply.text, usage.calls, usage.prompt_tokens, usage.completion_tokens)
            await self._desk.keep(line.tenant_id, paid)
            return reply

        reply, shared = await self._in_flight.reply(key, ask, is_own=lambda: journey.cut_short)
        return replace(reply, cached=True) if shared else reply


def _raised(task: asyncio.Task[None]) -> BaseException | None:
    return RunCancelledError("The service is stopping.") if task.cancelled() else task.exception()
