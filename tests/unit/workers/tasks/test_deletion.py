"""What is removed of a version, and what must stay."""

from pathlib import Path

import pytest

from ingest.parsing.errors import DamagedDocumentError
from ingest.storage.documents.records import VersionState
from ingest.storage.errors import LeaseLostError
from ingest.storage.queue.records import JobKind
from ingest.storage.tables.store import RecordTables
from retrieval.errors import IndexUnavailableError
from tests.support.books import book
from tests.support.worker_fixture import WorkerFixture, no
from workers.errors import build_failure


def test_nothing_is_removed_of_a_version_that_is_in_use(worker: WorkerFixture) -> None:
    document = worker.upload(book(1))
    worker.work_off()
    points = dict(worker.index.kept)
    assert worker.deleter.remove_version(document.version) == (0, 0)
    assert worker.index.kept == points
    assert worker.texts.read(document.version.id, 0, 6) == "# Book"
    assert worker.blobs.resolve_path(document.version.blob_key).exists()


def test_nothing_is_removed_of_a_version_that_waits_to_be_tried_again(worker: WorkerFixture) -> None:
    document = worker.upload(book(1))
    (job,) = worker.jobs.claim(JobKind.INGEST)

    def away(method: str) -> None:
        if method == "upsert":
            raise IndexUnavailableError("away")

    worker.index.fault = away
    with pytest.raises(IndexUnavailableError):
        worker.ingest.run(job, no)
    worker.jobs.retry(job, build_failure(IndexUnavailableError("away")))
    assert worker.deleter.remove_version(document.version) == (0, 0)
    assert worker.blobs.resolve_path(document.version.blob_key).exists()


def test_the_original_of_a_failed_version_stays_until_its_document_is_deleted(worker: WorkerFixture) -> None:
    document = worker.upload("damaged goods")
    (job,) = worker.jobs.claim(JobKind.INGEST)
    with pytest.raises(DamagedDocumentError):
        worker.ingest.run(job, no)
    worker.jobs.fail(job, build_failure(DamagedDocumentError("It is damaged.")))
    original = worker.blobs.resolve_path(document.version.blob_key)
    worker.deleter.remove_version(document.version)
    assert original.exists()
    assert worker.deleter.delete_document("ann", document.id).bytes_removed == len("damaged goods")
    assert not original.exists()


def test_a_receipt_counts_what_was_removed_and_is_the_same_again(worker: WorkerFixture, tmp_path: Path) -> None:
    document = worker.upload(book(2))
    worker.work_off()
    version = worker.catalog.load_version(document.version.id)
    on_disk = sum(path.stat().st_size for path in tmp_path.glob("blobs/*/*/*"))
    receipt = worker.deleter.delete_document("ann", document.id)
    assert (receipt.versions, receipt.chunks_removed, receipt.bytes_removed) == (1, version.chunks, on_disk)
    assert receipt.collected
    assert (worker.index.kept, list(tmp_path.glob("blobs/*/*/*"))) == ({}, [])
    assert worker.deleter.delete_document("ann", document.id) == receipt


def test_a_document_is_deleted_though_the_index_is_away_and_collected_when_it_is_back(worker: WorkerFixture) -> None:
    document = worker.upload(book(3))
    worker.work_off()

    def away(method: str) -> None:
        raise IndexUnavailableError("away")

    worker.index.fault = away
    receipt = worker.deleter.delete_document("ann", document.id)
    assert (receipt.chunks_removed, receipt.collected) == (0, False)
    assert worker.catalog.find_visible_versions("ann", [document.version.id]) == {}
    worker.index.fault = lambda _: None
    worker.work_off()
    done = worker.catalog.load_deletion("ann", document.id)
    assert done.id == receipt.id
    assert (done.chunks_removed > 0, done.collected, worker.index.kept) == (True, True, {})


def test_a_worker_writes_nothing_more_once_its_document_is_deleted(worker: WorkerFixture) -> None:
    worker.upload(book(4, chapters=60))
    (job,) = worker.jobs.claim(JobKind.INGEST)
    calls: list[str] = []

    def delete_at_the_first(method: str) -> None:
        calls.append(method)
        if calls.count("upsert") == 1 and calls[-1] == "upsert":
            worker.deleter.delete_document("ann", job.document_id)

    worker.index.fault = delete_at_the_first
    with pytest.raises(LeaseLostError):
        worker.ingest.run(job, no)
    assert calls.count("upsert") == 1
    assert worker.index.kept == {}
    assert worker.catalog.load_version(job.version_id).state is VersionState.DELETED


def _keys(worker: WorkerFixture, folder: str) -> list[str]:
    return list(worker.blobs.iter_keys(folder))


def test_record_tables_are_there_before_a_version_is_searchable_and_go_with_it(worker: WorkerFixture) -> None:
    tables = RecordTables(worker.blobs)
    document = worker.upload("id,name\n1,Ann\n2,Bob", "people.csv")
    written: list[int] = []

    def look(method: str) -> None:
        if method == "upsert":
            written.append(len(tables.load_rows(document.version.id, 0, range(1, 9))))

    worker.index.fault = look
    worker.work_off()
    assert set(written) == {2}
    (table,) = tables.load_tables(document.version.id)
    assert (table.name, table.rows) == ("people", 2)
    kept = [key for folder in ("original", "text", "tables") for key in _keys(worker, folder)]
    on_disk = sum(len(worker.blobs.read(key)) for key in kept)
    assert worker.deleter.delete_document("ann", document.id).bytes_removed == on_disk
    assert _keys(worker, "tables") == []
