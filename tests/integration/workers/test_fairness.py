"""Documents that keep their parsers for an hour, beside small ones: nobody waits for them, and deletion ends them."""

import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from sqlalchemy import Row, select

from ingest.parsing.isolation.sandbox import ParserSandbox
from ingest.parsing.types import ParserLimits
from ingest.storage.db.schema import jobs
from ingest.storage.documents.records import Document, VersionState
from ingest.storage.queue.records import JobKind, Lane
from tests.support import poison
from tests.support.cluster import wait_until
from tests.support.worker_fixture import WorkerFixture
from workers.enqueue import ThreadNotifier
from workers.tasks.ingest import IngestTask
from workers.threads import WorkerThreads

# Longer than any test waits: what ends in time was ended by something else.
_LIMITS = ParserLimits(memory_bytes=400_000_000, cpu_seconds=3_600, wall_seconds=3_600.0)
# Enough for a note on a busy machine: one that takes longer is slow itself, and waits behind those that hang.
_FIRST_TRY_SECONDS = 3.0
_COMMAND = (sys.executable, "-I", poison.__file__)
_HANGS = poison.poison(2)  # its parser sleeps for an hour
_FOUND = (VersionState.SEARCHABLE, VersionState.EMBEDDING, VersionState.READY)


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[WorkerFixture]:
    made = WorkerFixture(tmp_path)
    made.catalog.ensure_tenant("bob")
    yield made
    made.engine.dispose()


@contextmanager
def working(
    worker: WorkerFixture, *, parsers: int = 2, first_try_seconds: float = _FIRST_TRY_SECONDS
) -> Iterator[None]:
    """Run the threads of an embedded service, with real parsers."""
    sandboxes = [ParserSandbox(_LIMITS, command=_COMMAND) for _ in range(parsers)]
    tasks = [IngestTask(worker.deps, sandbox, first_try_seconds=first_try_seconds) for sandbox in sandboxes]
    threads = WorkerThreads(worker.jobs, tasks, worker.embed, worker.collect, ThreadNotifier())
    threads.start()
    try:
        yield
    finally:
        threads.stop()
        for sandbox in sandboxes:
            sandbox.close()


def hangs(worker: WorkerFixture, number: int) -> Document:
    return worker.upload(f"{_HANGS}\n\nNumber {number}.\n", f"hangs-{number}.md")


def unfinished(worker: WorkerFixture) -> Sequence[Row[Any]]:
    query = select(jobs).where(jobs.c.kind == JobKind.INGEST, jobs.c.state.in_(["queued", "running"]))
    with worker.engine.connect() as connection:
        return connection.execute(query).all()


def is_found(worker: WorkerFixture, document: Document) -> Callable[[], bool]:
    tenant = document.tenant_id
    return lambda: worker.catalog.load_document(tenant, document.id).version.state in _FOUND


def parser_processes() -> list[psutil.Process]:
    return poison.hanging_parsers(os.getpid())


def test_a_note_is_found_while_another_tenants_documents_keep_every_parser_busy(worker: WorkerFixture) -> None:
    with working(worker):
        stuck = [hangs(worker, number) for number in range(3)]
        wait_until(lambda: len(parser_processes()) == 2, what="both parsers are at documents that hang")
        for number in range(3):
            note = worker.upload(f"# Note {number}\n\nThe tide is at six.", f"{number}.md", "bob")
            wait_until(is_found(worker, note), what=f"note {number} is found")
        assert {worker.state(document) for document in stuck} <= {VersionState.ACCEPTED, VersionState.PARSING}
        attempts = {job.attempt for job in unfinished(worker)}
    assert attempts <= {0, 1}


def test_a_tenants_own_note_is_found_while_its_slow_documents_wait(worker: WorkerFixture) -> None:
    with working(worker):
        for number in range(3):
            hangs(worker, number)
        wait_until(lambda: len(parser_processes()) == 2, what="both parsers are at documents that hang")
        note = worker.upload("# Note\n\nThe tide is at six.")
        wait_until(is_found(worker, note), what="the note is found")


@pytest.mark.parametrize("withdraw", ["delete", "cancel"])
def test_a_document_that_is_withdrawn_ends_its_parser_at_once(worker: WorkerFixture, withdraw: str) -> None:
    with working(worker):
        document = hangs(worker, 0)
        wait_until(lambda: len(parser_processes()) == 1, what="its parser is at it")
        (process,) = parser_processes()
        if withdraw == "delete":
            worker.deleter.delete_document("ann", document.id)
        else:
            worker.catalog.cancel_latest_version("ann", document.id)
        wait_until(lambda: not process.is_running(), what="its process is gone")
        note = worker.upload("# Note\n\nThe tide is at six.")
        wait_until(is_found(worker, note), what="the parser goes on with another document")


def test_a_slow_document_goes_on_where_nobody_waits(worker: WorkerFixture) -> None:
    with working(worker, first_try_seconds=0.5):
        hangs(worker, 0)
        wait_until(lambda: len(parser_processes()) == 1, what="its parser is at it")
        (process,) = parser_processes()
        wait_until(lambda: [job.lane for job in unfinished(worker)] == ["slow"], what="its first try is over")
        note = worker.upload("# Note\n\nThe tide is at six.")
        wait_until(is_found(worker, note), what="the note is found")
        assert process.is_running()


def test_slow_documents_are_read_between_first_tries_that_never_end(worker: WorkerFixture) -> None:
    """Whoever uploads without a pause keeps no slow document from its turn."""
    document = worker.upload("# Scan\n\nThe tide is at six.", "scan.md", "bob")
    (job,) = worker.jobs.claim(JobKind.INGEST)
    worker.jobs.requeue_in_lane(job, Lane.SLOW)
    over = threading.Event()

    def upload() -> None:
        number = 0
        while not over.wait(0.02):
            number += 1
            if worker.jobs.count_backlog("ann") < 40:
                worker.upload(f"# Note {number}\n\nThe tide is at six.", "note.md")

    uploading = threading.Thread(target=upload)
    uploading.start()
    try:
        wait_until(lambda: worker.jobs.count_backlog("ann") > 20, what="documents wait")
        with working(worker):
            wait_until(is_found(worker, document), what="the slow document is found")
    finally:
        over.set()
        uploading.join()
