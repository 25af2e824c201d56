"""The second stage of ingest: computing the vectors of chunks.

Every stage may be repeated: it first writes its results and then commits them under the job's fencing token.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from ingest.storage.documents.records import EmbedReport, VersionState
from ingest.storage.errors import LeaseLostError
from ingest.storage.instrumentation import reach_fault_point
from ingest.storage.queue.records import Job, JobKind
from retrieval.index.generations import OpenGeneration
from retrieval.index.port import IndexWriter
from workers.deps import WorkerDeps, WorkerStopping
from workers.tasks.vectors import Portion, VectorCounts, VectorWriter

_BATCH_CHUNKS = 256


class EmbedTask:
    """Adds vectors to versions, so that dense retrieval finds them too."""

    def __init__(self, deps: WorkerDeps, *, batch_chunks: int = _BATCH_CHUNKS) -> None:
        self._deps = deps
        self._batch_chunks = batch_chunks

    def run(self, jobs: Sequence[Job], should_stop: Callable[[], bool]) -> None:
        """Embed the versions of jobs that were claimed together.

        Small versions share batches. A long version is recorded batch by batch and resumed where it stopped. Raises
        `WorkerStopping` if another job gets a turn after a batch, or if `should_stop` returns true.
        """
        try:
            with self._deps.generations.use_generation(jobs[0].generation) as made:
                self._embed_jobs(jobs, made, should_stop)
        except Exception:
            if len(jobs) == 1:
                self._deps.jobs.require_lease(jobs[0])  # raises `LeaseLostError` if the version was withdrawn
            raise

    def _embed_jobs(self, jobs: Sequence[Job], generation: OpenGeneration, should_stop: Callable[[], bool]) -> None:
        writer = VectorWriter(self._deps.texts, self._deps.catalog, generation, JobKind.EMBED)
        versions = self._deps.catalog.load_versions([job.version_id for job in jobs])
        replaced = self._deps.catalog.load_replaced_versions(list(versions))
        small: list[tuple[Job, Portion]] = []
        long: list[tuple[Job, Portion]] = []
        for job in jobs:
            version = versions[job.version_id]
            chunks = self._deps.texts.load_map(version.id).chunks
            portion = Portion(version, chunks, staged=version.id in replaced)
            (long if len(chunks) > self._batch_chunks // 2 else small).append((job, portion))
        for number, some in enumerate(self._group_small_versions(small)):
            if should_stop() or (number and self._deps.jobs.should_yield(jobs)):
                raise WorkerStopping
            written = writer.write_vectors([portion for _, portion in some])
            self._finish_jobs(
                [_build_report(job, p, w, generation.index) for (job, p), w in zip(some, written, strict=True)]
            )
        for job, portion in long:
            self._embed_long_version(job, portion, generation, writer, should_stop)

    def _group_small_versions(self, portions: Sequence[tuple[Job, Portion]]) -> Iterator[Sequence[tuple[Job, Portion]]]:
        """Group small versions into batches of at most `batch_chunks` chunks, to limit how long other jobs wait."""
        some: list[tuple[Job, Portion]] = []
        for job, portion in portions:
            if some and sum(len(each.chunks) for _, each in some) + len(portion.chunks) > self._batch_chunks:
                yield some
                some = []
            some.append((job, portion))
        if some:
            yield some

    def _embed_long_version(
        self,
        job: Job,
        portion: Portion,
        generation: OpenGeneration,
        writer: VectorWriter,
        should_stop: Callable[[], bool],
    ) -> None:
        deps, version = self._deps, portion.version
        done, total = version.chunks_embedded, VectorCounts(version.tokens or 0, version.chunks_reused)
        if done and generation.index.count_chunks(version.tenant_id, version.id, embedded_only=True) < done:
            done, total = 0, VectorCounts(0, 0)  # the index has lost some of the recorded vectors
        while done < len(portion.chunks):
            if should_stop():
                raise WorkerStopping
            some = replace(portion, chunks=portion.chunks[done : done + self._batch_chunks])
            total += writer.write_vectors([some])[0]
            done += len(some.chunks)
            deps.jobs.record_progress(
                job,
                VersionState.EMBEDDING,
                chunks_embedded=done,
                chunks_reused=total.reused,
                tokens=total.tokens,
            )
            if done < len(portion.chunks) and deps.jobs.should_yield([job]):
                raise WorkerStopping
        self._finish_jobs([_build_report(job, portion, total, generation.index)])

    def _finish_jobs(self, reports: Sequence[EmbedReport]) -> None:
        lost = self._deps.jobs.finish_embed(reports, on_unused_blob=self._deps.blobs.delete)
        reach_fault_point("embed.committed")
        if lost and len(reports) == 1:
            raise LeaseLostError(f"Job {lost[0].id} was taken over by another worker.")


def _build_report(job: Job, portion: Portion, counts: VectorCounts, index: IndexWriter) -> EmbedReport:
    version = portion.version
    indexed = None
    if portion.staged:  # a replacement becomes active only when all of its chunks are in the index
        indexed = index.count_chunks(version.tenant_id, version.id, embedded_only=True)
    return EmbedReport(job, counts.tokens, counts.reused, indexed)
