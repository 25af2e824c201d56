"""How long an ingest may keep its worker.

A parser is asked for one document at a time, so a document that takes minutes would delay all that wait behind it. So
a document first gets a try of some seconds. After it the document is slow: it goes on only where no other document
waits for its worker, or in the share of workers that the slow lane has. Otherwise it goes back into the queue. What was
done for it is lost, and no attempt is counted.
"""

import time
from collections.abc import Callable

from ingest.catalog.jobs import Jobs
from ingest.documents import Job, Lane
from ingest.errors import CatalogUnavailableError
from workers.worker_deps import Stopping

FIRST_TRY_SECONDS = 10.0
# A document that takes longer goes on alone, if others were claimed with it.
TOGETHER_SECONDS = 2.0
# So often the catalog is asked who waits. A document waits for a busy worker if it still does the next time: until then
# an idle worker would have claimed it.
_LOOK_SECONDS = 1.0


class PutBack(Exception):
    """The document's try is over: its job goes back into the queue, in another lane."""

    def __init__(self, lane: Lane) -> None:
        super().__init__(lane.value)
        self.lane = lane


class Turn:
    """The time that a document has with a worker. `look` is called often while something is done for it."""

    def __init__(
        self,
        jobs: Jobs,
        job: Job,
        *,
        is_shared: bool = False,
        first_try_seconds: float = FIRST_TRY_SECONDS,
        stopping: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin a turn; `is_shared` says that other documents of the same claim wait for its end."""
        self._jobs = jobs
        self._job = job
        self._is_shared = is_shared
        self._seconds = first_try_seconds
        self._stopping = stopping
        self._clock = clock
        self._begun = self._last_look = clock()
        self._lane = job.lane
        self._waited: int | None = None

    def look(self) -> None:
        """Return if the job may go on. Raises `LeaseLostError` if it was withdrawn, `PutBack` and `Stopping`."""
        if self._stopping():
            raise Stopping
        try:
            self._look()
        except CatalogUnavailableError:
            return  # the commit will tell; until then the work is not lost

    def _look(self) -> None:
        # guard: withdrawn-parse-ends
        self._jobs.check(self._job)
        now = self._clock()
        if self._is_shared:
            if now - self._begun > min(TOGETHER_SECONDS, self._seconds):
                raise PutBack(Lane.LARGE)
            return
        if self._lane is not Lane.SLOW and now - self._begun > self._seconds:
            self._jobs.slow_down(self._job)
            self._lane = Lane.SLOW
        if now - self._last_look >= _LOOK_SECONDS:
            self._last_look = now
            self._give_way()

    def _give_way(self) -> None:
        waiting = self._jobs.find_kept_waiting(self._job, self._lane)
        if waiting is not None and waiting == self._waited:
            raise PutBack(Lane.SLOW)
        self._waited = waiting
