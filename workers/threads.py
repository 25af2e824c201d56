"""Worker threads of the embedded service: they claim job rows as Celery workers would, and wait for the doorbell."""

import threading
import time
from collections.abc import Callable, Sequence
from functools import partial

import structlog

from ingest.catalog.jobs import Jobs
from ingest.documents import JobKind
from workers.building import Builder
from workers.carrying import Carrier
from workers.enqueue import ThreadDoorbell
from workers.ingesting import IngestTask
from workers.runs import RunTask
from workers.tasks import CollectTask, EmbedTask

log = structlog.get_logger(__name__)

# Makes a builder that stops at the next good moment when the process ends, or when others are to get a turn.
OpenBuilder = Callable[[Callable[[], bool], Callable[[], bool]], Builder]

_POLL_SECONDS = 2.0
# After an error a thread waits, twice as long each time, and goes on: a catalog that is locked or away comes back.
_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 30.0
# While documents wait to become searchable for longer than this, embedding stands back; under it they keep up with the
# uploads, and the encoder would stand still in a long stream of small ones.
_KEEPING_UP_SECONDS = 2.0
# But it never stands back for longer than this.
_EMBED_PATIENCE_SECONDS = 60.0
_TIDY_SECONDS = 3600.0


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
        doorbell: ThreadDoorbell,
        *,
        has_room: Callable[[], bool] = lambda: True,
        answer: RunTask | None = None,
        runs_at_once: int = 2,
        open_builder: OpenBuilder | None = None,
        tidy: Callable[[], object] = lambda: None,
    ) -> None:
        """While `has_room` is false nothing is claimed but deletions: on a full disk documents wait and do not fail.

        With `answer` there are threads for runs, too, as many as may go on at once. `open_builder` makes what builds
        another generation of the index, when there is one to build. `tidy` is called at the start, and every hour.
        """
        self._jobs = jobs
        self._doorbell = doorbell
        self._has_room = has_room
        self._stop = threading.Event()
        self._carriers = [Carrier(jobs, task, embed, collect, stopping=self._stop.is_set) for task in ingest]
        self._embedder = Carrier(jobs, embed=embed, stopping=self._stop.is_set, slice_over=self._embedding_stands_back)
        self._answerers = [
            Carrier(jobs, ingest[0], embed, collect, stopping=self._stop.is_set, answer=answer)
            for _ in range(runs_at_once if answer is not None else 0)
        ]
        self._builder = open_builder and open_builder(self._stop.is_set, self._documents_wait)
        self._last_embed = self._last_build = time.monotonic()
        self._tidy = tidy
        self._next_tidy = time.monotonic()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        for number, carrier in enumerate(self._carriers):
            self._spawn(f"ingest-{number}", JobKind.INGEST, partial(self._ingest_once, carrier))
        self._spawn("embed", JobKind.EMBED, self._embed_once)
        self._spawn("collect", JobKind.COLLECT, lambda: bool(self._carriers[0].once(JobKind.COLLECT)))
        for number, answerer in enumerate(self._answerers):
            self._spawn(f"run-{number}", JobKind.RUN, partial(self._run_once, answerer))
        if self._builder is not None:
            self._spawn("build", JobKind.REEMBED, partial(self._build_once, self._builder))
        heartbeat = threading.Thread(target=self._heartbeat, name="leases", daemon=True)
        heartbeat.start()
        self._threads.append(heartbeat)

    def stop(self, *, timeout_seconds: float = 30.0) -> None:
        """Raises nothing: what has not ended by then is left to the next start, which queues it again."""
        self._stop.set()
        self._doorbell.ring_all()
        deadline = time.monotonic() + timeout_seconds
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _spawn(self, name: str, kind: JobKind, once: Callable[[], bool]) -> None:
        bell = self._doorbell.bell(kind)

        def loop() -> None:
            pause_seconds = _FIRST_PAUSE_SECONDS
            while not self._stop.is_set():
                found = self._guarded(once)
                if found is None:
                    self._stop.wait(pause_seconds)
                    pause_seconds = min(_LONGEST_PAUSE_SECONDS, 2 * pause_seconds)
                    continue
                pause_seconds = _FIRST_PAUSE_SECONDS
                if not found:
                    bell.wait(_POLL_SECONDS)
                    bell.clear()

        thread = threading.Thread(target=loop, name=name, daemon=True)
        thread.start()
        self._threads.append(thread)

    def _guarded(self, work: Callable[[], bool]) -> bool | None:
        """What it returns, and None when it failed: what a task raises is in its job's row, and this is of the rest."""
        try:
            return work()
        except Exception as error:  # noqa: BLE001 - a thread of the service must not end for any reason
            log.error("a worker thread could not go on", thread=threading.current_thread().name, error=repr(error))
            return None

    def _ingest_once(self, carrier: Carrier) -> bool:
        if not self._has_room() or not carrier.once(JobKind.INGEST):
            return False
        # What was handed back goes to whichever thread is free, and what a version that failed has left is collected.
        for kind in (JobKind.INGEST, JobKind.EMBED, JobKind.COLLECT):
            self._doorbell.ring(kind)
        return True

    def _run_once(self, carrier: Carrier) -> bool:
        return self._has_room() and bool(carrier.once(JobKind.RUN))

    def _embed_once(self) -> bool:
        if self._embedding_stands_back() or not self._has_room():
            return False
        embedded = self._embedder.once(JobKind.EMBED)
        self._last_embed = time.monotonic()
        return bool(embedded)

    def _embedding_stands_back(self) -> bool:
        if time.monotonic() - self._last_embed > _EMBED_PATIENCE_SECONDS:
            return False
        since = self._jobs.unfinished_since(JobKind.INGEST)
        return since is not None and time.time() - since > _KEEPING_UP_SECONDS

    def _build_once(self, builder: Builder) -> bool:
        if self._documents_wait() or not self._has_room():
            return False
        try:
            return builder.once()
        # The building must go on when what it needs is there again; what fails of a version is in its row.
        except Exception as error:  # noqa: BLE001 - a thread of the service must not end for any reason
            log.warning("the generation being built is not gone on with now", error=repr(error))
            return False
        finally:
            self._last_build = time.monotonic()

    def _documents_wait(self) -> bool:
        """Building another generation stands back for documents, but never for longer than embedding does."""
        if time.monotonic() - self._last_build > _EMBED_PATIENCE_SECONDS:
            return False
        waiting = self._jobs.unfinished()
        return bool(waiting.get(JobKind.INGEST) or waiting.get(JobKind.EMBED))

    def _heartbeat(self) -> None:
        """Keeps the leases of long stages alive, and queues again what another worker let lapse."""
        while not self._stop.wait(self._jobs.lease_seconds / 3):
            self._guarded(self._beat)

    def _beat(self) -> bool:
        if time.monotonic() >= self._next_tidy:
            self._next_tidy = time.monotonic() + _TIDY_SECONDS
            self._guarded(lambda: bool(self._tidy()))
        for carrier in (*self._carriers, self._embedder, *self._answerers):
            carrier.keep_leases()
        if self._builder is not None:
            self._builder.keep_leases()
        recovered = bool(self._jobs.recover(all_running=False))
        if recovered:
            self._doorbell.ring_all()
        return recovered
