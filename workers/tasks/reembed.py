"""Adds versions to the index generation that is being built, from their stored texts and chunk maps."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ingest.storage.documents.records import IN_PROGRESS, Version, VersionState
from ingest.storage.errors import IncompleteVersionError, TextLostError
from ingest.storage.instrumentation import reach_fault_point
from ingest.storage.queue.records import Failure, Job, JobKind
from ingest.storage.texts.texts import TextMap
from retrieval.index.generations import OpenGeneration
from retrieval.index.languages import SAMPLE_CHARS, detect_language
from retrieval.index.port import IndexedChunk
from workers.deps import WorkerDeps, WorkerStopping
from workers.tasks.access import write_permissions_of_new_points
from workers.tasks.vectors import Portion, VectorWriter, compute_word_weights, iter_chunk_texts, iter_indexed_chunks

_INDEX_BATCH_CHUNKS = 512
_EMBED_BATCH_CHUNKS = 256
_AWAITING_VECTORS = Failure(
    "vectors_awaited", "The vectors of the document are being computed and will be copied when they are complete."
)


@dataclass(frozen=True)
class _PartialVersion:
    """A version whose chunks are all in the generation. At least `embedded` of these chunks have vectors."""

    job: Job
    version: Version
    map: TextMap
    embedded: int

    @property
    def remaining(self) -> int:
        return len(self.map.chunks) - self.embedded


class ReembedTask:
    """Writes chunks and vectors to the generation being built, continuing where an earlier attempt stopped.

    Like every task, it commits under the job's fencing token. If a version is withdrawn in the meantime, its written
    content is removed.
    """

    def __init__(self, deps: WorkerDeps, *, batch_chunks: int = _EMBED_BATCH_CHUNKS) -> None:
        self._deps = deps
        self._batch_chunks = batch_chunks
        self.uncommitted_chunks = 0

    def run(self, jobs: Sequence[Job], should_stop: Callable[[], bool]) -> None:
        """Run jobs that were claimed together. Small versions share batches."""
        with self._deps.generations.use_generation(jobs[0].generation) as made:
            try:
                self._reembed_jobs(jobs, made, should_stop)
            except Exception:
                if len(jobs) == 1:
                    self._undo_if_withdrawn(jobs[0], made)
                    self._deps.jobs.require_lease(jobs[0])
                raise
            finally:
                self.uncommitted_chunks = 0

    def _reembed_jobs(self, jobs: Sequence[Job], generation: OpenGeneration, should_stop: Callable[[], bool]) -> None:
        waiting: list[_PartialVersion] = []
        for job in jobs:
            # guard: copying-awaits-vectors
            if generation.copied is not None and self._is_awaiting_vectors(job):
                self._deps.jobs.postpone(job, _AWAITING_VECTORS)
                continue
            begun = self._prepare_version(job, generation, should_stop)
            if begun.remaining > self._batch_chunks // 2:
                self._embed_long_version(begun, generation, should_stop)
                self._finish_version(begun, generation)
                continue
            waiting.append(begun)
            if sum(each.remaining for each in waiting) >= self._batch_chunks:
                self._embed_versions_together(waiting, generation)
                waiting = []
        self._embed_versions_together(waiting, generation)

    def _is_awaiting_vectors(self, job: Job) -> bool:
        """Return whether another job is still computing the vectors that this job should copy."""
        return self._deps.catalog.load_version(job.version_id).state in IN_PROGRESS

    def _prepare_version(
        self, job: Job, generation: OpenGeneration, should_stop: Callable[[], bool]
    ) -> _PartialVersion:
        """Write the missing chunks of a version. Raises `TextLostError` if its text is missing from the blobs."""
        deps = self._deps
        deps.jobs.require_lease(job)
        document = deps.catalog.load_document(job.tenant_id, job.document_id)
        version = deps.catalog.load_version(job.version_id)
        try:
            entry = deps.texts.load_map(version.id)
            text = deps.texts.read(version.id)
        except KeyError as error:
            raise TextLostError(f"The text of document {document.id} is missing from the blobs.") from error
        present = generation.index.count_chunks(version.tenant_id, version.id)
        if present > len(entry.chunks):  # the points were written from a different chunk map and are therefore unusable
            generation.index.delete_version(version.tenant_id, version.id)
            present = 0
        if present < len(entry.chunks):
            indexed = list(iter_indexed_chunks(document, version, text, entry.chunks, entry.layout))
            self._write_chunks(job, version, entry, indexed, generation, should_stop)
        write_permissions_of_new_points(deps.catalog, generation.index, [(document.id, version.id)])
        if version.state is VersionState.FAILED:  # BM25 finds the version, but it has no vectors in any generation
            return _PartialVersion(job, version, entry, len(entry.chunks))
        embedded = generation.index.count_chunks(version.tenant_id, version.id, embedded_only=True)
        if embedded < len(entry.chunks):  # batches are written in order, and the last batch may be incomplete
            embedded -= embedded % self._batch_chunks
        return _PartialVersion(job, version, entry, embedded)

    def _write_chunks(
        self,
        job: Job,
        version: Version,
        text_map: TextMap,
        indexed_chunks: Sequence[IndexedChunk],
        generation: OpenGeneration,
        should_stop: Callable[[], bool],
    ) -> None:
        deps = self._deps
        language = detect_language(deps.texts.read(version.id, 0, SAMPLE_CHARS))
        for at in range(0, len(indexed_chunks), _INDEX_BATCH_CHUNKS):
            if should_stop():
                raise WorkerStopping
            some = text_map.chunks[at : at + _INDEX_BATCH_CHUNKS]
            sparse = [
                compute_word_weights(generation.sparse, text, name=version.name, language=language)
                for _, text in iter_chunk_texts(deps.texts, version, some)
            ]
            deps.jobs.require_lease(job)  # the removal of a withdrawn version must find all content that was written
            reach_fault_point("reembed.writing")
            generation.index.upsert_chunks(indexed_chunks[at : at + _INDEX_BATCH_CHUNKS], sparse)
            reach_fault_point("reembed.half_indexed")

    def _embed_long_version(
        self, partial_version: _PartialVersion, generation: OpenGeneration, should_stop: Callable[[], bool]
    ) -> None:
        writer = VectorWriter(self._deps.texts, self._deps.catalog, generation, JobKind.REEMBED)
        self.uncommitted_chunks = partial_version.embedded
        for at in range(partial_version.embedded, len(partial_version.map.chunks), self._batch_chunks):
            if should_stop():
                raise WorkerStopping
            writer.write_vectors(
                [Portion(partial_version.version, partial_version.map.chunks[at : at + self._batch_chunks])]
            )
            self.uncommitted_chunks = at + self._batch_chunks

    def _embed_versions_together(self, partial_versions: Sequence[_PartialVersion], generation: OpenGeneration) -> None:
        portions = [
            Portion(each.version, each.map.chunks[each.embedded :]) for each in partial_versions if each.remaining
        ]
        if portions:
            VectorWriter(self._deps.texts, self._deps.catalog, generation, JobKind.REEMBED).write_vectors(portions)
        for each in partial_versions:
            self._finish_version(each, generation)

    def _finish_version(self, partial_version: _PartialVersion, generation: OpenGeneration) -> None:
        version, wanted = partial_version.version, len(partial_version.map.chunks)
        vectors = version.state is not VersionState.FAILED
        found = generation.index.count_chunks(version.tenant_id, version.id, embedded_only=vectors)
        if found != wanted:
            raise IncompleteVersionError(
                f"Generation {generation.id} contains {found} of the {wanted} chunks of version {version.id}."
            )
        self._deps.jobs.finish_reembed(partial_version.job)
        self.uncommitted_chunks = 0
        reach_fault_point("reembed.committed")

    def _undo_if_withdrawn(self, job: Job, generation: OpenGeneration) -> None:
        if self._deps.catalog.find_removable_version(job.version_id) is not None:
            generation.index.delete_version(job.tenant_id, job.version_id)
