"""What a worker does with a job: the stages of ingest, the same in threads and in Celery.

Every stage can be done twice. Each writes first and commits under the job's fence afterwards; when the commit finds
the lease lost because the document was deleted, what was written is removed again.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ingest.blobs import Blobs
from ingest.catalog.catalog import Catalog
from ingest.catalog.jobs import Jobs
from ingest.chunking import Chunk, chunk_text
from ingest.documents import Document, EmbedReport, Job, Version, VersionState, chunk_id
from ingest.errors import LeaseLostError
from ingest.faultpoints import reach
from ingest.parsing.types import Parser
from ingest.texts import Texts, byte_spans
from retrieval.bm25 import SparseEncoder
from retrieval.embedding import Embedder
from retrieval.index import IndexedChunk, IndexWriter
from workers.collecting import Collector
from workers.vectors import KeptVectors, chunk_texts, with_context

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
        try:
            self._make_searchable(job, stopping)
        except Exception:
            self._undo_if_withdrawn(job)
            self._shop.jobs.check(job)  # what goes wrong with a version that was withdrawn is no fault of it
            raise

    def _make_searchable(self, job: Job, stopping: Callable[[], bool]) -> None:
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
        self._index(job, document, version, parsed.text, parsed.title or version.name, chunks, stopping)
        reach("ingest.indexed")
        shop.jobs.finish_ingest(job, title=parsed.title, pages=pages, characters=characters, chunks=len(chunks))
        reach("ingest.committed")

    def _index(
        self,
        job: Job,
        document: Document,
        version: Version,
        text: str,
        title: str,
        chunks: Sequence[Chunk],
        stopping: Callable[[], bool],
    ) -> None:
        shop = self._shop
        indexed = list(_indexed(document, version, text, chunks))
        for at in range(0, len(chunks), self._batch_chunks):
            if stopping():
                raise Stopping
            some = chunks[at : at + self._batch_chunks]
            sparse = [shop.sparse.document(with_context(title, chunk, text[chunk.start : chunk.end])) for chunk in some]
            shop.jobs.check(job)  # what is written after a withdrawal must be found by its collection
            reach("ingest.writing")
            shop.index.upsert(indexed[at : at + self._batch_chunks], sparse)
            reach("ingest.half_indexed")

    def _undo_if_withdrawn(self, job: Job) -> None:
        if self._shop.catalog.leaving(job.version_id) is not None:
            self._shop.index.delete_version(job.tenant_id, job.version_id)
            self._shop.texts.delete(job.version_id)


class EmbedTask:
    """Give versions their vectors: from here dense retrieval finds them too."""

    def __init__(self, shop: Workshop, *, batch_chunks: int = _EMBED_BATCH) -> None:
        self._shop = shop
        self._batch_chunks = batch_chunks

    def run(self, jobs: Sequence[Job], stopping: Callable[[], bool]) -> None:
        """Small versions share batches; a long one is recorded batch by batch and resumed where it was."""
        try:
            self._give_vectors(jobs, stopping)
        except Exception:
            if len(jobs) == 1:
                self._shop.jobs.check(jobs[0])  # what goes wrong with a version that was withdrawn is no fault of it
            raise

    def _give_vectors(self, jobs: Sequence[Job], stopping: Callable[[], bool]) -> None:
        replaced = self._shop.catalog.replaced_by([job.version_id for job in jobs])
        small: list[tuple[Job, _Portion]] = []
        for job in jobs:
            version = self._shop.catalog.version(job.version_id)
            chunks = self._shop.texts.map(version.id).chunks
            old = replaced.get(version.id)
            kept = KeptVectors(self._shop.texts, self._shop.index, old) if old else None
            portion = _Portion(version, chunks, kept)
            if len(chunks) > self._batch_chunks // 2:
                self._run_long(job, portion, stopping)
            else:
                small.append((job, portion))
        if small:
            written = self._write([portion for _, portion in small])
            self._finish([self._report(job, portion, w) for (job, portion), w in zip(small, written, strict=True)])

    def _run_long(self, job: Job, whole: "_Portion", stopping: Callable[[], bool]) -> None:
        shop, version = self._shop, whole.version
        done, total = version.chunks_embedded, _Written(version.tokens or 0, version.chunks_reused)
        if done and shop.index.count(version.tenant_id, version.id, embedded_only=True) < done:
            done, total = 0, _Written(0, 0)  # the index lost some of what was recorded
        while done < len(whole.chunks):
            if stopping():
                raise Stopping
            some = replace(whole, chunks=whole.chunks[done : done + self._batch_chunks])
            total += self._write([some])[0]
            done += len(some.chunks)
            shop.jobs.progress(
                job,
                VersionState.EMBEDDING,
                chunks_embedded=done,
                chunks_reused=total.reused,
                tokens=total.tokens,
            )
        self._finish([self._report(job, whole, total)])

    def _write(self, portions: Sequence["_Portion"]) -> list["_Written"]:
        """Give the chunks of several versions their vectors, the new ones encoded together."""
        shop = self._shop
        texts = [list(chunk_texts(shop.texts, portion.version, portion.chunks)) for portion in portions]
        kept = [
            portion.kept.find([text for _, text in part]) if portion.kept else {}
            for portion, part in zip(portions, texts, strict=True)
        ]
        old = [(i, known[text]) for part, known in zip(texts, kept, strict=True) for i, text in part if text in known]
        new = [(i, text) for part, known in zip(texts, kept, strict=True) for i, text in part if text not in known]
        if old:
            shop.index.set_dense([i for i, _ in old], np.stack([vector for _, vector in old]))
        counts: dict[str, int] = {}
        if new:
            embedded = shop.embedder.documents([text for _, text in new])
            reach("embed.encoded")
            shop.index.set_dense([i for i, _ in new], embedded.vectors)
            reach("embed.written")
            counts = dict(zip((i for i, _ in new), embedded.token_counts, strict=True))
        return [
            _Written(
                round(sum(counts[i] if i in counts else portion.tokens(text) for i, text in part)),
                sum(i not in counts for i, _ in part),
            )
            for portion, part in zip(portions, texts, strict=True)
        ]

    def _report(self, job: Job, portion: "_Portion", written: "_Written") -> EmbedReport:
        version = portion.version
        indexed = None
        if portion.kept:  # a replacement is swapped in only when the index has all of it
            indexed = self._shop.index.count(version.tenant_id, version.id, embedded_only=True)
        return EmbedReport(job, written.tokens, written.reused, indexed)

    def _finish(self, finished: Sequence[EmbedReport]) -> None:
        lost = self._shop.jobs.finish_embed(finished)
        reach("embed.committed")
        if lost and len(finished) == 1:
            raise LeaseLostError(f"Job {lost[0].id} was taken over.")


@dataclass(frozen=True)
class _Portion:
    """Chunks of a version that get their vectors together; `kept` are those of the version that it replaces."""

    version: Version
    chunks: Sequence[Chunk]
    kept: KeptVectors | None

    def tokens(self, text: str) -> float:
        return self.kept.tokens(text) if self.kept else 0.0


@dataclass(frozen=True)
class _Written:
    """Tokens of chunks that have their vectors, and how many of these vectors are old ones."""

    tokens: int
    reused: int

    def __add__(self, other: "_Written") -> "_Written":
        return _Written(self.tokens + other.tokens, self.reused + other.reused)


class CollectTask:
    """Remove what a withdrawn or failed version left in the index and the blobs."""

    def __init__(self, shop: Workshop) -> None:
        self._shop = shop
        self._collector = Collector(shop.catalog, shop.index, shop.texts, shop.blobs)

    def run(self, job: Job) -> None:
        """Raises `LeaseLostError`."""
        self._shop.jobs.check(job)
        chunks, size = self._collector.remove(self._shop.catalog.version(job.version_id))
        self._shop.jobs.finish_collect(job, chunks=chunks, size=size)


def _indexed(document: Document, version: Version, text: str, chunks: Sequence[Chunk]) -> Iterator[IndexedChunk]:
    for chunk, (byte_start, byte_end) in zip(chunks, byte_spans(text, chunks), strict=True):
        yield IndexedChunk(
            id=chunk_id(version.id, chunk.start, chunk.end),
            tenant_id=document.tenant_id,
            collection=document.collection,
            document_id=document.id,
            version_id=version.id,
            ordinal=chunk.ordinal,
            start=chunk.start,
            end=chunk.end,
            byte_start=byte_start,
            byte_end=byte_end,
            page=chunk.page,
            heading_path=chunk.heading_path,
        )
