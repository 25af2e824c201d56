"""A hung step of the embedded service is ended: by an exception in its thread, or by another thread in its place."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ingest.parsing.types import ParsedDocument
from ingest.storage.documents.records import VersionState
from ingest.storage.jobs.jobs import Jobs
from tests.support.books import book
from tests.support.catalogs import wake
from tests.support.cluster import wait_until
from tests.support.worker_fixture import PlainParser, WorkerFixture
from workers.enqueue import ThreadNotifier
from workers.tasks.ingest import IngestTask
from workers.threads import WorkerThreads

LONG = "x" * 300_000 + "\n"  # is claimed alone


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[WorkerFixture]:
    made = WorkerFixture(tmp_path)
    yield made
    made.engine.dispose()


class HangingParser(PlainParser):
    """Hangs on texts that begin with x, in the way that it is told."""

    def __init__(self, hang: Callable[[], object]) -> None:
        self._hang = hang

    def parse(self, path: Path, media_type: str, *, name: str, **more: object) -> ParsedDocument:
        parsed = super().parse(path, media_type, name=name, **more)
        if parsed.text.startswith("x"):
            self._hang()
        return parsed


def ends_as_failed(worker: WorkerFixture, hang: Callable[[], object], *, lease_seconds: float) -> str:
    """Return the failure code of a document whose step hangs, once another document has become ready beside it.

    A step that has not ended `lease_seconds` after it was interrupted never will.
    """
    jobs = Jobs(worker.engine, lease_seconds=lease_seconds)

    def task() -> IngestTask:
        return IngestTask(worker.deps, HangingParser(hang))

    threads = WorkerThreads(
        jobs,
        [task()],
        worker.embed,
        worker.collect,
        ThreadNotifier(),
        step_seconds=2.0,
        make_ingest_task=task,
    )
    hung = worker.upload(LONG, "hung.txt")
    threads.start()
    try:
        fine = worker.upload(book(1), "fine.txt")
        wait_until(lambda: worker.state(fine) is VersionState.READY, what="the other one is ready")

        def failed() -> bool:
            wake(worker.engine)  # instead of the pause before another attempt
            return worker.state(hung) is VersionState.FAILED

        wait_until(failed, what="the hung one has failed")
    finally:
        threads.stop(timeout_seconds=5)
    failure = worker.catalog.load_document("ann", hung.id).version.failure
    assert failure is not None
    return failure.code


@pytest.mark.slow
def test_a_step_that_runs_for_ever_is_interrupted_and_its_document_fails_after_its_attempts(
    worker: WorkerFixture,
) -> None:
    is_over = threading.Event()  # so that the process ends where nobody interrupts the step

    def spin() -> None:
        while not is_over.is_set():
            sum(range(1_000))

    try:
        assert ends_as_failed(worker, spin, lease_seconds=120.0) == "step_timeout"
    finally:
        is_over.set()


@pytest.mark.slow
def test_a_step_that_waits_for_ever_loses_its_job_and_another_thread_goes_on(worker: WorkerFixture) -> None:
    never = threading.Event()
    try:
        assert ends_as_failed(worker, never.wait, lease_seconds=1.0) == "worker_lost"
    finally:
        never.set()
