"""The index in dictionaries: exact, slow, and for faults and units only. It runs the contract suite of the real one."""

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace

import numpy as np

from retrieval.encoders.port import DenseVector
from retrieval.errors import ChunksMissingError
from retrieval.index.points import is_in_scope
from retrieval.index.port import IndexedChunk, ScoredChunk, SearchScope, SparseVector, sort_by_score


class MemoryIndex:
    """`fault`, when set, is called with each method's name before it does anything, and may raise."""

    def __init__(self) -> None:
        self.kept: dict[str, IndexedChunk] = {}
        self.sparse: dict[str, SparseVector] = {}
        self.embeddings: dict[str, DenseVector] = {}
        self.readers: dict[tuple[str, str], frozenset[str]] = {}
        self.fault: Callable[[str], None] = lambda _: None

    def upsert_chunks(self, chunks: Sequence[IndexedChunk], sparse_vectors: Sequence[SparseVector]) -> None:
        self.fault("upsert")
        if len(chunks) != len(sparse_vectors):
            raise ValueError("each chunk must have a sparse vector")
        for chunk, vector in zip(chunks, sparse_vectors, strict=True):
            self.kept.setdefault(chunk.id, chunk)
            self.sparse.setdefault(chunk.id, vector)

    def set_dense_vectors(self, chunk_ids: Sequence[str], vectors: DenseVector) -> None:
        self.fault("set_dense")
        if len(chunk_ids) != len(vectors):
            raise ValueError("each chunk must have a dense vector")
        for identifier, vector in zip(chunk_ids, vectors, strict=True):
            if identifier not in self.kept:
                raise ChunksMissingError(f"There is no point {identifier}.")
            # Cosine is the product of vectors of length 1, and so the engine keeps them.
            self.embeddings[identifier] = (vector / (np.linalg.norm(vector) or 1)).astype(np.float32)

    def set_readers(self, tenant_id: str, version_id: str, readers: Collection[str] | None) -> None:
        self.fault("set_readers")
        if readers is None:
            self.readers.pop((tenant_id, version_id), None)
        else:
            self.readers[(tenant_id, version_id)] = frozenset(readers)

    def set_collection(self, tenant_id: str, version_id: str, collection: str) -> None:
        self.fault("set_collection")
        for identifier, chunk in list(self.kept.items()):
            if (chunk.tenant_id, chunk.version_id) == (tenant_id, version_id):
                self.kept[identifier] = replace(chunk, collection=collection)

    def delete_version(self, tenant_id: str, version_id: str) -> int:
        self.fault("delete_version")
        gone = [c.id for c in list(self.kept.values()) if (c.tenant_id, c.version_id) == (tenant_id, version_id)]
        for identifier in gone:
            del self.kept[identifier], self.sparse[identifier]
            self.embeddings.pop(identifier, None)
        return len(gone)

    def count_chunks(self, tenant_id: str, version_id: str, *, embedded_only: bool = False) -> int:
        self.fault("count")
        return sum(
            (c.tenant_id, c.version_id) == (tenant_id, version_id) and (not embedded_only or c.id in self.embeddings)
            for c in list(self.kept.values())
        )

    def search(
        self, scope: SearchScope, *, sparse_vector: SparseVector | None, dense_vector: DenseVector | None, limit: int
    ) -> tuple[list[ScoredChunk], list[ScoredChunk]]:
        self.fault("search")
        by_bm25 = self._by_bm25(scope, sparse_vector) if sparse_vector is not None else []
        by_dense = []
        if dense_vector is not None:
            by_dense = [
                ScoredChunk(i, float(np.dot(dense_vector, v)))
                for i, v in list(self.embeddings.items())
                if self._in(scope, i)
            ]
        return sort_by_score(by_bm25)[:limit], sort_by_score(by_dense)[:limit]

    def score_chunks_by_cosine(self, dense_vector: DenseVector, chunk_ids: Sequence[str]) -> list[ScoredChunk]:
        self.fault("compare")
        found = ((i, self.embeddings[i]) for i in chunk_ids if i in self.embeddings)
        return sort_by_score(ScoredChunk(i, float(np.dot(dense_vector, vector))) for i, vector in found)

    def load_chunks(self, scope: SearchScope, chunk_ids: Sequence[str]) -> dict[str, IndexedChunk]:
        return {i: self.kept[i] for i in chunk_ids if i in self.kept and is_in_scope(scope, self.kept[i])}

    def iter_version_chunks(self, tenant_id: str, version_id: str) -> Iterator[IndexedChunk]:
        for _, chunk in sorted(self.kept.items()):
            if (chunk.tenant_id, chunk.version_id) == (tenant_id, version_id):
                yield chunk

    def load_dense_vectors(self, chunk_ids: Sequence[str]) -> dict[str, DenseVector]:
        self.fault("dense")
        return {i: self.embeddings[i] for i in chunk_ids if i in self.embeddings}

    def find_chunks_by_digest(
        self, tenant_id: str, digests: Sequence[str]
    ) -> dict[str, tuple[IndexedChunk, DenseVector]]:
        self.fault("by_digest")
        return {
            chunk.digest: (chunk, self.embeddings[i])
            for i, chunk in self.kept.items()
            if chunk.tenant_id == tenant_id and chunk.digest in digests and i in self.embeddings
        }

    def count_chunks_by_version(self) -> dict[str, int]:
        return dict(Counter(c.version_id for c in list(self.kept.values())))

    def count_chunks_of_versions(
        self, versions: Sequence[tuple[str, str]], *, embedded_only: bool = False
    ) -> dict[str, int]:
        return {
            version: self.count_chunks(tenant, version, embedded_only=embedded_only) for tenant, version in versions
        }

    def list_version_tenants(self, version_id: str) -> list[str]:
        return sorted({c.tenant_id for c in list(self.kept.values()) if c.version_id == version_id})

    def require_ready(self) -> None:
        self.fault("require_ready")

    def flush(self) -> None:
        self.fault("flush")

    def close(self) -> None:
        return None

    def _in(self, scope: SearchScope, identifier: str) -> bool:
        chunk = self.kept[identifier]
        listed = self.readers.get((chunk.tenant_id, chunk.version_id))
        is_open = scope.readers is None or listed is None or not listed.isdisjoint(scope.readers)
        return is_open and is_in_scope(scope, chunk)

    def _by_bm25(self, scope: SearchScope, query: SparseVector) -> list[ScoredChunk]:
        mine = [(i, v) for i, v in list(self.sparse.items()) if self.kept[i].tenant_id == scope.tenant_id]
        documents = {i: dict(zip(v.indices, v.values, strict=True)) for i, v in mine}
        frequency = {term: sum(term in weights for weights in documents.values()) for term in query.indices}
        scores: list[ScoredChunk] = []
        for identifier, weights in documents.items():
            matched = [
                (term, weight) for term, weight in zip(query.indices, query.values, strict=True) if term in weights
            ]
            if matched and self._in(scope, identifier):
                idf = {
                    term: math.log1p((len(documents) - frequency[term] + 0.5) / (frequency[term] + 0.5))
                    for term, _ in matched
                }
                scores.append(
                    ScoredChunk(identifier, sum(weight * idf[term] * weights[term] for term, weight in matched))
                )
        return scores
