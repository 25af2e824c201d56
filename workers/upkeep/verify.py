"""Compares a generation of the index with the catalog and the stored texts, without changing anything."""

import random
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ingest.storage.documents.catalog import Catalog
from ingest.storage.documents.records import Document, Version, VersionState
from ingest.storage.errors import ContentChangedError, DocumentNotFoundError
from ingest.storage.generations.store import GenerationRecords
from ingest.storage.texts.chunks import Chunk
from ingest.storage.texts.texts import Texts
from retrieval.index.generations import OpenGeneration
from retrieval.index.port import IndexedChunk, SearchScope
from workers.tasks.vectors import iter_chunk_texts, iter_indexed_chunks

# Minimum cosine similarity of two vectors of the same text. Vectors of the same text from different batches of the int8
# encoder have a cosine similarity of at least 0.9999. Vectors of different texts in a document seldom reach 0.95.
MIN_SAME_COSINE = 0.99
_SEARCH_TOP_K = 100
_MAX_EXAMPLES = 5


@dataclass
class VersionDifferences:
    """The differences found in one version, as chunk counts.

    `examples` contains the ids of some of these chunks.
    """

    tenant_id: str
    document_id: str
    version_id: str
    missing: int = 0
    extra: int = 0
    different: int = 0
    without_vector: int = 0
    other_vector: int = 0
    not_found_by_words: int = 0
    text_lost: bool = False
    examples: list[str] = field(default_factory=list)

    @property
    def has_differences(self) -> bool:
        counts = (self.missing, self.extra, self.different, self.without_vector, self.other_vector)
        return self.text_lost or any((*counts, self.not_found_by_words))


@dataclass(frozen=True)
class VerificationResult:
    """The scope of a comparison, and the versions on which the index and the catalog disagree."""

    generation: int
    versions: int
    chunks: int
    sampled: int
    lowest_cosine: float | None
    disagreements: tuple[VersionDifferences, ...]

    @property
    def is_consistent(self) -> bool:
        return not self.disagreements


