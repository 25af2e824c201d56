"""The Celery application for senders and workers alike: queues, and settings with their reasons.

The broker is a doorbell. A message says "look at the jobs of this kind" and may name one; the work itself, its owner
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
# One queue per kind, so that each can have workers of its own; collection is upkeep.
QUEUES = {JobKind.INGEST: "ingest", JobKind.EMBED: "embed", JobKind.COLLECT: UPKEEP_QUEUE, JobKind.RUN: "runs"}
QUEUE_NAMES = ("ingest", "embed", "runs", UPKEEP_QUEUE)

TASK_SECONDS = 900.0
# A run has its own time limit; this one is for a worker that hangs all the same.
_RUN_TASK_SECONDS = 6 * 3600.0
_RING_EXPIRES_SECONDS = 600


def make_app(broker_url: str, *, task_seconds: float = TASK_SECONDS) -> Celery:
    """Make an application without tasks, which is enough to ring; `workers.main` adds tasks. Connects to nothing."""
    app = Celery("leadline", broker=broker_url, set_as_current=False)
    app.conf.update(_SETTINGS)
    # A hung task is killed; its lease runs out and the row counts the attempt.
    app.conf.task_time_limit = task_seconds
    # Unacknowledged messages come back after this. It is above the time limit of a task, which would otherwise be
    # handed out a second time while the first still ran. A run's message does come back meanwhile, and costs a look.
    app.conf.broker_transport_options = {**_TRANSPORT_OPTIONS, "visibility_timeout": 2 * task_seconds}
    return app


_TRANSPORT_OPTIONS = {
    # By default the scan for messages that come back runs only every 100 s or so; these make it every 10 s.
    "unacked_restore_interval": 10,
    "unacked_restore_throttle": 1,
    "socket_connect_timeout": 2,
    "socket_timeout": 10,
    "socket_keepalive": True,
    # A consumer that hangs on a dead connection is dropped and connects again.
    "health_check_interval": 10,
}


_SETTINGS: dict[str, Any] = {
    # JSON only: a broker that was broken into must not be able to run code in a worker, as pickle would let it.
    "task_serializer": "json",
    "accept_content": ["json"],
    # Results are rows. A result backend would be a second truth, and chords wait on it for ever when it forgets.
    "task_ignore_result": True,
    "result_backend": None,
    # A message is acknowledged when its slice has ended, and comes back when the child or the worker was killed. With
    # the early acknowledgement that is Celery's default either loses it, and only the next sweep would notice.
    # guard: late-acknowledgement
    "task_acks_late": True,
    "task_reject_on_worker_lost": True,
    # A task that failed or ran out of time is not rung again by the broker: the row's lease and attempts decide.
    "task_acks_on_failure_or_timeout": True,
    # Take a message only when there is a process for it, so that a busy worker keeps none from an idle one.
    "worker_prefetch_multiplier": 1,
    # Memory that a native library keeps is given back between tasks.
    "worker_max_memory_per_child": 3_000_000,
    "worker_max_tasks_per_child": 1_000,
    # The broker may be down when a worker starts or at any time after; it comes back and so do we.
    "broker_connection_retry_on_startup": True,
    "broker_connection_max_retries": None,
    "worker_cancel_long_running_tasks_on_connection_loss": False,
    # Ringing must not wait for a broker that is away: the sweep will ring instead.
    "task_publish_retry": False,
    # Workers need not talk to each other, and remote control would let a broker stop them.
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
    """Send one message, which expires if nobody takes it. Raises the transport's errors."""
    limit = {"time_limit": _RUN_TASK_SECONDS} if kind is JobKind.RUN else {}
    asked = {"kind": kind.value, "job": job_id}
    app.send_task(LOOK_TASK, kwargs=asked, queue=QUEUES[kind], expires=_RING_EXPIRES_SECONDS, **limit)


def count_waiting_messages(app: Celery) -> dict[str, int]:
    """Count the messages in each queue, without those being worked on. Raises the transport's errors."""
    with app.connection_for_read() as connection, connection.channel() as channel:
        return {name: channel.client.llen(name) for name in QUEUE_NAMES}
