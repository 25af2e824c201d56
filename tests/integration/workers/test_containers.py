"""Containers: their entries become documents once, whatever happens on the way, and go with them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ingest.intake import Replacement, UploadRequest
from ingest.parsing.isolation.sandbox import ParserSandbox
from ingest.parsing.types import EntryLimits
from ingest.storage.documents.batches import Batches
from ingest.storage.documents.listing import DocumentFilter
from ingest.storage.documents.records import Document, DocumentChange, VersionState
from ingest.storage.errors import DocumentNotFoundError, StorageFullError
from ingest.storage.queue.records import JobKind
from ingest.storage.quotas.records import Account, Quota
from ingest.storage.quotas.store import Quotas
from ingest.storage.texts.layout import OmissionKind
from tests.support.catalogs import wake
from tests.support.containers import message, zip_of
from tests.support.worker_fixture import WorkerFixture, no
from workers.job_runner import JobRunner
from workers.tasks.ingest import IngestTask

_TWO = {"notes/tide.md": "# Tide\n\nThe flood comes at six.", "plan.txt": "Sail at noon."}


@pytest.fixture(scope="module")
def parser() -> Iterator[ParserSandbox]:
    with ParserSandbox() as parser:
        yield parser


@pytest.fixture
def worker(tmp_path: Path, parser: ParserSandbox) -> Iterator[WorkerFixture]:
    made = WorkerFixture(tmp_path)
    made.ingest = IngestTask(made.deps, parser)
    yield made
    made.engine.dispose()


def send(worker: WorkerFixture, content: bytes, name: str = "papers.zip", **more: object) -> Document:
    with worker.intake.receive_upload(UploadRequest("ann", "default", name, **more)) as upload:  # type: ignore[arg-type]
        upload.write(content)
        return upload.accept().document


def replace(worker: WorkerFixture, document: Document, content: bytes) -> None:
    send(worker, content, document.name, replaces=Replacement(document.id, None))


def entries(worker: WorkerFixture, document: Document) -> dict[str, Document]:
    found = worker.catalog.list_documents("ann", DocumentFilter(container=document.id), limit=100)
    return {str(each.entry_path): each for each in found}


def settle(worker: WorkerFixture) -> None:
    """Run every job to its end, failures too, as the service does."""
    runner = JobRunner(worker.jobs, worker.ingest, worker.embed, worker.collect, should_stop=no)
    kinds = (JobKind.INGEST, JobKind.EMBED, JobKind.COLLECT)
    while any([runner.run_once(kind) for kind in kinds]):
        wake(worker.engine)


def text_of(worker: WorkerFixture, document: Document) -> str:
    active = worker.catalog.load_document("ann", document.id).active_version_id
    assert active is not None
    return worker.texts.read(active)


def originals(worker: WorkerFixture) -> set[str]:
    return set(worker.blobs.iter_keys("original"))


def test_each_entry_is_a_document_named_after_its_container(worker: WorkerFixture) -> None:
    archive = send(worker, zip_of(_TWO), attributes={"year": 1815})
    settle(worker)
    found = entries(worker, archive)
    assert {path: each.name for path, each in found.items()} == {path: f"papers.zip/{path}" for path in _TWO}
    assert {each.version.state for each in found.values()} == {VersionState.READY}
    assert {each.attributes["container"] for each in found.values()} == {"papers.zip"}
    assert {each.attributes["year"] for each in found.values()} == {1815}
    assert text_of(worker, found["plan.txt"]) == "Sail at noon."
    assert text_of(worker, archive) == "An archive of 2 files."  # their names are found with their own texts


def test_a_message_is_a_document_and_its_attachments_are_others(worker: WorkerFixture) -> None:
    mail = send(worker, message(attachments={"plan.txt": b"Sail at noon."}), "mail.eml")
    settle(worker)
    document = worker.catalog.load_document("ann", mail.id)
    assert (document.title, document.media_type) == ("Tides (Ann Poe, 2026-11-28)", "message/rfc822")
    assert "From: Ann Poe <ann@example.org>" in text_of(worker, mail)
    assert "The flood comes at six." in text_of(worker, mail)
    assert entries(worker, mail)["plan.txt"].name == "mail.eml/plan.txt"


def test_containers_in_containers_are_opened_a_few_levels_deep(worker: WorkerFixture, parser: ParserSandbox) -> None:
    worker.ingest = IngestTask(worker.deps, parser, entry_capacity=EntryLimits(levels=2))
    deepest = zip_of({"deep.txt": "Too deep."})
    archive = send(worker, zip_of({"one.zip": zip_of({"two.zip": deepest, "note.txt": "Here."})}))
    settle(worker)
    one = entries(worker, archive)["one.zip"]
    found = entries(worker, one)
    assert found["note.txt"].name == "papers.zip/one.zip/note.txt"
    failure = found["two.zip"].version.failure
    assert failure is not None
    assert (failure.code, "levels deep" in failure.detail) == ("parser_limit", True)
    (omission,) = worker.catalog.load_document("ann", one.id).version.omissions
    assert (omission.kind, omission.count) == (OmissionKind.ENTRY, 1)


def test_the_room_of_an_upload_counts_the_entries_of_all_containers_in_it(
    worker: WorkerFixture, parser: ParserSandbox
) -> None:
    worker.ingest = IngestTask(worker.deps, parser, entry_capacity=EntryLimits(entries=4))
    inner = {f"{n}.txt": f"Number {n}." for n in range(5)}
    archive = send(worker, zip_of({"a.txt": "A.", "inner.zip": zip_of(inner)}))
    settle(worker)
    assert len(entries(worker, entries(worker, archive)["inner.zip"])) == 3


def test_a_repeated_ingest_makes_no_entry_twice(worker: WorkerFixture) -> None:
    archive = send(worker, zip_of({f"{n}.txt": f"Number {n}." for n in range(5)}))
    puts = 0

    def full(contents: object) -> None:
        nonlocal puts
        puts += 1
        raise StorageFullError("The disk is full.")

    put_all, worker.blobs.put_all = worker.blobs.put_all, full  # type: ignore[method-assign]
    (job,) = worker.jobs.claim(JobKind.INGEST)
    with pytest.raises(StorageFullError):
        worker.ingest.run(job, no)
    assert (puts, entries(worker, archive)) == (1, {})
    worker.blobs.put_all = put_all  # type: ignore[method-assign]
    worker.jobs.release_job(job)
    settle(worker)
    assert len(entries(worker, archive)) == 5
    assert len(originals(worker)) == 6


def test_indexing_a_container_again_brings_no_deleted_entry_back(worker: WorkerFixture) -> None:
    archive = send(worker, zip_of(_TWO))
    settle(worker)
    worker.deleter.delete_document("ann", entries(worker, archive)["plan.txt"].id)
    settle(worker)
    kept = originals(worker)
    worker.jobs.requeue_ingest(archive.version.id)
    settle(worker)
    assert set(entries(worker, archive)) == {"notes/tide.md"}
    assert originals(worker) == kept


def test_deleting_a_container_deletes_its_entries_and_all_their_bytes(worker: WorkerFixture) -> None:
    archive = send(worker, zip_of({**_TWO, "inner.zip": zip_of({"deep.txt": "Deep."})}))
    settle(worker)
    inside = [*entries(worker, archive).values()]
    inside += entries(worker, entries(worker, archive)["inner.zip"]).values()
    receipt = worker.deleter.delete_document("ann", archive.id)
    assert receipt.entries == len(inside) == 4
    for each in inside:
        with pytest.raises(DocumentNotFoundError):
            worker.catalog.load_document("ann", each.id)
    settle(worker)
    assert (originals(worker), worker.index.kept) == (set(), {})
    assert all(worker.catalog.load_deletion("ann", each.id).collected for each in inside)


def test_a_replacement_keeps_equal_entries_changes_others_and_removes_missing_ones(worker: WorkerFixture) -> None:
    archive = send(worker, zip_of({"same.txt": "Same.", "other.txt": "Before.", "gone.txt": "Gone."}))
    settle(worker)
    before = entries(worker, archive)
    replace(worker, archive, zip_of({"same.txt": "Same.", "other.txt": "After.", "new.txt": "New."}))
    settle(worker)
    after = entries(worker, archive)
    assert set(after) == {"same.txt", "other.txt", "new.txt"}
    assert after["same.txt"].version == before["same.txt"].version
    assert after["other.txt"].id == before["other.txt"].id
    assert text_of(worker, after["other.txt"]) == "After."
    assert len(originals(worker)) == 4


def test_a_replacement_changes_no_entry_before_it_is_ready(worker: WorkerFixture) -> None:
    archive = send(worker, zip_of({"a.txt": "Before."}))
    settle(worker)
    kept = originals(worker)
    replace(worker, archive, zip_of({"a.txt": "After."}))
    (job,) = worker.jobs.claim(JobKind.INGEST)
    worker.ingest.run(job, no)
    assert text_of(worker, entries(worker, archive)["a.txt"]) == "Before."
    worker.catalog.cancel_latest_version("ann", archive.id)
    settle(worker)
    assert text_of(worker, entries(worker, archive)["a.txt"]) == "Before."
    assert originals(worker) == kept


def test_a_replacement_without_entries_removes_those_there_were(worker: WorkerFixture) -> None:
    archive = send(worker, zip_of(_TWO))
    settle(worker)
    replace(worker, archive, b"No archive any more.")
    settle(worker)
    assert entries(worker, archive) == {}


def test_cancelling_a_container_that_was_never_ready_takes_its_entries_along(worker: WorkerFixture) -> None:
    archive = send(worker, zip_of(_TWO))
    (job,) = worker.jobs.claim(JobKind.INGEST)
    worker.ingest.run(job, no)
    assert len(entries(worker, archive)) == 2
    worker.catalog.cancel_latest_version("ann", archive.id)
    assert entries(worker, archive) == {}


def test_entries_have_the_readers_of_their_container_also_when_those_change(worker: WorkerFixture) -> None:
    archive = send(worker, zip_of(_TWO), readers=frozenset({"user:ann"}))
    settle(worker)
    assert {each.readers for each in entries(worker, archive).values()} == {frozenset({"user:ann"})}
    change = DocumentChange(readers=frozenset({"user:bob"}), changed=frozenset({"readers"}))
    worker.catalog.change_document("ann", archive.id, change, None)
    assert {each.readers for each in entries(worker, archive).values()} == {frozenset({"user:bob"})}
    for each in entries(worker, archive).values():
        with pytest.raises(DocumentNotFoundError):
            worker.catalog.load_document("ann", each.id, readers=frozenset({"user:ann"}))


def test_an_upload_of_the_same_bytes_as_an_entry_is_a_document_of_its_own(worker: WorkerFixture) -> None:
    archive = send(worker, zip_of({"plan.txt": "Sail at noon."}))
    settle(worker)
    own = send(worker, b"Sail at noon.", "plan.txt")
    assert own.id != entries(worker, archive)["plan.txt"].id
    worker.deleter.delete_document("ann", archive.id)
    assert worker.catalog.load_document("ann", own.id).id == own.id


def test_entries_count_in_the_batch_of_their_container_and_not_on_what_it_expects(worker: WorkerFixture) -> None:
    batches = Batches(worker.engine)
    batch, _ = batches.create("ann", expected_files=2)
    send(worker, zip_of(_TWO), batch_id=batch.id)
    settle(worker)
    progress = batches.load_progress("ann", batch.id)
    assert (progress.batch.received, progress.batch.entries, progress.total_count, progress.has_ended) == (
        3,
        2,
        4,
        False,
    )
    send(worker, b"# The last one", "last.md", batch_id=batch.id)
    settle(worker)
    assert batches.load_progress("ann", batch.id).has_ended


def test_entries_that_pass_a_quota_are_left_out_and_said_and_the_others_are_kept(worker: WorkerFixture) -> None:
    quotas = Quotas(worker.engine)
    quotas.set_limits(Account("ann"), {Quota.DOCUMENTS: 3})
    archive = send(worker, zip_of({f"{n}.txt": f"Number {n}." for n in range(4)}))
    settle(worker)
    assert len(entries(worker, archive)) == 2
    (omission,) = worker.catalog.load_document("ann", archive.id).version.omissions
    assert (omission.kind, omission.count) == (OmissionKind.ENTRY, 2)
    assert len(originals(worker)) == 3


def test_an_entry_that_fails_stops_no_other_and_is_an_omission_of_its_container(worker: WorkerFixture) -> None:
    archive = send(worker, zip_of({"bad.pdf": b"%PDF-1.7 cut", "good.txt": "Good."}))
    settle(worker)
    found = entries(worker, archive)
    assert found["good.txt"].version.state is VersionState.READY
    (omission,) = worker.catalog.load_document("ann", archive.id).version.omissions
    assert (omission.kind, omission.count, "bad.pdf" in omission.detail) == (OmissionKind.ENTRY, 1, True)
