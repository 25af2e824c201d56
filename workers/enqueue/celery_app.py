"""The Celery application of senders and workers: its queues, and its settings with their reasons.

The broker only carries notifications. A message says "check for jobs of this kind" and may name a job. The job itself,
its owner and its attempts are recorded in the catalog's rows. Therefore the broker may lose, repeat, delay or reorder
messages.
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
# Queue names by job kind. There is one queue per kind, so that each kind can have separate workers. Jobs of kind
# `collect` are processed by workers of the upkeep queue.
QUEUES = {
    JobKind.INGEST: "ingest",
    JobKind.EMBED: "embed",
    JobKind.COLLECT: UPKEEP_QUEUE,
    JobKind.RUN: "runs",
    JobKind.SYNC: "sources",
}
QUEUE_NAMES = ("ingest", "embed", "runs", "sources", UPKEEP_QUEUE)

TASK_SECONDS = 900.0
# Time limits of tasks that take long. A run has its own time limit; this one applies if a worker hangs and exceeds the
# run's limit. The first synchronization of a large source takes days, and continues if it is interrupted.
_LONG_TASK_SECONDS = {JobKind.RUN: 6 * 3600.0, JobKind.SYNC: 24 * 3600.0}
_NOTIFICATION_EXPIRES_SECONDS = 600


def create_celery_app(broker_url: str, *, task_seconds: float = TASK_SECONDS) -> Celery:
    """Create an application without tasks, which is enough to send notifications. `workers.main` adds the tasks.

    Creating it does not connect to any server.
    """
    app = Celery("leadline", broker=broker_url, set_as_current=False)
    app.conf.update(_SETTINGS)
    # A hung task is killed. The lease of its job lapses, and the attempt is counted in the job's row.
    app.conf.task_time_limit = task_seconds
    # Unacknowledged messages are redelivered after this time. The time must be longer than a task's time limit;
    # otherwise the message of a task would be delivered a second time while the task was still running. The message of
    # a run is redelivered while the run is in progress, which costs one query.
    app.conf.broker_transport_options = {**_TRANSPORT_OPTIONS, "visibility_timeout": 2 * task_seconds}
    return app


_TRANSPORT_OPTIONS = {
    # By default, Celery looks for messages to redeliver only about every 100 s. With these settings, Celery looks for
    # them every 10 s.
    "unacked_restore_interval": 10,
    "unacked_restore_throttle": 1,
    "socket_connect_timeout": 2,
    "socket_timeout": 10,
    "socket_keepalive": True,
    # If a consumer hangs on a dead connection, the connection is dropped and opened again.
    "health_check_interval": 10,
}


_SETTINGS: dict[str, Any] = {
    # Tasks are serialized as JSON only: with pickle, an attacker who controls the broker could run code in a worker.
    "task_serializer": "json",
    "accept_content": ["json"],
    # The results of tasks are rows in the catalog. A result backend would be a second source of truth, and a chord
    # would wait forever if the backend lost a result.
    "task_ignore_result": True,
    "result_backend": None,
    # A message is acknowledged when its slice has ended. It is redelivered if the child process or the worker was
    # killed. With early acknowledgement, which is Celery's default, the message would be lost in both cases, and the
    # job of the message would wait for the next sweep.
    # guard: late-acknowledgement
    "task_acks_late": True,
    "task_reject_on_worker_lost": True,
    # The broker does not redeliver the message of a failed or timed-out task: the lease and attempts in the job's row
    # determine whether the job is retried.
    "task_acks_on_failure_or_timeout": True,
    # A worker takes a message only when one of its processes is free, so that a busy worker does not hold messages that
    # an idle worker could handle.
    "worker_prefetch_multiplier": 1,
    # A process that uses more memory than this, in kilobytes, is replaced between tasks, which releases memory held by
    # native libraries.
    "worker_max_memory_per_child": 3_000_000,
    "worker_max_tasks_per_child": 1_000,
    # The broker may be down when a worker starts or at any later time. Workers reconnect once the broker is available
    # again.
    "broker_connection_retry_on_startup": True,
    "broker_connection_max_retries": None,
    "worker_cancel_long_running_tasks_on_connection_loss": False,
    # A process that sends a notification must not wait for an unreachable broker. If sending fails, the next sweep
    # sends another notification.
    "task_publish_retry": False,
    # Workers do not need to communicate with each other. With remote control, anyone with access to the broker could
    # stop the workers.
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


def send_notification(app: Celery, kind: JobKind, job_id: int | None = None) -> None:
    """Notify workers with one message, which expires if no worker takes it. Raises the same errors as the transport."""
    limit = {"time_limit": _LONG_TASK_SECONDS[kind]} if kind in _LONG_TASK_SECONDS else {}
    asked = {"kind": kind.value, "job": job_id}
    app.send_task(LOOK_TASK, kwargs=asked, queue=QUEUES[kind], expires=_NOTIFICATION_EXPIRES_SECONDS, **limit)


def count_waiting_messages(app: Celery) -> dict[str, int]:
    """Count the waiting messages in each queue, excluding messages in progress.

    Raises the same errors as the transport.
    """
    with app.connection_for_read() as connection, connection.channel() as channel:
        return {name: channel.client.llen(name) for name in QUEUE_NAMES}
