"""The stages of ingest over real catalog and blobs, with the index in memory so that it can fail when told to."""

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import update

from ingest.parsing.types import ParsedDocument
from ingest.storage.db.schema import jobs as job_table
from ingest.storage.documents.digests import ContentDigests
from ingest.storage.documents.records import VersionState
from ingest.storage.errors import ContentChangedError, LeaseLostError
from ingest.storage.queue.records import JobKind
from ingest.storage.texts.texts import Texts
from retrieval.errors import IndexRefusedError, IndexUnavailableError
from tests.support.books import book
from tests.support.worker_fixture import PlainParser, WorkerFixture, no
from workers.deps import WorkerStopping
from workers.enqueue import ThreadNotifier
from workers.tasks.embed import EmbedTask
from workers.tasks.ingest import IngestTask
from workers.threads import WorkerThreads
from workers.upkeep.upkeep import reconcile_index


class UpperCaseParser(PlainParser):
    """Finds another text than the parser of the release that ingested a document first."""

    def parse(self, path: Path, media_type: str, *, name: str, **more: object) -> ParsedDocument:
        found = super().parse(path, media_type, name=name, **more)
        return replace(found, text=found.text.upper())


def test_a_version_is_searchable_before_it_has_vectors_and_then_ready(worker: WorkerFixture) -> None:
    document = worker.upload(book(1))
    (job,) = worker.jobs.claim(JobKind.INGEST)
    worker.ingest.run(job, no)
    assert worker.state(document) is VersionState.SEARCHABLE
    version = worker.catalog.load_document("ann", document.id).version
    assert worker.index.count_chunks("ann", version.id) == version.chunks
    assert worker.index.count_chunks("ann", version.id, embedded_only=True) == 0
    worker.embed.run(worker.jobs.claim(JobKind.EMBED), no)
    assert worker.state(document) is VersionState.READY
    assert worker.index.count_chunks("ann", version.id, embedded_only=True) == version.chunks


def test_every_indexed_span_is_the_text_of_its_chunk(worker: WorkerFixture) -> None:
    worker.upload(book(2).replace("whale", "wál\U0001f40b"))
    (job,) = worker.jobs.claim(JobKind.INGEST)
    worker.ingest.run(job, no)
    text = worker.texts.read(job.version_id)
    assert len(worker.index.kept) > 5
    for chunk in worker.index.kept.values():
        assert (
            worker.texts.read_bytes(job.version_id, chunk.byte_start, chunk.byte_end) == text[chunk.start : chunk.end]
        )


def test_doing_a_job_twice_is_doing_it_once(worker: WorkerFixture) -> None:
    worker.upload(book(3))
    (job,) = worker.jobs.claim(JobKind.INGEST)
    worker.ingest.run(job, no)
    first = dict(worker.index.kept)
    worker.jobs.requeue_ingest(job.version_id)
    (again,) = worker.jobs.claim(JobKind.INGEST)
    worker.ingest.run(again, no)
    assert worker.index.kept == first


def test_a_version_whose_text_changes_with_another_ingest_can_be_read_throughout(worker: WorkerFixture) -> None:
    document = worker.upload("# Harbour\n\nAda lit the lamp.", "a.md")
    worker.work_off()
    version = document.version.id
    assert "Ada" in worker.texts.read(version)
    worker.jobs.requeue_ingest(version)
    (again,) = worker.jobs.claim(JobKind.INGEST)
    read: list[str] = []

    def look(method: str) -> None:
        if method == "upsert":
            read.append(Texts(worker.blobs, ContentDigests(worker.engine)).read(version))

    worker.index.fault = look
    IngestTask(worker.deps, UpperCaseParser()).run(again, no)
    assert "ADA LIT THE LAMP" in read[0]
    assert "ADA LIT THE LAMP" in Texts(worker.blobs, ContentDigests(worker.engine)).read(version)


def test_an_original_that_was_changed_in_the_store_is_not_parsed(worker: WorkerFixture) -> None:
    document = worker.upload("# Contract\n\nThe price is 52000 crowns.")
    worker.blobs.resolve_path(document.version.blob_key).write_bytes(b"# Contract\n\nThe price is 92000 crowns.")
    (job,) = worker.jobs.claim(JobKind.INGEST)
    with pytest.raises(ContentChangedError, match=f"original of document {document.id} was changed"):
        worker.ingest.run(job, no)
    assert worker.index.count_chunks("ann", document.version.id) == 0


