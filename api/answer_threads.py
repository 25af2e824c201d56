"""Threads for answers that clients wait for, apart from the threads that other requests need for a moment."""

import asyncio
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import TypeVar

from api.problems import AnswersFullError

_Result = TypeVar("_Result")

# One in this many places is for tenants without an answer in progress.
_ONE_IN = 4


class AnswerThreads:
    """Runs as many answers at once as there are `places`; each may keep its thread for minutes.

    The last quarter of the places goes only to tenants that have none, so that no tenant takes them all.
    """

    def __init__(self, places: int) -> None:
        self._places = places
        self._shared = places - places // _ONE_IN
        self._taken: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._threads = ThreadPoolExecutor(places, thread_name_prefix="answer")

    def start(self, tenant_id: str, work: Callable[[], _Result]) -> asyncio.Future[_Result]:
        """Begin the work, in a place that is taken until the work has ended. Raises `AnswersFullError`."""
        self._take(tenant_id)
        running = self._threads.submit(copy_context().run, work)
        running.add_done_callback(lambda _: self._give_back(tenant_id))
        return asyncio.wrap_future(running)

    def _take(self, tenant_id: str) -> None:
        with self._lock:
            taken = self._taken.total()
            if taken >= (self._shared if self._taken[tenant_id] else self._places):
                raise AnswersFullError(f"{taken:,} answers are being made already, and there is room for no more.")
            self._taken[tenant_id] += 1

    def _give_back(self, tenant_id: str) -> None:
        with self._lock:
            self._taken[tenant_id] -= 1
            self._taken += Counter()  # forgets those that have none
