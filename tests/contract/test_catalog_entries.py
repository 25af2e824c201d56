"""Entries of containers in the catalog: taken in one commit, changed and deleted with their container."""

import hashlib
from collections.abc import Collection
from functools import partial

import pytest
from sqlalchemy import Engine, select

from ingest.storage.db.schema import staged_entries
from ingest.storage.documents.batches import Batches
from ingest.storage.documents.catalog import Catalog
from ingest.storage.documents.listing import DocumentFilter
from ingest.storage.documents.records import Document, DocumentChange, EmbedReport, Entry, IngestReport, VersionState
from ingest.storage.errors import DocumentNotFoundError, LeaseLostError
from ingest.storage.jobs.jobs import Jobs
from ingest.storage.operations.leftovers import UnusedContent
from ingest.storage.queue.records import Job, JobKind
from ingest.storage.quotas.records import Account, Quota
from ingest.storage.quotas.store import Quotas
from ingest.storage.texts.layout import OmissionKind
from tests.support.catalogs import accept, arrival, arrive, at_once, embedded


def entry(path: str, content: str = "", *, size: int = 3) -> Entry:
    digest = hashlib.sha256((content or path).encode()).hexdigest()
    return Entry(path, "text/plain", digest, size, f"blob-{path}-{content}", "p1")


def ingested(jobs: Jobs, job: Job, *paths: str, entries: Collection[Entry] = ()) -> list[str]:
    """End an ingest with these entries, and return the keys of blobs that nobody has."""
    unused: list[str] = []
    found = (*(entry(path) for path in paths), *entries)
    assert jobs.finish_ingest([IngestReport(job, None, None, 1, 2, (), found)], on_unused_blob=unused.append) == []
    return unused


def container(catalog: Catalog, jobs: Jobs, *paths: str, **changes: str) -> Document:
    document = accept(catalog, "zip", **changes).document
    (job,) = jobs.claim(JobKind.INGEST)
    ingested(jobs, job, *paths)
    embedded(jobs)
    return document


def paths(catalog: Catalog, document: Document) -> dict[str, Document]:
    found = catalog.list_documents("ann", DocumentFilter(container=document.id), limit=500)
    return {str(each.entry_path): each for each in found}


def test_entries_are_documents_in_the_commit_that_makes_their_container_searchable(
    catalog: Catalog, jobs: Jobs
) -> None:
    document = container(catalog, jobs, "a.txt", "b/c.txt")
    found = paths(catalog, document)
    assert {each.name for each in found.values()} == {"zip.txt/a.txt", "zip.txt/b/c.txt"}
    assert {each.container_id for each in found.values()} == {document.id}
    assert len({each.sequence for each in found.values()} | {document.sequence}) == 3
    assert {job.document_id for job in jobs.claim(JobKind.INGEST, limit=9)} == {each.id for each in found.values()}


def test_a_worker_that_lost_its_lease_makes_no_entries(catalog: Catalog, jobs: Jobs) -> None:
    document = arrive(catalog, "zip")
    (job,) = jobs.claim(JobKind.INGEST)
    catalog.delete_document("ann", document.id)
    assert jobs.finish_ingest([IngestReport(job, None, None, 1, 2, (), (entry("a.txt"),))]) == [job]
    assert catalog.list_documents("ann") == []


def test_an_entry_deleted_alone_has_another_id_when_its_container_brings_it_again(catalog: Catalog, jobs: Jobs) -> None:
    document = container(catalog, jobs, "a.txt")
    first = paths(catalog, document)["a.txt"]
    catalog.delete_document("ann", first.id)
    catalog.replace_document(arrival("zip2"), document.id, None)
    (job,) = [job for job in jobs.claim(JobKind.INGEST, limit=9) if job.document_id == document.id]
    ingested(jobs, job, "a.txt")
    embedded(jobs)
    assert paths(catalog, document)["a.txt"].id != first.id


def test_a_replacement_takes_its_entries_when_it_is_ready_and_not_before(
    catalog: Catalog, jobs: Jobs, engine: Engine
) -> None:
    document = container(catalog, jobs, "same.txt", "other.txt", "gone.txt")
    before = paths(catalog, document)
    for job in jobs.claim(JobKind.INGEST, limit=9):
        ingested(jobs, job)
        embedded(jobs)
    catalog.replace_document(arrival("zip2"), document.id, None)
    (job,) = jobs.claim(JobKind.INGEST)
    ingested(jobs, job, "same.txt", "new.txt", entries=[entry("other.txt", "changed")])
    assert set(paths(catalog, document)) == {"same.txt", "other.txt", "gone.txt"}
    assert UnusedContent(engine).select_unknown_originals({"blob-new.txt-", "blob-never"}) == {"blob-never"}
    (job,) = jobs.claim(JobKind.EMBED)
    unused: list[str] = []
    jobs.finish_embed([EmbedReport(job, 12, chunks_indexed=2)], on_unused_blob=unused.append)
    after = paths(catalog, document)
    assert set(after) == {"same.txt", "other.txt", "new.txt"}
    assert after["same.txt"].version.id == before["same.txt"].version.id
    assert after["other.txt"].id == before["other.txt"].id
    assert after["other.txt"].version.state is VersionState.ACCEPTED
    assert after["other.txt"].active_version_id == before["other.txt"].version.id
    assert unused == ["blob-same.txt-"]
    with engine.connect() as connection:
        assert connection.execute(select(staged_entries)).all() == []


