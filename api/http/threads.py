"""Thread pools for answers and for other work that must not wait behind ordinary requests."""

import asyncio
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any, TypeVar

import anyio
import anyio.to_thread

from api.http.problems import AnswersFullError

_Result = TypeVar("_Result")


class Threads:
    """A pool that runs functions in at most `count` threads. Further calls wait for a free thread."""

    def __init__(self, max_threads: int) -> None:
        self._limiter = anyio.CapacityLimiter(max_threads)
        self._under_way: dict[str, asyncio.Future[Any]] = {}

    async def run(self, work: Callable[..., _Result], *arguments: Any) -> _Result:  # noqa: ANN401 - of any function
        return await anyio.to_thread.run_sync(work, *arguments, limiter=self._limiter)

    async def run_with_timeout(self, timeout_seconds: float, name: str, work: Callable[[], Any], default: Any) -> Any:  # noqa: ANN401
        """Return the result of `work`, or `default` if the work takes longer than `timeout_seconds`.

        Only one call with the same `name` runs at a time, and concurrent callers share its result. A call that hangs
        therefore occupies only one thread.
        """
        under_way = self._under_way.get(name)
        if under_way is None or under_way.done():
            # At a shutdown, the thread is abandoned, because the loop would otherwise wait for it.
            started = anyio.to_thread.run_sync(work, limiter=self._limiter, abandon_on_cancel=True)
            under_way = self._under_way[name] = asyncio.ensure_future(started)
        await asyncio.wait({under_way}, timeout=timeout_seconds)
        return under_way.result() if under_way.done() else default


# Number of slots per extra slot. Extra slots are reserved for tenants that hold less than their share.
_SPARE_DIVISOR = 4


class AnswerThreads:
    """Generates up to `slots` answers concurrently. Each of them may occupy its thread for minutes.

    A single tenant may use all of the slots. A tenant that has less than its fair share (the slots divided by the
    number of tenants with answers in progress) may exceed the limit by up to a quarter, so that it does not have to
    wait for another tenant's answers. Tenants above their fair share get no more slots until the shares are even again.
    """

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._spare = max(1, slots // _SPARE_DIVISOR)
        self._taken: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._threads = ThreadPoolExecutor(slots + self._spare, thread_name_prefix="answer")

    def start_answer(self, tenant_id: str, work: Callable[[], _Result]) -> asyncio.Future[_Result]:
        """Start the work in a slot, which is held until the work ends. Raises `AnswersFullError` if no slot is free."""
        self._take_slot(tenant_id)
        running = self._threads.submit(copy_context().run, work)
        running.add_done_callback(lambda _: self._release_slot(tenant_id))
        return asyncio.wrap_future(running)

    def _take_slot(self, tenant_id: str) -> None:
        with self._lock:
            taken, others = self._taken.total(), len(set(self._taken) - {tenant_id})
            has_less = self._taken[tenant_id] < max(1, self._slots // (1 + others))
            # guard: answer-place-for-newcomer
            room = self._slots + (self._spare if others and has_less else 0)
            if taken >= room:
                raise AnswersFullError(f"This process is already generating {taken:,} answers, which is its limit.")
            self._taken[tenant_id] += 1

    def _release_slot(self, tenant_id: str) -> None:
        with self._lock:
            self._taken[tenant_id] -= 1
            self._taken += Counter()  # Adding an empty counter removes tenants whose count is 0.
