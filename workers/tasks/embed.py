"""The second stage of ingest: chunks get their vectors.

Every stage may be done twice: it writes first and commits under the job's fence afterwards.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from ingest.storage.documents.records import EmbedReport, VersionState
from ingest.storage.errors import LeaseLostError
from ingest.storage.instrumentation import reach
from ingest.storage.queue.records import Job, JobKind
from retrieval.index.generations import OpenGeneration
from retrieval.index.port import IndexWriter
from workers.deps import Stopping, WorkerDeps
from workers.tasks.vectors import Portion, VectorWriter, Written

_EMBED_BATCH = 256


class EmbedTask:
    """Gives versions their vectors; from then on dense retrieval finds them too."""

    def __init__(self, deps: WorkerDeps, *, batch_chunks: int = _EMBED_BATCH) -> None:
        self._deps = deps
        self._batch_chunks = batch_chunks

    def run(self, jobs: Sequence[Job], stopping: Callable[[], bool]) -> None:
        """Embed the versions of jobs that were claimed together.

        Small versions share batches; a long one is recorded batch by batch and resumed where it was. After each batch
        others may have a turn. Raises `Stopping` then, or when `stopping` says so.
        """
        try:
            with self._deps.generations.of(jobs[0].generation) as made:
                self._give_vectors(jobs, made, stopping)
        except Exception:
            if len(jobs) == 1:
                self._deps.jobs.check(jobs[0])  # if the version was withdrawn, that explains the error
            raise

    def _give_vectors(self, jobs: Sequence[Job], made: OpenGeneration, stopping: Callable[[], bool]) -> None:
        writer = VectorWriter(self._deps.texts, self._deps.catalog, made, JobKind.EMBED)
        versions = self._deps.catalog.versions([job.version_id for job in jobs])
        replaced = self._deps.catalog.replaced_by(list(versions))
        small: list[tuple[Job, Portion]] = []
        long: list[tuple[Job, Portion]] = []
        for job in jobs:
            version = versions[job.version_id]
            chunks = self._deps.texts.map(version.id).chunks
            portion = Portion(version, chunks, staged=version.id in replaced)
            (long if len(chunks) > self._batch_chunks // 2 else small).append((job, portion))
        for number, some in enumerate(self._together(small)):
            if stopping() or (number and self._deps.jobs.should_give_way(jobs)):
                raise Stopping
            written = writer.write([portion for _, portion in some])
            self._finish([_report(job, p, w, made.index) for (job, p), w in zip(some, written, strict=True)])
        for job, portion in long:
            self._run_long(job, portion, made, writer, stopping)

    def _together(self, small: Sequence[tuple[Job, Portion]]) -> Iterator[Sequence[tuple[Job, Portion]]]:
        """Group small versions into batches, each of about as many chunks as others wait for at most."""
        some: list[tuple[Job, Portion]] = []
        for job, portion in small:
            if some and sum(len(each.chunks) for _, each in some) + len(portion.chunks) > self._batch_chunks:
                yield some
                some = []
            some.append((job, portion))
        if some:
            yield some

    def _run_long(
        self, job: Job, whole: Portion, made: OpenGeneration, writer: VectorWriter, stopping: Callable[[], bool]
    ) -> None:
        deps, version = self._deps, whole.version
        done, total = version.chunks_embedded, Written(version.tokens or 0, version.chunks_reused)
        if done and made.index.count(version.tenant_id, version.id, embedded_only=True) < done:
            done, total = 0, Written(0, 0)  # the index lost some of what was recorded
        while done < len(whole.chunks):
            if stopping():
                raise Stopping
            some = replace(whole, chunks=whole.chunks[done : done + self._batch_chunks])
            total += writer.write([some])[0]
            done += len(some.chunks)
            deps.jobs.progress(
                job,
                VersionState.EMBEDDING,
                chunks_embedded=done,
                chunks_reused=total.reused,
                tokens=total.tokens,
            )
            if done < len(whole.chunks) and deps.jobs.should_give_way([job]):
                raise Stopping
        self._finish([_report(job, whole, total, made.index)])

    def _finish(self, finished: Sequence[EmbedReport]) -> None:
        lost = self._deps.jobs.finish_embed(finished, unused=self._deps.blobs.delete)
        reach("embed.committed")
        if lost and len(finished) == 1:
            raise LeaseLostError(f"Job {lost[0].id} was taken over.")


def _report(job: Job, portion: Portion, written: Written, index: IndexWriter) -> EmbedReport:
    version = portion.version
    indexed = None
    if portion.staged:  # a replacement is swapped in only when the index has all of it
        indexed = index.count(version.tenant_id, version.id, embedded_only=True)
    return EmbedReport(job, written.tokens, written.reused, indexed)
