"""The stages of ingest over real catalog and blobs, with the index in memory so that it can fail when told to."""

import threading
from collections.abc import Callable

import pytest
from sqlalchemy import update

from ingest.catalog.tables import jobs as job_table
from ingest.documents import JobKind, VersionState
from ingest.errors import LeaseLostError
from retrieval.errors import IndexRefusedError, IndexUnavailableError
from tests.support.books import book
from tests.support.harbour import Harbour, no
from workers.enqueue import ThreadDoorbell
from workers.reconcile import reconcile
from workers.tasks import EmbedTask, Stopping
from workers.threads import WorkerThreads


def test_a_version_is_searchable_before_it_has_vectors_and_then_ready(harbour: Harbour) -> None:
    document = harbour.upload(book(1))
    (job,) = harbour.jobs.claim(JobKind.INGEST)
    harbour.ingest.run(job, no)
    assert harbour.state(document) is VersionState.SEARCHABLE
    version = harbour.catalog.document("ann", document.id).version
    assert harbour.index.count("ann", version.id) == version.chunks
    assert harbour.index.count("ann", version.id, embedded_only=True) == 0
    harbour.embed.run(harbour.jobs.claim(JobKind.EMBED), no)
    assert harbour.state(document) is VersionState.READY
    assert harbour.index.count("ann", version.id, embedded_only=True) == version.chunks


def test_every_indexed_span_is_the_text_of_its_chunk(harbour: Harbour) -> None:
    harbour.upload(book(2).replace("whale", "wál\U0001f40b"))
    (job,) = harbour.jobs.claim(JobKind.INGEST)
    harbour.ingest.run(job, no)
    text = harbour.texts.read(job.version_id)
    assert len(harbour.index.kept) > 5
    for chunk in harbour.index.kept.values():
        assert (
            harbour.texts.read_bytes(job.version_id, chunk.byte_start, chunk.byte_end) == text[chunk.start : chunk.end]
        )


def test_doing_a_job_twice_is_doing_it_once(harbour: Harbour) -> None:
    harbour.upload(book(3))
    (job,) = harbour.jobs.claim(JobKind.INGEST)
    harbour.ingest.run(job, no)
    first = dict(harbour.index.kept)
    harbour.jobs.reindex(job.version_id)
    (again,) = harbour.jobs.claim(JobKind.INGEST)
    harbour.ingest.run(again, no)
    assert harbour.index.kept == first


