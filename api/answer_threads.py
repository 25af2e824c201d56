"""Threads for answers that somebody waits for, apart from those that every other request needs for a moment."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import TypeVar

from api.problems import AnswersFullError

_Result = TypeVar("_Result")


class AnswerThreads:
    """As many answers at once as there are `places`; each may keep its thread for minutes."""

    def __init__(self, places: int) -> None:
        self._places = places
        self._free = threading.BoundedSemaphore(places)
        self._threads = ThreadPoolExecutor(places, thread_name_prefix="answer")

    def start(self, work: Callable[[], _Result]) -> asyncio.Future[_Result]:
        """Begin, in a place that is taken until the work itself has ended. Raises `AnswersFullError`."""
        if not self._free.acquire(blocking=False):
            raise AnswersFullError(f"{self._places:,} answers are being made already, and there is room for no more.")
        running = self._threads.submit(copy_context().run, work)
        running.add_done_callback(lambda _: self._free.release())
        return asyncio.wrap_future(running)
