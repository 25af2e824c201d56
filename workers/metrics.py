"""What Prometheus is told of jobs, in worker processes too, whose numbers one listener of their parent adds up."""

import os
from pathlib import Path
from threading import Thread
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, Counter, Histogram, start_http_server
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from ingest.storage.queue.records import JobKind

_DURATION_BUCKETS = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 60, 120, 300, 900, 1800, 3600)
_FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"

JOBS = Counter("leadline_jobs", "Jobs that a worker settled, by what became of them.", ["kind", "outcome"])
JOB_SECONDS = Histogram(
    "leadline_job_seconds",
    "Seconds that a worker was at jobs it had claimed together.",
    ["kind"],
    buckets=_DURATION_BUCKETS,
)


def count_jobs(kind: JobKind, outcome: str, jobs: int) -> None:
    """Count jobs as `done`, `handed_back`, `put_back`, `postponed`, `retried` or `failed`."""
    JOBS.labels(kind.value, outcome).inc(jobs)


def is_shared() -> bool:
    """True if processes keep their numbers in files of one folder, which is decided when Prometheus's client loads."""
    return Path(os.environ.get(_FOLDER_VARIABLE, "")).is_dir() and _FOLDER_VARIABLE in os.environ


def start_metrics_server(host: str, port: int) -> tuple[WSGIServer, Thread]:
    """Listen for Prometheus, in a thread, with the numbers of this process and its children added up."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return start_http_server(port, addr=host, registry=registry)


def remove_child_files(pid: int) -> None:
    """Drop the files of a child that has ended, but for what it counted."""
    if is_shared():
        mark_process_dead(pid)  # type: ignore[no-untyped-call]
