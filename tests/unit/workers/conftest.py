"""A worker's parts, closed after each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.worker_fixture import WorkerFixture


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[WorkerFixture]:
    made = WorkerFixture(tmp_path)
    yield made
    made.engine.dispose()
