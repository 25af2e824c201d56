"""Documents made searchable together: they share what costs, and none of them shares another's fate."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from ingest.parsing.errors import DamagedDocumentError
from ingest.parsing.types import ParsedDocument
from ingest.storage.documents.records import Document, VersionState
from ingest.storage.errors import LeaseLostError
from ingest.storage.queue.records import Job, JobKind
from ingest.storage.texts.layout import Layout, OmissionKind, TableSpan
from retrieval.errors import IndexUnavailableError
from tests.support.worker_fixture import PlainParser, WorkerFixture, no
from workers.deps import WorkerStopping
from workers.job_runner import JobRunner
from workers.tasks.ingest import IngestTask


class WatchedParser(PlainParser):
    """Counts, and lets time pass: every document takes `seconds` of `now`."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.names: list[str] = []
        self.now = 0.0
        self._seconds = seconds

    def parse(self, path: Path, media_type: str, *, name: str, **more: object) -> ParsedDocument:
        self.names.append(name)
        self.now += self._seconds
        return super().parse(path, media_type, name=name, **more)


def upload(worker: WorkerFixture, *texts: str) -> list[Document]:
    return [worker.upload(text, f"{number}.md") for number, text in enumerate(texts)]


def claim(worker: WorkerFixture) -> list[Job]:
    return worker.jobs.claim(JobKind.INGEST, limit=32)


def states(worker: WorkerFixture, documents: Sequence[Document]) -> list[VersionState]:
    return [worker.state(document) for document in documents]


def test_documents_of_one_claim_are_written_to_the_index_at_once(worker: WorkerFixture) -> None:
    documents = upload(worker, *(f"# Note {n}\n\nThe tide is at {n}." for n in range(20)))
    writes: list[str] = []
    worker.index.fault = writes.append
    assert worker.ingest.run_jobs_together(claim(worker), no) == []
    assert writes == ["upsert"]
    assert states(worker, documents) == [VersionState.SEARCHABLE] * 20
    for document in documents:
        version = worker.catalog.load_document("ann", document.id).version
        assert worker.index.count_chunks("ann", version.id) == version.chunks == 1


def test_a_damaged_document_is_told_from_those_it_was_claimed_with(worker: WorkerFixture) -> None:
    documents = upload(worker, "# One\n\nWords.", "damaged goods", "# Three\n\nWords.")
    (spoiled,) = worker.ingest.run_jobs_together(claim(worker), no)
    assert (spoiled.job.document_id, type(spoiled.error)) == (documents[1].id, DamagedDocumentError)
    assert states(worker, documents)[::2] == [VersionState.SEARCHABLE] * 2


@pytest.mark.parametrize("moment", ["upsert", "parse"])
def test_a_document_deleted_under_the_worker_leaves_nothing_and_the_others_go_on(
    worker: WorkerFixture, moment: str
) -> None:
    documents = upload(worker, *(f"# Note {n}\n\nThe tide is at {n}." for n in range(4)))

    def delete(method: str) -> None:
        if method == moment:
            worker.index.fault = no_fault
            worker.deleter.delete_document("ann", documents[2].id)

    class DeletingParser(PlainParser):
        def parse(self, path: Path, media_type: str, *, name: str, **more: object) -> ParsedDocument:
            if name == "3.md":
                delete("parse")
            return super().parse(path, media_type, name=name, **more)

    worker.index.fault = delete
    (spoiled,) = IngestTask(worker.deps, DeletingParser()).run_jobs_together(claim(worker), no)
    assert (spoiled.job.document_id, type(spoiled.error)) == (documents[2].id, LeaseLostError)
    assert {chunk.document_id for chunk in worker.index.kept.values()} == {
        document.id for number, document in enumerate(documents) if number != 2
    }
    with pytest.raises(KeyError):
        worker.texts.load_map(spoiled.job.version_id)


