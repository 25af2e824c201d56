"""The first stage of ingest: parse, normalize, chunk and index versions; from here BM25 finds them.

Small documents that were claimed together share what costs the same however little it carries: a wait for the disk, a
commit, a write to the index. A long one is carried by the same steps, alone.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from ingest.chunking import Chunk, chunk_text
from ingest.documents import Document, IngestReport, Job, Version, VersionState
from ingest.errors import DocumentNotFoundError, LeaseLostError
from ingest.faultpoints import reach
from ingest.parsing.types import ParsedDocument, Parser
from ingest.tables import named_tables
from ingest.texts import VersionText
from retrieval.index import IndexedChunk, IndexWriter
from workers.tasks import Stopping, Workshop
from workers.vectors import indexed_chunks, with_context

# A claim takes no more than so many bytes of files together, and so many documents.
TOGETHER_BYTES = 256 * 1024
TOGETHER_DOCUMENTS = 32
# When parsing has taken so long, or has given so much text, those that are not parsed yet go back into the queue: a
# file that is slow or grows a thousandfold holds up those before it once, and those behind it not at all.
_TOGETHER_SECONDS = 2.0
_TOGETHER_CHARACTERS = 4_000_000
_INDEX_BATCH = 512
_MARKDOWN = frozenset({"text/markdown", "text/html"})  # HTML is parsed to Markdown


@dataclass(frozen=True)
class Spoiled:
    """A job that ended otherwise than those it was claimed with, and by what."""

    job: Job
    error: Exception


@dataclass(frozen=True)
class _Subject:
    """A version whose text is known, on its way into the index."""

    job: Job
    document: Document
    version: Version
    parsed: ParsedDocument
    chunks: tuple[Chunk, ...]

    @property
    def report(self) -> IngestReport:
        parsed = self.parsed
        return IngestReport(self.job, parsed.title, len(parsed.pages) or None, len(parsed.text), len(self.chunks))

    @property
    def kept_text(self) -> VersionText:
        return VersionText(self.version.id, self.parsed.text, self.parsed.title, self.parsed.pages, self.chunks)

    def points(self) -> Iterator["_Point"]:
        version = replace(self.version, title=self.parsed.title)
        indexed = indexed_chunks(self.document, version, self.parsed.text, self.chunks)
        for chunk, point in zip(self.chunks, indexed, strict=True):
            yield _Point(self, chunk, point)


@dataclass(frozen=True)
class _Point:
    """A chunk and how the index keeps it."""

    subject: _Subject
    chunk: Chunk
    indexed: IndexedChunk

    @property
    def text(self) -> str:
        """What BM25 reads of it."""
        title, text = self.subject.parsed.title or self.subject.version.name, self.subject.parsed.text
        return with_context(title, self.chunk, text[self.chunk.start : self.chunk.end])


class IngestTask:
    """Make versions searchable: text and record tables kept, every chunk in the index, a commit that says so."""

    def __init__(
        self,
        shop: Workshop,
        parser: Parser,
        *,
        batch_chunks: int = _INDEX_BATCH,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._shop = shop
        self._parser = parser
        self._batch_chunks = batch_chunks
        self._clock = clock

    def run(self, job: Job, stopping: Callable[[], bool]) -> None:
        """Raises the `ParseError`s, `LeaseLostError` and `Stopping`."""
        for spoiled in self.run_together([job], stopping):
            raise spoiled.error

    def run_together(self, jobs: Sequence[Job], stopping: Callable[[], bool]) -> list[Spoiled]:
        """Jobs that were claimed together; the others go on when one fails. Whose turn did not come has `Stopping`.

        Raises what concerns all of them, such as an index that is away; then none is committed.
        """
        with self._shop.generations.of(jobs[0].generation) as made:
            try:
                spoiled = self._make_searchable(jobs, made.index, stopping)
            except Exception as error:
                verdicts = [self._verdict(Spoiled(job, error), made.index) for job in jobs]
                if len(jobs) == 1:
                    raise verdicts[0].error from error
                raise
            return [self._verdict(each, made.index) for each in spoiled]

    def _make_searchable(self, jobs: Sequence[Job], index: IndexWriter, stopping: Callable[[], bool]) -> list[Spoiled]:
        shop = self._shop
        lost = shop.jobs.progress_together(VersionState.PARSING, {job: {} for job in jobs})
        subjects, spoiled = self._parse_each([job for job in jobs if job not in lost], stopping)
        if subjects:
            shop.texts.save_all([subject.kept_text for subject in subjects])
            for subject in subjects:
                shop.tables.save(subject.version.id, named_tables(subject.parsed.tables, subject.version.name))
            reach("ingest.text_saved")
            counts = {subject.job: _counts(subject.report) for subject in subjects}
            lost += shop.jobs.progress_together(VersionState.INDEXING, counts)
            subjects = [subject for subject in subjects if subject.job not in lost]
        if subjects:
            lost += self._index(subjects, index, stopping)
            reach("ingest.indexed")
            subjects = [subject for subject in subjects if subject.job not in lost]
        if subjects:
            lost += shop.jobs.finish_ingest([subject.report for subject in subjects])
            reach("ingest.committed")
        return spoiled + [Spoiled(job, LeaseLostError(f"Job {job.id} is no longer held.")) for job in lost]

    def _parse_each(self, jobs: Sequence[Job], stopping: Callable[[], bool]) -> tuple[list[_Subject], list[Spoiled]]:
        shop = self._shop
        documents = shop.catalog.live([job.document_id for job in jobs])
        versions = shop.catalog.versions([job.version_id for job in jobs])  # not always the documents' latest
        subjects: list[_Subject] = []
        spoiled: list[Spoiled] = []
        begun = self._clock()
        for number, job in enumerate(jobs):
            if number and (stopping() or self._has_enough(subjects, begun)):
                spoiled += [Spoiled(left, Stopping()) for left in jobs[number:]]
                break
            try:
                if job.document_id not in documents or job.version_id not in versions:
                    raise DocumentNotFoundError(f"There is no document {job.document_id!r}.")
                document, version = documents[job.document_id], versions[job.version_id]
                subjects.append(self._parse(job, document, version, alone=len(jobs) == 1))
            # Whatever is wrong with one document, the others go on.
            except Exception as error:  # noqa: BLE001 - what it means for the job is decided in `workers.errors`
                spoiled.append(Spoiled(job, error))
        return subjects, spoiled

    def _has_enough(self, subjects: Sequence[_Subject], begun: float) -> bool:
        characters = sum(len(subject.parsed.text) for subject in subjects)
        return self._clock() - begun > _TOGETHER_SECONDS or characters > _TOGETHER_CHARACTERS

    def _parse(self, job: Job, document: Document, version: Version, *, alone: bool) -> _Subject:
        shop = self._shop
        parsed = self._parser.parse(shop.path_of(version.blob_key), version.media_type, name=version.name)
        reach("ingest.parsed")
        if alone:  # of small ones nobody would see it
            characters = len(parsed.text)
            shop.jobs.progress(job, VersionState.CHUNKING, pages=len(parsed.pages) or None, characters=characters)
        chunks = chunk_text(parsed.text, markdown=version.media_type in _MARKDOWN, pages=parsed.pages)
        return _Subject(job, document, version, parsed, tuple(chunks))

    def _index(self, subjects: Sequence[_Subject], index: IndexWriter, stopping: Callable[[], bool]) -> list[Job]:
        """Write every chunk; returns the jobs that were lost meanwhile, for which nothing more is written."""
        shop = self._shop
        lost: set[Job] = set()
        points = [point for subject in subjects for point in subject.points()]
        for at in range(0, len(points), self._batch_chunks):
            if stopping():
                raise Stopping
            some = points[at : at + self._batch_chunks]
            sparse = [shop.sparse.document(point.text) for point in some]
            of = {point.subject.job for point in some}
            held = shop.jobs.held(list(of))  # what is written after a withdrawal must be found by its collection
            lost |= {job for job in of if job.id not in held}
            reach("ingest.writing")
            ours = [(p.indexed, vector) for p, vector in zip(some, sparse, strict=True) if p.subject.job not in lost]
            if ours:
                index.upsert([point for point, _ in ours], [vector for _, vector in ours])
            reach("ingest.half_indexed")
        return list(lost)

    def _verdict(self, spoiled: Spoiled, index: IndexWriter) -> Spoiled:
        """Removes what was written for a version that was withdrawn, for what goes wrong with it is no fault of it."""
        job = spoiled.job
        if self._shop.catalog.removable(job.version_id) is not None:
            index.delete_version(job.tenant_id, job.version_id)
            self._shop.texts.delete(job.version_id)
            self._shop.tables.delete(job.version_id)
        if self._shop.jobs.held([job]):
            return spoiled
        return Spoiled(job, LeaseLostError(f"Job {job.id} is no longer held."))


def _counts(report: IngestReport) -> dict[str, int | None]:
    return {"pages": report.pages, "characters": report.characters, "chunks": report.chunks}
