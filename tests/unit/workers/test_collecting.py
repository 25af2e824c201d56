"""What is removed of a version, and what must stay."""

from pathlib import Path

import pytest

from ingest.documents import JobKind, VersionState
from ingest.errors import DamagedDocumentError, LeaseLostError
from ingest.tables import RecordTables
from retrieval.errors import IndexUnavailableError
from tests.support.books import book
from tests.support.harbour import Harbour, no
from workers.errors import failure


def _keys(harbour: Harbour, folder: str) -> list[str]:
    return list(harbour.blobs.keys(folder))


def test_nothing_is_removed_of_a_version_that_is_in_use(harbour: Harbour) -> None:
    document = harbour.upload(book(1))
    harbour.work_off()
    points = dict(harbour.index.kept)
    assert harbour.collector.remove(document.version) == (0, 0)
    assert harbour.index.kept == points
    assert harbour.texts.read(document.version.id, 0, 6) == "# Book"
    assert harbour.blobs.path(document.version.blob_key).exists()


def test_nothing_is_removed_of_a_version_that_waits_to_be_tried_again(harbour: Harbour) -> None:
    document = harbour.upload(book(1))
    (job,) = harbour.jobs.claim(JobKind.INGEST)

    def away(method: str) -> None:
        if method == "upsert":
            raise IndexUnavailableError("away")

    harbour.index.fault = away
    with pytest.raises(IndexUnavailableError):
        harbour.ingest.run(job, no)
    harbour.jobs.retry(job, failure(IndexUnavailableError("away")))
    assert harbour.collector.remove(document.version) == (0, 0)
    assert harbour.blobs.path(document.version.blob_key).exists()


def test_the_original_of_a_failed_version_stays_until_its_document_is_deleted(harbour: Harbour) -> None:
    document = harbour.upload("damaged goods")
    (job,) = harbour.jobs.claim(JobKind.INGEST)
    with pytest.raises(DamagedDocumentError):
        harbour.ingest.run(job, no)
    harbour.jobs.fail(job, failure(DamagedDocumentError("It is damaged.")))
    original = harbour.blobs.path(document.version.blob_key)
    harbour.collector.remove(document.version)
    assert original.exists()
    assert harbour.collector.delete("ann", document.id).bytes_removed == len("damaged goods")
    assert not original.exists()


def test_a_receipt_counts_what_was_removed_and_is_the_same_again(harbour: Harbour, tmp_path: Path) -> None:
    document = harbour.upload(book(2))
    harbour.work_off()
    version = harbour.catalog.version(document.version.id)
    on_disk = sum(path.stat().st_size for path in tmp_path.glob("blobs/*/*/*"))
    receipt = harbour.collector.delete("ann", document.id)
    assert (receipt.versions, receipt.chunks_removed, receipt.bytes_removed) == (1, version.chunks, on_disk)
    assert receipt.collected
    assert (harbour.index.kept, list(tmp_path.glob("blobs/*/*/*"))) == ({}, [])
    assert harbour.collector.delete("ann", document.id) == receipt


def test_record_tables_are_there_before_a_version_is_searchable_and_go_with_it(harbour: Harbour) -> None:
    tables = RecordTables(harbour.blobs)
    document = harbour.upload("id,name\n1,Ann\n2,Bob", "people.csv")
    written: list[int] = []

    def look(method: str) -> None:
        if method == "upsert":
            written.append(len(tables.rows(document.version.id, 0, range(1, 9))))

    harbour.index.fault = look
    harbour.work_off()
    assert set(written) == {2}
    (table,) = tables.tables(document.version.id)
    assert (table.name, table.rows) == ("people", 2)
    kept = [key for folder in ("original", "text", "tables") for key in _keys(harbour, folder)]
    on_disk = sum(len(harbour.blobs.read(key)) for key in kept)
    assert harbour.collector.delete("ann", document.id).bytes_removed == on_disk
    assert _keys(harbour, "tables") == []


def test_a_document_is_deleted_though_the_index_is_away_and_collected_when_it_is_back(harbour: Harbour) -> None:
    document = harbour.upload(book(3))
    harbour.work_off()

    def away(method: str) -> None:
        raise IndexUnavailableError("away")

    harbour.index.fault = away
    receipt = harbour.collector.delete("ann", document.id)
    assert (receipt.chunks_removed, receipt.collected) == (0, False)
    assert harbour.catalog.visible("ann", [document.version.id]) == {}
    harbour.index.fault = lambda _: None
    harbour.work_off()
    done = harbour.catalog.deletion("ann", document.id)
    assert done.id == receipt.id
    assert (done.chunks_removed > 0, done.collected, harbour.index.kept) == (True, True, {})


def test_a_worker_writes_nothing_more_once_its_document_is_deleted(harbour: Harbour) -> None:
    harbour.upload(book(4, chapters=60))
    (job,) = harbour.jobs.claim(JobKind.INGEST)
    calls: list[str] = []

    def delete_at_the_first(method: str) -> None:
        calls.append(method)
        if calls.count("upsert") == 1 and calls[-1] == "upsert":
            harbour.collector.delete("ann", job.document_id)

    harbour.index.fault = delete_at_the_first
    with pytest.raises(LeaseLostError):
        harbour.ingest.run(job, no)
    assert calls.count("upsert") == 1
    assert harbour.index.kept == {}
    assert harbour.catalog.version(job.version_id).state is VersionState.DELETED
