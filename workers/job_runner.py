"""Runs claimed jobs until they are done, failed, requeued or lost. Threads and Celery workers share this code."""

import threading
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import NoReturn

import structlog
from opentelemetry.trace import Span, SpanKind

from ingest.storage.errors import CatalogUnavailableError, LeadlineError, LeaseLostError, StorageFullError
from ingest.storage.instrumentation import reach_fault_point, record_span
from ingest.storage.jobs.jobs import Jobs
from ingest.storage.queue.records import ALL_LANES, FIRST_TRY_LANES, Job, JobKind, Lane
from workers.deps import WorkerStopping
from workers.errors import JobOutcome, build_failure, get_job_outcome
from workers.metrics import JOB_SECONDS, count_jobs
from workers.steps import RunningSteps
from workers.tasks.deletion import CollectTask
from workers.tasks.embed import EmbedTask
from workers.tasks.ingest import BATCH_BYTES, BATCH_DOCUMENTS, IngestTask
from workers.tasks.reembed import ReembedTask
from workers.tasks.run import RunTask
from workers.tasks.sync import SyncTask
from workers.tasks.turns import RequeueInLane

# Maximum number of jobs of each kind to claim at once. Small documents are ingested and embedded in batches, and jobs
# of kind `collect` are short.
_CLAIM_LIMITS = {
    JobKind.INGEST: BATCH_DOCUMENTS,
    JobKind.EMBED: 64,
    JobKind.COLLECT: 16,
    JobKind.REEMBED: 16,
    JobKind.RUN: 1,
    JobKind.SYNC: 1,
}
# Kinds of jobs whose steps have a time limit. The length of a run is limited by the run's budget instead. A step of a
# synchronization ends with each item and each block that arrives, so only one that hangs is ended.
_STEP_KINDS = frozenset(_CLAIM_LIMITS) - {JobKind.RUN}
_CLAIM_BYTES = {JobKind.INGEST: BATCH_BYTES}
_RETRY_SECONDS = 1.0

log = structlog.get_logger(__name__)


