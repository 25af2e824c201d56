"""A batch of uploads: what it counts, when it has ended, and what cancelling it leaves alone."""

import pytest
from sqlalchemy import Engine

from ingest.storage.documents.batch_records import Batch, BatchProgress, BatchState
from ingest.storage.documents.batches import Batches
from ingest.storage.documents.catalog import Catalog
from ingest.storage.documents.records import VersionState
from ingest.storage.errors import BatchNotFoundError, BatchStateError, LeaseLostError
from ingest.storage.jobs.jobs import Jobs
from ingest.storage.queue.records import Failure, JobKind
from tests.support.catalogs import accept, arrival, arrive, at_once, embedded, searchable

BROKEN = Failure("no_text", "It is a scan.", "Run OCR.")
UNKNOWN_TYPE = Failure("unsupported_type", "It is a picture.", "Upload text.")


@pytest.fixture
def batches(engine: Engine) -> Batches:
    return Batches(engine)


@pytest.fixture
def batch(batches: Batches) -> Batch:
    return batches.create("ann", name="letters")[0]


def fail(jobs: Jobs) -> None:
    (job,) = jobs.claim(JobKind.INGEST)
    jobs.fail(job, BROKEN)


def found(batches: Batches, batch: Batch) -> BatchProgress:
    return batches.load_progress("ann", batch.id)


def test_a_batch_counts_what_became_of_its_files_and_is_completed_when_it_is_closed(
    catalog: Catalog, jobs: Jobs, batches: Batches, batch: Batch
) -> None:
    assert found(batches, batch).state is BatchState.OPEN
    for content in "abc":
        accept(catalog, content, batch_id=batch.id)
    arrive(catalog, "not in it")
    searchable(jobs)
    embedded(jobs)
    searchable(jobs, chunks=4)
    fail(jobs)
    seen = found(batches, batch)
    assert seen.tally.documents == {VersionState.READY: 1, VersionState.SEARCHABLE: 1, VersionState.FAILED: 1}
    assert (seen.batch.received, seen.total_count, seen.finished_count, seen.state) == (3, 3, 2, BatchState.OPEN)
    assert (seen.tally.chunks, seen.tally.chunks_embedded, seen.tally.tokens) == (6, 2, 12)
    assert 0.6 < seen.fraction < 0.7
    assert batches.close("ann", batch.id).state is BatchState.PROCESSING
    embedded(jobs)
    assert found(batches, batch).state is BatchState.COMPLETED
    assert (found(batches, batch).fraction, found(batches, batch).has_ended) == (1.0, True)
    assert batches.close("ann", batch.id).state is BatchState.COMPLETED


def test_a_batch_of_a_known_size_is_completed_when_so_many_files_are_at_an_end(
    catalog: Catalog, jobs: Jobs, batches: Batches
) -> None:
    batch, _ = batches.create("ann", expected_files=2)
    accept(catalog, "a", batch_id=batch.id)
    fail(jobs)
    assert (found(batches, batch).state, found(batches, batch).fraction) == (BatchState.OPEN, 0.5)
    batches.record_rejected_file("ann", batch.id, "b.png", UNKNOWN_TYPE)
    assert found(batches, batch).state is BatchState.COMPLETED


def test_an_empty_batch_that_is_closed_is_completed(batches: Batches, batch: Batch) -> None:
    assert batches.close("ann", batch.id).state is BatchState.COMPLETED


def test_bytes_that_were_there_are_duplicates_and_the_same_file_sent_again_counts_once(
    catalog: Catalog, batches: Batches, batch: Batch
) -> None:
    arrive(catalog, "old")
    for content in ("old", "new", "old", "new"):
        accept(catalog, content, batch_id=batch.id)
    for _ in range(2):
        batches.record_rejected_file("ann", batch.id, "b.png", UNKNOWN_TYPE)
    seen = found(batches, batch).batch
    assert (seen.received, seen.duplicates, seen.refused) == (3, 1, 1)


