"""The embedded index: a Qdrant Edge shard, the server's Rust engine in this process.

Vectors are compared exactly, sealed ones by short codes first: see `edge_shard`. Another process (`Upkeep`) seals what
was written lately, because the engine holds the GIL while it seals.
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
from retrieval.index.edge.compaction import DEFAULT_POLICY, Upkeep, UpkeepPolicy
from retrieval.index.edge.edge_shard import DENSE_SEARCH
from retrieval.index.edge.live_shard import LiveShard, Observer
from retrieval.index.edge.shard_room import ShardRoom, UncheckedRoom
from retrieval.index.points import (
    BATCH,
    COLLECTION,
    DENSE,
    DIGEST,
    DOCUMENT,
    PAGE,
    READERS,
    SPARSE,
    TENANT,
    VERSION,
    chunk_of,
    inside,
    payload_of,
    readers_payload,
    scored,
)
from retrieval.index.port import IndexedChunk, Scope, Scored, SparseVector
from retrieval.index.sole_tenant import SoleTenant

# With so few candidates codes do not help.
_EXACT = SearchParams(exact=True)
# More values of one field than any shard holds, so that a facet has no limit.
_EVERY = 2**40
_UNCHECKED = UncheckedRoom()


class QdrantEdgeIndex:
    """One shard for all tenants; every query is filtered by tenant here and nowhere else."""

    def __init__(
        self,
        folder: Path,
        *,
        dimension: int,
        policy: UpkeepPolicy = DEFAULT_POLICY,
        observe: Observer = lambda _: None,
        room: ShardRoom = _UNCHECKED,
    ) -> None:
        """Open or create the index. Raises `IndexUnavailableError` if that fails, as when another process has it open.

        Raises `StorageFullError` if `room` finds too little on the disk. `observe` receives the name of every step of a
        compaction, in the thread that takes the step.
        """
        self._shard = LiveShard(folder, dimension, journal_points=policy.journal_points, observe=observe, room=room)
        self._upkeep = Upkeep(self._shard, dimension, policy, observe)
        self._sole_tenant = SoleTenant(self._tenants, recheck_seconds=math.inf)

    def upsert(self, chunks: Sequence[IndexedChunk], sparse: Sequence[SparseVector]) -> None:
        if len(chunks) != len(sparse):
            raise ValueError("each chunk needs its sparse vector")
        for at in range(0, len(chunks), BATCH):
            points = [
                Point(chunk.id, {SPARSE: _edge_sparse(vector)}, payload_of(chunk))
                for chunk, vector in zip(chunks[at : at + BATCH], sparse[at : at + BATCH], strict=True)
            ]
            # guard: insert-only-chunks
            self._add(UpdateOperation.upsert_points(points, update_mode=UpdateMode.InsertOnly), len(points))
            self._sole_tenant.wrote({chunk.tenant_id for chunk in chunks[at : at + BATCH]})

    def set_dense(self, chunk_ids: Sequence[str], vectors: DenseVector) -> None:
        if len(chunk_ids) != len(vectors):
            raise ValueError("each chunk needs its dense vector")
        for at in range(0, len(chunk_ids), BATCH):
            rows = vectors[at : at + BATCH].astype(np.float32).tolist()
            points = [
                PointVectors(identifier, {DENSE: row})
                for identifier, row in zip(chunk_ids[at : at + BATCH], rows, strict=True)
            ]
            self._add(UpdateOperation.update_vectors(points), len(points))

    def set_readers(self, tenant_id: str, version_id: str, readers: Collection[str] | None) -> None:
        present = self.count(tenant_id, version_id)
        if present:
            where = _version_filter(tenant_id, version_id)
            if readers is None:
                self._update(UpdateOperation.delete_payload_by_filter(where, [READERS]), present)
            else:
                self._update(UpdateOperation.set_payload_by_filter(where, readers_payload(readers)), present)

    def delete_version(self, tenant_id: str, version_id: str) -> int:
        present = self.count(tenant_id, version_id)
        if present:
            where = _version_filter(tenant_id, version_id)
            self._update(UpdateOperation.delete_points_by_filter(where), present)
        return present

    def count(self, tenant_id: str, version_id: str, *, embedded_only: bool = False) -> int:
        condition = [HasVectorCondition(DENSE)] if embedded_only else []
        with self._reading() as shard:
            return shard.count(CountRequest(exact=True, filter=_version_filter(tenant_id, version_id, condition)))

    def search(
        self, scope: Scope, *, sparse: SparseVector | None, dense: DenseVector | None, limit: int
    ) -> tuple[list[Scored], list[Scored]]:
        wanted: list[tuple[int, Any, SearchParams | None]] = []
        if sparse is not None and sparse.indices:
            wanted.append((0, Query.Nearest(_edge_sparse(sparse), using=SPARSE), self._statistics(scope)))
        if dense is not None:
            wanted.append((1, Query.Nearest(dense.astype(np.float32).tolist(), using=DENSE), DENSE_SEARCH))
        found: tuple[list[Scored], list[Scored]] = ([], [])
        if not wanted:
            return found
        where = _scope_filter(scope)
        requests = [QueryRequest(query=query, filter=where, limit=limit, params=params) for _, query, params in wanted]
        with self._reading() as shard:
            answers = shard.query_batch(QueryBatchRequest(requests))
        for (position, _, _), points in zip(wanted, answers, strict=True):
            found[position].extend(scored(points))
        return found

    def compare(self, dense: DenseVector, chunk_ids: Sequence[str]) -> list[Scored]:
        if not chunk_ids:
            return []
        query: Any = Query.Nearest(dense.astype(np.float32).tolist(), using=DENSE)
        where = Filter(must=[HasIdCondition(set(chunk_ids))])
        with self._reading() as shard:
            points = shard.query(QueryRequest(query=query, filter=where, limit=len(chunk_ids), params=_EXACT))
        return scored(points)

    def chunks(self, scope: Scope, chunk_ids: Sequence[str]) -> dict[str, IndexedChunk]:
        if not chunk_ids:
            return {}
        with self._reading() as shard:
            records = shard.retrieve(list(chunk_ids), with_payload=True, with_vector=False)
        found = (chunk_of(str(record.id), record.payload) for record in records)
        return {chunk.id: chunk for chunk in found if inside(scope, chunk)}

    def points(self, tenant_id: str, version_id: str) -> Iterator[IndexedChunk]:
        offset: Any = None
        where = _version_filter(tenant_id, version_id)
        while True:
            with self._reading() as shard:
                records, offset = shard.scroll(
                    ScrollRequest(filter=where, limit=PAGE, offset=offset, with_payload=True, with_vector=False)
                )
            for record in records:
                yield chunk_of(str(record.id), record.payload)
            if offset is None:
                return

    def dense(self, chunk_ids: Sequence[str]) -> dict[str, DenseVector]:
        if not chunk_ids:
            return {}
        with self._reading() as shard:
            records = shard.retrieve(list(chunk_ids), with_payload=False, with_vector=[DENSE])
        named = ((str(record.id), record.vector) for record in records)
        return {i: np.asarray(v[DENSE], np.float32) for i, v in named if isinstance(v, dict) and DENSE in v}

    def by_digest(self, tenant_id: str, digests: Sequence[str]) -> dict[str, tuple[IndexedChunk, DenseVector]]:
        same = FieldCondition(key=DIGEST, match=MatchAny(list(digests)))
        where = Filter(must=[_equals(TENANT, tenant_id), same, HasVectorCondition(DENSE)])
        with self._reading() as shard:
            records, _ = shard.scroll(ScrollRequest(filter=where, limit=PAGE, with_payload=True, with_vector=[DENSE]))
        found: dict[str, tuple[IndexedChunk, DenseVector]] = {}
        for record in records:
            chunk = chunk_of(str(record.id), record.payload)
            if isinstance(record.vector, dict):
                found[chunk.digest] = chunk, np.asarray(record.vector[DENSE], np.float32)
        return found

    def versions(self) -> dict[str, int]:
        return self._facet(VERSION, None)

    def count_each(self, versions: Sequence[tuple[str, str]], *, embedded_only: bool = False) -> dict[str, int]:
        # One by one: each takes some 0.1 ms, while a facet over everything holds the interpreter's lock for seconds.
        return {version: self.count(tenant, version, embedded_only=embedded_only) for tenant, version in versions}

    def tenants_of(self, version_id: str) -> list[str]:
        return list(self._facet(TENANT, Filter(must=[_equals(VERSION, version_id)])))

    def compact(self) -> bool:
        """Compact now instead of after enough writes; return False if the compaction was abandoned.

        Raises `IndexUnavailableError` or `OSError`. The index stays usable in every case.
        """
        return self._upkeep.compact()

    def require_ready(self) -> None:
        """Do nothing: the engine is in this process."""

    def flush(self) -> None:
        self._shard.flush()

    def close(self) -> None:
        self._upkeep.close()
        self._shard.close()

    def _statistics(self, scope: Scope) -> SearchParams | None:
        """Return parameters that count words only in chunks of the tenant that the readers may see.

        Otherwise the scores of what one may see would tell which words stand in what one may not.
        """
        # guard: edge-words-by-tenant
        if scope.sees_all and self._sole_tenant.has_all(scope.tenant_id):
            return None
        return SearchParams(idf=IdfParams(corpus=Filter(must=_seen(scope))))

    def _tenants(self, careful: bool) -> set[str]:
        with self._reading() as shard:
            return {str(hit.value) for hit in shard.facet(FacetRequest(TENANT, 2, exact=careful)).hits}

    def _facet(self, field: str, where: Filter | None) -> dict[str, int]:
        with self._reading() as shard:
            hits = shard.facet(FacetRequest(field, _EVERY, exact=True, filter=where)).hits
        return {str(hit.value): hit.count for hit in hits if hit.count}

    @contextmanager
    def _reading(self) -> Iterator[EdgeShard]:
        with self._shard.reading() as shard:
            yield shard
        self._upkeep.notice()

    def _add(self, operation: Any, points: int) -> None:  # noqa: ANN401 - the engine's own operation type
        self._shard.add(operation, points=points)
        self._upkeep.notice()

    def _update(self, operation: Any, points: int) -> None:  # noqa: ANN401 - the engine's own operation type
        self._shard.update(operation, points=points)
        self._upkeep.notice()


def _edge_sparse(vector: SparseVector) -> EdgeSparseVector:
    return EdgeSparseVector(list(vector.indices), list(vector.values))


def _equals(field: str, value: str) -> FieldCondition:
    return FieldCondition(key=field, match=MatchValue(value))


def _version_filter(tenant_id: str, version_id: str, more: Sequence[Any] = ()) -> Filter:
    return Filter(must=[_equals(TENANT, tenant_id), _equals(VERSION, version_id), *more])


def _scope_filter(scope: Scope) -> Filter:
    must = _seen(scope)
    if scope.collections:
        must.append(FieldCondition(key=COLLECTION, match=MatchAny(list(scope.collections))))
    if scope.documents:
        must.append(FieldCondition(key=DOCUMENT, match=MatchAny(list(scope.documents))))
    must_not: list[Any] = []
    if scope.hidden_versions:
        must_not.append(FieldCondition(key=VERSION, match=MatchAny(list(scope.hidden_versions))))
    return Filter(must=must, must_not=must_not)


def _seen(scope: Scope) -> list[Any]:
    """Return the conditions of tenant, readers and collections that are closed to them."""
    must: list[Any] = [_equals(TENANT, scope.tenant_id)]
    if scope.readers is not None:
        readers = FieldCondition(key=READERS, match=MatchAny(sorted(scope.readers)))
        # guard: edge-query-readers
        must.append(Filter(should=[IsEmptyCondition(READERS), readers]))
    if scope.closed:
        must.append(Filter(must_not=[FieldCondition(key=COLLECTION, match=MatchAny(list(scope.closed)))]))
    return must
