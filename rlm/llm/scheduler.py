"""Runs the sub-calls of all runs of a process in parallel, up to each model's limit.

Calls are served in order and can be cancelled. Each run is a thread. The requests run on one event loop in a separate
thread, where cancelling a request closes its connection.
"""

import asyncio
import random
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Coroutine, Generator, Hashable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

import structlog

from ingest.storage.answers.replies import StoredReply
from ingest.storage.documents.records import UsedVersions
from rlm.errors import AnswerError, BudgetExhaustedError, RunCancelledError, not_cancelled, require_not_cancelled
from rlm.llm.budgets import Budget, Usage
from rlm.llm.cache import CachedReplies, ReplyCache, SingleFlight, compute_reply_key
from rlm.llm.completion import Show, estimate_prompt_tokens, track_generators
from rlm.llm.metrics import BUDGET_STOPS, KEPT_REPLIES
from rlm.llm.port import Finished, ReportedSubCalls, SubCall, SubFailure, SubReply, ignore_result
from rlm.llm.profiles import ModelProfile
from rlm.llm.rate_limit import CallPriority, Clock, RateLimit, Sleep
from rlm.llm.request import ModelClient, Request, SharedModel

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

log = structlog.get_logger(__name__)

# Interval at which a waiting run checks whether it was cancelled.
_POLL_SECONDS = 0.1
# Maximum time for closing connections, which takes milliseconds. A model that runs in a thread cannot be stopped, so it
# is abandoned after this time.
_GRACE_SECONDS = 1.0
# Resources without which no call fits in a budget. Tokens are not included: if the remaining tokens do not cover a
# large call, they may still cover a small call.
_NOTHING_FITS_WITHOUT = frozenset({"calls", "seconds"})