def test_pages_that_a_parser_tells_of_are_shown_while_it_goes_on(worker: WorkerFixture) -> None:
    shown: list[tuple[int | None, int | None]] = []

    class TellingParser(PlainParser):
        def parse(self, path: Path, media_type: str, *, name: str, **more: object) -> ParsedDocument:
            assert callable(more["progress"])
            more["progress"](7, 20)
            progress = worker.catalog.load_progress(worker.catalog.load_document("ann", document.id))
            shown.append((progress.pages_done, progress.pages))
            return super().parse(path, media_type, name=name)

    (document,) = upload(worker, "# One\n\nWords.")
    assert IngestTask(worker.deps, TellingParser()).run_jobs_together(claim(worker), no) == []
    assert shown == [(7, 20)]
    assert worker.catalog.load_progress(worker.catalog.load_document("ann", document.id)).pages_done is None


def test_what_there_was_no_time_for_goes_back_into_the_queue_and_costs_no_attempt(worker: WorkerFixture) -> None:
    documents = upload(worker, *(f"# Note {n}\n\nThe tide is at {n}." for n in range(5)))
    parser = WatchedParser(seconds=1.5)
    task = IngestTask(worker.deps, parser, clock=lambda: parser.now)
    spoiled = task.run_jobs_together(claim(worker), no)
    assert len(parser.names) == 2
    assert [type(each.error) for each in spoiled] == [WorkerStopping] * 3
    runner = JobRunner(worker.jobs, task, should_stop=no)
    worker.jobs.requeue_lost_jobs(include_all_running=True)
    while runner.run_once(JobKind.INGEST):
        pass
    assert states(worker, documents) == [VersionState.SEARCHABLE] * 5
    assert sorted(parser.names) == [f"{n}.md" for n in range(5)]


def test_files_that_grow_a_thousandfold_are_not_held_in_memory_together(worker: WorkerFixture) -> None:
    upload(worker, "grow", "grow more", "small")

    class GrowingParser(PlainParser):
        def parse(self, path: Path, media_type: str, *, name: str, **more: object) -> ParsedDocument:
            return ParsedDocument("word " * 900_000, None, "plain")

    spoiled = IngestTask(worker.deps, GrowingParser()).run_jobs_together(claim(worker), no)
    assert [type(each.error) for each in spoiled] == [WorkerStopping] * 2


def test_an_index_that_is_away_is_asked_once_for_all_and_none_of_them_fails(worker: WorkerFixture) -> None:
    documents = upload(worker, *(f"# Note {n}\n\nThe tide is at {n}." for n in range(6)))
    parser = WatchedParser()

    def away(method: str) -> None:
        if method == "upsert":
            raise IndexUnavailableError("away")

    worker.index.fault = away
    runner = JobRunner(worker.jobs, IngestTask(worker.deps, parser), should_stop=no)
    assert runner.run_once(JobKind.INGEST) == 6
    assert len(parser.names) == 6
    assert worker.jobs.count_unfinished_jobs() == {JobKind.INGEST: 6}
    worker.index.fault = no_fault
    worker.work_off()
    assert states(worker, documents) == [VersionState.READY] * 6


def no_fault(_: str) -> None:
    return None


class TableParser(PlainParser):
    """Says that the whole text is one table without a header."""

    def parse(self, path: Path, media_type: str, *, name: str, **more: object) -> ParsedDocument:
        parsed = super().parse(path, media_type, name=name)
        return replace(parsed, layout=Layout(tables=(TableSpan(0, 0, len(parsed.text)),)))


def test_rows_of_a_very_long_table_that_are_not_indexed_are_counted(worker: WorkerFixture) -> None:
    document = worker.upload("\n".join(f"{number:06}" for number in range(100_500)), "a.csv")
    assert IngestTask(worker.deps, TableParser()).run_jobs_together(claim(worker), no) == []
    version = worker.catalog.load_document("ann", document.id).version
    assert [(omission.kind, omission.count) for omission in version.omissions] == [(OmissionKind.ROW, 500)]
    assert version.characters == 100_500 * 7 - 1
    indexed = [chunk for chunk in worker.deps.texts.load_map(version.id).chunks if chunk.end > 100_000 * 7]
    assert not indexed
