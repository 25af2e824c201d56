"""The Celery application of senders and workers: queues, and settings with their reasons.

The broker is only a doorbell. A message says "check for jobs of this kind" and may name one; the job itself, its owner
and its attempts are in the catalog's rows. So the broker may lose, repeat, delay or reorder messages.
"""

from typing import Any

from celery import Celery
from kombu.entity import Exchange, Queue

from ingest.storage.queue.records import JobKind

LOOK_TASK = "leadline.look"
SWEEP_TASK = "leadline.sweep"
UPKEEP_TASK = "leadline.upkeep"
WEBHOOKS_TASK = "leadline.webhooks"
UPKEEP_QUEUE = "upkeep"
# One queue per kind, so that each kind can have its own workers; collection is part of upkeep.
QUEUES = {JobKind.INGEST: "ingest", JobKind.EMBED: "embed", JobKind.COLLECT: UPKEEP_QUEUE, JobKind.RUN: "runs"}
QUEUE_NAMES = ("ingest", "embed", "runs", UPKEEP_QUEUE)

TASK_SECONDS = 900.0
# A run has its own time limit; this one is for a worker that hangs anyway.
_RUN_TASK_SECONDS = 6 * 3600.0
_RING_EXPIRES_SECONDS = 600


def make_app(broker_url: str, *, task_seconds: float = TASK_SECONDS) -> Celery:
    """Create an application without tasks, which is enough to ring; `workers.main` adds tasks. Connects to nothing."""
    app = Celery("leadline", broker=broker_url, set_as_current=False)
    app.conf.update(_SETTINGS)
    # A hung task is killed; its lease lapses and the row counts the attempt.
    app.conf.task_time_limit = task_seconds
    # Unacknowledged messages are redelivered after this time. It is longer than a task's time limit, because otherwise
    # a task would be delivered a second time while it still ran. A run's message is redelivered during the run, which
    # costs one query.
    app.conf.broker_transport_options = {**_TRANSPORT_OPTIONS, "visibility_timeout": 2 * task_seconds}
    return app


_TRANSPORT_OPTIONS = {
    # By default Celery scans for messages to redeliver only every 100 s or so; these settings make it every 10 s.
    "unacked_restore_interval": 10,
    "unacked_restore_throttle": 1,
    "socket_connect_timeout": 2,
    "socket_timeout": 10,
    "socket_keepalive": True,
    # A consumer that hangs on a dead connection is dropped and reconnects.
    "health_check_interval": 10,
}


_SETTINGS: dict[str, Any] = {
    # JSON only: with pickle, an attacker who controls the broker could run code in a worker.
    "task_serializer": "json",
    "accept_content": ["json"],
    # Results are rows of the catalog. A result backend would be a second source of truth, and chords would wait forever
    # for a result that it lost.
    "task_ignore_result": True,
    "result_backend": None,
    # A message is acknowledged when its slice has ended, and redelivered if the child or worker process was killed.
    # With early acknowledgement, Celery's default, either would lose the message until the next sweep.
    # guard: late-acknowledgement
    "task_acks_late": True,
    "task_reject_on_worker_lost": True,
    # The broker does not redeliver a task that failed or timed out: the row's lease and attempts decide.
    "task_acks_on_failure_or_timeout": True,
    # Take a message only when a process is free for it, so that a busy worker withholds none from an idle one.
    "worker_prefetch_multiplier": 1,
    # Memory held by native libraries is released between tasks.
    "worker_max_memory_per_child": 3_000_000,
    "worker_max_tasks_per_child": 1_000,
    # The broker may be down when a worker starts or at any later time; workers reconnect when it is back.
    "broker_connection_retry_on_startup": True,
    "broker_connection_max_retries": None,
    "worker_cancel_long_running_tasks_on_connection_loss": False,
    # A ring must not wait for an unreachable broker; the sweep will ring instead.
    "task_publish_retry": False,
    # Workers do not need to talk to each other, and remote control would let anyone with access to the broker stop
    # them.
    "worker_enable_remote_control": False,
    "worker_send_task_events": False,
    "task_default_queue": UPKEEP_QUEUE,
    "task_queues": [Queue(name, Exchange(name), routing_key=name) for name in QUEUE_NAMES],
    "task_create_missing_queues": False,
    "task_routes": {
        SWEEP_TASK: {"queue": UPKEEP_QUEUE},
        UPKEEP_TASK: {"queue": UPKEEP_QUEUE},
        WEBHOOKS_TASK: {"queue": UPKEEP_QUEUE},
    },
    "worker_hijack_root_logger": False,
}


def ring(app: Celery, kind: JobKind, job_id: int | None = None) -> None:
    """Send one message, which expires if no worker takes it. Raises the transport's errors."""
    limit = {"time_limit": _RUN_TASK_SECONDS} if kind is JobKind.RUN else {}
    asked = {"kind": kind.value, "job": job_id}
    app.send_task(LOOK_TASK, kwargs=asked, queue=QUEUES[kind], expires=_RING_EXPIRES_SECONDS, **limit)


def count_waiting_messages(app: Celery) -> dict[str, int]:
    """Count the waiting messages in each queue, without those in progress. Raises the transport's errors."""
    with app.connection_for_read() as connection, connection.channel() as channel:
        return {name: channel.client.llen(name) for name in QUEUE_NAMES}