class JobRunner:
    """Claims jobs for one worker and runs tasks on them. Errors raised by a task are recorded in the job's row.

    A kind may be requested only if it has a task. When `stopping` returns true because the process is ending, tasks
    hand back their jobs at the next suitable moment. When `slice_over` returns true to give other work a turn, only
    embedding tasks hand back their jobs, because they lose no work by doing so. Another thread must call
    `extend_leases` well before a lease lapses.
    """

    def __init__(
        self,
        jobs: Jobs,
        ingest_task: IngestTask | None = None,
        embed_task: EmbedTask | None = None,
        collect_task: CollectTask | None = None,
        reembed_task: ReembedTask | None = None,
        *,
        should_stop: Callable[[], bool],
        is_slice_over: Callable[[], bool] = lambda: False,
        run_task: RunTask | None = None,
        sync_task: SyncTask | None = None,
    ) -> None:
        self._jobs = jobs
        self._ingest = ingest_task
        self._together = {JobKind.EMBED: embed_task, JobKind.REEMBED: reembed_task}
        self._collect = collect_task
        self._answer = run_task
        self._sync = sync_task
        self.steps = RunningSteps()
        self._stopping = should_stop = self.steps.wrap_stop_check(should_stop)
        self._pausing = lambda: should_stop() or is_slice_over()
        self._yielded = False
        self._held: dict[int, tuple[Job, int]] = {}
        self._lock = threading.Lock()

    def run_once(self, kind: JobKind, lanes: Collection[Lane] = ALL_LANES) -> int:
        """Run the next waiting jobs of a kind and return their number.

        Without a task for them, no job of the kinds `run` and `sync` is claimed.
        """
        if (kind is JobKind.RUN and self._answer is None) or (kind is JobKind.SYNC and self._sync is None):
            return 0
        claimed = self._claim_jobs(kind, lanes)
        if not claimed:
            return 0
        with self._lock:
            self._held.update({job.id: (job, threading.get_ident()) for job in claimed})
        if kind in _STEP_KINDS:
            self.steps.start_step()
        try:
            reach_fault_point(f"{kind}.claimed")
            begun = time.monotonic()
            if kind in self._together or kind is JobKind.INGEST:
                with _record_job_span(claimed):
                    self._run_and_record(claimed, partial(self._run_jobs_together, claimed))
            else:
                for job in claimed:
                    with _record_job_span([job]):
                        self._run_and_record([job], partial(self._run_single_job, job))
            JOB_SECONDS.labels(kind.value).observe(time.monotonic() - begun)
        finally:
            self.steps.end_step()
            with self._lock:
                for job in claimed:
                    self._held.pop(job.id, None)
        return len(claimed)

    def _claim_jobs(self, kind: JobKind, lanes: Collection[Lane]) -> list[Job]:
        claim = partial(self._jobs.claim, kind, limit=_CLAIM_LIMITS[kind], total_bytes=_CLAIM_BYTES.get(kind))
        if kind is JobKind.INGEST and self._yielded:
            self._yielded = False
            # The jobs to which a document has yielded its worker must be claimed next. Otherwise the same document
            # could be claimed again.
            if claimed := claim(lanes=FIRST_TRY_LANES):
                return claimed
        return claim(lanes=lanes)

    def extend_leases(self) -> None:
        """Extend the lease of every running job."""
        with self._lock:
            held = [job for job, _ in self._held.values()]
        if held:
            self._jobs.extend_leases(held)

    def abandon_jobs(self, thread_id: int) -> None:
        """Let the leases of a hung thread's jobs lapse.

        Then other workers claim the jobs, and commits by the hung thread are rejected.
        """
        with self._lock:
            for identifier in [each for each, (_, holder) in self._held.items() if holder == thread_id]:
                del self._held[identifier]

    def _run_single_job(self, job: Job) -> int:
        if job.kind is JobKind.RUN and self._answer is not None:
            self._answer.run(job, self._stopping)
        elif job.kind is JobKind.SYNC and self._sync is not None:
            self._sync.run(job, self._stopping)
        else:
            assert self._collect is not None
            self._collect.run(job)
        return 1

    def _run_jobs_together(self, jobs: Sequence[Job]) -> int:
        """Run several jobs together and return the number of completed jobs.

        Failures of single documents have been recorded by then.
        """
        if jobs[0].kind is JobKind.INGEST:
            assert self._ingest is not None
            failures = self._ingest.run_jobs_together(jobs, self._stopping)
            for failed in failures:
                self._run_and_record([failed.job], partial(_raise_error, failed.error))
            return len(jobs) - len(failures)
        task = self._together[jobs[0].kind]
        assert task is not None
        task.run(jobs, self._pausing)
        return len(jobs)

    def _run_and_record(self, jobs: Sequence[Job], run_jobs: Callable[[], int]) -> None:
        """Run `run_jobs`, which returns the number of jobs it finished.

        If it raises an error, record the consequence in each job's row.
        """
        with structlog.contextvars.bound_contextvars(**_build_log_context(jobs)):
            self._run_and_handle_errors(jobs, run_jobs)

    def _run_and_handle_errors(self, jobs: Sequence[Job], run_jobs: Callable[[], int]) -> None:
        try:
            count_jobs(jobs[0].kind, "done", run_jobs())
        except WorkerStopping:
            self._record_job_ends(jobs, self._jobs.release_job)
            count_jobs(jobs[0].kind, "handed_back", len(jobs))
        except RequeueInLane as ended:
            self._yielded = True
            self._record_job_ends(jobs, partial(self._jobs.requeue_in_lane, lane=ended.lane))
            count_jobs(jobs[0].kind, "put_back", len(jobs))
        except LeaseLostError:
            log.info("job withdrawn or taken over")
        # This is the outermost error handler of the worker: any error that a task raises must be recorded in the job's
        # row and must not end the worker.
        except Exception as error:
            log.warning("job failed", error=repr(error), exc_info=_is_unexpected_error(error))
            self._record_failure(jobs, error)

    def _record_failure(self, jobs: Sequence[Job], error: Exception) -> None:
        if self._stopping():  # the shutdown may have caused the failure
            self._record_job_ends(jobs, self._jobs.release_job)
        elif get_job_outcome(error) is JobOutcome.WAIT:  # the error was not caused by a document
            self._record_job_ends(jobs, partial(self._retry_or_fail, error))
        elif len(jobs) > 1:  # one bad document must not fail the whole batch
            for job in jobs:
                self._run_and_record([job], partial(self._run_jobs_together, [job]))
        elif get_job_outcome(error) is not JobOutcome.ABANDON:
            self._record_job_ends(jobs, partial(self._retry_or_fail, error))

    def _retry_or_fail(self, error: Exception, job: Job) -> None:
        reason = build_failure(error, job.kind)
        if get_job_outcome(error) is JobOutcome.WAIT:
            self._jobs.postpone(job, reason)
            count_jobs(job.kind, "postponed", 1)
        elif get_job_outcome(error) is JobOutcome.FAIL or not self._jobs.retry(job, reason):
            self._jobs.fail(job, reason)
            count_jobs(job.kind, "failed", 1)
        else:
            count_jobs(job.kind, "retried", 1)

    def _record_job_ends(self, jobs: Sequence[Job], record_end: Callable[[Job], object]) -> None:
        """Record the end of each job. If the catalog rejects the write, the job is requeued when its lease lapses."""
        until = time.monotonic() + self._jobs.lease_seconds
        for job in jobs:
            try:
                self._record_job_end(job, record_end, until)
            except LeaseLostError:
                log.info("job taken over", job=job.id)
            except LeadlineError as error:
                log.warning("end of job not recorded", job=job.id, error=repr(error))

    def _record_job_end(self, job: Job, record_end: Callable[[Job], object], deadline: float) -> None:
        """Record the end of one job.

        The write is retried while the catalog is unreachable or full and the lease has not lapsed. Without these
        retries, the lapsed lease would use up an attempt that should not count.
        """
        pause_seconds = min(_RETRY_SECONDS, self._jobs.lease_seconds / 3)
        while True:
            try:
                record_end(job)
                return
            except (CatalogUnavailableError, StorageFullError):
                if self._stopping() or time.monotonic() > deadline:
                    raise
            time.sleep(pause_seconds)


def _build_log_context(jobs: Sequence[Job]) -> dict[str, object]:
    """Build the log fields of a job: the job, its tenant, and its run, source or version.

    For several jobs, the only field is the list of job ids.
    """
    if len(jobs) != 1:
        return {"jobs": [job.id for job in jobs]}
    job = jobs[0]
    subject = {JobKind.RUN: "run", JobKind.SYNC: "source"}.get(job.kind, "version")
    return {"job": job.id, "tenant": job.tenant_id, subject: job.version_id}


def _record_job_span(jobs: Sequence[Job]) -> AbstractContextManager[Span]:
    documents = [job.document_id for job in jobs]
    return record_span(
        f"job {jobs[0].kind}",
        {"leadline.documents": documents, "leadline.jobs": len(jobs)},
        kind=SpanKind.CONSUMER,
        parents=[job.trace for job in jobs],
    )


def _raise_error(error: Exception) -> NoReturn:
    raise error


def _is_unexpected_error(error: Exception) -> bool:
    return not isinstance(error, LeadlineError)
