"""How beat ends."""

import json
import subprocess
import sys
from pathlib import Path

_SETTINGS = {
    "database_url": "postgresql+psycopg://x/y",
    "redis_url": "redis://127.0.0.1:1/0",
    "qdrant_url": "http://127.0.0.1:1",
}
_BEAT_WHOSE_BROKER_BREAKS = """
import os, sys, time
from celery.beat import Scheduler
from workers.main import run_beat
from workers.settings import ClusterSettings

def send(*_, **__):
    try:
        os.write(1, b"sending\\n")  # Celery takes sys.stdout
        time.sleep(600)
    finally:  # as a client does that cleans up a connection in the middle of a reply
        raise ConnectionError("It is closed.")

Scheduler.apply_async = send
run_beat(ClusterSettings.model_validate_json(sys.argv[1]))
"""


def test_beat_ends_on_sigterm_also_where_an_error_of_the_broker_comes_over_the_signal(tmp_path: Path) -> None:
    settings = {**_SETTINGS, "redis_url": "memory://", "home": str(tmp_path), "sweep_seconds": 0.1}
    command = [sys.executable, "-c", _BEAT_WHOSE_BROKER_BREAKS, json.dumps(settings)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as beat:
        try:
            assert beat.stdout is not None
            assert beat.stdout.readline() == b"sending\n"
            beat.terminate()
            assert beat.wait(120) == 0
        finally:
            beat.kill()
