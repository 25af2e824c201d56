"""Versions that are cancelled, failed or given up: what is left of them, and how the same bytes start over."""

from functools import partial

import pytest
from sqlalchemy import Engine

from ingest.storage.documents.catalog import AcceptedUpload, Catalog
from ingest.storage.documents.records import EmbedReport, VersionState
from ingest.storage.errors import DocumentNotFoundError, DocumentStateError, LeaseLostError
from ingest.storage.jobs.jobs import MAX_ATTEMPTS, Jobs
from ingest.storage.queue.records import Failure, JobKind
from tests.support.catalogs import accept, arrive, at_once, embedded, finish_ingest, lapse, searchable, wake

REASON = Failure("parser_limit", "Too slow.")


def cancel(catalog: Catalog, document: str, tenant: str = "ann") -> None:
    catalog.cancel_latest_version(tenant, document)


def test_a_cancelled_document_is_neither_made_nor_found_and_says_so(catalog: Catalog, jobs: Jobs) -> None:
    document = arrive(catalog)
    cancelled = catalog.cancel_latest_version("ann", document.id)
    assert (cancelled.id, cancelled.version.state) == (document.id, VersionState.CANCELLED)
    assert jobs.claim(JobKind.INGEST) == []
    assert catalog.load_document("ann", document.id).version.state is VersionState.CANCELLED
    assert [job.version_id for job in jobs.claim(JobKind.COLLECT)] == [document.version.id]


def test_cancelling_takes_the_lease_and_waits_out_the_grace_of_whoever_is_at_it(catalog: Catalog, jobs: Jobs) -> None:
    document = arrive(catalog)
    (job,) = jobs.claim(JobKind.INGEST)
    jobs.record_progress(job, VersionState.INDEXING, chunks=2)
    cancel(catalog, document.id)
    with pytest.raises(LeaseLostError):
        finish_ingest(jobs, job, chunks=2)
    assert catalog.list_hidden_versions("ann") == [document.version.id]
    assert jobs.claim(JobKind.COLLECT) == []


def test_a_document_cancelled_while_it_is_embedded_is_no_longer_found(catalog: Catalog, jobs: Jobs) -> None:
    document = arrive(catalog)
    searchable(jobs)
    (embed,) = jobs.claim(JobKind.EMBED)
    cancel(catalog, document.id)
    assert catalog.find_visible_versions("ann", [document.version.id]) == {}
    assert jobs.finish_embed([EmbedReport(embed, 1)]) == [embed]
    assert catalog.load_document("ann", document.id).active_version_id is None


def test_only_what_is_under_way_can_be_cancelled_and_only_by_its_tenant(catalog: Catalog, jobs: Jobs) -> None:
    document = arrive(catalog)
    with pytest.raises(DocumentNotFoundError):
        cancel(catalog, document.id, tenant="bob")
    searchable(jobs)
    embedded(jobs)
    with pytest.raises(DocumentStateError, match="ready"):
        cancel(catalog, document.id)
    other = arrive(catalog, "b")
    cancel(catalog, other.id)
    with pytest.raises(DocumentStateError, match="cancelled"):
        cancel(catalog, other.id)


def test_the_same_bytes_as_a_cancelled_documents_start_over_with_nothing_of_the_old(
    catalog: Catalog, jobs: Jobs
) -> None:
    first = arrive(catalog)
    cancel(catalog, first.id)
    again = accept(catalog, blob="blob-2")
    assert (again.created, again.document.id) == (True, first.id)
    assert again.document.version.id != first.version.id
    assert (again.document.version.state, again.document.version.blob_key) == (VersionState.ACCEPTED, "blob-2")
    assert searchable(jobs).version_id == again.document.version.id
    assert list(catalog.find_visible_versions("ann", [first.version.id, again.document.version.id])) == [
        again.document.version.id
    ]
    assert catalog.find_removable_version(first.version.id) is not None
    assert catalog.find_removable_version(again.document.version.id) is None


def test_uploading_a_failed_document_again_tries_it_again(catalog: Catalog, jobs: Jobs) -> None:
    document = arrive(catalog)
    (job,) = jobs.claim(JobKind.INGEST)
    jobs.fail(job, REASON)
    again = accept(catalog, blob="blob-2")
    assert (again.created, again.document.id) == (True, document.id)
    (retried,) = jobs.claim(JobKind.INGEST)
    assert (retried.version_id, retried.attempt) == (again.document.version.id, 1)
    assert catalog.load_document("ann", document.id).version.failure is None
    gone = catalog.find_removable_version(document.version.id)
    assert gone is not None
    assert gone.state is VersionState.RETIRED


