"""Synchronizes the source of a claimed job; threads and Celery workers share this code."""

import time
from collections.abc import Callable

from ingest.sources.errors import SourceUnavailableError
from ingest.sources.syncing import RoundControl, SourceSynchronizer, SyncInterruptedError
from ingest.storage.errors import LeaseLostError
from ingest.storage.jobs.jobs import Jobs
from ingest.storage.queue.records import Job
from workers.deps import WorkerStopping
from workers.steps import StepTimeoutError
from workers.tasks.leases import watch_lease


class SyncTask:
    """Runs the round of a source, continuing where an earlier attempt was interrupted."""

    def __init__(
        self, jobs: Jobs, synchronizer: SourceSynchronizer, *, wait: Callable[[float], object] = time.sleep
    ) -> None:
        self._jobs = jobs
        self._synchronizer = synchronizer
        self._wait = wait

    def run(self, job: Job, should_stop: Callable[[], bool]) -> None:
        """Run one job.

        Raises `WorkerStopping` if the process is ending, `LeaseLostError` if the job was withdrawn or taken over, and
        the errors of the source.
        """
        with watch_lease(self._jobs, job) as is_held:
            # `should_stop` is called even if the job is lost, because each call starts the thread's next step.
            control = RoundControl(lambda: should_stop() or not is_held(), self._wait)
            try:
                self._synchronizer.run(job, control)
            except StepTimeoutError as error:
                raise SourceUnavailableError(
                    "The source sent nothing for longer than LEADLINE_TASK_SECONDS, so the sync was stopped."
                ) from error
            except SyncInterruptedError:
                self._jobs.require_lease(job)
                if should_stop():
                    raise WorkerStopping from None
                raise LeaseLostError(f"The lease of job {job.id} could not be checked in time.") from None
