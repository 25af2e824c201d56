"""A cluster with documents that keep a parser for as long as they may: nobody waits for them, and nothing is lost."""

from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from sqlalchemy import select

from ingest.storage.db.schema import jobs
from ingest.storage.documents.records import VersionState
from ingest.storage.queue.records import JobKind, Lane
from tests.support.books import book
from tests.support.cluster import Cluster, Part, running_cluster, wait_until
from tests.support.poison import WALL_SECONDS, hanging_parsers, poison
from tests.support.postgres import Postgres

pytestmark = pytest.mark.slow

_HANGS = poison(2)


@pytest.fixture
def wall_seconds() -> int:
    """How long a parser may take: longer than any note needs on a busy machine."""
    return 120


@pytest.fixture
def cluster(
    tmp_path: Path, postgres: Postgres, monkeypatch: pytest.MonkeyPatch, wall_seconds: int
) -> Iterator[Cluster]:
    """Two workers with one process each, whose parsers may hang."""
    # Enough for a note on a busy machine: one that takes longer is slow itself, and waits behind those that hang.
    monkeypatch.setenv("LEADLINE_FIRST_TRY_SECONDS", "3")
    monkeypatch.setenv(WALL_SECONDS, str(wall_seconds))
    with running_cluster(tmp_path, postgres.catalog_database(), workers=2, task_seconds=600.0) as running:
        yield running


def stuck(cluster: Cluster) -> dict[int, psutil.Process]:
    """The documents' processes that hang, by the number of their worker."""
    found = {number: hanging_parsers(worker.pid) for number, worker in enumerate(cluster.workers)}
    return {number: processes[0] for number, processes in found.items() if processes}


def lanes(cluster: Cluster) -> list[str | None]:
    query = select(jobs.c.lane).where(jobs.c.kind == JobKind.INGEST, jobs.c.state.in_(["queued", "running"]))
    with cluster.engine.connect() as connection:
        return list(connection.execute(query).scalars())


def state(cluster: Cluster, document: str) -> VersionState:
    return cluster.catalog.load_document("default", document).version.state


def hang(cluster: Cluster, count: int) -> list[str]:
    """Upload documents that hang, until they keep both workers busy."""
    documents = [cluster.upload(f"{_HANGS}\n\nNumber {number}.\n", f"hangs-{number}.md") for number in range(count)]
    wait_until(lambda: len(stuck(cluster)) == min(2, count), what="workers are at documents that hang")
    return documents


def upload_note(cluster: Cluster, number: int) -> None:
    note = cluster.upload(book(number, chapters=1, sentences=5), f"note-{number}.md")
    wait_until(lambda: state(cluster, note) is VersionState.READY, what=f"note {number} is ready")


def test_notes_are_ready_while_documents_hang(cluster: Cluster) -> None:
    documents = hang(cluster, 3)
    for number in range(2):
        upload_note(cluster, number)
    assert {state(cluster, document) for document in documents} <= {VersionState.ACCEPTED, VersionState.PARSING}


@pytest.mark.parametrize("wall_seconds", [8])
def test_documents_that_hang_fail_with_their_reason_after_one_attempt(cluster: Cluster) -> None:
    documents = hang(cluster, 3)
    wait_until(
        lambda: all(state(cluster, document) is VersionState.FAILED for document in documents),
        seconds=600,
        what="the documents that hang have failed",
    )
    for document in documents:
        version = cluster.catalog.load_document("default", document).version
        assert version.failure is not None
        assert version.failure.code == "parser_limit"
        assert cluster.attempts(version.id) == 1


def test_a_worker_that_dies_in_the_slow_lane_loses_nothing(cluster: Cluster) -> None:
    (document,) = hang(cluster, 1)
    wait_until(lambda: lanes(cluster) == [Lane.SLOW], what="its first try is over")
    (number,) = stuck(cluster)
    worker: Part = cluster.workers[number]
    worker.kill()
    upload_note(cluster, 0)
    wait_until(lambda: bool(stuck(cluster)), what="the other worker is at it")
    assert lanes(cluster) == [Lane.SLOW]
    version = cluster.catalog.load_document("default", document).version
    assert cluster.attempts(version.id) == 2
    worker.start()
    upload_note(cluster, 1)
    cluster.delete(document)
    wait_until(cluster.settled, what="no work is left")


@pytest.mark.parametrize("way", ["delete", "cancel"])
def test_a_withdrawn_document_ends_its_parser_in_whatever_worker_that_is(cluster: Cluster, way: str) -> None:
    (document,) = hang(cluster, 1)
    (process,) = stuck(cluster).values()
    getattr(cluster, way)(document)
    wait_until(lambda: not process.is_running(), what="its process is gone", seconds=30)
    upload_note(cluster, 0)
