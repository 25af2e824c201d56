"""Threads for answers and other work that must not wait behind ordinary requests."""

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
    """Runs functions in at most `count` threads of their own; more of them wait."""

    def __init__(self, count: int) -> None:
        self._limiter = anyio.CapacityLimiter(count)
        self._under_way: dict[str, asyncio.Future[Any]] = {}

    async def run(self, work: Callable[..., _Result], *arguments: Any) -> _Result:  # noqa: ANN401 - of any function
        return await anyio.to_thread.run_sync(work, *arguments, limiter=self._limiter)

    async def run_within(self, seconds: float, name: str, work: Callable[[], Any], late: Any) -> Any:  # noqa: ANN401
        """Return the result of `work`, or `late` if there is none in time.

        Of one name only one is under way: who asks meanwhile waits for the same, so that what hangs holds one thread.
        """
        under_way = self._under_way.get(name)
        if under_way is None or under_way.done():
            # Abandoned when the loop ends, which would wait for it else.
            started = anyio.to_thread.run_sync(work, limiter=self._limiter, abandon_on_cancel=True)
            under_way = self._under_way[name] = asyncio.ensure_future(started)
        await asyncio.wait({under_way}, timeout=seconds)
        return under_way.result() if under_way.done() else late


# So many more places than one in this many are there for tenants that hold less than their share.
_SPARE_DIVISOR = 4


class AnswerThreads:
    """Runs as many answers at once as there are `places`; each may keep its thread for minutes.

    One tenant alone may take them all. A tenant with less than its share, which is the places divided by the tenants
    with answers in progress, may go beyond them by up to a quarter, so that it need not wait for another's answer to
    end; until that has evened out, tenants over their share get no more.
    """

    def __init__(self, places: int) -> None:
        self._places = places
        self._spare = max(1, places // _SPARE_DIVISOR)
        self._taken: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._threads = ThreadPoolExecutor(places + self._spare, thread_name_prefix="answer")

    def start(self, tenant_id: str, work: Callable[[], _Result]) -> asyncio.Future[_Result]:
        """Begin the work, in a place that is taken until the work has ended. Raises `AnswersFullError`."""
        self._take_slot(tenant_id)
        running = self._threads.submit(copy_context().run, work)
        running.add_done_callback(lambda _: self._release_slot(tenant_id))
        return asyncio.wrap_future(running)

    def _take_slot(self, tenant_id: str) -> None:
        with self._lock:
            taken, others = self._taken.total(), len(set(self._taken) - {tenant_id})
            has_less = self._taken[tenant_id] < max(1, self._places // (1 + others))
            # guard: answer-place-for-newcomer
            room = self._places + (self._spare if others and has_less else 0)
            if taken >= room:
                raise AnswersFullError(f"{taken:,} answers are being made already, and there is room for no more.")
            self._taken[tenant_id] += 1

    def _release_slot(self, tenant_id: str) -> None:
        with self._lock:
            self._taken[tenant_id] -= 1
            self._taken += Counter()  # forgets those that have none
