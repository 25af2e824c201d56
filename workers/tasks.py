"""What a worker does with a job, the same in threads and in Celery: embedding and collecting; `ingesting` comes first.

Every stage can be done twice. Each writes first and commits under the job's fence afterwards; when the commit finds
the lease lost because the document was deleted, what was written is removed again.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ingest.blobs import Blobs
from ingest.catalog.catalog import Catalog
from ingest.catalog.jobs import Jobs
from ingest.documents import EmbedReport, Job, JobKind, VersionState
from ingest.errors import LeaseLostError
from ingest.faultpoints import reach
from ingest.tables import RecordTables
from ingest.texts import Texts
from retrieval.bm25 import SparseEncoder
from retrieval.generations import Generations, OpenGeneration
from retrieval.index import IndexWriter
from workers.collecting import Collector
from workers.vectors import Portion, VectorWriter, Written

_EMBED_BATCH = 256


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

    @property
    def tables(self) -> RecordTables:
        return RecordTables(self.blobs)


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
        writer = VectorWriter(self._shop.texts, self._shop.catalog, made, JobKind.EMBED)
        versions = self._shop.catalog.versions([job.version_id for job in jobs])
        replaced = self._shop.catalog.replaced_by(list(versions))
        small: list[tuple[Job, Portion]] = []
        for job in jobs:
            version = versions[job.version_id]
            chunks = self._shop.texts.map(version.id).chunks
            portion = Portion(version, chunks, staged=version.id in replaced)
            if len(chunks) > self._batch_chunks // 2:
                self._run_long(job, portion, made, writer, stopping)
            else:
                small.append((job, portion))
        for some in self._together(small):
            if stopping():
                raise Stopping
            written = writer.write([portion for _, portion in some])
            self._finish([_report(job, p, w, made.index) for (job, p), w in zip(some, written, strict=True)])

    def _together(self, small: Sequence[tuple[Job, Portion]]) -> Iterator[Sequence[tuple[Job, Portion]]]:
        """In their order, a few batches of chunks at once: no step may take a slow encoder minutes."""
        some: list[tuple[Job, Portion]] = []
        for job, portion in small:
            if some and sum(len(each.chunks) for _, each in some) + len(portion.chunks) > 4 * self._batch_chunks:
                yield some
                some = []
            some.append((job, portion))
        if some:
            yield some

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
    if portion.staged:  # a replacement is swapped in only when the index has all of it
        indexed = index.count(version.tenant_id, version.id, embedded_only=True)
    return EmbedReport(job, written.tokens, written.reused, indexed)
