"""Worker threads of the embedded service.

Like Celery workers, they claim jobs from the catalog and wait for notifications.
"""

import threading
import time
from collections.abc import Callable, Sequence
from functools import partial

import structlog

from ingest.storage.jobs.jobs import Jobs
from ingest.storage.queue.records import JobKind, Lane
from workers.enqueue import ThreadNotifier
from workers.generations.builder import GenerationBuilder
from workers.job_runner import JobRunner
from workers.steps import interrupt_thread
from workers.tasks.deletion import CollectTask
from workers.tasks.embed import EmbedTask
from workers.tasks.ingest import IngestTask
from workers.tasks.run import RunTask
from workers.tasks.sync import SyncTask

log = structlog.get_logger(__name__)

# Function that opens a builder. Its first argument returns whether the process is stopping, and its second argument
# returns whether other work should get a turn.
OpenBuilder = Callable[[Callable[[], bool], Callable[[], bool]], GenerationBuilder]

_POLL_SECONDS = 2.0
# Minimum and maximum delay after an error before a thread continues. The delay doubles each time, because a locked or
# missing catalog may become available again.
_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 30.0
# If documents have been waiting longer than this to become searchable, embedding yields to ingest. If documents wait
# less, ingest keeps up with the uploads, and yielding would leave the encoder idle during a long stream of small
# documents.
_KEEPING_UP_SECONDS = 2.0
# Maximum time for which embedding yields to ingest.
_MAX_EMBED_DELAY_SECONDS = 60.0
# Interval at which small documents are embedded while embedding yields. Embedding them takes only a moment, so small
# documents do not need to wait for a long document.
_QUICK_EMBED_SECONDS = 5.0
_CLEAN_UP_SECONDS = 3600.0
# A source that responds slowly must not hold up the others.
_CONCURRENT_SYNCS = 2