def test_an_embedding_that_died_goes_on_where_it_was_recorded(harbour: Harbour) -> None:
    document = harbour.upload(book(4, chapters=60))
    (job,) = harbour.jobs.claim(JobKind.INGEST)
    harbour.ingest.run(job, no)
    calls: list[str] = []

    def die_at_the_second(method: str) -> None:
        calls.append(method)
        if calls.count("set_dense") == 2:
            raise IndexUnavailableError("power cut")

    harbour.index.fault = die_at_the_second
    with pytest.raises(IndexUnavailableError):
        harbour.embed.run(harbour.jobs.claim(JobKind.EMBED), no)
    calls.clear()
    harbour.index.fault = calls.append
    harbour.jobs.recover(all_running=True)
    harbour.embed.run(harbour.jobs.claim(JobKind.EMBED), no)
    version = harbour.catalog.document("ann", document.id).version
    assert harbour.state(document) is VersionState.READY
    assert calls.count("set_dense") == -(-(version.chunks or 0) // 256) - 1
    assert version.tokens == sum(
        harbour.embedder.documents([f"a > {' > '.join(c.heading_path)}\n{text}"]).tokens
        for c, text in (
            (c, harbour.texts.read(version.id, c.start, c.end)) for c in harbour.texts.map(version.id).chunks
        )
    )


def test_what_a_worker_wrote_for_a_document_deleted_under_it_is_removed_again(harbour: Harbour) -> None:
    document = harbour.upload(book(5))
    (job,) = harbour.jobs.claim(JobKind.INGEST)

    def delete_during(method: str) -> None:
        if method == "upsert":
            harbour.index.fault = lambda _: None
            harbour.collector.delete("ann", document.id)

    harbour.index.fault = delete_during
    with pytest.raises(LeaseLostError):
        harbour.ingest.run(job, no)
    assert harbour.index.kept == {}
    with pytest.raises(KeyError):
        harbour.texts.map(job.version_id)


def test_stopping_in_mid_index_raises_and_leaves_the_job_to_be_done_again(harbour: Harbour) -> None:
    harbour.upload(book(6))
    (job,) = harbour.jobs.claim(JobKind.INGEST)
    with pytest.raises(Stopping):
        harbour.ingest.run(job, lambda: True)
    harbour.jobs.hand_back(job)
    (again,) = harbour.jobs.claim(JobKind.INGEST)
    assert (again.id, again.attempt) == (job.id, 1)


def test_what_the_index_lost_is_found_and_indexed_again(harbour: Harbour) -> None:
    kept, lost, half = (harbour.upload(book(n, chapters=2), f"{n}.md") for n in (7, 8, 9))
    work(harbour, lambda: {harbour.state(d) for d in (kept, lost, half)} == {VersionState.READY})
    before = dict(harbour.index.kept)
    harbour.index.delete_version("ann", lost.version.id)
    harbour.index.embeddings = {
        i: v for i, v in harbour.index.embeddings.items() if before[i].version_id != half.version.id
    }
    assert set(reconcile(harbour.catalog, harbour.jobs, harbour.index)) == {lost.version.id, half.version.id}
    work(harbour, lambda: len(harbour.index.embeddings) == len(before) and not harbour.jobs.unfinished())
    assert harbour.index.kept == before
    assert reconcile(harbour.catalog, harbour.jobs, harbour.index) == []


def test_one_damaged_document_fails_with_its_reason_and_stops_no_other(harbour: Harbour) -> None:
    good = [harbour.upload(f"# Good {n}\n\nWords.", f"{n}.md") for n in range(3)]
    bad = harbour.upload("damaged goods", "bad.md")
    good.append(harbour.upload("# Good last\n\nWords.", "last.md"))
    work(harbour, lambda: not harbour.jobs.unfinished())
    assert {harbour.state(document) for document in good} == {VersionState.READY}
    failed = harbour.catalog.document("ann", bad.id).version
    assert failed.failure is not None
    assert (failed.state, failed.failure.code) == (VersionState.FAILED, "document_damaged")


def test_an_index_that_refuses_a_document_fails_it_after_three_attempts(harbour: Harbour) -> None:
    document = harbour.upload("# A\n\nWords.")
    attempts: list[str] = []

    def away(method: str) -> None:
        if method == "upsert":
            attempts.append(method)
            with harbour.engine.begin() as connection:
                connection.execute(update(job_table).values(not_before=0.0))
            raise IndexRefusedError("away")

    harbour.index.fault = away
    stop = threading.Event()

    def hurry() -> None:  # the pauses between attempts are real; nobody wants to wait for them here
        while not stop.wait(0.02):
            with harbour.engine.begin() as connection:
                connection.execute(update(job_table).values(not_before=0.0))

    helper = threading.Thread(target=hurry)
    helper.start()
    work(harbour, lambda: harbour.state(document) is VersionState.FAILED)
    stop.set()
    helper.join()
    assert len(attempts) == 3


def test_an_index_that_stays_away_costs_the_document_no_attempt(harbour: Harbour) -> None:
    document = harbour.upload("# A\n\nWords.")
    away: list[str] = []

    def fault(method: str) -> None:
        if method == "upsert" and len(away) < 5:
            away.append(method)
            raise IndexUnavailableError("away")

    harbour.index.fault = fault

    def ready() -> bool:  # the pauses between attempts are real; nobody wants to wait for them here
        with harbour.engine.begin() as connection:
            connection.execute(update(job_table).values(not_before=0.0))
        return harbour.state(document) is VersionState.READY

    work(harbour, ready)
    assert len(away) == 5


def test_one_bad_vector_write_does_not_fail_the_batch_it_came_with(harbour: Harbour) -> None:
    documents = [harbour.upload(f"# {n}\n\nWords.", f"{n}.md") for n in range(4)]
    failed_once: list[str] = []

    def fail_first(method: str) -> None:
        if method == "set_dense" and not failed_once:
            failed_once.append(method)
            raise IndexRefusedError("once")

    harbour.index.fault = fail_first
    work(harbour, lambda: {harbour.state(d) for d in documents} == {VersionState.READY})
    assert failed_once


def test_without_room_documents_wait_and_do_not_fail(harbour: Harbour) -> None:
    document = harbour.upload("# A\n\nWords.")
    room = threading.Event()
    asked = threading.Event()

    def has_room() -> bool:
        asked.set()
        return room.is_set()

    def waited() -> bool:
        if asked.is_set() and harbour.state(document) is VersionState.ACCEPTED:
            room.set()
        return harbour.state(document) is VersionState.READY

    work(harbour, waited, has_room=has_room)
    assert asked.is_set()


def test_small_documents_are_embedded_a_few_batches_at_a_time(harbour: Harbour) -> None:
    documents = [harbour.upload(f"# {n}\n\nWords.", f"{n}.md") for n in range(10)]
    for job in harbour.jobs.claim(JobKind.INGEST, limit=10):
        harbour.ingest.run(job, no)
    with pytest.raises(Stopping):  # one chunk each, eight at a time
        EmbedTask(harbour.shop, batch_chunks=2).run(
            harbour.jobs.claim(JobKind.EMBED, limit=10), lambda: bool(harbour.embedder.texts)
        )
    assert len(harbour.embedder.texts) == 8
    assert [harbour.state(document) for document in documents].count(VersionState.READY) == 8


def test_embedding_stands_back_for_documents_that_wait_and_goes_on_after_them(
    harbour: Harbour, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = harbour.upload("# A\n\nWords.")
    (job,) = harbour.jobs.claim(JobKind.INGEST)
    harbour.ingest.run(job, no)
    harbour.upload("# B\n\nOther words.", "b.md")
    (long,) = harbour.jobs.claim(JobKind.INGEST)  # another worker is at it, and has been for a while
    with harbour.engine.begin() as connection:
        connection.execute(update(job_table).where(job_table.c.id == long.id).values(created_at=0.0))
    since, asked = harbour.jobs.unfinished_since, 0

    def unfinished_since(kind: JobKind) -> float | None:
        nonlocal asked
        asked += 1
        if asked == 5:
            assert harbour.state(document) is VersionState.SEARCHABLE
            harbour.ingest.run(long, no)
        return since(kind)

    monkeypatch.setattr(harbour.jobs, "unfinished_since", unfinished_since)
    work(harbour, lambda: harbour.state(document) is VersionState.READY)
    assert asked >= 5


def test_a_ring_wakes_those_who_wait_for_its_kind() -> None:
    doorbell = ThreadDoorbell()
    bells = {kind: doorbell.bell(kind) for kind in JobKind}
    doorbell.ring(JobKind.INGEST)
    assert [kind for kind, bell in bells.items() if bell.is_set()] == [JobKind.INGEST]
    doorbell.ring_all()
    assert all(bell.is_set() for bell in bells.values())


def work(harbour: Harbour, done: Callable[[], bool], *, has_room: Callable[[], bool] = lambda: True) -> None:
    """Run worker threads until `done`."""
    doorbell = ThreadDoorbell()
    threads = WorkerThreads(harbour.jobs, [harbour.ingest], harbour.embed, harbour.collect, doorbell, has_room=has_room)
    threads.start()
    try:
        waited = threading.Event()
        for _ in range(6000):
            if done():
                return
            doorbell.ring_all()
            waited.wait(0.02)
        raise AssertionError("the workers did not get there")
    finally:
        threads.stop()