def test_a_file_that_failed_and_is_sent_again_is_what_became_of_it_last(
    catalog: Catalog, jobs: Jobs, batches: Batches, batch: Batch
) -> None:
    accept(catalog, "a", batch_id=batch.id)
    fail(jobs)
    accept(catalog, "a", batch_id=batch.id)
    seen = found(batches, batch)
    assert (seen.batch.received, seen.tally.documents) == (1, {VersionState.ACCEPTED: 1})
    assert batches.list_failures("ann", batch.id) == []


def test_uploads_at_once_are_each_counted(catalog: Catalog, batches: Batches, batch: Batch) -> None:
    works = [lambda n=n: accept(catalog, f"text {n}", batch_id=batch.id) for n in range(6)]
    assert not [end for end in at_once(*works) if isinstance(end, Exception)]
    assert (found(batches, batch).batch.received, found(batches, batch).tally.unfinished_count) == (6, 6)


def test_a_closed_batch_takes_no_more_files_and_none_is_kept(catalog: Catalog, batches: Batches, batch: Batch) -> None:
    batches.close("ann", batch.id)
    with pytest.raises(BatchStateError, match="closed"):
        accept(catalog, "late", batch_id=batch.id)
    with pytest.raises(BatchStateError, match="closed"):
        batches.require_open_batch("ann", batch.id)
    with pytest.raises(BatchNotFoundError):
        accept(catalog, "lost", batch_id="unknown")
    assert catalog.list_documents("ann") == []


def test_failures_are_listed_in_order_of_arrival_page_by_page(
    catalog: Catalog, jobs: Jobs, batches: Batches, batch: Batch
) -> None:
    batches.record_rejected_file("ann", batch.id, "0.png", UNKNOWN_TYPE)
    broken = [accept(catalog, content, batch_id=batch.id).document.id for content in "abcd"]
    fail(jobs)
    searchable(jobs)
    fail(jobs)
    first = batches.list_failures("ann", batch.id, limit=2)
    rest = batches.list_failures("ann", batch.id, after=first[-1].number, limit=2)
    assert [(f.name, f.document_id, f.failure) for f in first + rest] == [
        ("0.png", None, UNKNOWN_TYPE),
        ("a.txt", broken[0], BROKEN),
        ("c.txt", broken[2], BROKEN),
    ]


def test_a_deleted_document_leaves_its_name_in_no_batch(
    catalog: Catalog, batches: Batches, batch: Batch, engine: Engine
) -> None:
    document = accept(catalog, "secret", batch_id=batch.id).document
    catalog.delete_document("ann", document.id)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT name FROM batch_entries").scalars().all() == [""]
    assert found(batches, batch).tally.documents == {VersionState.DELETED: 1}


def test_cancelling_stops_what_is_not_ready_in_one_step_and_keeps_what_is(
    catalog: Catalog, jobs: Jobs, batches: Batches, batch: Batch
) -> None:
    ids = [accept(catalog, content, batch_id=batch.id).document.id for content in "abcd"]
    other = arrive(catalog, "other")
    searchable(jobs)
    embedded(jobs)
    searchable(jobs)
    (running,) = jobs.claim(JobKind.INGEST)
    seen = batches.cancel("ann", batch.id)
    assert (seen.state, seen.tally.documents) == (
        BatchState.CANCELLED,
        {VersionState.READY: 1, VersionState.CANCELLED: 3},
    )
    with pytest.raises(LeaseLostError):
        jobs.record_progress(running, VersionState.CHUNKING)
    assert [job.document_id for job in jobs.claim(JobKind.INGEST, limit=10)] == [other.id]
    assert jobs.claim(JobKind.EMBED, limit=10) == []
    assert jobs.count_unfinished_jobs()[JobKind.COLLECT] == 3
    assert catalog.load_document("ann", ids[1]).active_version_id is None
    assert batches.cancel("ann", batch.id) == seen
    with pytest.raises(BatchStateError, match="cancelled"):
        accept(catalog, "late", batch_id=batch.id)