class WorkerThreads:
    """One thread for each kind of work, so that stages run in parallel.

    `stop` lets every thread finish its batch, and hands back unfinished jobs. No work is lost.
    """

    def __init__(
        self,
        jobs: Jobs,
        ingest_tasks: Sequence[IngestTask],
        embed_task: EmbedTask,
        collect_task: CollectTask,
        notifier: ThreadNotifier,
        *,
        has_free_space: Callable[[], bool] = lambda: True,
        release_space: Callable[[], object] = lambda: None,
        run_task: RunTask | None = None,
        max_concurrent_runs: int = 2,
        sync_task: SyncTask | None = None,
        open_builder: OpenBuilder | None = None,
        clean_up: Callable[[], object] = lambda: None,
        catch_up: Callable[[], object] = lambda: None,
        remove_tenants: Callable[[], bool] = lambda: False,
        send_webhooks: Callable[[], bool] = lambda: False,
        describe_next: Callable[[Callable[[], bool]], bool] | None = None,
        step_seconds: float = 900.0,
        make_ingest_task: Callable[[], IngestTask] | None = None,
        should_build_first: Callable[[], bool] = lambda: False,
    ) -> None:
        """Prepare the threads. Call `start` to start them.

        While `has_free_space` returns false, only jobs of kind `collect_task` are claimed: if the disk is full,
        documents wait instead of failing. `release_space` is called before deleted content is collected. If `run_task`
        is given, there are also `max_concurrent_runs` threads for runs, and with `sync_task`, threads for sources.
        `open_builder` opens the builder of another
        generation of the index. The builder yields to documents, unless `should_build_first` returns true because
        documents are waiting for the new generation.

        `clean_up` is called at the start and every hour. `remove_tenants` is called a few times a minute and returns
        whether there is content to remove. `catch_up` is called equally often and completes overdue work, such as
        writing readers that are missing from the index. `send_webhooks` sends due messages and returns whether there
        are more; it has its own thread. So has `describe_next`, which describes one document and returns whether to
        go on at once; its argument returns whether the process is stopping.

        A step of a job that takes longer than `step_seconds` is interrupted. If its thread does not end, another thread
        replaces it, with a task from `make_ingest_task`, because the hung thread still holds its parser.
        """
        self._jobs = jobs
        self._doorbell = notifier
        self._has_room = has_free_space
        self._make_room = release_space
        self._stop = threading.Event()
        self._runners = [
            JobRunner(jobs, task, embed_task, collect_task, should_stop=self._stop.is_set) for task in ingest_tasks
        ]

        def build_runner() -> JobRunner:
            task = make_ingest_task() if make_ingest_task else ingest_tasks[0]
            return JobRunner(jobs, task, embed_task, collect_task, should_stop=self._stop.is_set)

        self._build_runner = build_runner
        self._step_seconds = step_seconds
        self._interrupted: dict[int, float] = {}
        self._abandoned: set[int] = set()
        self._successors: dict[int, Callable[[], None]] = {}
        self._embedder = JobRunner(
            jobs, embed_task=embed_task, should_stop=self._stop.is_set, is_slice_over=self._is_slice_over
        )
        self._answerers = [
            JobRunner(jobs, ingest_tasks[0], embed_task, collect_task, should_stop=self._stop.is_set, run_task=run_task)
            for _ in range(max_concurrent_runs if run_task is not None else 0)
        ]
        self._synchronizers = [
            JobRunner(jobs, should_stop=self._stop.is_set, sync_task=sync_task)
            for _ in range(_CONCURRENT_SYNCS if sync_task is not None else 0)
        ]
        self._builds_first = should_build_first
        self._builder = open_builder and open_builder(self._stop.is_set, self._should_delay_building)
        self._last_embed = self._last_build = self._last_quick = time.monotonic()
        self._spared_batches = 0
        self._clean_up = clean_up
        self._catch_up = catch_up
        self._remove_tenants = remove_tenants
        self._background: dict[str, Callable[[], object]] = {
            "leases": self._run_heartbeat,
            "webhooks": partial(self._repeat, send_webhooks),
        }
        if describe_next is not None:
            self._background["descriptions"] = partial(self._repeat, partial(describe_next, self._stop.is_set))
        self._next_clean_up = time.monotonic()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        for number, runner in enumerate(self._runners):
            self._spawn_ingest_thread(f"ingest-{number}", runner)
        self._spawn_thread("embed", JobKind.EMBED, self._run_embed_once)
        self._spawn_thread("collect", JobKind.COLLECT, self._run_collect_once)
        for number, answerer in enumerate(self._answerers):
            self._spawn_thread(f"run-{number}", JobKind.RUN, partial(self._run_answer_once, answerer))
        for number, synchronizer in enumerate(self._synchronizers):
            self._spawn_thread(f"sync-{number}", JobKind.SYNC, partial(self._run_sync_once, synchronizer))
        if self._builder is not None:
            self._spawn_thread("build", JobKind.REEMBED, partial(self._run_build_once, self._builder))
        for name, loop in self._background.items():
            thread = threading.Thread(target=loop, name=name, daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self, *, timeout_seconds: float = 30.0) -> None:
        """Stop the threads. Unfinished jobs are requeued at the next start. Never raises."""
        self._stop.set()
        self._doorbell.notify_all()
        deadline = time.monotonic() + timeout_seconds
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _spawn_ingest_thread(self, name: str, runner: JobRunner) -> None:
        def respawn() -> None:
            another = self._build_runner()
            self._runners.append(another)
            self._spawn_ingest_thread(name, another)

        self._spawn_thread(name, JobKind.INGEST, partial(self._run_ingest_once, runner), respawn)

    def _spawn_thread(
        self, name: str, kind: JobKind, run_once: Callable[[], bool], respawn: Callable[[], None] | None = None
    ) -> None:
        """Start a thread. If the thread hangs, `respawn` starts its replacement."""
        bell = self._doorbell.create_event(kind)

        def run_loop() -> None:
            mine = threading.get_ident()
            self._successors[mine] = respawn or partial(self._spawn_thread, name, kind, run_once)
            pause_seconds = _FIRST_PAUSE_SECONDS
            while not self._stop.is_set() and mine not in self._abandoned:
                found = self._run_logging_errors(run_once)
                if found is None:
                    self._stop.wait(pause_seconds)
                    pause_seconds = min(_LONGEST_PAUSE_SECONDS, 2 * pause_seconds)
                    continue
                pause_seconds = _FIRST_PAUSE_SECONDS
                if not found:
                    bell.wait(_POLL_SECONDS)
                    bell.clear()

        thread = threading.Thread(target=run_loop, name=name, daemon=True)
        thread.start()
        self._threads.append(thread)

    def _run_logging_errors(self, run_work: Callable[[], bool]) -> bool | None:
        """Return the result of `run_work`, or None after an error. Errors of tasks are already in the jobs' rows."""
        try:
            return run_work()
        except Exception as error:  # noqa: BLE001 - a thread of the service must not end for any reason
            log.error("error in worker thread", thread=threading.current_thread().name, error=repr(error))
            return None

    def _run_ingest_once(self, runner: JobRunner) -> bool:
        if not self._has_room() or not runner.run_once(JobKind.INGEST):
            return False
        # Any free thread can claim the jobs that were handed back. Failed versions leave content that must be removed.
        for kind in (JobKind.INGEST, JobKind.EMBED, JobKind.COLLECT):
            self._doorbell.notify(kind)
        return True

    def _run_collect_once(self) -> bool:
        if self._jobs.count_unfinished_jobs().get(JobKind.COLLECT):
            # guard: collection-gets-room
            self._make_room()
        return bool(self._runners[0].run_once(JobKind.COLLECT))

    def _run_answer_once(self, runner: JobRunner) -> bool:
        return self._has_room() and bool(runner.run_once(JobKind.RUN))

    def _run_sync_once(self, runner: JobRunner) -> bool:
        if not self._has_room() or not runner.run_once(JobKind.SYNC):
            return False
        for kind in (JobKind.INGEST, JobKind.COLLECT):
            self._doorbell.notify(kind)
        return True

    def _run_embed_once(self) -> bool:
        if not self._has_room():
            return False
        if self._should_delay_embedding():
            if time.monotonic() - self._last_quick < _QUICK_EMBED_SECONDS:
                return False
            self._last_quick, self._spared_batches = time.monotonic(), 1
            return bool(self._embedder.run_once(JobKind.EMBED, {Lane.QUICK}))
        embedded = self._embedder.run_once(JobKind.EMBED)
        self._last_embed = self._last_quick = time.monotonic()
        return bool(embedded)

    def _is_slice_over(self) -> bool:
        if self._spared_batches:
            self._spared_batches -= 1
            return False
        return self._should_delay_embedding()

    def _should_delay_embedding(self) -> bool:
        if time.monotonic() - self._last_embed > _MAX_EMBED_DELAY_SECONDS:
            return False
        since = self._jobs.find_oldest_unfinished_time(JobKind.INGEST)
        return since is not None and time.time() - since > _KEEPING_UP_SECONDS

    def _run_build_once(self, builder: GenerationBuilder) -> bool:
        if self._should_delay_building() or not self._has_room():
            return False
        try:
            return builder.run_once()
        # Building must resume when its dependencies are available again. Errors of single versions are recorded in
        # their jobs' rows.
        except Exception as error:  # noqa: BLE001 - a thread of the service must not end for any reason
            log.warning("building of generation interrupted", error=repr(error))
            return False
        finally:
            self._last_build = time.monotonic()

    def _should_delay_building(self) -> bool:
        """Return whether building another generation should yield to documents.

        It yields no longer than embedding does.
        """
        if time.monotonic() - self._last_build > _MAX_EMBED_DELAY_SECONDS or self._builds_first():
            return False
        waiting = self._jobs.count_unfinished_jobs()
        return bool(waiting.get(JobKind.INGEST) or waiting.get(JobKind.EMBED))

    def _run_heartbeat(self) -> None:
        """Extend leases during long stages, and requeue jobs of other processes with lapsed leases."""
        while not self._stop.wait(min(self._jobs.lease_seconds, self._step_seconds) / 3):
            self._run_logging_errors(self._run_maintenance)

    def _run_maintenance(self) -> bool:
        # guard: hung-steps-ended
        self._interrupt_hung_steps()
        if time.monotonic() >= self._next_clean_up:
            self._next_clean_up = time.monotonic() + _CLEAN_UP_SECONDS
            self._run_logging_errors(lambda: bool(self._clean_up()))
        self._run_logging_errors(lambda: bool(self._catch_up()))
        if self._run_logging_errors(self._remove_tenants):
            self._doorbell.notify(JobKind.COLLECT)
        for runner in (*self._runners, self._embedder, *self._answerers, *self._synchronizers):
            runner.extend_leases()
        if self._builder is not None:
            self._builder.extend_leases()
        recovered = bool(self._jobs.requeue_lost_jobs(include_all_running=False))
        if recovered:
            self._doorbell.notify_all()
        return recovered

    def _repeat(self, run_step: Callable[[], bool]) -> None:
        """Repeat a step until the threads stop, with a pause after each one that returns false or fails."""
        while not self._stop.is_set():
            if not self._run_logging_errors(run_step):
                self._stop.wait(_POLL_SECONDS)

    def _interrupt_hung_steps(self) -> None:
        """Interrupt steps that take too long, and replace threads whose step does not end soon afterwards."""
        now = time.monotonic()
        hung = {
            thread: runner
            for runner in (*self._runners, self._embedder, *self._synchronizers)
            for thread in runner.steps.find_overdue_threads(self._step_seconds) - self._abandoned
        }
        self._interrupted = {thread: at for thread, at in self._interrupted.items() if thread in hung}
        for thread, runner in hung.items():
            if thread not in self._interrupted:
                log.error("step interrupted: time limit exceeded", seconds=self._step_seconds)
                self._interrupted[thread] = now
                interrupt_thread(thread)
            elif now - self._interrupted[thread] > self._jobs.lease_seconds:
                log.error("step did not end; thread replaced")
                self._abandoned.add(thread)
                runner.abandon_jobs(thread)
                self._successors[thread]()
