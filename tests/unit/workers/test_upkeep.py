"""Upkeep removes what no document uses, and nothing else."""

import os
import time

import pytest

from ingest.catalog.deletions import Leftovers
from ingest.documents import JobKind, VersionState
from ingest.tables import RecordTables
from tests.support.books import book
from tests.support.record_tables import parsed_from
from tests.support.worker_fixture import WorkerFixture, no
from workers.upkeep import FORGOTTEN_SECONDS, Removed, remove_orphans


def tidy(worker: WorkerFixture) -> Removed:
    return remove_orphans(Leftovers(worker.engine), worker.generations, worker.blobs, worker.texts)


def ready(worker: WorkerFixture, text: str, name: str) -> str:
    document = worker.upload(text, name)
    worker.ingest.run(worker.jobs.claim(JobKind.INGEST)[0], no)
    worker.embed.run(worker.jobs.claim(JobKind.EMBED), no)
    assert worker.state(document) is VersionState.READY
    return document.id


def test_chunks_written_after_their_document_was_deleted_and_collected_are_found(worker: WorkerFixture) -> None:
    gone, kept = ready(worker, book(1), "gone.md"), ready(worker, book(2), "kept.md")
    version = worker.catalog.document("ann", gone).version
    late = {i: c for i, c in worker.index.kept.items() if c.version_id == version.id}
    worker.catalog.delete("ann", gone)
    worker.index.delete_version("ann", version.id)
    worker.index.upsert(list(late.values()), [worker.deps.sparse.document("late")] * len(late))
    assert tidy(worker).orphan_chunks == len(late) > 0
    assert set(worker.index.versions()) == {worker.catalog.document("ann", kept).version.id}
    assert tidy(worker) == Removed(0, 0)


def test_a_version_that_the_catalog_never_knew_is_an_orphan(worker: WorkerFixture) -> None:
    ready(worker, book(1), "a.md")
    chunk = next(iter(worker.index.kept.values()))
    stray = type(chunk)(**{**vars(chunk), "id": "stray", "version_id": "unknown"})
    worker.index.upsert([stray], [worker.deps.sparse.document("stray")])
    RecordTables(worker.blobs).save("unknown", parsed_from("id,name\n1,Ann\n2,Bob", "text/csv"))
    assert tidy(worker).orphan_chunks == 1
    assert list(worker.blobs.keys("tables")) == []
    assert chunk.id in worker.index.kept


def test_files_that_nobody_recorded_go_when_they_are_old(worker: WorkerFixture) -> None:
    document = ready(worker, book(1), "a.md")
    worker.blobs.put("original/ab/forgotten", b"bytes")
    worker.blobs.put("original/ab/arriving", b"bytes")
    old = time.time() - FORGOTTEN_SECONDS - 60
    kept = worker.catalog.document("ann", document).version.blob_key
    for key in ("original/ab/forgotten", kept):
        os.utime(worker.blobs.path(key), (old, old))
    assert tidy(worker).files == 1
    assert worker.blobs.read("original/ab/arriving") == b"bytes"
    assert worker.blobs.read(kept)
    with pytest.raises(KeyError):
        worker.blobs.read("original/ab/forgotten")
