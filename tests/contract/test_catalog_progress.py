"""How far a document is, which jobs come before it, and about how long it will take."""

import time

import pytest
from sqlalchemy import Engine

from ingest.storage.documents.catalog import Catalog
from ingest.storage.documents.progress import DocumentProgress
from ingest.storage.documents.records import Document, VersionState
from ingest.storage.jobs.jobs import Jobs
from ingest.storage.queue.records import Failure, JobKind
from tests.support.catalogs import accept, arrive, embedded, finish_ingest, searchable


def progress(catalog: Catalog, document: Document) -> DocumentProgress:
    return catalog.load_progress(catalog.load_document(document.tenant_id, document.id))


def pass_time(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """From the first call on no time passes but this."""
    then = time.time() + seconds
    monkeypatch.setattr(time, "time", lambda: then)


def test_each_stage_of_a_document_is_told_with_what_is_known_by_then(catalog: Catalog, jobs: Jobs) -> None:
    document = arrive(catalog)
    assert progress(catalog, document) == DocumentProgress(VersionState.ACCEPTED, 0.0, None, None, 0, 0, 0, None)
    (job,) = jobs.claim(JobKind.INGEST)
    jobs.record_progress(job, VersionState.PARSING, pages=3, pages_done=2)
    parsing = progress(catalog, document)
    assert (parsing.stage, parsing.pages, parsing.pages_done) == (VersionState.PARSING, 3, 2)
    jobs.record_progress(job, VersionState.CHUNKING, pages=3, characters=100)
    assert progress(catalog, document) == DocumentProgress(VersionState.CHUNKING, 0.02, 3, None, 0, 1, None, None)
    finish_ingest(jobs, job, title=None, pages=3, characters=100, chunks=2)
    assert progress(catalog, document) == DocumentProgress(VersionState.SEARCHABLE, 0.05, 3, 2, 0, 0, 0, None)
    (job,) = jobs.claim(JobKind.EMBED)
    jobs.record_progress(job, VersionState.EMBEDDING, chunks_embedded=1)
    assert progress(catalog, document) == DocumentProgress(VersionState.EMBEDDING, 0.525, 3, 2, 1, 1, None, None)


def test_a_document_at_its_end_waits_for_nothing(catalog: Catalog, jobs: Jobs) -> None:
    ready, broken = arrive(catalog, "a"), arrive(catalog, "b")
    searchable(jobs)
    embedded(jobs)
    (job,) = jobs.claim(JobKind.INGEST)
    jobs.fail(job, Failure("no_text", "A scan.", ""))
    assert progress(catalog, ready) == DocumentProgress(VersionState.READY, 1.0, None, 2, 2, seconds_left=0.0)
    assert progress(catalog, broken) == DocumentProgress(VersionState.FAILED, 1.0, None, None, 0)


def test_the_jobs_before_a_document_and_the_attempts_at_it_are_counted(catalog: Catalog, jobs: Jobs) -> None:
    first, second, third = (arrive(catalog, content) for content in "abc")
    assert [progress(catalog, document).queue_position for document in (first, second, third)] == [0, 1, 2]
    (job,) = jobs.claim(JobKind.INGEST)
    jobs.retry(job, Failure("index_refused", "No.", ""))
    assert (progress(catalog, first).attempt, progress(catalog, third).queue_position) == (1, 2)


def test_the_time_left_goes_by_the_tenants_own_pace(
    catalog: Catalog, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    pass_time(monkeypatch, 0.0)
    documents = [arrive(catalog, f"text {n}") for n in range(8)]
    theirs = arrive(catalog, "theirs", tenant="bob")
    of_ann = [job for job in jobs.claim(JobKind.INGEST, limit=9) if job.tenant_id == "ann"]
    for number, job in enumerate(of_ann[:4]):
        if number:
            pass_time(monkeypatch, 10.0)
        finish_ingest(jobs, job, chunks=2)
    for number in range(2):
        if number:
            pass_time(monkeypatch, 10.0)
        embedded(jobs)
    # One of either kind in ten seconds: four to be indexed, six to be embedded.
    assert progress(catalog, documents[-1]).seconds_left == pytest.approx(100.0, rel=0.05)
    assert progress(catalog, theirs).seconds_left is None
    jobs.pause_kind(JobKind.EMBED)
    assert progress(catalog, documents[-1]).seconds_left is None


def test_a_long_document_is_estimated_by_its_chunks(
    catalog: Catalog, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    pass_time(monkeypatch, 0.0)
    document = arrive(catalog)
    searchable(jobs, chunks=100)
    (job,) = jobs.claim(JobKind.EMBED)
    jobs.record_progress(job, VersionState.EMBEDDING, chunks_embedded=10)
    assert progress(catalog, document).seconds_left is None
    pass_time(monkeypatch, 10.0)
    jobs.record_progress(job, VersionState.EMBEDDING, chunks_embedded=30)
    assert progress(catalog, document).seconds_left == pytest.approx(35.0)


def test_what_was_done_long_ago_says_nothing_of_today(
    catalog: Catalog, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    pass_time(monkeypatch, 0.0)
    document = arrive(catalog)
    searchable(jobs, chunks=100)
    (job,) = jobs.claim(JobKind.EMBED)
    for done in (10, 30):
        jobs.record_progress(job, VersionState.EMBEDDING, chunks_embedded=done)
        pass_time(monkeypatch, 10.0)
    assert progress(catalog, document).seconds_left is not None
    pass_time(monkeypatch, 1000.0)
    assert progress(catalog, document).seconds_left is None


def test_whoever_listens_is_told_of_each_change_once_it_is_committed(engine: Engine) -> None:
    told: list[tuple[str, tuple[str, ...], VersionState]] = []

    def announce(tenant: str, documents: object) -> None:
        assert isinstance(documents, list | set)
        told.append((tenant, tuple(documents), Catalog(engine).list_documents(tenant)[0].version.state))

    catalog, jobs = Catalog(engine, announce=announce), Jobs(engine, announce=announce)
    document = accept(catalog, "a").document
    (job,) = jobs.claim(JobKind.INGEST)
    jobs.record_progress(job, VersionState.PARSING)
    finish_ingest(jobs, job, chunks=2)
    embedded(jobs)
    states = [VersionState.ACCEPTED, VersionState.ACCEPTED, VersionState.PARSING]
    states += [VersionState.SEARCHABLE, VersionState.SEARCHABLE, VersionState.READY]
    assert told == [("ann", (document.id,), state) for state in states]
