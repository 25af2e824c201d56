"""Watches the lease of a long job, so that its task notices within a second that the job was withdrawn."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog

from ingest.storage.errors import LeaseLostError
from ingest.storage.jobs.jobs import Jobs
from ingest.storage.queue.records import Job

# Interval at which the lease is checked.
_CHECK_SECONDS = 0.5

log = structlog.get_logger(__name__)


@contextmanager
def watch_lease(jobs: Jobs, job: Job) -> Iterator[Callable[[], bool]]:
    """Yield a function that returns whether the job was still held half a second ago.

    While the catalog is unreachable, the job counts as held until its lease would have lapsed.
    """
    over, lost = threading.Event(), threading.Event()

    def watch() -> None:
        seen = time.monotonic()
        while not over.wait(_CHECK_SECONDS):
            try:
                jobs.require_lease(job)
                seen = time.monotonic()
            except LeaseLostError:
                return lost.set()
            except Exception as error:  # noqa: BLE001 - without this thread nobody would learn of a cancellation
                log.warning("lease not checked", job=job.id, error=repr(error))
                if time.monotonic() - seen > jobs.lease_seconds:
                    return lost.set()
        return None

    watcher = threading.Thread(target=watch, name=f"{job.kind}-{job.id}", daemon=True)
    watcher.start()
    try:
        yield lambda: not lost.is_set()
    finally:
        over.set()
        watcher.join()