class SubCallScheduler:
    """Binds runs to models. Created once per process and closed when the process ends."""

    def __init__(
        self,
        cache: ReplyCache | None = None,
        *,
        clock: Clock = time.monotonic,
        sleep: Sleep = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._clock, self._sleep, self._jitter = clock, sleep, jitter
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="reply-cache")
        self.cached_replies = CachedReplies(cache, self._executor)
        self._single_flight = SingleFlight()
        self._under_way: Counter[Budget] = Counter()
        self._models: dict[str, SharedModel] = {}
        self._closing: dict[int, Any] = {}
        self._lock = threading.Lock()
        self._loop = asyncio.new_event_loop()
        self._loop.call_soon(track_generators)
        self._thread = threading.Thread(target=self._loop.run_forever, name="sub-calls", daemon=True)
        self._thread.start()

    def bind_sub_calls(
        self,
        chat: "BaseChatModel",
        profile: ModelProfile,
        *,
        tenant_id: str,
        budget: Budget,
        audience: str = "",
        run: Hashable | None = None,
        background: bool = False,
        priority: CallPriority | None = None,
        affinity: str = "",
        used_versions: UsedVersions | None = None,
    ) -> ReportedSubCalls:
        """Bind sub-calls to one run, for the `audience` that may see the documents in them.

        Bindings for sub-runs have different budgets but the same `run`. The model is shared fairly between runs. If a
        run is in the `background`, its calls are served after those of interactive answers. `priority`, if given,
        replaces this order. If a model has several servers, calls with the same `affinity` stay on one of them.
        `used_versions` records the versions that prompts contain, and replies are removed together with these versions.
        """
        with self._lock:
            if hasattr(chat, "aclose"):
                self._closing[id(chat)] = chat
            if profile.name not in self._models:
                limit = RateLimit(profile.parallel_calls, clock=self._clock, sleep=self._sleep)
                self._models[profile.name] = SharedModel(limit)
            model = self._models[profile.name]
            model.rate_limit.places = profile.parallel_calls
        client = ModelClient(
            chat=chat,
            profile=profile,
            tenant_id=tenant_id,
            audience=audience,
            budget=budget,
            run=object() if run is None else run,
            background=background,
            priority=priority,
            affinity=affinity,
            used=used_versions,
            model=model,
            under_way=self._under_way,
            sleep=self._sleep,
            jitter=self._jitter,
        )
        return _BoundSubCalls(self, client)

    def count_free_slots(self, profile: ModelProfile) -> int:
        """Return how many more requests a model accepts now. The count may be outdated as soon as it is returned."""
        with self._lock:
            model = self._models.get(profile.name)
        return profile.parallel_calls if model is None else model.rate_limit.free_slots

    def close(self) -> None:
        """Cancel all calls in progress, and close the models' connections."""
        if self._loop.is_closed():
            return
        asyncio.run_coroutine_threadsafe(self._shut_down(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._executor.shutdown()

    async def _shut_down(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        if others:
            await asyncio.wait(others, timeout=_GRACE_SECONDS)
        closed = [chat.aclose() for chat in self._closing.values()]
        await asyncio.gather(
            *closed, return_exceptions=True
        )  # A connection that cannot be closed ends with the process.
        await self._loop.shutdown_asyncgens()

    def start_coroutine(
        self, coroutine: Coroutine[Any, Any, None], on_end: Callable[[BaseException | None], None]
    ) -> Callable[[], None]:
        """Start `coroutine` on the loop and return a function that cancels it.

        `on_end` receives the exception of `coroutine`, or None. Raises `RunCancelledError` if the scheduler is closed.
        """
        tasks: list[asyncio.Task[None]] = []

        def start_task() -> None:
            tasks.append(self._loop.create_task(coroutine))
            tasks[0].add_done_callback(lambda task: on_end(_get_task_error(task)))

        def give_up() -> None:
            with suppress(RuntimeError):  # If the loop is closed, all calls on it were already cancelled.
                self._loop.call_soon_threadsafe(lambda: tasks[0].cancel())

        if self._loop.is_closed():
            coroutine.close()
            raise RunCancelledError("The service is stopping.")
        self._loop.call_soon_threadsafe(start_task)
        return give_up

    async def fetch_reply(
        self,
        client: ModelClient,
        key: str,
        call: SubCall,
        usages: list[Usage],
        *,
        priority: CallPriority = CallPriority.INTERACTIVE,
        on_text: Show | None = None,
    ) -> SubReply:
        """Return the reply to one call, and add its cost to `usages`.

        The reply comes from an identical call in progress, from the cache (it may have arrived since the batch
        started), or from the model. A new reply is cached before anyone sees it, so that it is not paid for again if
        the process is killed. A truncated reply is not cached, because the cache cannot mark it as truncated.
        """
        request = Request(client, call, priority=priority, on_text=on_text)

        async def ask() -> SubReply:
            if kept := await self.cached_replies.find_reply(client.tenant_id, key):
                KEPT_REPLIES.inc()
                return _build_cached_reply(kept)
            try:
                reply = await request.fetch_reply()
            finally:
                usages.append(request.used)
            if not reply.cut_off:
                usage = reply.usage
                paid = StoredReply(key, reply.text, usage.calls, usage.prompt_tokens, usage.completion_tokens)
                await self.cached_replies.store_reply(client.tenant_id, paid, client.work)
            return reply

        reply, shared = await self._single_flight.get_reply(key, ask, is_own_failure=lambda: request.cut_short)
        return replace(reply, cached=True) if shared else reply


class _BoundSubCalls:
    """Implements the interface for sub-calls, for one run and one budget."""

    def __init__(self, scheduler: SubCallScheduler, client: ModelClient) -> None:
        self._scheduler = scheduler
        self._client = client

    def run(
        self,
        calls: Sequence[SubCall],
        *,
        cancelled: Callable[[], bool] = not_cancelled,
        on_result: Finished = ignore_result,
    ) -> Sequence[SubReply | SubFailure]:
        """Run the calls as specified by the interface. `on_result` is called in the thread of `run`."""
        require_not_cancelled(cancelled)
        batch = _CallBatch(self._scheduler, self._client, calls)
        for item in batch.iter_items(cancelled):
            if isinstance(item, str):
                batch.report_result(item, on_result)
        return batch.list_results(on_result)

    def stream(
        self, call: SubCall, *, cancelled: Callable[[], bool] = not_cancelled
    ) -> Iterator[str | SubReply | SubFailure]:
        """Stream the reply as specified by the interface. The request is not sent until the first item is requested.

        Closing the iterator cancels the request.
        """
        require_not_cancelled(cancelled)
        batch = _CallBatch(self._scheduler, self._client, [call], is_streamed=True)
        shown = False
        with closing(batch.iter_items(cancelled)) as items:
            for item in items:
                if isinstance(item, _Piece):
                    shown = True
                    yield item.text
        (result,) = batch.list_results()
        if isinstance(result, SubReply) and not shown:
            yield result.text
        yield result


@dataclass(frozen=True)
class _Piece:
    """A piece of a streamed reply. Pieces share a queue with the keys of finished calls."""

    text: str


class _CallBatch:
    """A batch of calls, with identical calls merged.

    Up to twice as many calls are in progress as the model accepts concurrently, because some of them wait to be retried
    or to be cached. A single call is served before batches, because a caller is waiting for it.
    """

    def __init__(
        self, scheduler: SubCallScheduler, client: ModelClient, calls: Sequence[SubCall], *, is_streamed: bool = False
    ) -> None:
        self._scheduler = scheduler
        self._client = client
        self._calls = calls
        self._priority = _select_priority(client, len(calls))
        self._positions: defaultdict[str, list[int]] = defaultdict(list)
        for position, call in enumerate(calls):
            self._positions[compute_reply_key(client.tenant_id, client.audience, client.profile, call)].append(position)
        kept = scheduler.cached_replies.load_replies(client.tenant_id, set(self._positions))
        KEPT_REPLIES.inc(len(kept))
        self._outcomes: dict[str, SubReply | SubFailure] = {
            key: _build_cached_reply(reply) for key, reply in kept.items()
        }
        self._todo = [key for key in self._positions if key not in kept]
        self._results: dict[int, SubReply | SubFailure] = {}
        self._over = _build_failure(BudgetExhaustedError("The run's time is over.", resource="seconds"))
        # Call sizes that the budget does not cover, each with its error. Calls of the same or a larger size are not
        # tried.
        self._refused: list[tuple[int, int, SubFailure]] = []
        self._stopped = False
        self._queue: SimpleQueue[str | _Piece | None] = SimpleQueue()
        self._show: Show | None = (lambda text: self._queue.put(_Piece(text))) if is_streamed else None
        self._raised: BaseException | None = None

    def iter_items(self, cancelled: Callable[[], bool]) -> Generator[str | _Piece, None, None]:
        """Send the calls, and yield keys and pieces as they arrive. Cancels the calls if cancelled or closed."""
        if not self._todo:
            return
        give_up = self._scheduler.start_coroutine(self._run_calls(), self._record_end)
        looked = time.monotonic()
        try:
            while True:
                try:
                    item = self._queue.get(timeout=_POLL_SECONDS)
                    if item is None:
                        break
                    yield item
                except Empty:
                    pass
                if time.monotonic() - looked >= _POLL_SECONDS:
                    looked = time.monotonic()
                    require_not_cancelled(cancelled)
        except BaseException:
            give_up()
            self._wait_for_end()
            raise
        if self._raised is not None:
            raise self._raised

    def report_result(self, key: str, on_result: Finished) -> None:
        """Report a call's result at each of its positions. Only the first of identical calls reports the cost."""
        outcome = self._outcomes.get(key, self._over)
        for position in self._positions[key]:
            self._results[position] = outcome
            on_result(position, outcome)
            outcome = _remove_cost(outcome)

    def list_results(self, on_result: Finished = ignore_result) -> list[SubReply | SubFailure]:
        """Return one result for each call, in order.

        Results that were not reported yet (cached or missing) are reported now.
        """
        for key, positions in self._positions.items():
            if positions[0] not in self._results:
                self.report_result(key, on_result)
        return [self._results[position] for position in range(len(self._calls))]

    def _record_end(self, error: BaseException | None) -> None:
        self._raised = error
        self._queue.put(None)

    def _wait_for_end(self) -> None:
        deadline = time.monotonic() + _GRACE_SECONDS
        with suppress(Empty):
            while self._queue.get(timeout=max(0.0, deadline - time.monotonic())) is not None:
                pass

    async def _run_calls(self) -> None:
        ahead = iter(self._todo)
        carriers = min(len(self._todo), 2 * self._client.profile.parallel_calls)
        try:
            async with (
                asyncio.timeout(self._client.budget.get_remaining_limits().seconds),
                asyncio.TaskGroup() as group,
            ):
                for _ in range(carriers):
                    group.create_task(self._run_worker(ahead))
        except TimeoutError:
            self._stopped = True

    async def _run_worker(self, keys: Iterator[str]) -> None:
        for key in keys:
            if self._stopped:
                return
            await self._make_call(key)
            self._queue.put(key)

    async def _make_call(self, key: str) -> None:
        used: list[Usage] = []
        call = self._calls[self._positions[key][0]]
        prompt = estimate_prompt_tokens(call)
        for least_prompt, least_reply, failure in self._refused:
            if prompt >= least_prompt and call.max_tokens >= least_reply:
                self._outcomes[key] = failure
                return
        try:
            self._outcomes[key] = await self._scheduler.fetch_reply(
                self._client, key, call, used, priority=self._priority, on_text=self._show
            )
        except asyncio.CancelledError:
            self._outcomes[key] = replace(self._over, usage=_sum_usage(used))
            raise
        except BudgetExhaustedError as error:
            BUDGET_STOPS.labels(error.resource or "other").inc()
            self._outcomes[key] = _build_failure(error, used)
            if not error.may_fit_later:
                size = (0, 0) if error.resource in _NOTHING_FITS_WITHOUT else (prompt, call.max_tokens)
                self._refused.append((*size, _build_failure(error)))
        except AnswerError as error:
            self._outcomes[key] = _build_failure(error, used)
        except Exception as error:
            log.exception("sub-call failed unexpectedly", error=repr(error))
            self._outcomes[key] = SubFailure(
                "internal_error", "The sub-call failed with an internal error.", _sum_usage(used)
            )


def _select_priority(client: ModelClient, call_count: int) -> CallPriority:
    if client.priority is not None:
        return client.priority
    if client.background:
        return CallPriority.BACKGROUND if call_count == 1 else CallPriority.BACKGROUND_BATCH
    return CallPriority.INTERACTIVE if call_count == 1 else CallPriority.INTERACTIVE_BATCH


def _build_cached_reply(stored_reply: StoredReply) -> SubReply:
    """Return a cached reply, with the usage of the call that paid for it."""
    return SubReply(
        stored_reply.text,
        Usage(stored_reply.calls, stored_reply.prompt_tokens, stored_reply.completion_tokens),
        cached=True,
    )


def _remove_cost(outcome: SubReply | SubFailure) -> SubReply | SubFailure:
    return replace(outcome, cached=True) if isinstance(outcome, SubReply) else replace(outcome, usage=Usage())


def _build_failure(error: AnswerError, usages: Iterable[Usage] = ()) -> SubFailure:
    return SubFailure(error.code, error.detail, _sum_usage(usages), error)


def _sum_usage(usages: Iterable[Usage]) -> Usage:
    return sum(usages, Usage())


def _get_task_error(task: asyncio.Task[None]) -> BaseException | None:
    return RunCancelledError("The service is stopping.") if task.cancelled() else task.exception()
