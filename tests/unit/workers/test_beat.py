"""What beat rings for, and where it goes."""

from pathlib import Path

import pytest
from celery import Celery

from workers.enqueue.celery_app import QUEUE_NAMES, SWEEP_TASK, UPKEEP_TASK, WEBHOOKS_TASK, create_celery_app
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
        made.append(create_celery_app(url))
        made[0].Beat = Beat
        return made[0]

    monkeypatch.setattr("workers.main.create_celery_app", app)
    run_beat(ClusterSettings.model_validate({**_SETTINGS, "home": tmp_path}))
    scheduled = {entry["task"] for entry in made[0].conf.beat_schedule.values()}
    assert scheduled == {SWEEP_TASK, WEBHOOKS_TASK, UPKEEP_TASK}
    assert {made[0].conf.task_routes[task]["queue"] for task in scheduled} <= set(QUEUE_NAMES)
