"""The number of a tenant's corpus: which commits count it up, and whose."""

from collections.abc import Callable

import pytest
from sqlalchemy import Engine

from ingest.storage.documents.batch_records import Batch
from ingest.storage.documents.batches import Batches
from ingest.storage.documents.catalog import Catalog
from ingest.storage.documents.records import VersionState
from ingest.storage.jobs.jobs import Jobs
from ingest.storage.queue.records import JobKind
from tests.support.catalogs import accept, arrival, arrive, at_once, embedded, searchable, wake


@pytest.fixture
def counted(catalog: Catalog) -> Callable[[], int]:
    """By how much ann's number has grown since this was last asked; bob's never does."""
    seen = 0

    def since() -> int:
        nonlocal seen
        assert catalog.load_corpus_version("bob") == 0
        before, seen = seen, catalog.load_corpus_version("ann")
        return seen - before

    return since


def test_what_is_uploaded_counts_when_it_can_be_found(catalog: Catalog, jobs: Jobs, counted: Callable[[], int]) -> None:
    arrive(catalog)
    assert counted() == 0
    searchable(jobs)
    assert counted() == 1
    (job,) = jobs.claim(JobKind.EMBED)
    jobs.record_progress(job, VersionState.EMBEDDING, chunks_embedded=1)
    assert counted() == 1
    jobs.release_job(job)
    embedded(jobs)
    assert counted() == 1


def test_a_replacement_counts_when_it_takes_the_place(catalog: Catalog, jobs: Jobs, counted: Callable[[], int]) -> None:
    document = arrive(catalog)
    searchable(jobs)
    embedded(jobs)
    catalog.replace_document(arrival("b"), document.id, None)
    searchable(jobs)
    counted()
    embedded(jobs)
    assert counted() == 1


def test_deletion_counts_and_so_does_what_it_removes(
    catalog: Catalog, jobs: Jobs, engine: Engine, counted: Callable[[], int]
) -> None:
    document = arrive(catalog)
    searchable(jobs)
    embedded(jobs)
    counted()
    deleted = catalog.delete_document("ann", document.id)
    assert counted() == 1
    catalog.record_removal(deleted.leaving[0], chunk_count=1, size_bytes=1, is_complete=False)
    assert counted() == 1
    wake(engine)
    (job,) = jobs.claim(JobKind.COLLECT)
    jobs.finish_collect(job, chunks=1)
    assert counted() == 1


def test_cancelling_what_can_be_found_counts(catalog: Catalog, jobs: Jobs, counted: Callable[[], int]) -> None:
    document = arrive(catalog)
    searchable(jobs)
    counted()
    catalog.cancel_latest_version("ann", document.id)
    assert counted() == 1


def test_cancelling_a_batch_counts(catalog: Catalog, jobs: Jobs, engine: Engine, counted: Callable[[], int]) -> None:
    batches = Batches(engine)
    batch: Batch
    batch, _ = batches.create("ann")
    accept(catalog, batch_id=batch.id)
    searchable(jobs)
    counted()
    batches.cancel("ann", batch.id)
    assert counted() == 1


def test_commits_at_once_are_all_counted(catalog: Catalog, jobs: Jobs) -> None:
    documents = [arrive(catalog, f"text {number}") for number in range(6)]
    ends = at_once(*(lambda document=document: catalog.delete_document("ann", document.id) for document in documents))
    assert not [end for end in ends if isinstance(end, Exception)]
    assert catalog.load_corpus_version("ann") == 6
