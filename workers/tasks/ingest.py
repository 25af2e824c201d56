"""The first stage of ingest: versions are parsed, normalized, chunked and indexed, so that BM25 finds them.

Small documents that were claimed together share the costs that do not depend on size: a disk sync, a commit and an
index write. A long document goes through the same steps alone.

Every stage may be repeated: it first writes its results and then commits them under the job's fencing token. If the
lease was lost because the document was deleted, the commit fails and the written content is removed again.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import BinaryIO

from ingest.chunking import build_row_omissions, chunk_text, find_second_headers
from ingest.describing.fields import DescribedText
from ingest.parsing.registry import is_container
from ingest.parsing.types import (
    DEFAULT_ENTRY_LIMITS,
    EntryLimits,
    EntryReceiver,
    FoundEntry,
    ParsedDocument,
    Parser,
    never_cancel,
)
from ingest.storage.digests import Digest, parse_version_id
from ingest.storage.documents.originals import require_unchanged_original
from ingest.storage.documents.records import Document, Entry, IngestReport, Version, VersionState
from ingest.storage.errors import DocumentNotFoundError, LeaseLostError
from ingest.storage.instrumentation import reach_fault_point, record_span
from ingest.storage.queue.records import MAX_QUICK_BYTES, Job
from ingest.storage.tables.types import assign_table_names
from ingest.storage.texts.chunks import Chunk
from ingest.storage.texts.texts import VersionText
from retrieval.index.bm25 import SparseEncoder
from retrieval.index.generations import OpenGeneration
from retrieval.index.languages import Language, detect_language
from retrieval.index.port import IndexedChunk, IndexWriter, SparseVector
from workers.deps import WorkerDeps, WorkerStopping
from workers.tasks.access import write_permissions_of_new_points
from workers.tasks.cards import make_card
from workers.tasks.entries import EntryStore
from workers.tasks.turns import FIRST_TRY_SECONDS, SHARED_TRY_SECONDS, WorkerTurn
from workers.tasks.vectors import build_indexed_text, compute_word_weights, iter_indexed_chunks

# Limits on the jobs claimed together: the total size of their files in bytes, and the number of documents.
BATCH_BYTES = MAX_QUICK_BYTES
BATCH_DOCUMENTS = 32
# Once parsing has taken a few seconds or produced this much text, the remaining documents are put back in the queue.
# Therefore one slow or expanding file delays the documents parsed before it only once, and the documents after it not
# at all.
_MAX_BATCH_CHARACTERS = 4_000_000
_BATCH_CHUNKS = 512


@dataclass(frozen=True)
class JobFailure:
    """The failure of one of several jobs that were claimed together.

    The job may also have been lost or stopped.
    """

    job: Job
    error: Exception


@dataclass(frozen=True)
class _ParsedVersion:
    """A parsed version that is ready to be written to the index."""

    job: Job
    document: Document
    version: Version
    parsed: ParsedDocument
    chunks: tuple[Chunk, ...]
    entries: tuple[Entry, ...] = ()

    @property
    def report(self) -> IngestReport:
        parsed = self.parsed
        return IngestReport(
            self.job,
            parsed.title,
            len(parsed.layout.places) or None,
            len(parsed.text),
            len(self.chunks),
            parsed.omissions,
            self.entries,
        )

    @cached_property
    def language(self) -> Language:
        return detect_language(self.parsed.text)

    @property
    def stored_text(self) -> VersionText:
        parsed = self.parsed
        return VersionText(
            self.version.id,
            parsed.text,
            parsed.title,
            self.chunks,
            parsed.layout,
            parsed.positions,
            parsed.properties,
        )

    @property
    def described(self) -> DescribedText:
        """The start of the text and what is stated about it, from which the card is made."""
        parsed, version = self.parsed, self.version
        return DescribedText(
            parsed.text, version.name, version.media_type, parsed.title, parsed.layout, parsed.properties
        )

    def iter_points(self) -> Iterator["_Point"]:
        version = replace(self.version, title=self.parsed.title)
        indexed = iter_indexed_chunks(self.document, version, self.parsed.text, self.chunks, self.parsed.layout)
        for chunk, point in zip(self.chunks, indexed, strict=True):
            yield _Point(self, chunk, point)


@dataclass(frozen=True)
class _Point:
    """A chunk and its record for the index."""

    owner: _ParsedVersion
    chunk: Chunk
    indexed: IndexedChunk

    def compute_word_weights(self, encoder: SparseEncoder) -> SparseVector:
        """Compute the BM25 weights of the chunk."""
        owner = self.owner
        parsed, name = owner.parsed, owner.version.name
        text = build_indexed_text(parsed.title or name, self.chunk, parsed.text, parsed.layout)
        return compute_word_weights(encoder, text, name=name, language=owner.language)


class IngestTask:
    """Makes versions searchable: stores texts, chunks and record tables, indexes every chunk, and commits."""

    def __init__(
        self,
        deps: WorkerDeps,
        parser: Parser,
        *,
        entry_capacity: EntryLimits = DEFAULT_ENTRY_LIMITS,
        batch_chunks: int = _BATCH_CHUNKS,
        first_try_seconds: float = FIRST_TRY_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare the task.

        `entry_capacity` limits the total content extracted from an uploaded container and the containers nested in it.
        `first_try_seconds` is the time that a document may take before other documents get a turn; see
        `workers.tasks.turns`.
        """
        self._room = entry_capacity
        self._first_try_seconds = first_try_seconds
        self._stores: dict[str, EntryStore] = {}
        self._deps = deps
        self._parser = parser
        self._batch_chunks = batch_chunks
        self._clock = clock

    def run(self, job: Job, should_stop: Callable[[], bool]) -> None:
        """Run one job.

        Raises subclasses of `ParseError`, `LeaseLostError`, `RequeueInLane` and `WorkerStopping`.
        """
        for failure in self.run_jobs_together([job], should_stop):
            raise failure.error

    def run_jobs_together(self, jobs: Sequence[Job], should_stop: Callable[[], bool]) -> list[JobFailure]:
        """Run jobs that were claimed together and return the failures. One failure does not stop the other jobs.

        Jobs that were not started fail with `WorkerStopping`, and jobs that took too long fail with `RequeueInLane`.
        Errors that concern all jobs, such as an unreachable index, are raised without committing anything.
        """
        self._stores = {}
        with self._deps.generations.use_generation(jobs[0].generation) as made:
            try:
                failures = self._make_versions_searchable(jobs, made, should_stop)
            except Exception as error:
                undone = [self._undo_if_withdrawn(JobFailure(job, error), made.index) for job in jobs]
                if len(jobs) == 1:
                    raise undone[0].error from error
                raise
            return [self._undo_if_withdrawn(failure, made.index) for failure in failures]

    def _make_versions_searchable(
        self, jobs: Sequence[Job], generation: OpenGeneration, should_stop: Callable[[], bool]
    ) -> list[JobFailure]:
        deps = self._deps
        only = self._build_turn(jobs[0], should_stop) if len(jobs) == 1 else None
        lost = deps.jobs.record_batch_progress(VersionState.PARSING, {job: {} for job in jobs})
        parsed, failures = self._parse_versions([job for job in jobs if job not in lost], only, should_stop)
        if parsed:
            digests = self._save_parsed_versions(parsed)
            reach_fault_point("ingest.text_saved")
            counts = {version.job: _extract_counts(version.report) for version in parsed}
            lost += deps.jobs.record_batch_progress(VersionState.INDEXING, counts)
            parsed = [version for version in parsed if version.job not in lost]
        if parsed:
            with record_span("index", {"leadline.documents": [version.document.id for version in parsed]}):
                lost += self._index_chunks(parsed, generation, should_stop, only.check_turn if only else never_cancel)
                write_permissions_of_new_points(
                    deps.catalog, generation.index, [(each.document.id, each.version.id) for each in parsed]
                )
            reach_fault_point("ingest.indexed")
            parsed = [version for version in parsed if version.job not in lost]
        if parsed:
            reports = [
                replace(
                    version.report,
                    digests=digests[version.version.id],
                    card=make_card(version.described, deps.sparse),
                )
                for version in parsed
            ]
            lost += deps.jobs.finish_ingest(reports, on_unused_blob=deps.blobs.delete)
            reach_fault_point("ingest.committed")
        return failures + [
            JobFailure(job, LeaseLostError(f"This worker no longer holds job {job.id}.")) for job in lost
        ]

    def _build_turn(self, job: Job, should_stop: Callable[[], bool], *, is_shared: bool = False) -> WorkerTurn:
        return WorkerTurn(
            self._deps.jobs,
            job,
            is_shared=is_shared,
            first_try_seconds=self._first_try_seconds,
            should_stop=should_stop,
            clock=self._clock,
        )

    def _save_parsed_versions(self, parsed_versions: Sequence[_ParsedVersion]) -> Mapping[str, Mapping[str, Digest]]:
        """Store texts and record tables. Return the digests of each version's files, keyed by file key."""
        saved = self._deps.texts.save_all([version.stored_text for version in parsed_versions])
        digests: dict[str, dict[str, Digest]] = {}
        for key, digest in saved.items():
            digests.setdefault(parse_version_id(key), {})[key] = digest
        for version in parsed_versions:
            tables = assign_table_names(version.parsed.tables, version.version.name)
            digests[version.version.id].update(self._deps.tables.save(version.version.id, tables))
        self._deps.catalog.replace_version_digests(
            {version.job: digests[version.version.id] for version in parsed_versions}
        )
        return digests

    def _parse_versions(
        self, jobs: Sequence[Job], single_turn: WorkerTurn | None, should_stop: Callable[[], bool]
    ) -> tuple[list[_ParsedVersion], list[JobFailure]]:
        deps = self._deps
        documents = deps.catalog.load_live_documents([job.document_id for job in jobs])
        versions = deps.catalog.load_versions(
            [job.version_id for job in jobs]
        )  # this version may be older than the document's latest version
        parsed: list[_ParsedVersion] = []
        failures: list[JobFailure] = []
        begun = self._clock()
        for number, job in enumerate(jobs):
            if number and (should_stop() or self._is_batch_full(parsed, begun)):
                failures += [JobFailure(left, WorkerStopping()) for left in jobs[number:]]
                break
            try:
                if job.document_id not in documents or job.version_id not in versions:
                    raise DocumentNotFoundError(f"Document {job.document_id!r} not found.")
                document, version = documents[job.document_id], versions[job.version_id]
                turn = single_turn or self._build_turn(job, should_stop, is_shared=bool(parsed or jobs[number + 1 :]))
                parsed.append(self._parse_version(job, document, version, turn, is_alone=single_turn is not None))
            # An error of one document must not stop the others.
            except Exception as error:  # noqa: BLE001 - `workers.errors` decides what it means for the job
                failures.append(JobFailure(job, error))
        return parsed, failures

    def _is_batch_full(self, parsed_versions: Sequence[_ParsedVersion], start_time: float) -> bool:
        characters = sum(len(version.parsed.text) for version in parsed_versions)
        return self._clock() - start_time > SHARED_TRY_SECONDS or characters > _MAX_BATCH_CHARACTERS

    def _parse_version(
        self, job: Job, document: Document, version: Version, turn: WorkerTurn, *, is_alone: bool
    ) -> _ParsedVersion:
        deps = self._deps
        store = self._stores[job.version_id] = EntryStore(deps.blobs, version)
        attributes = {"leadline.document": document.id, "leadline.media_type": version.media_type}
        with record_span("parse", attributes), deps.blobs.provide_local_file(version.blob_key) as path:
            # guard: changed-original-not-parsed
            require_unchanged_original(path, version)
            parsed = self._parser.parse(
                path,
                version.media_type,
                name=version.name,
                entry_receiver=self._build_unpacking(document, version, store),
                progress=partial(self._record_progress, job),
                check_cancelled=turn.check_turn,
            )
        reach_fault_point("ingest.parsed")
        if is_alone:  # small documents pass through the stage too fast for it to be shown
            pages, characters = len(parsed.layout.places) or None, len(parsed.text)
            deps.jobs.record_progress(job, VersionState.CHUNKING, pages=pages, characters=characters)
        parsed = replace(parsed, layout=find_second_headers(parsed.text, parsed.layout))
        chunks = chunk_text(parsed.text, parsed.layout, parsed.positions, check_cancelled=turn.check_turn)
        unsearched = build_row_omissions(parsed.text, parsed.layout, parsed.positions)
        parsed = replace(parsed, omissions=(*parsed.omissions, *unsearched))
        return _ParsedVersion(job, document, version, parsed, tuple(chunks), store.finish_entries())

    def _build_unpacking(self, document: Document, version: Version, store: EntryStore) -> EntryReceiver | None:
        """Return the limits and the handler for a container's entries, or None for other documents.

        The entries of an active version have already been stored. If the version is indexed again, its entries are
        parsed but not stored.
        """
        if not is_container(version.media_type):
            return None
        depth, others = self._deps.catalog.count_nesting(document.id)
        # guard: upload-entry-room
        room = replace(
            self._room, entries=max(0, self._room.entries - others), levels=max(0, self._room.levels - depth)
        )
        # guard: no-entries-when-reindexing
        return EntryReceiver(room, _skip_entry if document.active_version_id == version.id else store.store_entry)

    def _record_progress(self, job: Job, done_count: int, total_count: int | None) -> None:
        """Record how many pages, slides or sheets have been parsed so far, and extend the lease.

        If the lease was lost, the job ends at its next step.
        """
        self._deps.jobs.record_batch_progress(
            VersionState.PARSING, {job: {"pages_done": done_count, "pages": total_count}}
        )

    def _index_chunks(
        self,
        parsed_versions: Sequence[_ParsedVersion],
        generation: OpenGeneration,
        should_stop: Callable[[], bool],
        check_cancelled: Callable[[], None],
    ) -> list[Job]:
        """Write every chunk to the index.

        Returns the jobs whose lease was lost in the meantime. The remaining chunks of these jobs are not written.
        """
        deps = self._deps
        lost: set[Job] = set()
        points = [point for version in parsed_versions for point in version.iter_points()]
        for at in range(0, len(points), self._batch_chunks):
            if should_stop():
                raise WorkerStopping
            check_cancelled()
            some = points[at : at + self._batch_chunks]
            sparse = [point.compute_word_weights(generation.sparse) for point in some]
            writing = {point.owner.job for point in some}
            # The lease is checked before each write, so that the removal of a withdrawn version finds all content
            # written for it.
            held = deps.jobs.select_held_ids(list(writing))
            lost |= {job for job in writing if job.id not in held}
            reach_fault_point("ingest.writing")
            ours = [(p.indexed, vector) for p, vector in zip(some, sparse, strict=True) if p.owner.job not in lost]
            if ours:
                generation.index.upsert_chunks([point for point, _ in ours], [vector for _, vector in ours])
            reach_fault_point("ingest.half_indexed")
        return list(lost)

    def _undo_if_withdrawn(self, failure: JobFailure, index: IndexWriter) -> JobFailure:
        """Remove the content that was written for a withdrawn version.

        The version's job fails with `LeaseLostError`.
        """
        job = failure.job
        # guard: delete-during-indexing
        if self._deps.catalog.find_removable_version(job.version_id) is not None:
            index.delete_version(job.tenant_id, job.version_id)
            self._deps.texts.delete(job.version_id)
            self._deps.tables.delete(job.version_id)
            if job.version_id in self._stores:
                self._stores[job.version_id].remove_entries()
        if self._deps.jobs.select_held_ids([job]):
            return failure
        return JobFailure(job, LeaseLostError(f"This worker no longer holds job {job.id}."))


def _skip_entry(entry: FoundEntry, file: BinaryIO) -> None:
    """Skip an entry without storing it."""


def _extract_counts(report: IngestReport) -> dict[str, int | None]:
    return {"pages": report.pages, "characters": report.characters, "chunks": report.chunks}
