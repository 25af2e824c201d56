"""The embedded index: a Qdrant Edge shard, which runs the server's Rust engine in this process.

Searches are exact; sealed vectors are preselected by short codes (see `edge_shard`). Recent writes are sealed in
another process, because the engine holds the GIL while it seals them.
"""

import math
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from qdrant_edge import (
    CountRequest,
    EdgeShard,
    FacetRequest,
    FieldCondition,
    Filter,
    HasIdCondition,
    HasVectorCondition,
    IdfParams,
    IsEmptyCondition,
    MatchAny,
    MatchValue,
    Point,
    PointVectors,
    Query,
    QueryBatchRequest,
    QueryRequest,
    ScrollRequest,
    SearchParams,
    UpdateMode,
    UpdateOperation,
)
from qdrant_edge import SparseVector as EdgeSparseVector

from retrieval.encoders.port import DenseVector
from retrieval.index.edge.compaction import DEFAULT_POLICY, IndexMaintenance, MaintenancePolicy
from retrieval.index.edge.edge_shard import DENSE_SEARCH
from retrieval.index.edge.live_shard import LiveShard, Observer
from retrieval.index.edge.shard_room import ShardDiskSpace, UncheckedDiskSpace
from retrieval.index.points import (
    BATCH_POINTS,
    COLLECTION,
    DENSE,
    DIGEST,
    DOCUMENT,
    PAGE_POINTS,
    READERS,
    SPARSE,
    TENANT,
    VERSION,
    build_payload,
    build_readers_payload,
    is_in_scope,
    parse_chunk,
    rank_points,
)
from retrieval.index.port import IndexedChunk, ScoredChunk, SearchScope, SparseVector
from retrieval.index.sole_tenant import SoleTenantTracker

# Compares vectors at full precision, because codes do not speed up so few comparisons.
_EXACT_SEARCH = SearchParams(exact=True)
# Limit for facet queries, which require one. This limit exceeds the number of distinct values of any field in a shard.
_NO_LIMIT = 2**40
_UNCHECKED_DISK_SPACE = UncheckedDiskSpace()


