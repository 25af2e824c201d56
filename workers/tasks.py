"""What a worker does with a job: the stages of ingest, the same in threads and in Celery.

Every stage can be done twice. Each writes first and commits under the job's fence afterwards; when the commit finds
the lease lost because the document was deleted, what was written is removed again.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ingest.blobs import Blobs
from ingest.catalog.catalog import Catalog
from ingest.catalog.jobs import Jobs
from ingest.chunking import Chunk, chunk_text, context_line
from ingest.documents import Document, Job, Version, VersionState, chunk_id
from ingest.errors import LeaseLostError
from ingest.faultpoints import reach
from ingest.parsing.types import Parser
from ingest.texts import Texts, byte_spans
from retrieval.bm25 import SparseEncoder
from retrieval.embedding import Embedder
from retrieval.index import IndexedChunk, IndexWriter

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
    index: IndexWriter
    sparse: SparseEncoder
    embedder: Embedder
    path_of: Callable[[str], Path]


class IngestTask:
    """Parse, normalize, chunk and index one version: from here BM25 finds it."""

    def __init__(self, shop: Workshop, parser: Parser, *, batch_chunks: int = _INDEX_BATCH) -> None:
        self._shop = shop
        self._parser = parser
        self._batch_chunks = batch_chunks

    def run(self, job: Job, stopping: Callable[[], bool]) -> None:
        """Raises the `ParseError`s, `LeaseLostError` and `Stopping`."""
        shop = self._shop
        document = shop.catalog.document(job.tenant_id, job.document_id)
        shop.jobs.progress(job, VersionState.PARSING)
        path = shop.path_of(document.version.blob_key)
        parsed = self._parser.parse(path, document.media_type, name=document.name)
        reach("ingest.parsed")
        shop.jobs.progress(job, VersionState.CHUNKING, pages=len(parsed.pages) or None, characters=len(parsed.text))
        chunks = chunk_text(parsed.text, markdown=document.media_type in _MARKDOWN, pages=parsed.pages)
        shop.texts.save(job.version_id, parsed.text, title=parsed.title, pages=parsed.pages, chunks=chunks)
        reach("ingest.text_saved")
        shop.jobs.progress(job, VersionState.INDEXING, chunks=len(chunks))
        try:
            self._index(job, document, parsed.text, parsed.title, chunks, stopping)
            reach("ingest.indexed")
            shop.jobs.finish_ingest(
                job,
                title=parsed.title,
                pages=len(parsed.pages) or None,
                characters=len(parsed.text),
                chunks=len(chunks),
            )
            reach("ingest.committed")
        except LeaseLostError:
            self._undo_if_deleted(job)
            raise

    def _index(
        self,
        job: Job,
        document: Document,
        text: str,
        title: str | None,
        chunks: Sequence[Chunk],
        stopping: Callable[[], bool],
    ) -> None:
        shop = self._shop
        indexed = list(_indexed(document, text, chunks))
        for at in range(0, len(chunks), self._batch_chunks):
            if stopping():
                raise Stopping
            some = chunks[at : at + self._batch_chunks]
            sparse = [
                shop.sparse.document(_with_context(title or document.name, chunk, text[chunk.start : chunk.end]))
                for chunk in some
            ]
            reach("ingest.writing")
            shop.index.upsert(indexed[at : at + self._batch_chunks], sparse)
            reach("ingest.half_indexed")

    def _undo_if_deleted(self, job: Job) -> None:
        if self._shop.catalog.version(job.version_id).state is VersionState.DELETED:
            self._shop.index.delete_version(job.tenant_id, job.version_id)
            self._shop.texts.delete(job.version_id)


class EmbedTask:
    """Give versions their vectors: from here dense retrieval finds them too."""

    def __init__(self, shop: Workshop, *, batch_chunks: int = _EMBED_BATCH) -> None:
        self._shop = shop
        self._batch_chunks = batch_chunks

    def run(self, jobs: Sequence[Job], stopping: Callable[[], bool]) -> None:
        """Small versions share batches; a long one is recorded batch by batch and resumed where it was."""
        small: list[tuple[Job, Version]] = []
        for job in jobs:
            version = self._shop.catalog.version(job.version_id)
            if (version.chunks or 0) > self._batch_chunks // 2:
                self._run_long(job, version, stopping)
            else:
                small.append((job, version))
        if small:
            self._run_small(small)

    def _run_long(self, job: Job, version: Version, stopping: Callable[[], bool]) -> None:
        shop = self._shop
        document = shop.catalog.document(job.tenant_id, job.document_id)
        chunks = shop.texts.map(version.id).chunks
        done, tokens = version.chunks_embedded, version.tokens or 0
        while done < len(chunks):
            if stopping():
                raise Stopping
            some = chunks[done : done + self._batch_chunks]
            tokens += self._embed([(version, document, some)])[0]
            done += len(some)
            shop.jobs.progress(job, VersionState.EMBEDDING, chunks_embedded=done, tokens=tokens)
        self._finish([(job, tokens)])

    def _run_small(self, work: Sequence[tuple[Job, Version]]) -> None:
        shop = self._shop
        batch: list[tuple[Version, Document, Sequence[Chunk]]] = [
            (version, shop.catalog.document(job.tenant_id, job.document_id), shop.texts.map(version.id).chunks)
            for job, version in work
        ]
        tokens = self._embed(batch)
        self._finish([(job, count) for (job, _), count in zip(work, tokens, strict=True)])

    def _embed(self, batch: Sequence[tuple[Version, Document, Sequence[Chunk]]]) -> list[int]:
        """Encode and write the chunks of several versions together; returns the tokens of each version."""
        shop = self._shop
        ids: list[str] = []
        texts: list[str] = []
        for version, document, chunks in batch:
            title = document.title or document.name
            body = shop.texts.read(version.id, chunks[0].start, chunks[-1].end) if chunks else ""
            for chunk in chunks:
                offset = chunks[0].start
                ids.append(chunk_id(version.id, chunk.start, chunk.end))
                texts.append(_with_context(title, chunk, body[chunk.start - offset : chunk.end - offset]))
        embedded = shop.embedder.documents(texts)
        reach("embed.encoded")
        shop.index.set_dense(ids, embedded.vectors)
        reach("embed.written")
        counts = iter(embedded.token_counts)
        return [sum(next(counts) for _ in chunks) for _, _, chunks in batch]

    def _finish(self, finished: Sequence[tuple[Job, int]]) -> None:
        lost = self._shop.jobs.finish_embed(finished)
        reach("embed.committed")
        if lost and len(finished) == 1:
            raise LeaseLostError(f"Job {lost[0].id} was taken over.")


class CollectTask:
    """Remove what a deleted version left in the index and the blobs."""

    def __init__(self, shop: Workshop) -> None:
        self._shop = shop

    def run(self, job: Job) -> None:
        shop = self._shop
        remove_version(shop.index, shop.texts, shop.blobs, shop.catalog.version(job.version_id))
        shop.jobs.finish_collect(job)


def remove_version(index: IndexWriter, texts: Texts, blobs: Blobs, version: Version) -> tuple[int, int]:
    """Chunks removed from the index, and bytes freed. Doing it again removes nothing."""
    chunks = index.delete_version(version.tenant_id, version.id)
    reach("delete.points_removed")
    return chunks, texts.delete(version.id) + blobs.delete(version.blob_key)


def _with_context(title: str, chunk: Chunk, text: str) -> str:
    return f"{context_line(title, chunk.heading_path)}\n{text}"


def _indexed(document: Document, text: str, chunks: Sequence[Chunk]) -> Iterator[IndexedChunk]:
    for chunk, (byte_start, byte_end) in zip(chunks, byte_spans(text, chunks), strict=True):
        yield IndexedChunk(
            id=chunk_id(document.version.id, chunk.start, chunk.end),
            tenant_id=document.tenant_id,
            collection=document.collection,
            document_id=document.id,
            version_id=document.version.id,
            ordinal=chunk.ordinal,
            start=chunk.start,
            end=chunk.end,
            byte_start=byte_start,
            byte_end=byte_end,
            page=chunk.page,
            heading_path=chunk.heading_path,
        )
