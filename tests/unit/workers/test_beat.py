"""What beat rings for, where it goes, and how it ends."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from celery import Celery

from workers.enqueue.celery_app import QUEUE_NAMES, SWEEP, TELL, TIDY, make_app
from workers.main import run_beat
from workers.settings import ClusterSettings

_SETTINGS = {
    "database_url": "postgresql+psycopg://x/y",
    "redis_url": "redis://127.0.0.1:1/0",
    "qdrant_url": "http://127.0.0.1:1",
}


def test_beat_rings_for_repairs_and_webhooks_and_workers_of_upkeep_take_each(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made: list[Celery] = []

    class Beat:
        def __init__(self, **_: object) -> None: ...

        def run(self) -> None: ...

    def app(url: str) -> Celery:
        made.append(make_app(url))
        made[0].Beat = Beat
        return made[0]

    monkeypatch.setattr("workers.main.make_app", app)
    run_beat(ClusterSettings.model_validate({**_SETTINGS, "home": tmp_path}))
    scheduled = {entry["task"] for entry in made[0].conf.beat_schedule.values()}
    assert scheduled == {SWEEP, TELL, TIDY}
    assert {made[0].conf.task_routes[task]["queue"] for task in scheduled} <= set(QUEUE_NAMES)


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
