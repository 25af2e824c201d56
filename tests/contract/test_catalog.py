"""What the catalog must do on each database it may live in: SQLite and a real PostgreSQL run the same suite."""

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Engine

from ingest.storage.db.database import build_sqlite_url, open_database
from ingest.storage.documents.catalog import Catalog
from ingest.storage.documents.listing import DocumentFilter
from ingest.storage.documents.records import EmbedReport, VersionState
from ingest.storage.errors import DocumentNotFoundError, LeaseLostError
from ingest.storage.jobs.jobs import MAX_ATTEMPTS, Jobs
from ingest.storage.queue.records import Failure, JobKind
from tests.support.catalogs import accept, arrive, finish_ingest, lapse, searchable, wake
from tests.support.postgres import disposed


def test_the_same_bytes_twice_are_one_document(catalog: Catalog) -> None:
    first = arrive(catalog)
    again = accept(catalog, blob="blob-2")
    assert (again.document.id, again.created) == (first.id, False)
    assert again.document.version.blob_key == "blob-a"


def test_the_same_bytes_in_another_collection_or_tenant_are_other_documents(catalog: Catalog) -> None:
    ids = {arrive(catalog).id, arrive(catalog, collection="other").id, arrive(catalog, tenant="bob").id}
    assert len(ids) == 3


def test_ids_come_from_content(catalog: Catalog, tmp_path: Path) -> None:
    with disposed(open_database(build_sqlite_url(tmp_path / "elsewhere.sqlite"))) as engine:
        elsewhere = Catalog(engine)
        elsewhere.ensure_tenant("ann")
        arrive(elsewhere, "b")
        here, there = arrive(catalog), arrive(elsewhere)
    assert (here.id, here.version.id) == (there.id, there.version.id)


def test_another_tenants_document_is_not_found(catalog: Catalog) -> None:
    document = arrive(catalog)
    with pytest.raises(DocumentNotFoundError):
        catalog.load_document("bob", document.id)
    with pytest.raises(DocumentNotFoundError):
        catalog.delete_document("bob", document.id)
    assert catalog.list_documents("bob") == []


def test_a_version_is_visible_from_its_activation_to_its_deletion(catalog: Catalog, jobs: Jobs, engine: Engine) -> None:
    document = arrive(catalog)
    version = document.version.id
    assert catalog.find_visible_versions("ann", [version]) == {}
    assert catalog.list_matching_documents("ann", []) == []
    searchable(jobs)
    assert catalog.find_visible_versions("ann", [version])[version].title == "Title"
    assert catalog.find_visible_versions("bob", [version]) == {}
    assert catalog.list_matching_documents("ann", []) == [document.id]
    assert catalog.list_matching_documents("bob", []) == []
    catalog.delete_document("ann", document.id)
    assert catalog.find_visible_versions("ann", [version]) == {}
    assert catalog.list_matching_documents("ann", []) == []
    assert catalog.list_hidden_versions("ann") == [version]
    wake(engine)
    (collect,) = jobs.claim(JobKind.COLLECT)
    jobs.finish_collect(collect)
    assert catalog.list_hidden_versions("ann") == []


def test_a_deleted_documents_id_never_comes_back(catalog: Catalog) -> None:
    first = arrive(catalog)
    catalog.delete_document("ann", first.id)
    assert arrive(catalog).id != first.id


def test_deleting_under_a_worker_takes_its_lease_and_waits_out_its_grace(catalog: Catalog, jobs: Jobs) -> None:
    document = arrive(catalog)
    (job,) = jobs.claim(JobKind.INGEST)
    catalog.delete_document("ann", document.id)
    with pytest.raises(LeaseLostError):
        finish_ingest(jobs, job, chunks=1)
    assert catalog.find_visible_versions("ann", [document.version.id]) == {}
    assert jobs.claim(JobKind.COLLECT) == []


def test_a_worker_whose_lease_was_taken_cannot_commit_anything(catalog: Catalog, jobs: Jobs, engine: Engine) -> None:
    document = arrive(catalog)
    (slow,) = jobs.claim(JobKind.INGEST)
    lapse(engine)
    assert jobs.requeue_lost_jobs(include_all_running=False) == 1
    (quick,) = jobs.claim(JobKind.INGEST)
    attempts: list[Callable[[], object]] = [
        lambda: jobs.record_progress(slow, VersionState.INDEXING),
        lambda: finish_ingest(jobs, slow, chunks=1),
        lambda: jobs.fail(slow, Failure("x", "y")),
        lambda: jobs.release_job(slow),
        lambda: jobs.extend_lease(slow),
        lambda: jobs.require_lease(slow),
        lambda: jobs.retry(slow, Failure("x", "y")),
    ]
    for attempt in attempts:
        with pytest.raises(LeaseLostError):
            attempt()
    assert catalog.load_document("ann", document.id).version.state is VersionState.ACCEPTED
    finish_ingest(jobs, quick, chunks=1)
    assert catalog.load_document("ann", document.id).version.state is VersionState.SEARCHABLE


