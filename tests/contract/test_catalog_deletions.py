"""Deleting a document: a barrier for readers and workers, and a receipt that is kept."""

from functools import partial

import pytest
from sqlalchemy import Engine, text

from ingest.storage.documents.catalog import Catalog
from ingest.storage.documents.records import Deletion, VersionState
from ingest.storage.documents.rows import DeletedDocument
from ingest.storage.errors import DocumentNotFoundError
from ingest.storage.jobs.jobs import Jobs
from ingest.storage.queue.records import JobKind
from tests.support.catalogs import arrival, arrive, at_once, embedded, searchable, wake


def remove_all(catalog: Catalog, deleted: DeletedDocument, *, chunks: int = 2, size: int = 10) -> None:
    """What the deleter does: remove each version and say so."""
    for version in deleted.leaving:
        complete = version.id not in deleted.worked_on
        catalog.record_removal(version, chunk_count=chunks, size_bytes=size, is_complete=complete)


def test_a_deletion_leaves_a_receipt_that_can_be_read_again(catalog: Catalog, jobs: Jobs) -> None:
    document = arrive(catalog)
    searchable(jobs)
    embedded(jobs)
    deleted = catalog.delete_document("ann", document.id)
    assert [version.id for version in deleted.leaving] == [document.version.id]
    assert not deleted.receipt.collected
    remove_all(catalog, deleted)
    receipt = catalog.load_deletion("ann", document.id)
    assert receipt == Deletion(deleted.receipt.id, document.id, 1, 2, 10, deleted.receipt.deleted_at, collected=True)
    assert (jobs.count_unfinished_jobs(), catalog.list_hidden_versions("ann")) == ({}, [])


def test_deleting_again_gives_the_same_receipt_and_removes_nothing(catalog: Catalog) -> None:
    document = arrive(catalog)
    remove_all(catalog, catalog.delete_document("ann", document.id))
    again = catalog.delete_document("ann", document.id)
    assert (again.receipt, again.leaving) == (catalog.load_deletion("ann", document.id), ())


def test_there_is_no_receipt_of_what_was_not_deleted_or_is_anothers(catalog: Catalog) -> None:
    document = arrive(catalog)
    with pytest.raises(DocumentNotFoundError):
        catalog.load_deletion("ann", document.id)
    catalog.delete_document("ann", document.id)
    for tenant, identifier in (("bob", document.id), ("ann", "unknown")):
        with pytest.raises(DocumentNotFoundError):
            catalog.load_deletion(tenant, identifier)
        with pytest.raises(DocumentNotFoundError):
            catalog.delete_document(tenant, identifier)


def test_the_receipt_counts_every_version_and_what_was_collected_later(
    catalog: Catalog, jobs: Jobs, engine: Engine
) -> None:
    document = arrive(catalog)
    searchable(jobs)
    embedded(jobs)
    catalog.replace_document(arrival("b"), document.id, None)
    (ingest,) = jobs.claim(JobKind.INGEST)
    jobs.record_progress(ingest, VersionState.INDEXING, chunks=2)
    deleted = catalog.delete_document("ann", document.id)
    assert (deleted.receipt.versions, deleted.worked_on) == (2, frozenset({ingest.version_id}))
    remove_all(catalog, deleted)
    assert not catalog.load_deletion("ann", document.id).collected
    assert jobs.claim(JobKind.COLLECT) == []  # not before the lease of whoever was at it has run out
    wake(engine)
    (collect,) = jobs.claim(JobKind.COLLECT, limit=5)
    assert collect.version_id == ingest.version_id
    jobs.finish_collect(collect, chunks=1, size=5)
    receipt = catalog.load_deletion("ann", document.id)
    assert (receipt.chunks_removed, receipt.bytes_removed, receipt.collected) == (5, 25, True)


def test_versions_that_were_collected_before_are_not_removed_again(
    catalog: Catalog, jobs: Jobs, engine: Engine
) -> None:
    document = arrive(catalog)
    searchable(jobs)
    embedded(jobs)
    new = catalog.replace_document(arrival("b"), document.id, None).document.version.id
    searchable(jobs)
    embedded(jobs)
    wake(engine)
    (collect,) = jobs.claim(JobKind.COLLECT)
    jobs.finish_collect(collect, chunks=2, size=10)
    deleted = catalog.delete_document("ann", document.id)
    assert [version.id for version in deleted.leaving] == [new]
    assert (deleted.receipt.versions, deleted.receipt.chunks_removed) == (2, 0)


def test_what_nobody_removed_at_once_is_collected(catalog: Catalog, jobs: Jobs, engine: Engine) -> None:
    document = arrive(catalog)
    catalog.delete_document("ann", document.id)  # and the deleter dies
    wake(engine)
    (collect,) = jobs.claim(JobKind.COLLECT)
    jobs.finish_collect(collect, chunks=2, size=10)
    receipt = catalog.load_deletion("ann", document.id)
    assert (receipt.chunks_removed, receipt.bytes_removed, receipt.collected) == (2, 10, True)


def test_what_a_deleted_document_was_called_is_forgotten(catalog: Catalog, engine: Engine) -> None:
    document = arrive(catalog, "secret")
    catalog.delete_document("ann", document.id)
    with engine.connect() as connection:
        for table in ("documents", "versions", "jobs", "deletions"):
            rows = connection.execute(text(f"SELECT * FROM {table}")).all()
            assert rows
            assert "secret.txt" not in str(rows)


def test_of_several_who_delete_at_once_one_removes_and_all_have_the_receipt(catalog: Catalog) -> None:
    for number in range(15):
        document = arrive(catalog, f"{number}")
        ends = at_once(*[partial(catalog.delete_document, "ann", document.id)] * 3)
        deleted = [end for end in ends if isinstance(end, DeletedDocument)]
        assert len(deleted) == 3, ends
        assert len({d.receipt for d in deleted}) == 1
        assert sum(len(d.leaving) for d in deleted) == 1
