"""Decides how long an ingest may keep its worker.

A parser reads one document at a time, so a document that takes minutes would delay all documents queued behind it.
Therefore each document starts with a first try of a few seconds. If it takes longer, it counts as slow. A slow document
continues while no other document waits for its worker, or if it is within the fraction of workers reserved for slow
documents. Otherwise the document's job is requeued. The progress so far is lost, but the job uses up no attempt.
"""

import time
from collections.abc import Callable

from ingest.storage.errors import CatalogUnavailableError
from ingest.storage.jobs.jobs import Jobs
from ingest.storage.queue.records import Job, Lane
from workers.deps import WorkerStopping

FIRST_TRY_SECONDS = 10.0
# Maximum time for a document that was claimed together with others. If parsing takes longer, the document is requeued
# to run alone.
SHARED_TRY_SECONDS = 2.0
# Interval at which the catalog is queried for a waiting document. If a document is still waiting at the next check, no
# idle worker has claimed it, so it needs this worker.
_CHECK_SECONDS = 1.0


class RequeueInLane(Exception):
    """Raised when a document must yield its worker to other documents. Its job is requeued in `lane`."""

    def __init__(self, lane: Lane) -> None:
        super().__init__(lane.value)
        self.lane = lane


class WorkerTurn:
    """The time for which a document may use a worker. Call `check` often while the document is processed.

    The time is measured from the first check: before that, a parser process may be starting, and its start-up time says
    nothing about the document.
    """

    def __init__(
        self,
        jobs: Jobs,
        job: Job,
        *,
        is_shared: bool = False,
        first_try_seconds: float = FIRST_TRY_SECONDS,
        should_stop: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare a turn.

        If `is_shared` is true, other documents that were claimed at the same time are waiting for this turn to end.
        """
        self._jobs = jobs
        self._job = job
        self._is_shared = is_shared
        self._seconds = first_try_seconds
        self._stopping = should_stop
        self._clock = clock
        self._begun: float | None = None
        self._last_look = 0.0
        self._lane = job.lane
        self._waited: int | None = None

    def check_turn(self) -> None:
        """Return if the job may continue. Otherwise raise `LeaseLostError`, `RequeueInLane` or `WorkerStopping`.

        `LeaseLostError` means that the job was withdrawn.
        """
        if self._stopping():
            raise WorkerStopping
        try:
            self._check_lease_and_time()
        except CatalogUnavailableError:
            return  # the commit will detect a lost lease; until then, the work is kept

    def _check_lease_and_time(self) -> None:
        # guard: withdrawn-parse-ends
        self._jobs.require_lease(self._job)
        now = self._clock()
        if self._begun is None:
            self._begun = self._last_look = now
        if self._is_shared:
            if now - self._begun > min(SHARED_TRY_SECONDS, self._seconds):
                raise RequeueInLane(Lane.LARGE)
            return
        if self._lane is not Lane.SLOW and now - self._begun > self._seconds:
            self._jobs.mark_slow(self._job)
            self._lane = Lane.SLOW
        if now - self._last_look >= _CHECK_SECONDS:
            self._last_look = now
            self._yield_if_needed()

    def _yield_if_needed(self) -> None:
        waiting = self._jobs.find_job_to_yield_to(self._job, self._lane)
        if waiting is not None and waiting == self._waited:
            raise RequeueInLane(Lane.SLOW)
        self._waited = waiting