def test_a_living_lease_is_not_recovered(catalog: Catalog, jobs: Jobs) -> None:
    arrive(catalog)
    jobs.claim(JobKind.INGEST)
    assert jobs.requeue_lost_jobs(include_all_running=False) == 0


def test_searchable_queues_the_embedding_and_embedding_ends_ready(catalog: Catalog, jobs: Jobs) -> None:
    document = arrive(catalog)
    searchable(jobs)
    (embed,) = jobs.claim(JobKind.EMBED)
    jobs.record_progress(embed, VersionState.EMBEDDING, chunks_embedded=1, tokens=5)
    assert [each.tokens for each in catalog.list_active_documents("ann")] == [None]  # five are not all
    assert jobs.finish_embed([EmbedReport(embed, 12)]) == []
    version = catalog.load_document("ann", document.id).version
    assert (version.state, version.tokens, version.chunks_embedded) == (VersionState.READY, 12, 2)
    assert [each.tokens for each in catalog.list_active_documents("ann")] == [12]
    assert jobs.count_unfinished_jobs() == {}


def test_attempts_end_after_the_limit(catalog: Catalog, jobs: Jobs, engine: Engine) -> None:
    document = arrive(catalog)
    reason = Failure("index_unavailable", "It refused.", "Wait.")
    for attempt in range(1, MAX_ATTEMPTS + 1):
        wake(engine)
        (job,) = jobs.claim(JobKind.INGEST)
        assert job.attempt == attempt
        assert jobs.retry(job, reason) is (attempt < MAX_ATTEMPTS)
    jobs.fail(job, reason)
    version = catalog.load_document("ann", document.id).version
    assert (version.state, version.failure) == (VersionState.FAILED, reason)


def test_a_killed_process_costs_a_document_no_attempt(catalog: Catalog, jobs: Jobs) -> None:
    arrive(catalog)
    for _ in range(MAX_ATTEMPTS + 2):
        (job,) = jobs.claim(JobKind.INGEST)
        assert job.attempt == 1
        assert jobs.requeue_lost_jobs(include_all_running=True) == 1


def test_a_document_that_kills_its_process_every_time_runs_out_of_patience(catalog: Catalog, jobs: Jobs) -> None:
    arrive(catalog)
    for _ in range(30):
        (job,) = jobs.claim(JobKind.INGEST)
        jobs.requeue_lost_jobs(include_all_running=True)
    assert job.attempt > MAX_ATTEMPTS


def test_listing_goes_on_after_a_sequence_and_filters(catalog: Catalog, jobs: Jobs) -> None:
    for content in "abcde":
        arrive(catalog, content)
    searchable(jobs)
    first = catalog.list_documents("ann", limit=2)
    rest = catalog.list_documents("ann", after=first[-1].sequence)
    assert [d.name[0] for d in (*first, *rest)] == list("abcde")
    assert [d.name for d in catalog.list_documents("ann", DocumentFilter(states=[VersionState.SEARCHABLE]))] == [
        "a.txt"
    ]
    assert catalog.list_documents("ann", DocumentFilter(collection="none")) == []


def test_totals_count_documents_chunks_and_tokens_by_state(catalog: Catalog, jobs: Jobs) -> None:
    arrive(catalog, "a")
    arrive(catalog, "b")
    searchable(jobs)
    totals = catalog.compute_state_totals("ann")
    assert totals[VersionState.SEARCHABLE].documents == totals[VersionState.ACCEPTED].documents == 1
    assert totals[VersionState.SEARCHABLE].chunks == 2
    assert catalog.compute_state_totals("bob") == {}


def test_a_scope_lists_active_versions_in_pages_and_no_other_tenants(catalog: Catalog, jobs: Jobs) -> None:
    assert catalog.list_active_documents("ann") == []
    first, second = arrive(catalog, "a"), arrive(catalog, "b", collection="other")
    arrive(catalog, "c", tenant="bob")
    assert catalog.list_active_documents("ann") == []
    for _ in range(3):
        searchable(jobs)
    listed = catalog.list_active_documents("ann")
    assert [(each.document_id, each.version_id) for each in listed] == [
        (first.id, first.version.id),
        (second.id, second.version.id),
    ]
    assert catalog.list_active_documents("ann", limit=1) == listed[:1]
    assert catalog.list_active_documents("ann", after=listed[0].sequence) == listed[1:]
    assert catalog.list_active_documents("ann", collections=["other"]) == listed[1:]
    assert catalog.list_active_documents("ann", identifiers=[first.id]) == listed[:1]
    assert catalog.list_active_documents("bob", identifiers=[first.id]) == []
    catalog.delete_document("ann", first.id)
    assert catalog.list_active_documents("ann") == listed[1:]
