"""A worker's parent shows what its children count, also after they have ended."""

import os
import subprocess
import sys
from pathlib import Path

_PARENT = """
import multiprocessing, os, urllib.request
from ingest.storage.queue.records import JobKind
from workers import metrics

def child():
    metrics.count_jobs(JobKind.EMBED, "done", 3)

assert metrics.is_multiprocess()
for _ in range(2):
    made = multiprocessing.get_context("fork").Process(target=child)
    made.start(); made.join()
    metrics.remove_child_files(made.pid)
metrics.count_jobs(JobKind.EMBED, "done", 1)
server, _ = metrics.start_metrics_server("127.0.0.1", 0)
print(urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/metrics").read().decode())
"""


def test_the_numbers_of_ended_children_are_added_up(tmp_path: Path) -> None:
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    shown = subprocess.run([sys.executable, "-c", _PARENT], env=environment, capture_output=True, text=True, check=True)
    assert 'leadline_jobs_total{kind="embed",outcome="done"} 7.0' in shown.stdout