def test_an_embedding_that_died_goes_on_where_it_was_recorded(worker: WorkerFixture) -> None:
    document = worker.upload(book(4, chapters=60))
    (job,) = worker.jobs.claim(JobKind.INGEST)
    worker.ingest.run(job, no)
    calls: list[str] = []

    def die_at_the_second(method: str) -> None:
        calls.append(method)
        if calls.count("set_dense") == 2:
            raise IndexUnavailableError("power cut")

    worker.index.fault = die_at_the_second
    with pytest.raises(IndexUnavailableError):
        worker.embed.run(worker.jobs.claim(JobKind.EMBED), no)
    calls.clear()
    worker.index.fault = calls.append
    worker.jobs.requeue_lost_jobs(include_all_running=True)
    worker.embed.run(worker.jobs.claim(JobKind.EMBED), no)
    version = worker.catalog.load_document("ann", document.id).version
    assert worker.state(document) is VersionState.READY
    assert calls.count("set_dense") == -(-(version.chunks or 0) // 256) - 1
    assert version.tokens == sum(
        worker.embedder.embed_documents([f"a > {' > '.join(c.heading_path)}\n{text}"]).total_tokens
        for c, text in (
            (c, worker.texts.read(version.id, c.start, c.end)) for c in worker.texts.load_map(version.id).chunks
        )
    )


def test_what_a_worker_wrote_for_a_document_deleted_under_it_is_removed_again(worker: WorkerFixture) -> None:
    document = worker.upload(book(5))
    (job,) = worker.jobs.claim(JobKind.INGEST)

    def delete_during(method: str) -> None:
        if method == "upsert":
            worker.index.fault = lambda _: None
            worker.deleter.delete_document("ann", document.id)

    worker.index.fault = delete_during
    with pytest.raises(LeaseLostError):
        worker.ingest.run(job, no)
    assert worker.index.kept == {}
    with pytest.raises(KeyError):
        worker.texts.load_map(job.version_id)


def test_stopping_in_mid_index_raises_and_leaves_the_job_to_be_done_again(worker: WorkerFixture) -> None:
    worker.upload(book(6))
    (job,) = worker.jobs.claim(JobKind.INGEST)
    with pytest.raises(WorkerStopping):
        worker.ingest.run(job, lambda: True)
    worker.jobs.release_job(job)
    (again,) = worker.jobs.claim(JobKind.INGEST)
    assert (again.id, again.attempt) == (job.id, 1)


def test_what_the_index_lost_is_found_and_indexed_again(worker: WorkerFixture) -> None:
    kept, lost, half = (worker.upload(book(n, chapters=2), f"{n}.md") for n in (7, 8, 9))
    work(worker, lambda: {worker.state(d) for d in (kept, lost, half)} == {VersionState.READY})
    before = dict(worker.index.kept)
    worker.index.delete_version("ann", lost.version.id)
    worker.index.embeddings = {
        i: v for i, v in worker.index.embeddings.items() if before[i].version_id != half.version.id
    }
    assert set(reconcile_index(worker.catalog, worker.jobs, worker.index)) == {lost.version.id, half.version.id}
    work(worker, lambda: len(worker.index.embeddings) == len(before) and not worker.jobs.count_unfinished_jobs())
    assert worker.index.kept == before
    assert reconcile_index(worker.catalog, worker.jobs, worker.index) == []


def test_one_damaged_document_fails_with_its_reason_and_stops_no_other(worker: WorkerFixture) -> None:
    good = [worker.upload(f"# Good {n}\n\nWords.", f"{n}.md") for n in range(3)]
    bad = worker.upload("damaged goods", "bad.md")
    good.append(worker.upload("# Good last\n\nWords.", "last.md"))
    work(worker, lambda: not worker.jobs.count_unfinished_jobs())
    assert {worker.state(document) for document in good} == {VersionState.READY}
    failed = worker.catalog.load_document("ann", bad.id).version
    assert failed.failure is not None
    assert (failed.state, failed.failure.code) == (VersionState.FAILED, "document_damaged")


def test_an_index_that_refuses_a_document_fails_it_after_three_attempts(worker: WorkerFixture) -> None:
    document = worker.upload("# A\n\nWords.")
    attempts: list[str] = []

    def away(method: str) -> None:
        if method == "upsert":
            attempts.append(method)
            with worker.engine.begin() as connection:
                connection.execute(update(job_table).values(not_before=0.0))
            raise IndexRefusedError("away")

    worker.index.fault = away
    stop = threading.Event()

    def hurry() -> None:  # the pauses between attempts are real; nobody wants to wait for them here
        while not stop.wait(0.02):
            with worker.engine.begin() as connection:
                connection.execute(update(job_table).values(not_before=0.0))

    helper = threading.Thread(target=hurry)
    helper.start()
    work(worker, lambda: worker.state(document) is VersionState.FAILED)
    stop.set()
    helper.join()
    assert len(attempts) == 3


def test_an_index_that_stays_away_costs_the_document_no_attempt(worker: WorkerFixture) -> None:
    document = worker.upload("# A\n\nWords.")
    away: list[str] = []

    def fault(method: str) -> None:
        if method == "upsert" and len(away) < 5:
            away.append(method)
            raise IndexUnavailableError("away")

    worker.index.fault = fault

    def ready() -> bool:  # the pauses between attempts are real; nobody wants to wait for them here
        with worker.engine.begin() as connection:
            connection.execute(update(job_table).values(not_before=0.0))
        return worker.state(document) is VersionState.READY

    work(worker, ready)
    assert len(away) == 5


def test_one_bad_vector_write_does_not_fail_the_batch_it_came_with(worker: WorkerFixture) -> None:
    documents = [worker.upload(f"# {n}\n\nWords.", f"{n}.md") for n in range(4)]
    failed_once: list[str] = []

    def fail_first(method: str) -> None:
        if method == "set_dense" and not failed_once:
            failed_once.append(method)
            raise IndexRefusedError("once")

    worker.index.fault = fail_first
    work(worker, lambda: {worker.state(d) for d in documents} == {VersionState.READY})
    assert failed_once


def test_without_room_documents_wait_and_do_not_fail(worker: WorkerFixture) -> None:
    document = worker.upload("# A\n\nWords.")
    room = threading.Event()
    asked = threading.Event()

    def has_room() -> bool:
        asked.set()
        return room.is_set()

    def waited() -> bool:
        if asked.is_set() and worker.state(document) is VersionState.ACCEPTED:
            room.set()
        return worker.state(document) is VersionState.READY

    work(worker, waited, has_room=has_room)
    assert asked.is_set()


def test_small_documents_are_embedded_a_batch_at_a_time(worker: WorkerFixture) -> None:
    documents = [worker.upload(f"# {n}\n\nWords.", f"{n}.md") for n in range(10)]
    for job in worker.jobs.claim(JobKind.INGEST, limit=10):
        worker.ingest.run(job, no)
    with pytest.raises(WorkerStopping):  # one chunk each, two at a time
        EmbedTask(worker.deps, batch_chunks=2).run(
            worker.jobs.claim(JobKind.EMBED, limit=10), lambda: bool(worker.embedder.texts)
        )
    assert len(worker.embedder.texts) == 2
    assert [worker.state(document) for document in documents].count(VersionState.READY) == 2


def test_embedding_stands_back_for_documents_that_wait_and_goes_on_after_them(
    worker: WorkerFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = worker.upload("# A\n\nWords.")
    (job,) = worker.jobs.claim(JobKind.INGEST)
    worker.ingest.run(job, no)
    worker.upload("# B\n\nOther words.", "b.md")
    (long,) = worker.jobs.claim(JobKind.INGEST)  # another worker is at it, and has been for a while
    with worker.engine.begin() as connection:
        connection.execute(update(job_table).where(job_table.c.id == long.id).values(created_at=0.0))
    since, asked = worker.jobs.find_oldest_unfinished_time, 0

    def unfinished_since(kind: JobKind) -> float | None:
        nonlocal asked
        asked += 1
        if asked == 5:
            assert worker.state(document) is VersionState.SEARCHABLE
            worker.ingest.run(long, no)
        return since(kind)

    monkeypatch.setattr(worker.jobs, "find_oldest_unfinished_time", unfinished_since)
    work(worker, lambda: worker.state(document) is VersionState.READY)
    assert asked >= 5


def test_a_ring_wakes_those_who_wait_for_its_kind() -> None:
    doorbell = ThreadNotifier()
    bells = {kind: doorbell.create_event(kind) for kind in JobKind}
    doorbell.notify(JobKind.INGEST)
    assert [kind for kind, bell in bells.items() if bell.is_set()] == [JobKind.INGEST]
    doorbell.notify_all()
    assert all(bell.is_set() for bell in bells.values())


def work(worker: WorkerFixture, done: Callable[[], bool], *, has_room: Callable[[], bool] = lambda: True) -> None:
    """Run worker threads until `done`."""
    doorbell = ThreadNotifier()
    threads = WorkerThreads(
        worker.jobs, [worker.ingest], worker.embed, worker.collect, doorbell, has_free_space=has_room
    )
    threads.start()
    try:
        waited = threading.Event()
        for _ in range(6000):
            if done():
                return
            doorbell.notify_all()
            waited.wait(0.02)
        raise AssertionError("the workers did not get there")
    finally:
        threads.stop()
