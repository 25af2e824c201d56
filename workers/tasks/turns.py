"""Decides how long an ingest may keep its worker.

A parser reads one document at a time, so a document that takes minutes would delay everything queued behind it. Each
document therefore starts with a try of a few seconds. After that it is slow: it continues while no other document waits
for its worker, or within the share of workers reserved for slow documents. Otherwise its job is requeued. Its progress
is lost, but no attempt is counted.
"""

import time
from collections.abc import Callable

from ingest.storage.errors import CatalogUnavailableError
from ingest.storage.jobs.jobs import Jobs
from ingest.storage.queue.records import Job, Lane
from workers.deps import WorkerStopping

FIRST_TRY_SECONDS = 10.0
# A document claimed together with others that takes longer than this is requeued to run alone.
SHARED_TRY_SECONDS = 2.0
# How often to ask the catalog which document waits. One that still waits at the next check needs this worker: an idle
# worker would have claimed it by then.
_CHECK_SECONDS = 1.0


class RequeueInLane(Exception):
    """Raised when a document must give its worker to others: its job is requeued in `lane`."""

    def __init__(self, lane: Lane) -> None:
        super().__init__(lane.value)
        self.lane = lane


class WorkerTurn:
    """The time that a document has with a worker. Call `check` often while the document is processed.

    The clock starts at the first check. Until then a parser's process may be starting, which says nothing about the
    document.
    """

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
        """Prepare a turn; `is_shared` means that other documents of the same claim wait for its end."""
        self._jobs = jobs
        self._job = job
        self._is_shared = is_shared
        self._seconds = first_try_seconds
        self._stopping = stopping
        self._clock = clock
        self._begun: float | None = None
        self._last_look = 0.0
        self._lane = job.lane
        self._waited: int | None = None

    def check(self) -> None:
        """Return if the job may continue; otherwise raise `LeaseLostError`, `RequeueInLane` or `WorkerStopping`.

        `LeaseLostError` means that the job was withdrawn.
        """
        if self._stopping():
            raise WorkerStopping
        try:
            self._check()
        except CatalogUnavailableError:
            return  # the commit will find out; until then, keep the work

    def _check(self) -> None:
        # guard: withdrawn-parse-ends
        self._jobs.require_held(self._job)
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
            self._yield_worker()

    def _yield_worker(self) -> None:
        waiting = self._jobs.find_job_to_yield_to(self._job, self._lane)
        if waiting is not None and waiting == self._waited:
            raise RequeueInLane(Lane.SLOW)
        self._waited = waiting