def test_a_completed_batch_cannot_be_cancelled(catalog: Catalog, jobs: Jobs, batches: Batches, batch: Batch) -> None:
    accept(catalog, "a", batch_id=batch.id)
    fail(jobs)
    batches.close("ann", batch.id)
    with pytest.raises(BatchStateError, match="completed"):
        batches.cancel("ann", batch.id)


def test_cancelling_a_replacement_leaves_the_content_that_is_searched(
    catalog: Catalog, jobs: Jobs, batches: Batches, batch: Batch
) -> None:
    document = arrive(catalog, "old")
    searchable(jobs)
    embedded(jobs)
    catalog.replace_document(arrival("new", batch_id=batch.id), document.id, None)
    batches.cancel("ann", batch.id)
    after = catalog.load_document("ann", document.id)
    assert (after.version.id, after.active_version_id) == (document.version.id, document.version.id)


def test_cancelling_leaves_bytes_alone_that_were_there_before_or_that_another_batch_wants_too(
    catalog: Catalog, jobs: Jobs, batches: Batches, batch: Batch
) -> None:
    arrive(catalog, "before")
    second, _ = batches.create("ann")
    for content in ("before", "shared", "mine"):
        accept(catalog, content, batch_id=batch.id)
    accept(catalog, "shared", batch_id=second.id)
    states = batches.cancel("ann", batch.id).tally.documents
    assert states == {VersionState.ACCEPTED: 2, VersionState.CANCELLED: 1}
    assert batches.cancel("ann", second.id).tally.documents == {VersionState.CANCELLED: 1}
    assert found(batches, batch).tally.documents == {VersionState.ACCEPTED: 1, VersionState.CANCELLED: 2}


def test_an_upload_and_a_cancellation_at_once_leave_nothing_of_the_batch_under_way(
    catalog: Catalog, batches: Batches, batch: Batch
) -> None:
    uploads = [lambda n=n: accept(catalog, f"text {n}", batch_id=batch.id) for n in range(4)]
    ends = at_once(*uploads, lambda: batches.cancel("ann", batch.id))
    refused = [end for end in ends if isinstance(end, Exception)]
    assert all(isinstance(end, BatchStateError) for end in refused)
    seen = found(batches, batch)
    assert seen.tally.unfinished_count == 0
    assert seen.batch.received == len(catalog.list_documents("ann")) == 4 - len(refused)


def test_another_tenant_finds_no_batch(catalog: Catalog, batches: Batches, batch: Batch) -> None:
    for ask in (
        batches.load_progress,
        batches.close,
        batches.cancel,
        batches.list_failures,
        batches.require_open_batch,
    ):
        with pytest.raises(BatchNotFoundError) as theirs:
            ask("bob", batch.id)
        with pytest.raises(BatchNotFoundError) as unknown:
            ask("ann", "unknown")
        assert str(theirs.value).replace(batch.id, "unknown") == str(unknown.value)
    with pytest.raises(BatchNotFoundError):
        accept(catalog, "a", tenant="bob", batch_id=batch.id)
    assert (batches.list_latest("bob"), catalog.list_documents("bob")) == ([], [])


def test_the_same_key_makes_one_batch_and_another_tenants_key_is_its_own(batches: Batches) -> None:
    first, created = batches.create("ann", name="a", idempotency_key="k")
    again, created_again = batches.create("ann", name="a", idempotency_key="k")
    assert (created, created_again, again.id) == (True, False, first.id)
    assert batches.create("bob", name="a", idempotency_key="k")[0].id != first.id
    with pytest.raises(BatchStateError, match="Idempotency-Key"):
        batches.create("ann", name="b", idempotency_key="k")


def test_batches_are_listed_newest_first_page_by_page(batches: Batches) -> None:
    made = [batches.create("ann")[0].id for _ in range(5)]
    page = batches.list_latest("ann", limit=3)
    rest = batches.list_latest("ann", before=page[-1].batch.sequence, limit=3)
    assert [progress.batch.id for progress in page + rest] == made[::-1]