def test_what_a_failed_version_has_in_the_index_is_hidden_and_collected(catalog: Catalog, jobs: Jobs) -> None:
    document = arrive(catalog)
    (job,) = jobs.claim(JobKind.INGEST)
    jobs.record_progress(job, VersionState.INDEXING, chunks=2)
    jobs.fail(job, REASON)
    assert catalog.list_hidden_versions("ann") == [document.version.id]
    (collect,) = jobs.claim(JobKind.COLLECT)
    jobs.finish_collect(collect)
    assert catalog.list_hidden_versions("ann") == []
    assert catalog.load_document("ann", document.id).version.failure == REASON


def test_a_version_that_failed_before_the_index_leaves_nothing_to_collect(catalog: Catalog, jobs: Jobs) -> None:
    arrive(catalog)
    (job,) = jobs.claim(JobKind.INGEST)
    jobs.fail(job, REASON)
    assert jobs.claim(JobKind.COLLECT) == []


def test_a_version_being_searched_whose_embedding_fails_is_still_searched(catalog: Catalog, jobs: Jobs) -> None:
    document = arrive(catalog)
    searchable(jobs)
    (embed,) = jobs.claim(JobKind.EMBED)
    jobs.fail(embed, REASON)
    assert list(catalog.find_visible_versions("ann", [document.version.id])) == [document.version.id]
    assert catalog.find_removable_version(document.version.id) is None
    assert jobs.claim(JobKind.COLLECT) == []


def test_what_a_lost_worker_may_still_write_is_collected_after_its_grace(
    catalog: Catalog, jobs: Jobs, engine: Engine
) -> None:
    document = arrive(catalog)
    for _ in range(MAX_ATTEMPTS):
        (job,) = jobs.claim(JobKind.INGEST)
        jobs.record_progress(job, VersionState.INDEXING, chunks=2)
        lapse(engine)
        jobs.requeue_lost_jobs(include_all_running=False)
    assert jobs.claim(JobKind.COLLECT) == []
    arrive(catalog)  # starting over does not shorten the grace of what was there before
    assert jobs.claim(JobKind.COLLECT) == []
    wake(engine)
    assert [collect.version_id for collect in jobs.claim(JobKind.COLLECT, limit=5)] == [document.version.id]


def test_a_document_cancelled_while_its_ingest_ends_is_cancelled_or_searchable(catalog: Catalog, jobs: Jobs) -> None:
    for number in range(15):
        document = arrive(catalog, f"{number}")
        (job,) = jobs.claim(JobKind.INGEST)
        cancelled, finished, again = at_once(
            partial(cancel, catalog, document.id),
            partial(finish_ingest, jobs, job, chunks=1),
            partial(accept, catalog, f"{number}"),
        )
        assert cancelled is None  # a version that is searchable but not ready can still be cancelled
        assert finished is None or isinstance(finished, LeaseLostError)
        assert isinstance(again, AcceptedUpload)
        after = catalog.load_document("ann", document.id)
        assert catalog.find_visible_versions("ann", [document.version.id]) == {}
        expected = VersionState.ACCEPTED if again.created else VersionState.CANCELLED
        assert after.version.state is expected
        for queued in jobs.claim(JobKind.INGEST, limit=5):
            assert queued.version_id == after.version.id
            jobs.fail(queued, REASON)
        assert jobs.claim(JobKind.EMBED) == []


def test_what_is_in_use_is_never_to_be_removed(catalog: Catalog, jobs: Jobs) -> None:
    version = arrive(catalog).version.id
    assert catalog.find_removable_version(version) is None
    (job,) = jobs.claim(JobKind.INGEST)
    for state in (VersionState.PARSING, VersionState.CHUNKING, VersionState.INDEXING):
        jobs.record_progress(job, state)
        assert catalog.find_removable_version(version) is None
    finish_ingest(jobs, job, chunks=1)
    assert catalog.find_removable_version(version) is None
    embedded(jobs)
    assert catalog.find_removable_version(version) is None
