"""What a worker does with a job: the stages of ingest, the same in threads and in Celery.

Every stage can be done twice. Each writes first and commits under the job's fence afterwards; when the commit finds
the lease lost because the document was deleted, what was written is removed again.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ingest.blobs import Blobs
from ingest.catalog.catalog import Catalog
from ingest.catalog.jobs import Jobs
from ingest.chunking import Chunk, chunk_text
from ingest.documents import EmbedReport, Job, JobKind, VersionState
from ingest.errors import LeaseLostError
from ingest.faultpoints import reach
from ingest.parsing.types import Parser
from ingest.texts import Texts
from retrieval.bm25 import SparseEncoder
from retrieval.generations import Generations, OpenGeneration
from retrieval.index import IndexedChunk, IndexWriter
from workers.collecting import Collector
from workers.vectors import KeptVectors, Portion, VectorWriter, Written, indexed_chunks, with_context

_INDEX_BATCH = 512
_EMBED_BATCH = 256
_MARKDOWN = frozenset({"text/markdown", "text/html"})  # HTML is parsed to Markdown


class Stopping(Exception):
    """The worker is shutting down; the job goes back unharmed."""


@dataclass(frozen=True)
class Workshop:
    """Everything the tasks use. `parse` is called by path, so originals must be files."""

    catalog: Catalog
    jobs: Jobs
    blobs: Blobs
    texts: Texts
    generations: Generations
    sparse: SparseEncoder
    path_of: Callable[[str], Path]


class IngestTask:
    """Parse, normalize, chunk and index one version: from here BM25 finds it."""

    def __init__(self, shop: Workshop, parser: Parser, *, batch_chunks: int = _INDEX_BATCH) -> None:
        self._shop = shop
        self._parser = parser
        self._batch_chunks = batch_chunks

    def run(self, job: Job, stopping: Callable[[], bool]) -> None:
        """Raises the `ParseError`s, `LeaseLostError` and `Stopping`."""
        with self._shop.generations.of(job.generation) as made:
            try:
                self._make_searchable(job, made.index, stopping)
            except Exception:
                self._undo_if_withdrawn(job, made.index)
                self._shop.jobs.check(job)  # what goes wrong with a version that was withdrawn is no fault of it
                raise

    def _make_searchable(self, job: Job, index: IndexWriter, stopping: Callable[[], bool]) -> None:
        shop = self._shop
        document = shop.catalog.document(job.tenant_id, job.document_id)
        version = shop.catalog.version(job.version_id)  # not always the document's latest
        shop.jobs.progress(job, VersionState.PARSING)
        parsed = self._parser.parse(shop.path_of(version.blob_key), version.media_type, name=version.name)
        reach("ingest.parsed")
        pages, characters = len(parsed.pages) or None, len(parsed.text)
        shop.jobs.progress(job, VersionState.CHUNKING, pages=pages, characters=characters)
        chunks = chunk_text(parsed.text, markdown=version.media_type in _MARKDOWN, pages=parsed.pages)
        shop.texts.save(job.version_id, parsed.text, title=parsed.title, pages=parsed.pages, chunks=chunks)
        reach("ingest.text_saved")
        shop.jobs.progress(job, VersionState.INDEXING, chunks=len(chunks))
        indexed = list(indexed_chunks(document, version, parsed.text, chunks))
        self._index(job, index, parsed.text, parsed.title or version.name, chunks, indexed, stopping)
        reach("ingest.indexed")
        shop.jobs.finish_ingest(job, title=parsed.title, pages=pages, characters=characters, chunks=len(chunks))
        reach("ingest.committed")

    def _index(
        self,
        job: Job,
        index: IndexWriter,
        text: str,
        title: str,
        chunks: Sequence[Chunk],
        indexed: Sequence[IndexedChunk],
        stopping: Callable[[], bool],
    ) -> None:
        shop = self._shop
        for at in range(0, len(chunks), self._batch_chunks):
            if stopping():
                raise Stopping
            some = chunks[at : at + self._batch_chunks]
            sparse = [shop.sparse.document(with_context(title, chunk, text[chunk.start : chunk.end])) for chunk in some]
            shop.jobs.check(job)  # what is written after a withdrawal must be found by its collection
            reach("ingest.writing")
            index.upsert(indexed[at : at + self._batch_chunks], sparse)
            reach("ingest.half_indexed")

    def _undo_if_withdrawn(self, job: Job, index: IndexWriter) -> None:
        if self._shop.catalog.leaving(job.version_id) is not None:
            index.delete_version(job.tenant_id, job.version_id)
            self._shop.texts.delete(job.version_id)


class EmbedTask:
    """Give versions their vectors: from here dense retrieval finds them too."""

    def __init__(self, shop: Workshop, *, batch_chunks: int = _EMBED_BATCH) -> None:
        self._shop = shop
        self._batch_chunks = batch_chunks

    def run(self, jobs: Sequence[Job], stopping: Callable[[], bool]) -> None:
        """Small versions share batches; a long one is recorded batch by batch and resumed where it was.

        The jobs were claimed together.
        """
        try:
            with self._shop.generations.of(jobs[0].generation) as made:
                self._give_vectors(jobs, made, stopping)
        except Exception:
            if len(jobs) == 1:
                self._shop.jobs.check(jobs[0])  # what goes wrong with a version that was withdrawn is no fault of it
            raise

    def _give_vectors(self, jobs: Sequence[Job], made: OpenGeneration, stopping: Callable[[], bool]) -> None:
        writer = VectorWriter(self._shop.texts, made, JobKind.EMBED)
        replaced = self._shop.catalog.replaced_by([job.version_id for job in jobs])
        small: list[tuple[Job, Portion]] = []
        for job in jobs:
            version = self._shop.catalog.version(job.version_id)
            chunks = self._shop.texts.map(version.id).chunks
            old = replaced.get(version.id)
            kept = KeptVectors(self._shop.texts, made.index, old) if old else None
            portion = Portion(version, chunks, kept)
            if len(chunks) > self._batch_chunks // 2:
                self._run_long(job, portion, made, writer, stopping)
            else:
                small.append((job, portion))
        if small:
            written = writer.write([portion for _, portion in small])
            self._finish([_report(job, p, w, made.index) for (job, p), w in zip(small, written, strict=True)])

    def _run_long(
        self, job: Job, whole: Portion, made: OpenGeneration, writer: VectorWriter, stopping: Callable[[], bool]
    ) -> None:
        shop, version = self._shop, whole.version
        done, total = version.chunks_embedded, Written(version.tokens or 0, version.chunks_reused)
        if done and made.index.count(version.tenant_id, version.id, embedded_only=True) < done:
            done, total = 0, Written(0, 0)  # the index lost some of what was recorded
        while done < len(whole.chunks):
            if stopping():
                raise Stopping
            some = replace(whole, chunks=whole.chunks[done : done + self._batch_chunks])
            total += writer.write([some])[0]
            done += len(some.chunks)
            shop.jobs.progress(
                job,
                VersionState.EMBEDDING,
                chunks_embedded=done,
                chunks_reused=total.reused,
                tokens=total.tokens,
            )
        self._finish([_report(job, whole, total, made.index)])

    def _finish(self, finished: Sequence[EmbedReport]) -> None:
        lost = self._shop.jobs.finish_embed(finished)
        reach("embed.committed")
        if lost and len(finished) == 1:
            raise LeaseLostError(f"Job {lost[0].id} was taken over.")


class CollectTask:
    """Remove what a withdrawn or failed version left in the index and the blobs."""

    def __init__(self, shop: Workshop) -> None:
        self._shop = shop
        self._collector = Collector(shop.catalog, shop.generations, shop.texts, shop.blobs)

    def run(self, job: Job) -> None:
        """Raises `LeaseLostError`."""
        self._shop.jobs.check(job)
        chunks, size = self._collector.remove(self._shop.catalog.version(job.version_id))
        self._shop.jobs.finish_collect(job, chunks=chunks, size=size)


def _report(job: Job, portion: Portion, written: Written, index: IndexWriter) -> EmbedReport:
    version = portion.version
    indexed = None
    if portion.kept:  # a replacement is swapped in only when the index has all of it
        indexed = index.count(version.tenant_id, version.id, embedded_only=True)
    return EmbedReport(job, written.tokens, written.reused, indexed)
