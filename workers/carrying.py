"""Claimed jobs, carried to an end: done, failed, queued again, or no longer ours. The same in threads and in Celery."""

import threading
import time
from collections.abc import Callable, Sequence
from functools import partial

import structlog

from ingest.catalog.jobs import Jobs
from ingest.documents import Job, JobKind
from ingest.errors import CatalogUnavailableError, LeadlineError, LeaseLostError, StorageFullError
from ingest.faultpoints import reach
from workers.errors import Outcome, failure, outcome
from workers.ingesting import TOGETHER_BYTES, TOGETHER_DOCUMENTS, IngestTask
from workers.reembedding import ReembedTask
from workers.runs import RunTask
from workers.tasks import CollectTask, EmbedTask, Stopping

# Small documents are made searchable together and embedded together, and collections are short.
_CLAIM_LIMITS = {
    JobKind.INGEST: TOGETHER_DOCUMENTS,
    JobKind.EMBED: 64,
    JobKind.COLLECT: 16,
    JobKind.REEMBED: 16,
    JobKind.RUN: 1,
}
_CLAIM_BYTES = {JobKind.INGEST: TOGETHER_BYTES}
_BETWEEN_TRIES_SECONDS = 1.0

log = structlog.get_logger(__name__)


class Carrier:
    """Claims jobs for one worker and runs its tasks on them; whatever a task raises ends in the job's row.

    It is asked only for kinds that it was given a task of.

    `stopping` tells the tasks to hand back what they hold at the next good moment, because the process ends;
    `slice_over` tells only those that lose nothing by it, so that others get a turn. `keep_leases` must be called
    from another thread well within each lease.
    """

    def __init__(
        self,
        jobs: Jobs,
        ingest: IngestTask | None = None,
        embed: EmbedTask | None = None,
        collect: CollectTask | None = None,
        reembed: ReembedTask | None = None,
        *,
        stopping: Callable[[], bool],
        slice_over: Callable[[], bool] = lambda: False,
        answer: RunTask | None = None,
    ) -> None:
        self._jobs = jobs
        self._ingest = ingest
        self._together = {JobKind.EMBED: embed, JobKind.REEMBED: reembed}
        self._collect = collect
        self._answer = answer
        self._stopping = stopping
        self._pausing = lambda: stopping() or slice_over()
        self._held: dict[int, Job] = {}
        self._lock = threading.Lock()

    def once(self, kind: JobKind) -> int:
        """Claim what waits next and carry it; how many jobs that were. Runs are left to carriers that can answer."""
        if kind is JobKind.RUN and self._answer is None:
            return 0
        claimed = self._jobs.claim(kind, limit=_CLAIM_LIMITS[kind], total_bytes=_CLAIM_BYTES.get(kind))
        if not claimed:
            return 0
        with self._lock:
            self._held.update({job.id: job for job in claimed})
        try:
            reach(f"{kind}.claimed")
            if kind in self._together or kind is JobKind.INGEST:
                self._carry(claimed, partial(self._run_together, claimed))
            else:
                for job in claimed:
                    self._carry([job], partial(self._run_one, job))
        finally:
            with self._lock:
                for job in claimed:
                    self._held.pop(job.id, None)
        return len(claimed)

    def keep_leases(self) -> None:
        """Extend the lease of every job that is being carried."""
        with self._lock:
            held = list(self._held.values())
        if held:
            self._jobs.extend_all(held)

    def _run_one(self, job: Job) -> None:
        if job.kind is JobKind.RUN and self._answer is not None:
            self._answer.run(job, self._stopping)
        else:
            assert self._collect is not None
            self._collect.run(job)

    def _run_together(self, held: Sequence[Job]) -> None:
        if held[0].kind is JobKind.INGEST:
            assert self._ingest is not None
            for spoiled in self._ingest.run_together(held, self._stopping):
                self._carry([spoiled.job], partial(_raise, spoiled.error))
            return
        task = self._together[held[0].kind]
        assert task is not None
        task.run(held, self._pausing)

    def _carry(self, held: Sequence[Job], work: Callable[[], None]) -> None:
        try:
            work()
        except Stopping:
            self._each(held, self._jobs.hand_back)
        # The last boundary of a worker: whatever a task raises must end in the job's row, not in the worker.
        except Exception as error:
            log.warning("job failed", jobs=[job.id for job in held], error=repr(error), exc_info=_is_defect(error))
            self._after(held, error)

    def _after(self, held: Sequence[Job], error: Exception) -> None:
        if self._stopping():  # the failure may be the shutdown's own doing
            self._each(held, self._jobs.hand_back)
        elif outcome(error) is Outcome.WAIT:  # no document is at fault
            self._each(held, partial(self._try_again_or_fail, error))
        elif len(held) > 1:  # one bad document must not fail its batch
            for job in held:
                self._carry([job], partial(self._run_together, [job]))
        elif outcome(error) is not Outcome.ABANDON:
            self._each(held, partial(self._try_again_or_fail, error))

    def _try_again_or_fail(self, error: Exception, job: Job) -> None:
        reason = failure(error, job.kind)
        if outcome(error) is Outcome.WAIT:
            self._jobs.postpone(job, reason)
        elif outcome(error) is Outcome.FAIL or not self._jobs.retry(job, reason):
            self._jobs.fail(job, reason)

    def _each(self, held: Sequence[Job], settle: Callable[[Job], object]) -> None:
        """A job that the catalog takes no end of is queued again when its lease has run out."""
        until = time.monotonic() + self._jobs.lease_seconds
        for job in held:
            try:
                self._settle(job, settle, until)
            except LeaseLostError:
                log.info("job was taken over", job=job.id)
            except LeadlineError as error:
                log.warning("job was not settled", job=job.id, error=repr(error))

    def _settle(self, job: Job, settle: Callable[[Job], object], until: float) -> None:
        """A catalog that is away or full is tried again for as long as the leases may last.

        That an attempt does not count, as nobody is at fault, has to be written down.
        """
        pause_seconds = min(_BETWEEN_TRIES_SECONDS, self._jobs.lease_seconds / 3)
        while True:
            try:
                settle(job)
                return
            except (CatalogUnavailableError, StorageFullError):
                if self._stopping() or time.monotonic() > until:
                    raise
            time.sleep(pause_seconds)


def _raise(error: Exception) -> None:
    raise error


def _is_defect(error: Exception) -> bool:
    return not isinstance(error, LeadlineError)