class Verifier:
    """Compares one generation of the index with the catalog and the texts."""

    def __init__(self, catalog: Catalog, records: GenerationRecords, texts: Texts, generation: OpenGeneration) -> None:
        """Prepare to compare `generation`, which is the active generation or the one being built or retained.

        If `generation` is not the active generation, only versions recorded as done are compared.
        """
        self._catalog = catalog
        self._records = records
        self._texts = texts
        self._made = generation
        self._beside = records.load_active_generation().id != generation.id
        self._lowest: float | None = None

    def verify_index(
        self, *, sample_size: int, seed: int, report_progress: Callable[[int, int], None] = lambda done, all_: None
    ) -> VerificationResult:
        """Compare every version, and encode a random sample of about `sample_size` chunks again.

        `seed` seeds the sample. Versions that seem wrong are compared a second time, because they may have been changed
        in the meantime.
        """
        versions = self._records.list_complete_versions() if self._beside else self._records.list_indexable_versions()
        total = sum(version.chunks or 0 for version in versions)
        chosen = self._choose_chunk_sample(versions, sample_size, total, random.Random(seed))
        found: list[VersionDifferences] = []
        for number, version in enumerate(versions, start=1):
            wrong = self._compare_version(version, chosen.get(version.id, ()))
            if (
                wrong.has_differences
                and (again := self._compare_again(version, chosen.get(version.id, ()))) is not None
            ):
                found.append(again)
            report_progress(number, len(versions))
        found += self._iter_unknown_points()
        sampled = sum(map(len, chosen.values()))
        return VerificationResult(self._made.id, len(versions), total, sampled, self._lowest, tuple(found))

    def _compare_again(self, version: Version, ordinals: Sequence[int]) -> VersionDifferences | None:
        """Compare a version again.

        Returns None if no differences remain, or if the version should no longer be in the index.
        """
        if not self._records.is_indexable_version(version.id):
            return None
        wrong = self._compare_version(self._catalog.load_version(version.id), ordinals)
        return wrong if wrong.has_differences and self._records.is_indexable_version(version.id) else None

    def _choose_chunk_sample(
        self, versions: Sequence[Version], sample_size: int, total: int, random_source: random.Random
    ) -> Mapping[str, Sequence[int]]:
        """Choose the chunks to encode again. Return their ordinals, keyed by version id."""
        chosen: dict[str, list[int]] = {}
        picked = sorted(random_source.sample(range(total), min(sample_size, total)))
        begin = 0
        numbers = iter(picked)
        number = next(numbers, None)
        for version in versions:
            end = begin + (version.chunks or 0)
            while number is not None and number < end:
                chosen.setdefault(version.id, []).append(number - begin)
                number = next(numbers, None)
            begin = end
        return chosen

    def _compare_version(self, version: Version, ordinals: Sequence[int]) -> VersionDifferences:
        wrong = VersionDifferences(version.tenant_id, version.document_id, version.id)
        try:
            document = self._catalog.load_document(version.tenant_id, version.document_id)
            entry = self._texts.load_map(version.id)
            text = self._texts.read(version.id)
        except DocumentNotFoundError:
            return wrong
        except (KeyError, ContentChangedError):
            wrong.text_lost = True
            return wrong
        expected = {
            chunk.id: chunk for chunk in iter_indexed_chunks(document, version, text, entry.chunks, entry.layout)
        }
        present = {chunk.id: chunk for chunk in self._made.index.iter_version_chunks(version.tenant_id, version.id)}
        self._compare_chunks(wrong, expected, present)
        vectors = version.state is not VersionState.FAILED if self._beside else version.state is VersionState.READY
        if vectors:
            self._compare_vectors(wrong, version, present, len(expected))
        self._compare_sample(
            wrong, document, version, [entry.chunks[i] for i in ordinals if i < len(entry.chunks)], present
        )
        return wrong

    def _compare_chunks(
        self,
        differences: VersionDifferences,
        expected_chunks: Mapping[str, IndexedChunk],
        indexed_chunks: Mapping[str, IndexedChunk],
    ) -> None:
        missing, extra = expected_chunks.keys() - indexed_chunks.keys(), indexed_chunks.keys() - expected_chunks.keys()
        different = {
            i
            for i in expected_chunks.keys() & indexed_chunks.keys()
            if not _is_same_chunk(expected_chunks[i], indexed_chunks[i])
        }
        differences.missing, differences.extra, differences.different = len(missing), len(extra), len(different)
        _add_examples(differences, missing | extra | different)

    def _compare_vectors(
        self,
        differences: VersionDifferences,
        version: Version,
        indexed_chunks: Mapping[str, IndexedChunk],
        expected_count: int,
    ) -> None:
        embedded = self._made.index.count_chunks(version.tenant_id, version.id, embedded_only=True)
        # Absent chunks were already counted as missing.
        differences.without_vector = max(0, min(len(indexed_chunks), expected_count) - embedded)

    def _compare_sample(
        self,
        differences: VersionDifferences,
        document: Document,
        version: Version,
        chunks: Sequence[Chunk],
        indexed_chunks: Mapping[str, IndexedChunk],
    ) -> None:
        """Compare stored vectors with newly encoded vectors, and search for each chunk by its own words."""
        texts = {i: str(text) for i, text in iter_chunk_texts(self._texts, version, chunks) if i in indexed_chunks}
        if not texts:
            return
        kept = self._made.index.load_dense_vectors(list(texts))
        if kept:
            again = self._made.encoder.embed_documents([texts[i] for i in kept], is_background=True).vectors
            cosines = {i: float(np.dot(kept[i], row)) for i, row in zip(kept, again, strict=True)}
            other = {i for i, cosine in cosines.items() if cosine < MIN_SAME_COSINE}
            self._lowest = min(self._lowest, *cosines.values()) if self._lowest is not None else min(cosines.values())
            differences.other_vector = len(other)
            _add_examples(differences, other)
        lost = {i for i, text in texts.items() if not self._can_find_chunk(document, version, i, text)}
        differences.not_found_by_words = len(lost)
        _add_examples(differences, lost)

    def _can_find_chunk(self, document: Document, version: Version, chunk_id: str, text: str) -> bool:
        scope = SearchScope(version.tenant_id, documents=(document.id,))
        query = self._made.sparse.encode_query(text)
        if not query.indices:
            return True
        hits, _ = self._made.index.search(scope, sparse_vector=query, dense_vector=None, limit=_SEARCH_TOP_K)
        # If a document contains the same text a hundred times, other chunks may fill the results.
        return len(hits) == _SEARCH_TOP_K or any(hit.id == chunk_id for hit in hits)

    def _iter_unknown_points(self) -> Iterator[VersionDifferences]:
        """Yield the points of versions that belong to no document and that no job is writing or about to remove."""
        index = self._made.index
        for version in self._records.select_stray_versions(set(index.count_chunks_by_version())):
            for tenant in index.list_version_tenants(version):
                yield VersionDifferences(tenant, "", version, extra=index.count_chunks(tenant, version))


def _is_same_chunk(expected_chunk: IndexedChunk, indexed_chunk: IndexedChunk) -> bool:
    """Return whether two records of a chunk agree.

    Records written by releases without digests may have no digest.
    """
    return indexed_chunk == (expected_chunk if indexed_chunk.digest else replace(expected_chunk, digest=""))


def _add_examples(differences: VersionDifferences, chunk_ids: Collection[str]) -> None:
    differences.examples += sorted(chunk_ids)[: _MAX_EXAMPLES - len(differences.examples)]