def test_the_family_of_a_container_is_deleted_together_and_each_has_a_receipt(catalog: Catalog, jobs: Jobs) -> None:
    document = container(catalog, jobs, "a.txt", "inner.zip")
    inner = paths(catalog, document)["inner.zip"]
    for job in jobs.claim(JobKind.INGEST, limit=9):
        ingested(jobs, job, *(["deep.txt"] if job.document_id == inner.id else []))
    family = [*paths(catalog, document).values(), *paths(catalog, inner).values()]
    deleted = catalog.delete_document("ann", document.id)
    assert (deleted.receipt.entries, len(family), catalog.list_documents("ann")) == (3, 3, [])
    for each in family:
        assert catalog.load_deletion("ann", each.id).document_id == each.id
    assert catalog.delete_document("ann", document.id).receipt == deleted.receipt


def test_what_is_stored_is_counted_for_entries_and_given_back_with_them(
    catalog: Catalog, jobs: Jobs, engine: Engine
) -> None:
    quotas = Quotas(engine)
    quotas.set_limits(Account("ann"), {Quota.DOCUMENTS: 100, Quota.BYTES: 10_000})

    def stored() -> list[int]:
        return [each.used for each in quotas.load_statuses(Account("ann"), [Quota.DOCUMENTS, Quota.BYTES])]

    document = container(catalog, jobs, "a.txt", "b.txt")
    assert stored() == [3, 9]
    catalog.delete_document("ann", document.id)
    assert stored() == [0, 0]


def test_entries_beyond_a_quota_are_omissions_and_their_blobs_are_unused(
    catalog: Catalog, jobs: Jobs, engine: Engine
) -> None:
    Quotas(engine).set_limits(Account("ann"), {Quota.DOCUMENTS: 2})
    document = arrive(catalog, "zip")
    (job,) = jobs.claim(JobKind.INGEST)
    assert ingested(jobs, job, "a.txt", "b.txt", "c.txt") == ["blob-b.txt-", "blob-c.txt-"]
    assert set(paths(catalog, document)) == {"a.txt"}
    (omission,) = catalog.load_document("ann", document.id).version.omissions
    assert (omission.kind, omission.count) == (OmissionKind.ENTRY, 2)


def test_a_batch_that_is_closed_takes_the_entries_of_its_files(catalog: Catalog, jobs: Jobs, engine: Engine) -> None:
    batches = Batches(engine)
    batch, _ = batches.create("ann", expected_files=1)
    accept(catalog, "zip", batch_id=batch.id)
    batches.close("ann", batch.id)
    (job,) = jobs.claim(JobKind.INGEST)
    ingested(jobs, job, "a.txt", "b.txt")
    counted = batches.load_progress("ann", batch.id)
    assert (counted.batch.received, counted.batch.entries, counted.tally.unfinished_count) == (3, 2, 3)
    batches.cancel("ann", batch.id)
    assert all(each.version.state is VersionState.CANCELLED for each in catalog.list_documents("ann"))


def test_a_new_access_list_of_a_container_is_one_of_its_entries_and_tells_the_index(
    catalog: Catalog, jobs: Jobs
) -> None:
    document = container(catalog, jobs, "a.txt")
    inside = paths(catalog, document)["a.txt"]
    change = DocumentChange(readers=frozenset({"user:bob"}), changed=frozenset({"readers"}))
    catalog.change_document("ann", document.id, change, None)
    assert set(catalog.list_unsynced_readers()) == {document.id, inside.id}
    with pytest.raises(DocumentNotFoundError):
        catalog.load_document("ann", inside.id, readers=frozenset({"user:ann"}))


def test_containers_that_end_at_once_wait_for_each_other(catalog: Catalog, jobs: Jobs) -> None:
    documents = [arrive(catalog, f"zip {number}") for number in range(4)]
    claimed = jobs.claim(JobKind.INGEST, limit=4)
    ends = at_once(*(partial(ingested, jobs, job, "a.txt", "b.txt") for job in claimed))
    assert ends == [[]] * 4
    found = [each for document in documents for each in paths(catalog, document).values()]
    assert len({each.sequence for each in found}) == 8


def test_a_container_deleted_while_its_ingest_ends_leaves_no_entry(catalog: Catalog, jobs: Jobs) -> None:
    for number in range(5):
        document = arrive(catalog, f"zip {number}")
        (job,) = jobs.claim(JobKind.INGEST)
        at_once(partial(ingested_or_lost, jobs, job), partial(catalog.delete_document, "ann", document.id))
    assert catalog.list_documents("ann") == []


def ingested_or_lost(jobs: Jobs, job: Job) -> None:
    if jobs.finish_ingest([IngestReport(job, None, None, 1, 2, (), (entry("a.txt"), entry("b.txt")))]):
        raise LeaseLostError("It was lost.")
