"""The embedded index: a Qdrant Edge shard, the server's Rust engine in this process.

`optimize()` is never called here: in qdrant-edge-py 0.9.0 it holds the GIL until the graph is built (14.6 s for 46,000
chunks), which would stop every thread of the service. Without a graph vectors are compared exactly, about 3 ms for
50,000 chunks of 384 dimensions.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from qdrant_edge import (
    CountRequest,
    Distance,
    EdgeConfig,
    EdgeShard,
    EdgeSparseVectorParams,
    EdgeVectorParams,
    FieldCondition,
    Filter,
    Fusion,
    HasVectorCondition,
    KeywordIndexParams,
    MatchAny,
    MatchValue,
    Memory,
    Modifier,
    Point,
    PointVectors,
    Prefetch,
    Query,
    QueryBatchRequest,
    QueryRequest,
    ScrollRequest,
    UpdateOperation,
)
from qdrant_edge import SparseVector as EdgeSparseVector

from retrieval.errors import IndexUnavailableError
from retrieval.fusion import RRF_K
from retrieval.index import DenseVector, IndexedChunk, Scope, Scored, SparseVector

_DENSE, _SPARSE = "dense", "bm25"
_BATCH = 256
_KEYWORDS = ("tenant", "collection", "document", "version")


class QdrantEdgeIndex:
    """One shard for all tenants; every query is filtered by tenant here and nowhere else."""

    def __init__(self, folder: Path, *, dimension: int) -> None:
        """Raises `IndexUnavailableError` when the folder cannot be opened, as when another process has it."""
        self._shard = _open(folder, dimension)
        # The engine takes one writer at a time; readers need no lock.
        self._writing = threading.Lock()

    def upsert(self, chunks: Sequence[IndexedChunk], sparse: Sequence[SparseVector]) -> None:
        if len(chunks) != len(sparse):
            raise ValueError("each chunk needs its sparse vector")
        for at in range(0, len(chunks), _BATCH):
            points = [
                Point(chunk.id, {_SPARSE: _edge_sparse(vector)}, _payload(chunk))
                for chunk, vector in zip(chunks[at : at + _BATCH], sparse[at : at + _BATCH], strict=True)
            ]
            self._update(UpdateOperation.upsert_points(points))

    def set_dense(self, chunk_ids: Sequence[str], vectors: DenseVector) -> None:
        if len(chunk_ids) != len(vectors):
            raise ValueError("each chunk needs its dense vector")
        for at in range(0, len(chunk_ids), _BATCH):
            rows = vectors[at : at + _BATCH].astype(np.float32).tolist()
            points = [
                PointVectors(identifier, {_DENSE: row})
                for identifier, row in zip(chunk_ids[at : at + _BATCH], rows, strict=True)
            ]
            self._update(UpdateOperation.update_vectors(points))

    def delete_version(self, tenant_id: str, version_id: str) -> int:
        present = self.count(tenant_id, version_id)
        if present:
            self._update(UpdateOperation.delete_points_by_filter(_version_filter(tenant_id, version_id)))
        return present

    def count(self, tenant_id: str, version_id: str, *, embedded_only: bool = False) -> int:
        condition = [HasVectorCondition(_DENSE)] if embedded_only else []
        with _engine_errors():
            return self._shard.count(CountRequest(exact=True, filter=_version_filter(tenant_id, version_id, condition)))

    def dense(self, chunk_ids: Sequence[str]) -> dict[str, DenseVector]:
        if not chunk_ids:
            return {}
        with _engine_errors():
            records = self._shard.retrieve(list(chunk_ids), with_payload=False, with_vector=[_DENSE])
        named = ((str(record.id), record.vector) for record in records)
        return {i: np.asarray(v[_DENSE], np.float32) for i, v in named if isinstance(v, dict) and _DENSE in v}

    def search(
        self, scope: Scope, *, sparse: SparseVector | None, dense: DenseVector | None, limit: int
    ) -> tuple[list[Scored], list[Scored]]:
        wanted: list[tuple[int, Any]] = []
        if sparse is not None and sparse.indices:
            wanted.append((0, Query.Nearest(_edge_sparse(sparse), using=_SPARSE)))
        if dense is not None:
            wanted.append((1, Query.Nearest(dense.astype(np.float32).tolist(), using=_DENSE)))
        found: tuple[list[Scored], list[Scored]] = ([], [])
        if not wanted:
            return found
        where = _scope_filter(scope)
        requests = [QueryRequest(query=query, filter=where, limit=limit) for _, query in wanted]
        with _engine_errors():
            answers = self._shard.query_batch(QueryBatchRequest(requests))
        for (position, _), points in zip(wanted, answers, strict=True):
            hits = [Scored(str(point.id), point.score) for point in points]
            # The engine leaves ties in no fixed order.
            found[position].extend(sorted(hits, key=lambda hit: (-hit.score, hit.id)))
        return found

    def fused(self, scope: Scope, *, sparse: SparseVector, dense: DenseVector, limit: int, depth: int) -> int:
        where = _scope_filter(scope)
        queries = (
            Query.Nearest(dense.astype(np.float32).tolist(), using=_DENSE),
            Query.Nearest(_edge_sparse(sparse), using=_SPARSE),
        )
        fusion: Any = Fusion.Rrf(RRF_K + 1)  # the stubs call it a type of its own
        prefetches = [Prefetch(query=query, limit=depth, filter=where) for query in queries]
        request = QueryRequest(prefetches=prefetches, query=fusion, limit=limit, with_payload=True)
        with _engine_errors():
            return len(self._shard.query(request))

    def chunks(self, scope: Scope, chunk_ids: Sequence[str]) -> dict[str, IndexedChunk]:
        if not chunk_ids:
            return {}
        with _engine_errors():
            records = self._shard.retrieve(list(chunk_ids), with_payload=True, with_vector=False)
        found = (_chunk(str(record.id), record.payload) for record in records)
        return {chunk.id: chunk for chunk in found if _inside(scope, chunk)}

    def points(self, tenant_id: str, version_id: str) -> Iterator[IndexedChunk]:
        """Every chunk of a version, in the order of ids: for comparing index and catalog."""
        offset: Any = None
        where = _version_filter(tenant_id, version_id)
        while True:
            with _engine_errors():
                records, offset = self._shard.scroll(
                    ScrollRequest(filter=where, limit=1000, offset=offset, with_payload=True, with_vector=False)
                )
            for record in records:
                yield _chunk(str(record.id), record.payload)
            if offset is None:
                return

    def flush(self) -> None:
        with self._writing, _engine_errors():
            self._shard.flush()

    def close(self) -> None:
        with self._writing, _engine_errors():
            self._shard.flush()
            self._shard.close()

    def _update(self, operation: Any) -> None:  # noqa: ANN401 - the engine's own operation type
        with self._writing, _engine_errors():
            self._shard.update(operation)


def _open(folder: Path, dimension: int) -> EdgeShard:
    config = EdgeConfig(
        vectors={_DENSE: EdgeVectorParams(size=dimension, distance=Distance.Cosine, memory=Memory.Cold)},
        sparse_vectors={_SPARSE: EdgeSparseVectorParams(modifier=Modifier.Idf)},
        payload_memory=Memory.Cold,
    )
    with _engine_errors():
        if folder.exists() and any(folder.iterdir()):
            return EdgeShard.load(str(folder), config)
        folder.mkdir(parents=True, exist_ok=True)
        shard = EdgeShard.create(str(folder), config)
        for field in _KEYWORDS:
            shard.update(UpdateOperation.create_field_index(field, KeywordIndexParams(is_tenant=field == "tenant")))
        return shard


@contextmanager
def _engine_errors() -> Iterator[None]:
    """The engine raises bare `Exception`; what leaves this module is ours."""
    try:
        yield
    except Exception as error:
        hint = ""
        if "WouldBlock" in str(error):
            hint = "Another process has this index open: stop it, or choose another folder with LEADLINE_HOME."
        raise IndexUnavailableError(f"The vector index refused: {error}", hint=hint) from error


def _edge_sparse(vector: SparseVector) -> EdgeSparseVector:
    return EdgeSparseVector(list(vector.indices), list(vector.values))


def _equals(field: str, value: str) -> FieldCondition:
    return FieldCondition(key=field, match=MatchValue(value))


def _version_filter(tenant_id: str, version_id: str, more: Sequence[Any] = ()) -> Filter:
    return Filter(must=[_equals("tenant", tenant_id), _equals("version", version_id), *more])


def _scope_filter(scope: Scope) -> Filter:
    must: list[Any] = [_equals("tenant", scope.tenant_id)]
    if scope.collections:
        must.append(FieldCondition(key="collection", match=MatchAny(list(scope.collections))))
    if scope.documents:
        must.append(FieldCondition(key="document", match=MatchAny(list(scope.documents))))
    must_not: list[Any] = []
    if scope.hidden_versions:
        must_not.append(FieldCondition(key="version", match=MatchAny(list(scope.hidden_versions))))
    return Filter(must=must, must_not=must_not)


def _inside(scope: Scope, chunk: IndexedChunk) -> bool:
    """The same filter for chunks asked for by id."""
    return (
        chunk.tenant_id == scope.tenant_id
        and (not scope.collections or chunk.collection in scope.collections)
        and (not scope.documents or chunk.document_id in scope.documents)
        and chunk.version_id not in scope.hidden_versions
    )


def _payload(chunk: IndexedChunk) -> dict[str, Any]:
    return {
        "tenant": chunk.tenant_id,
        "collection": chunk.collection,
        "document": chunk.document_id,
        "version": chunk.version_id,
        "ordinal": chunk.ordinal,
        "span": [chunk.start, chunk.end, chunk.byte_start, chunk.byte_end],
        "page": chunk.page,
        "headings": list(chunk.heading_path),
    }


def _chunk(identifier: str, payload: dict[str, Any] | None) -> IndexedChunk:
    if payload is None:
        raise IndexUnavailableError(f"Point {identifier} has no payload.")
    start, end, byte_start, byte_end = payload["span"]
    return IndexedChunk(
        id=identifier,
        tenant_id=payload["tenant"],
        collection=payload["collection"],
        document_id=payload["document"],
        version_id=payload["version"],
        ordinal=payload["ordinal"],
        start=start,
        end=end,
        byte_start=byte_start,
        byte_end=byte_end,
        page=payload["page"],
        heading_path=tuple(payload["headings"]),
    )
