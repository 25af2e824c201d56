"""Celery workers and beat: the composition root of the cluster's background work.

A worker process opens its components when it runs its first task, after the fork, because database connections and the
encoder's threads do not survive a fork.
"""

import multiprocessing
import os
import signal
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from functools import partial

import structlog
from billiard import active_children
from celery import Celery, signals
from celery.exceptions import Reject
from celery.worker import state
from kombu.exceptions import OperationalError

from ingest.storage.errors import LeadlineError
from ingest.storage.queue.records import JobKind
from retrieval.index import languages
from workers.cluster import (
    OpenAnswers,
    OpenDescriber,
    OpenEncoders,
    OpenParser,
    OpenSyncTask,
    WorkerProcess,
    open_configured_encoders,
    open_sandboxed_parser,
    open_worker_process,
)
from workers.enqueue.celery_app import (
    LOOK_TASK,
    QUEUES,
    SWEEP_TASK,
    UPKEEP_QUEUE,
    UPKEEP_TASK,
    WEBHOOKS_TASK,
    count_waiting_messages,
    create_celery_app,
    send_notification,
)
from workers.metrics import remove_child_files
from workers.settings import ClusterSettings
from workers.upkeep.upkeep import sweep_jobs
from workers.watchdog import Watchdog

# Time after which a consumer that takes no message is considered hung. It is longer than a consumer needs to reconnect
# and receive a message.
_DEAF_SECONDS = 15.0
# The exit status documented in deploy/README.md, after which the process manager restarts the worker.
_DEAF_EXIT_CODE = 75

log = structlog.get_logger(__name__)


def run_worker(
    settings: ClusterSettings,
    *,
    queues: Sequence[str],
    concurrency: int,
    name: str,
    open_encoders: OpenEncoders = open_configured_encoders,
    open_parser: OpenParser = open_sandboxed_parser,
    open_answers: OpenAnswers | None = None,
    open_describer: OpenDescriber | None = None,
    open_sync_task: OpenSyncTask | None = None,
    on_child_start: Callable[[], None] = lambda: None,
    serve_metrics: Callable[[], object] = lambda: None,
) -> None:
    """Work until SIGTERM or Ctrl-C, then hand back held jobs and return. Celery handles the signals.

    The components that answer questions are opened only if the worker serves the queue of runs, and those that describe
    documents only if it serves the queue of upkeep. Sources are synchronized only if it serves their queue.
    """
    app = create_celery_app(settings.redis_url.get_secret_value(), task_seconds=settings.task_seconds)
    if QUEUES[JobKind.RUN] not in queues:
        open_answers = None
    if UPKEEP_QUEUE not in queues:
        open_describer = None
    if QUEUES[JobKind.SYNC] not in queues:
        open_sync_task = None
    if QUEUES[JobKind.INGEST] in queues:
        languages.preload_language_model()  # preload the model once here rather than in each forked process
    open_one = partial(
        open_worker_process,
        open_encoders=open_encoders,
        open_parser=open_parser,
        open_answers=open_answers,
        open_describer=open_describer,
        open_sync_task=open_sync_task,
        embeds=QUEUES[JobKind.EMBED] in queues,
    )
    _register_tasks(app, _Worker(app, settings, open_one, on_child_start, queues, serve_metrics))
    app.worker_main(
        [
            "worker",
            f"--queues={','.join(queues)}",
            f"--concurrency={concurrency}",
            f"--hostname={name}@%h",
            "--without-gossip",
            "--without-mingle",
            "--loglevel=WARNING",
        ]
    )


def run_beat(settings: ClusterSettings) -> None:
    """Schedule a sweep every few seconds until a signal arrives.

    Beat stores no data, and running two instances is harmless.
    """
    app = create_celery_app(settings.redis_url.get_secret_value())
    every = {
        SWEEP_TASK: settings.sweep_seconds,
        WEBHOOKS_TASK: settings.sweep_seconds,
        UPKEEP_TASK: settings.upkeep_seconds,
    }
    # A message expires if no worker had time to handle it, because later messages replace it.
    app.conf.beat_schedule = {
        task: {"task": task, "schedule": seconds, "options": {"expires": 3 * seconds}}
        for task, seconds in every.items()
    }
    beat = app.Beat(scheduler="celery.beat:Scheduler", loglevel="WARNING", quiet=True, max_interval=min(every.values()))
    # guard: beat-ends-on-signal
    beat.install_sync_handler = lambda _service: _install_exit_handlers()
    beat.run()