class QdrantEdgeIndex:
    """The index of all tenants in one shard. Every query is restricted to one tenant."""

    def __init__(
        self,
        folder: Path,
        *,
        dimension: int,
        policy: MaintenancePolicy = DEFAULT_POLICY,
        observer: Observer = lambda _: None,
        disk_space: ShardDiskSpace = _UNCHECKED_DISK_SPACE,
    ) -> None:
        """Open the index, or create it. Raises `IndexUnavailableError`, for example if it is open in another process.

        Raises `StorageFullError` if `disk_space` finds too little disk space. `observer` receives the name of each
        compaction step, in the thread that runs the step.
        """
        self._shard = LiveShard(
            folder, dimension, journal_points=policy.journal_points, observer=observer, disk_space=disk_space
        )
        self._upkeep = IndexMaintenance(self._shard, dimension, policy, observer)
        self._sole_tenant = SoleTenantTracker(self._list_tenants, recheck_seconds=math.inf)

    def upsert_chunks(self, chunks: Sequence[IndexedChunk], sparse_vectors: Sequence[SparseVector]) -> None:
        if len(chunks) != len(sparse_vectors):
            raise ValueError("each chunk must have a sparse vector")
        for at in range(0, len(chunks), BATCH_POINTS):
            points = [
                Point(chunk.id, {SPARSE: _convert_sparse_vector(vector)}, build_payload(chunk))
                for chunk, vector in zip(
                    chunks[at : at + BATCH_POINTS], sparse_vectors[at : at + BATCH_POINTS], strict=True
                )
            ]
            # guard: insert-only-chunks
            self._add_points(UpdateOperation.upsert_points(points, update_mode=UpdateMode.InsertOnly), len(points))
            self._sole_tenant.record_tenants({chunk.tenant_id for chunk in chunks[at : at + BATCH_POINTS]})

    def set_dense_vectors(self, chunk_ids: Sequence[str], vectors: DenseVector) -> None:
        if len(chunk_ids) != len(vectors):
            raise ValueError("each chunk must have a dense vector")
        for at in range(0, len(chunk_ids), BATCH_POINTS):
            rows = vectors[at : at + BATCH_POINTS].astype(np.float32).tolist()
            points = [
                PointVectors(identifier, {DENSE: row})
                for identifier, row in zip(chunk_ids[at : at + BATCH_POINTS], rows, strict=True)
            ]
            self._add_points(UpdateOperation.update_vectors(points), len(points))

    def set_readers(self, tenant_id: str, version_id: str, readers: Collection[str] | None) -> None:
        present = self.count_chunks(tenant_id, version_id)
        if present:
            where = _build_version_filter(tenant_id, version_id)
            if readers is None:
                self._apply_operation(UpdateOperation.delete_payload_by_filter(where, [READERS]), present)
            else:
                self._apply_operation(
                    UpdateOperation.set_payload_by_filter(where, build_readers_payload(readers)), present
                )

    def set_collection(self, tenant_id: str, version_id: str, collection: str) -> None:
        present = self.count_chunks(tenant_id, version_id)
        if present:
            where = _build_version_filter(tenant_id, version_id)
            self._apply_operation(UpdateOperation.set_payload_by_filter(where, {COLLECTION: collection}), present)

    def delete_version(self, tenant_id: str, version_id: str) -> int:
        present = self.count_chunks(tenant_id, version_id)
        if present:
            where = _build_version_filter(tenant_id, version_id)
            self._apply_operation(UpdateOperation.delete_points_by_filter(where), present)
        return present

    def count_chunks(self, tenant_id: str, version_id: str, *, embedded_only: bool = False) -> int:
        condition = [HasVectorCondition(DENSE)] if embedded_only else []
        with self._use_shard() as shard:
            return shard.count(CountRequest(exact=True, filter=_build_version_filter(tenant_id, version_id, condition)))

    def search(
        self, scope: SearchScope, *, sparse_vector: SparseVector | None, dense_vector: DenseVector | None, limit: int
    ) -> tuple[list[ScoredChunk], list[ScoredChunk]]:
        wanted: list[tuple[int, Any, SearchParams | None]] = []
        if sparse_vector is not None and sparse_vector.indices:
            wanted.append(
                (0, Query.Nearest(_convert_sparse_vector(sparse_vector), using=SPARSE), self._build_idf_params(scope))
            )
        if dense_vector is not None:
            wanted.append((1, Query.Nearest(dense_vector.astype(np.float32).tolist(), using=DENSE), DENSE_SEARCH))
        found: tuple[list[ScoredChunk], list[ScoredChunk]] = ([], [])
        if not wanted:
            return found
        where = _build_scope_filter(scope)
        requests = [QueryRequest(query=query, filter=where, limit=limit, params=params) for _, query, params in wanted]
        with self._use_shard() as shard:
            answers = shard.query_batch(QueryBatchRequest(requests))
        for (position, _, _), points in zip(wanted, answers, strict=True):
            found[position].extend(rank_points(points))
        return found

    def score_chunks_by_cosine(self, dense_vector: DenseVector, chunk_ids: Sequence[str]) -> list[ScoredChunk]:
        if not chunk_ids:
            return []
        query: Any = Query.Nearest(dense_vector.astype(np.float32).tolist(), using=DENSE)
        where = Filter(must=[HasIdCondition(set(chunk_ids))])
        with self._use_shard() as shard:
            points = shard.query(QueryRequest(query=query, filter=where, limit=len(chunk_ids), params=_EXACT_SEARCH))
        return rank_points(points)

    def load_chunks(self, scope: SearchScope, chunk_ids: Sequence[str]) -> dict[str, IndexedChunk]:
        if not chunk_ids:
            return {}
        with self._use_shard() as shard:
            records = shard.retrieve(list(chunk_ids), with_payload=True, with_vector=False)
        found = (parse_chunk(str(record.id), record.payload) for record in records)
        return {chunk.id: chunk for chunk in found if is_in_scope(scope, chunk)}

    def iter_version_chunks(self, tenant_id: str, version_id: str) -> Iterator[IndexedChunk]:
        offset: Any = None
        where = _build_version_filter(tenant_id, version_id)
        while True:
            with self._use_shard() as shard:
                records, offset = shard.scroll(
                    ScrollRequest(filter=where, limit=PAGE_POINTS, offset=offset, with_payload=True, with_vector=False)
                )
            for record in records:
                yield parse_chunk(str(record.id), record.payload)
            if offset is None:
                return

    def load_dense_vectors(self, chunk_ids: Sequence[str]) -> dict[str, DenseVector]:
        if not chunk_ids:
            return {}
        with self._use_shard() as shard:
            records = shard.retrieve(list(chunk_ids), with_payload=False, with_vector=[DENSE])
        named = ((str(record.id), record.vector) for record in records)
        return {i: np.asarray(v[DENSE], np.float32) for i, v in named if isinstance(v, dict) and DENSE in v}

    def find_chunks_by_digest(
        self, tenant_id: str, digests: Sequence[str]
    ) -> dict[str, tuple[IndexedChunk, DenseVector]]:
        same = FieldCondition(key=DIGEST, match=MatchAny(list(digests)))
        where = Filter(must=[_build_match_condition(TENANT, tenant_id), same, HasVectorCondition(DENSE)])
        with self._use_shard() as shard:
            records, _ = shard.scroll(
                ScrollRequest(filter=where, limit=PAGE_POINTS, with_payload=True, with_vector=[DENSE])
            )
        found: dict[str, tuple[IndexedChunk, DenseVector]] = {}
        for record in records:
            chunk = parse_chunk(str(record.id), record.payload)
            if isinstance(record.vector, dict):
                found[chunk.digest] = chunk, np.asarray(record.vector[DENSE], np.float32)
        return found

    def count_chunks_by_version(self) -> dict[str, int]:
        return self._count_points_by_value(VERSION, None)

    def count_chunks_of_versions(
        self, versions: Sequence[tuple[str, str]], *, embedded_only: bool = False
    ) -> dict[str, int]:
        # Count versions one by one. The count for one version takes about 0.1 ms, whereas a facet query over the whole
        # index holds the GIL for seconds.
        return {
            version: self.count_chunks(tenant, version, embedded_only=embedded_only) for tenant, version in versions
        }

    def list_version_tenants(self, version_id: str) -> list[str]:
        return list(self._count_points_by_value(TENANT, Filter(must=[_build_match_condition(VERSION, version_id)])))

    def compact(self) -> bool:
        """Compact now. Return False if the compaction was abandoned.

        Raises `IndexUnavailableError` if the engine fails, and `OSError` for disk errors. The index stays usable in any
        case.
        """
        return self._upkeep.compact()

    def require_ready(self) -> None:
        """Do nothing, because an engine in this process is always ready."""

    def flush(self) -> None:
        self._shard.flush()

    def close(self) -> None:
        self._upkeep.close()
        self._shard.close()

    def _build_idf_params(self, scope: SearchScope) -> SearchParams | None:
        """Return parameters that restrict idf to the tenant's chunks that the query may see.

        Otherwise, scores would reveal which words occur in hidden chunks.
        """
        # guard: edge-words-by-tenant
        if scope.sees_all_chunks and self._sole_tenant.is_sole_tenant(scope.tenant_id):
            return None
        return SearchParams(idf=IdfParams(corpus=Filter(must=_build_access_conditions(scope))))

    def _list_tenants(self, include_deleted: bool) -> set[str]:
        with self._use_shard() as shard:
            return {str(hit.value) for hit in shard.facet(FacetRequest(TENANT, 2, exact=include_deleted)).hits}

    def _count_points_by_value(self, field: str, point_filter: Filter | None) -> dict[str, int]:
        with self._use_shard() as shard:
            hits = shard.facet(FacetRequest(field, _NO_LIMIT, exact=True, filter=point_filter)).hits
        return {str(hit.value): hit.count for hit in hits if hit.count}

    @contextmanager
    def _use_shard(self) -> Iterator[EdgeShard]:
        with self._shard.use_shard() as shard:
            yield shard
        self._upkeep.record_call()

    def _add_points(self, operation: Any, point_count: int) -> None:  # noqa: ANN401 - the engine's own operation type
        self._shard.add_points(operation, point_count=point_count)
        self._upkeep.record_call()

    def _apply_operation(self, operation: Any, point_count: int) -> None:  # noqa: ANN401 - the engine's own operation type
        self._shard.apply_operation(operation, point_count=point_count)
        self._upkeep.record_call()


