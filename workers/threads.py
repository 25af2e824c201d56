"""Worker threads of the embedded service: they claim job rows as Celery workers would, and wait for the doorbell."""

import threading
import time
from collections.abc import Callable, Sequence
from functools import partial

import structlog

from ingest.catalog.jobs import Jobs
from ingest.documents import Job, JobKind
from ingest.errors import LeadlineError, LeaseLostError
from workers.enqueue import Doorbell
from workers.errors import Outcome, failure, outcome
from workers.tasks import CollectTask, EmbedTask, IngestTask, Stopping

_POLL_SECONDS = 2.0
_EMBED_CLAIM = 64
# While documents wait to become searchable, embedding stands back, but never for longer than this.
_EMBED_PATIENCE_SECONDS = 60.0

log = structlog.get_logger(__name__)


class ThreadDoorbell:
    """Wakes this process's workers."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def ring(self) -> None:
        self._event.set()

    def wait(self, timeout_seconds: float) -> None:
        self._event.wait(timeout_seconds)
        self._event.clear()


class WorkerThreads:
    """One thread a kind of work, so that each stage runs while the others do.

    `stop` lets every thread end its batch and hands unfinished jobs back; nothing is lost either way.
    """

    def __init__(
        self,
        jobs: Jobs,
        ingest: Sequence[IngestTask],
        embed: EmbedTask,
        collect: CollectTask,
        doorbell: Doorbell,
        *,
        has_room: Callable[[], bool] = lambda: True,
    ) -> None:
        """While `has_room` is false nothing is claimed but deletions: on a full disk documents wait and do not fail."""
        self._jobs = jobs
        self._has_room = has_room
        self._ingest = tuple(ingest)
        self._embed = embed
        self._collect = collect
        self._bells = [ThreadDoorbell() for _ in range(len(self._ingest) + 2)]
        doorbell.add(*(bell.ring for bell in self._bells))
        self._stop = threading.Event()
        self._held: dict[int, Job] = {}
        self._last_embed = time.monotonic()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        for number, task in enumerate(self._ingest):
            self._spawn(f"ingest-{number}", self._bells[number], partial(self._ingest_once, task))
        self._spawn("embed", self._bells[-2], self._embed_once)
        self._spawn("collect", self._bells[-1], self._collect_once)
        heartbeat = threading.Thread(target=self._heartbeat, name="leases", daemon=True)
        heartbeat.start()
        self._threads.append(heartbeat)

    def stop(self, *, timeout_seconds: float = 30.0) -> None:
        """Raises nothing: what has not ended by then is left to the next start, which queues it again."""
        self._stop.set()
        for bell in self._bells:
            bell.ring()
        deadline = time.monotonic() + timeout_seconds
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _spawn(self, name: str, bell: ThreadDoorbell, once: Callable[[], bool]) -> None:
        def loop() -> None:
            while not self._stop.is_set():
                if not once():
                    bell.wait(_POLL_SECONDS)

        thread = threading.Thread(target=loop, name=name, daemon=True)
        thread.start()
        self._threads.append(thread)

    def _ingest_once(self, task: IngestTask) -> bool:
        if not self._has_room():
            return False
        claimed = self._jobs.claim(JobKind.INGEST)
        for job in claimed:
            self._carry([job], partial(task.run, job, self._stop.is_set))
            self._bells[-2].ring()
        return bool(claimed)

    def _embed_once(self) -> bool:
        impatient = time.monotonic() - self._last_embed > _EMBED_PATIENCE_SECONDS
        if not impatient and self._jobs.waiting().get(JobKind.INGEST):
            return False
        if not self._has_room():
            return False
        claimed = self._jobs.claim(JobKind.EMBED, limit=_EMBED_CLAIM)
        if claimed:
            self._carry(claimed, lambda: self._embed.run(claimed, self._stop.is_set))
        self._last_embed = time.monotonic()
        return bool(claimed)

    def _collect_once(self) -> bool:
        claimed = self._jobs.claim(JobKind.COLLECT)
        for job in claimed:
            self._carry([job], partial(self._collect.run, job))
        return bool(claimed)

    def _carry(self, held: Sequence[Job], work: Callable[[], None]) -> None:
        """Run claimed jobs and see each to an end: done, failed, queued again, or no longer ours."""
        self._held.update({job.id: job for job in held})
        try:
            work()
        except Stopping:
            self._each(held, self._jobs.hand_back)
        # The last boundary of a worker thread: whatever a task raises must end in the job's row, not in the thread.
        except Exception as error:
            log.warning("job failed", jobs=[job.id for job in held], error=repr(error), exc_info=_is_defect(error))
            self._after(held, error)
        finally:
            for job in held:
                self._held.pop(job.id, None)

    def _after(self, held: Sequence[Job], error: Exception) -> None:
        if self._stop.is_set():  # the failure may be the shutdown's own doing
            self._each(held, self._jobs.hand_back)
        elif len(held) > 1:  # one bad document must not fail its batch
            for job in held:
                self._carry([job], partial(self._embed.run, [job], self._stop.is_set))
        elif outcome(error) is not Outcome.ABANDON:
            reason = failure(error)
            if outcome(error) is Outcome.FAIL or not self._jobs.retry(held[0], reason):
                self._each(held, lambda job: self._jobs.fail(job, reason))

    def _each(self, held: Sequence[Job], settle: Callable[[Job], object]) -> None:
        for job in held:
            try:
                settle(job)
            except LeaseLostError:
                log.info("job was taken over", job=job.id)

    def _heartbeat(self) -> None:
        """Keeps the leases of long stages alive, and queues again what another worker let lapse."""
        while not self._stop.wait(self._jobs.lease_seconds / 3):
            for job in list(self._held.values()):
                self._each([job], self._jobs.extend)
            if self._jobs.recover(all_running=False):
                for bell in self._bells:
                    bell.ring()


def _is_defect(error: Exception) -> bool:
    return not isinstance(error, LeadlineError)