def _install_exit_handlers() -> None:
    """Exit immediately on SIGTERM and SIGINT, because beat has no state to save.

    Celery's own handler raises `SystemExit`. If the signal arrives while the broker is being read, the client's
    clean-up replaces `SystemExit` with another error, and beat would run forever.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: os._exit(0))


class _Worker:
    """A Celery worker. Each child process holds a `WorkerProcess`, and the main process holds the stop signal."""

    def __init__(
        self,
        app: Celery,
        settings: ClusterSettings,
        open_process: Callable[..., AbstractContextManager[WorkerProcess]],
        on_child_start: Callable[[], None],
        queues: Sequence[str],
        serve_metrics: Callable[[], object],
    ) -> None:
        self._app = app
        self._settings = settings
        self._open_one = open_process
        self._stopping = multiprocessing.Event()  # the event is shared with the processes that are forked later
        self._stack = ExitStack()
        self._process: WorkerProcess | None = None
        self._at_child_start = on_child_start
        self._queues = tuple(queues)
        self._serve_metrics = serve_metrics
        signals.worker_ready.connect(self._start_watchdog, weak=False)
        signals.worker_shutting_down.connect(self._set_stopping, weak=False)
        signals.worker_process_init.connect(self._start_child, weak=False)
        signals.worker_process_shutdown.connect(self._close_process, weak=False)

    def run_jobs(self, kind: str, job: int | None = None) -> None:
        finished = self._open_process().run_jobs(JobKind(kind))
        log.debug("jobs run", kind=kind, rung_for=job, finished=finished)

    def sweep(self) -> None:
        process = self._open_process()
        process.remove_tenants()
        process.queue_due_syncs()
        process.complete_earlier_versions()
        lengths = count_waiting_messages(self._app)
        unanswered = {kind: lengths[queue] for kind, queue in QUEUES.items()}
        sweep_jobs(
            process.jobs, unanswered_counts=unanswered, notify=lambda kind, job: send_notification(self._app, kind, job)
        )

    def clean_up(self) -> None:
        self._open_process().clean_up()

    def send_webhooks(self) -> None:
        self._open_process().send_webhooks()

    def _open_process(self) -> WorkerProcess:
        """Open this process's components on first use. If a server is unreachable, the next message tries again."""
        if self._process is None:
            try:
                self._process = self._stack.enter_context(
                    self._open_one(self._settings, stopping=self._stopping.is_set, ring=self._notify_workers)
                )
            except LeadlineError as error:
                log.error("worker components not opened", code=error.code, detail=str(error))
                raise Reject(str(error), requeue=False) from error
        return self._process

    def _notify_workers(self, kind: JobKind) -> None:
        try:
            send_notification(self._app, kind)
        except (OperationalError, OSError) as error:
            log.warning(
                "notification not sent: broker unreachable; the next sweep will send another", error=repr(error)
            )

    def _start_watchdog(self, **_: object) -> None:
        """Start the watchdog and the metrics server in the main process once it consumes messages."""
        self._serve_metrics()
        Watchdog(
            count_waiting=lambda: sum(count_waiting_messages(self._app)[queue] for queue in self._queues),
            count_taken=lambda: sum(state.total_count.values()),
            is_busy=lambda: bool(state.active_requests) or self._stopping.is_set(),
            give_up=_exit_immediately,
            max_idle_seconds=_DEAF_SECONDS,
        ).start()

    def _start_child(self, **_: object) -> None:
        self._at_child_start()

    def _set_stopping(self, **_: object) -> None:
        self._stopping.set()

    def _close_process(self, pid: int = 0, **_: object) -> None:
        remove_child_files(pid)
        self._process = None
        self._stack.close()


def _exit_immediately() -> None:
    """Exit without clean-up, because clean-up would wait for the broken connection. The process holds no jobs."""
    for child in active_children():
        child.terminate()
    os._exit(_DEAF_EXIT_CODE)


def _register_tasks(app: Celery, worker: _Worker) -> None:
    def look(kind: str, job: int | None = None) -> None:
        worker.run_jobs(kind, job)

    app.task(look, name=LOOK_TASK)
    app.task(worker.sweep, name=SWEEP_TASK)
    app.task(worker.clean_up, name=UPKEEP_TASK)
    app.task(worker.send_webhooks, name=WEBHOOKS_TASK)
