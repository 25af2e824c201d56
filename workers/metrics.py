"""Prometheus metrics of jobs. The parent process serves the totals over all worker processes."""

import os
from pathlib import Path
from threading import Thread
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, Counter, Histogram, start_http_server
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from ingest.storage.queue.records import JobKind

_DURATION_BUCKETS = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 60, 120, 300, 900, 1800, 3600)
_FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"

JOBS = Counter("leadline_jobs", "Jobs that a worker finished, by outcome.", ["kind", "outcome"])
JOB_SECONDS = Histogram(
    "leadline_job_seconds",
    "Seconds that a worker spent on jobs claimed together.",
    ["kind"],
    buckets=_DURATION_BUCKETS,
)

DESCRIPTIONS = Counter("leadline_descriptions", "Documents for which a model was asked, by outcome.", ["outcome"])


def count_jobs(kind: JobKind, outcome: str, job_count: int) -> None:
    """Count jobs as `done`, `handed_back`, `put_back`, `postponed`, `retried` or `failed`."""
    JOBS.labels(kind.value, outcome).inc(job_count)


def is_multiprocess() -> bool:
    """Return whether processes share their metrics through files in a folder.

    Prometheus's client library decides this on import.
    """
    return Path(os.environ.get(_FOLDER_VARIABLE, "")).is_dir() and _FOLDER_VARIABLE in os.environ


def start_metrics_server(host: str, port: int) -> tuple[WSGIServer, Thread]:
    """Serve the metrics of this process and its child processes to Prometheus, from a thread."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return start_http_server(port, addr=host, registry=registry)


def remove_child_files(pid: int) -> None:
    """Remove the files of an ended child process, except for its counters, which still count in the totals."""
    if is_multiprocess():
        mark_process_dead(pid)  # type: ignore[no-untyped-call]