def _convert_sparse_vector(vector: SparseVector) -> EdgeSparseVector:
    return EdgeSparseVector(list(vector.indices), list(vector.values))


def _build_match_condition(field: str, value: str) -> FieldCondition:
    return FieldCondition(key=field, match=MatchValue(value))


def _build_version_filter(tenant_id: str, version_id: str, extra_conditions: Sequence[Any] = ()) -> Filter:
    return Filter(
        must=[_build_match_condition(TENANT, tenant_id), _build_match_condition(VERSION, version_id), *extra_conditions]
    )


def _build_scope_filter(scope: SearchScope) -> Filter:
    must = _build_access_conditions(scope)
    if scope.collections:
        must.append(FieldCondition(key=COLLECTION, match=MatchAny(list(scope.collections))))
    if scope.documents:
        must.append(FieldCondition(key=DOCUMENT, match=MatchAny(list(scope.documents))))
    must_not: list[Any] = []
    if scope.hidden_versions:
        must_not.append(FieldCondition(key=VERSION, match=MatchAny(list(scope.hidden_versions))))
    return Filter(must=must, must_not=must_not)


def _build_access_conditions(scope: SearchScope) -> list[Any]:
    """Return the filter conditions for the tenant, the readers, and the collections closed to them."""
    must: list[Any] = [_build_match_condition(TENANT, scope.tenant_id)]
    if scope.readers is not None:
        readers = FieldCondition(key=READERS, match=MatchAny(sorted(scope.readers)))
        # guard: edge-query-readers
        must.append(Filter(should=[IsEmptyCondition(READERS), readers]))
    if scope.closed:
        must.append(Filter(must_not=[FieldCondition(key=COLLECTION, match=MatchAny(list(scope.closed)))]))
    return must
