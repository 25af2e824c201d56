"""The index of a cluster: one collection on a Qdrant server for all tenants, over REST.

Every write waits until the server has applied it, uses ids derived from content, and is retried if its response is
lost. Therefore, a write has the same effect whether it is sent once, retried, or interrupted and retried.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from itertools import chain
from typing import Any

import numpy as np
from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import UnexpectedResponse

from retrieval.encoders.port import DenseVector
from retrieval.errors import ChunksMissingError, IndexUnavailableError, RetryPolicy
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
from retrieval.index.server.qdrant_server_collection import MAX_CONDITION_VALUES, MAX_CONDITIONS, prepare_collection
from retrieval.index.server.qdrant_server_connection import QdrantConnection, T, UnfinishedWriteError
from retrieval.index.server.settings import QdrantServerSettings
from retrieval.index.sole_tenant import SoleTenantTracker

# Ordering of writes. With this ordering, all replicas apply the writes to a point in the same order, regardless of the
# node that receives the writes.
_ORDERING = models.WriteOrdering.MEDIUM
# Number of candidates per hit that are selected by the int8 copies of their vectors, and then compared by their
# original vectors.
_OVERSAMPLING = 2.0
# Maximum number of versions that are counted by id. If there are more, the chunks of all versions are counted in one
# pass.
_MAX_NAMED_VERSIONS = 100


class QdrantServerIndex:
    """The index of all tenants in one collection. Every query is restricted to one tenant.

    Threads may share an instance, but a child process may not use its parent's instance after a fork.
    """

    def __init__(self, url: str, *, dimension: int, api_key: str | None, settings: QdrantServerSettings) -> None:
        """Connect, and create the collection if it does not exist.

        Raises `IndexUnavailableError` if the server does not answer or is too old, and `IndexMismatchError` if the
        collection was created for another encoder.
        """
        self._settings = settings
        self._name = settings.collection
        self._connection = QdrantConnection(url, api_key=api_key, timeout_seconds=settings.read_timeout_seconds)
        try:
            prepare_collection(self._connection, dimension, settings)
        except BaseException:
            self._connection.close()
            raise
        self._sole_tenant = SoleTenantTracker(self._list_tenants)

    def upsert_chunks(self, chunks: Sequence[IndexedChunk], sparse_vectors: Sequence[SparseVector]) -> None:
        if len(chunks) != len(sparse_vectors):
            raise ValueError("each chunk must have a sparse vector")
        for at in range(0, len(chunks), BATCH_POINTS):
            points = [
                models.PointStruct(
                    id=chunk.id, vector={SPARSE: _convert_sparse_vector(vector)}, payload=build_payload(chunk)
                )
                for chunk, vector in zip(
                    chunks[at : at + BATCH_POINTS], sparse_vectors[at : at + BATCH_POINTS], strict=True
                )
            ]
            self._send_write(partial(QdrantClient.upsert, points=points, update_mode=models.UpdateMode.INSERT_ONLY))
            self._sole_tenant.record_tenants({chunk.tenant_id for chunk in chunks[at : at + BATCH_POINTS]})

    def set_dense_vectors(self, chunk_ids: Sequence[str], vectors: DenseVector) -> None:
        if len(chunk_ids) != len(vectors):
            raise ValueError("each chunk must have a dense vector")
        for at in range(0, len(chunk_ids), BATCH_POINTS):
            ids = list(chunk_ids[at : at + BATCH_POINTS])
            rows = vectors[at : at + BATCH_POINTS].astype(np.float32).tolist()
            points = [models.PointVectors(id=i, vector={DENSE: row}) for i, row in zip(ids, rows, strict=True)]
            self._send_write(partial(self._update_vectors, points=points, chunk_ids=ids))
            self._require_vectors(ids)

    def set_readers(self, tenant_id: str, version_id: str, readers: Collection[str] | None) -> None:
        where = models.FilterSelector(filter=_build_version_filter(tenant_id, version_id))
        if readers is None:
            self._send_write(partial(QdrantClient.delete_payload, keys=[READERS], points=where))
        else:
            self._send_write(partial(QdrantClient.set_payload, payload=build_readers_payload(readers), points=where))

    def set_collection(self, tenant_id: str, version_id: str, collection: str) -> None:
        where = models.FilterSelector(filter=_build_version_filter(tenant_id, version_id))
        self._send_write(partial(QdrantClient.set_payload, payload={COLLECTION: collection}, points=where))

    def delete_version(self, tenant_id: str, version_id: str) -> int:
        present = self.count_chunks(tenant_id, version_id)
        # Delete even if the count is 0, because the count may come from a replica that lags behind.
        where = models.FilterSelector(filter=_build_version_filter(tenant_id, version_id))
        self._send_write(partial(QdrantClient.delete, points_selector=where))
        return present

    def count_chunks(self, tenant_id: str, version_id: str, *, embedded_only: bool = False) -> int:
        embedded = [models.HasVectorCondition(has_vector=DENSE)] if embedded_only else []
        return self._count_points(_build_version_filter(tenant_id, version_id, embedded))

    def search(
        self, scope: SearchScope, *, sparse_vector: SparseVector | None, dense_vector: DenseVector | None, limit: int
    ) -> tuple[list[ScoredChunk], list[ScoredChunk]]:
        where = _build_scope_filter(scope)
        wanted: list[tuple[int, models.QueryRequest]] = []
        if sparse_vector is not None and sparse_vector.indices:
            params = self._build_idf_params(scope)
            by_words = models.QueryRequest(
                query=_convert_sparse_vector(sparse_vector), using=SPARSE, filter=where, params=params, limit=limit
            )
            wanted.append((0, by_words))
        if dense_vector is not None:
            query, params = _convert_vector(dense_vector), self._build_search_params()
            wanted.append((1, models.QueryRequest(query=query, using=DENSE, filter=where, params=params, limit=limit)))
        found: tuple[list[ScoredChunk], list[ScoredChunk]] = ([], [])
        if not wanted:
            return found
        requests = [request for _, request in wanted]
        answers = self._send_search(partial(QdrantClient.query_batch_points, requests=requests))
        for (position, _), answer in zip(wanted, answers, strict=True):
            found[position].extend(rank_points(answer.points))
        return found

    def score_chunks_by_cosine(self, dense_vector: DenseVector, chunk_ids: Sequence[str]) -> list[ScoredChunk]:
        if not chunk_ids:
            return []
        where = models.Filter(must=[models.HasIdCondition(has_id=list(chunk_ids))])
        nearest = partial(
            QdrantClient.query_points, query=_convert_vector(dense_vector), using=DENSE, query_filter=where
        )
        points = self._send_search(
            partial(nearest, search_params=self._build_search_params(), limit=len(chunk_ids))
        ).points
        return rank_points(points)

    def load_chunks(self, scope: SearchScope, chunk_ids: Sequence[str]) -> dict[str, IndexedChunk]:
        by_id = partial(QdrantClient.retrieve, with_payload=True, with_vectors=False)
        records = chain.from_iterable(
            self._send_search(partial(by_id, ids=ids)) for ids in _split_into_pages(chunk_ids)
        )
        found = (parse_chunk(str(record.id), record.payload) for record in records)
        return {chunk.id: chunk for chunk in found if is_in_scope(scope, chunk)}

    def iter_version_chunks(self, tenant_id: str, version_id: str) -> Iterator[IndexedChunk]:
        for record in self._iter_points(_build_version_filter(tenant_id, version_id), with_payload=True):
            yield parse_chunk(str(record.id), record.payload)

    def load_dense_vectors(self, chunk_ids: Sequence[str]) -> dict[str, DenseVector]:
        found: dict[str, DenseVector] = {}
        by_id = partial(QdrantClient.retrieve, with_payload=False, with_vectors=[DENSE])
        for record in chain.from_iterable(
            self._send_read(partial(by_id, ids=ids)) for ids in _split_into_pages(chunk_ids)
        ):
            vector = record.vector.get(DENSE) if isinstance(record.vector, dict) else None
            if vector is not None:
                found[str(record.id)] = np.asarray(vector, np.float32)
        return found

    def find_chunks_by_digest(
        self, tenant_id: str, digests: Sequence[str]
    ) -> dict[str, tuple[IndexedChunk, DenseVector]]:
        embedded = models.HasVectorCondition(has_vector=DENSE)
        where = models.Filter(
            must=[_build_match_condition(TENANT, tenant_id), _build_match_any_condition(DIGEST, digests), embedded]
        )
        page = partial(
            QdrantClient.scroll, scroll_filter=where, limit=PAGE_POINTS, with_payload=True, with_vectors=[DENSE]
        )
        records, _ = self._send_read(page)
        found: dict[str, tuple[IndexedChunk, DenseVector]] = {}
        for record in records:
            chunk = parse_chunk(str(record.id), record.payload)
            vector = record.vector.get(DENSE) if isinstance(record.vector, dict) else None
            if vector is not None:
                found[chunk.digest] = chunk, np.asarray(vector, np.float32)
        return found

    def count_chunks_by_version(self) -> dict[str, int]:
        return self._count_chunks_by_version([])

    def count_chunks_of_versions(
        self, versions: Sequence[tuple[str, str]], *, embedded_only: bool = False
    ) -> dict[str, int]:
        must: list[models.Condition] = [models.HasVectorCondition(has_vector=DENSE)] if embedded_only else []
        # With a filter by id, the server would compare the version of every chunk with every id.
        if len(versions) > _MAX_NAMED_VERSIONS:
            return self._count_chunks_by_version(must)
        if not versions:
            return {}
        must.append(_build_match_any_condition(VERSION, [version for _, version in versions]))
        return self._count_points_by_value(VERSION, models.Filter(must=must))

    def _count_chunks_by_version(self, conditions: list[models.Condition]) -> dict[str, int]:
        """Count the chunks of each version that meet all conditions."""
        found: dict[str, int] = {}
        counted: list[models.Condition] = []
        while len(conditions) + len(counted) < MAX_CONDITIONS:
            page = self._count_points_by_value(
                VERSION, models.Filter(must=conditions or None, must_not=counted or None)
            )
            found.update(page)
            if len(page) < self._settings.facet_values:
                return {version: count for version, count in found.items() if count}
            counted.append(_build_match_any_condition(VERSION, list(page)))
        where = models.Filter(must=conditions) if conditions else None
        return dict(
            Counter((record.payload or {})[VERSION] for record in self._iter_points(where, with_payload=[VERSION]))
        )

    def list_version_tenants(self, version_id: str) -> list[str]:
        counts = self._count_points_by_value(TENANT, models.Filter(must=[_build_match_condition(VERSION, version_id)]))
        return [tenant for tenant, count in counts.items() if count]

    def require_ready(self) -> None:
        info = self._connection.call_once(lambda client: client.get_collection(self._name))
        if info.status is models.CollectionStatus.RED:
            raise IndexUnavailableError(
                f"Qdrant reports status red for the collection {self._name}: {info.optimizer_status}.",
                hint="An optimization failed and was not retried. Check the vector server's log and its disk.",
            )

    def flush(self) -> None:
        """Do nothing, because the server confirms a write only after applying it and adding it to its log.

        The server syncs to disk at its own intervals, not on request. A second replica protects against a power failure
        on the server, and a comparison with the catalog detects lost writes.
        """

    def close(self) -> None:
        self._connection.close()

    def _send_write(self, request: Callable[..., models.UpdateResult]) -> None:
        """Call `request`, a client method with its specific arguments, and add the arguments common to all writes."""
        seconds = self._settings.write_timeout_seconds

        def write_once(client: QdrantClient) -> None:
            result = request(client, collection_name=self._name, wait=True, ordering=_ORDERING, timeout=seconds)
            if not result or result.status is not models.UpdateStatus.COMPLETED:
                raise UnfinishedWriteError("has not applied a write yet")

        self._connection.call(write_once, self._settings.work_retries)

    def _send_read(self, request: Callable[..., T], *, retries: RetryPolicy | None = None) -> T:
        """Call `request`, a client method with its specific arguments, and add the arguments common to all reads."""
        seconds = self._settings.read_timeout_seconds
        return self._connection.call(
            lambda client: request(client, collection_name=self._name, timeout=seconds),
            retries or self._settings.work_retries,
        )

    def _send_search(self, request: Callable[..., T]) -> T:
        """Send a read with the few retries that a search allows, because a user is waiting."""
        return self._send_read(request, retries=self._settings.search_retries)

    def _update_vectors(
        self,
        client: QdrantClient,
        points: list[models.PointVectors],
        chunk_ids: list[str],
        **options: Any,  # noqa: ANN401 - the common arguments of writes
    ) -> models.UpdateResult:
        """Write the vectors of existing chunks.

        A replica that is being restored responds with 404 for chunks that it has not received yet. Therefore, the
        chunks are counted after a 404. Raises `ChunksMissingError` if some of them do not exist, and
        `UnfinishedWriteError` if all exist.
        """
        try:
            return client.update_vectors(points=points, **options)
        except UnexpectedResponse as error:
            # guard: replica-404-counted
            if error.status_code != 404:
                raise
            where = models.Filter(must=[models.HasIdCondition(has_id=list(chunk_ids))])
            seconds = self._settings.read_timeout_seconds
            there = client.count(self._name, count_filter=where, exact=True, timeout=seconds).count
            _require_all_present(chunk_ids, there)
            raise UnfinishedWriteError("has the chunks, but does not accept their vectors yet") from error

    def _require_vectors(self, chunk_ids: list[str]) -> None:
        """Check that every id has a vector, because the server may silently accept vectors for unknown ids."""
        embedded = models.HasVectorCondition(has_vector=DENSE)
        _require_all_present(
            chunk_ids, self._count_points(models.Filter(must=[models.HasIdCondition(has_id=list(chunk_ids)), embedded]))
        )

    def _count_points(self, point_filter: models.Filter) -> int:
        return self._send_read(partial(QdrantClient.count, count_filter=point_filter, exact=True)).count

    def _iter_points(
        self, point_filter: models.Filter | None, *, with_payload: bool | list[str]
    ) -> Iterator[models.Record]:
        page = partial(QdrantClient.scroll, scroll_filter=point_filter, limit=PAGE_POINTS, with_payload=with_payload)
        offset: models.ExtendedPointId | None = None
        while True:
            records, offset = self._send_read(partial(page, offset=offset))
            yield from records
            if offset is None:
                return

    def _count_points_by_value(self, field: str, point_filter: models.Filter) -> dict[str, int]:
        """Count points by the value of a field, for as many values as one request returns. Counts may be 0."""
        limit = self._settings.facet_values
        hits = self._send_read(
            partial(QdrantClient.facet, key=field, facet_filter=point_filter, limit=limit, exact=True)
        ).hits
        return {str(hit.value): hit.count for hit in hits}

    def _build_idf_params(self, scope: SearchScope) -> models.SearchParams | None:
        """Return parameters that restrict idf to the tenant's chunks that the query may see.

        Otherwise, scores would reveal which words occur in hidden chunks.
        """
        # guard: server-words-by-tenant
        if scope.sees_all_chunks and self._sole_tenant.is_sole_tenant(scope.tenant_id):
            return None
        corpus = models.Filter(must=_build_access_conditions(scope))
        return models.SearchParams(idf=models.IdfCorpusParams(corpus=corpus))

    def _list_tenants(self, include_deleted: bool) -> set[str]:
        counted = self._send_search(partial(QdrantClient.facet, key=TENANT, limit=2, exact=include_deleted))
        return {str(hit.value) for hit in counted.hits}

    def _build_search_params(self) -> models.SearchParams | None:
        if self._settings.quantization == "none":
            return None
        rescore = models.QuantizationSearchParams(rescore=True, oversampling=_OVERSAMPLING)
        return models.SearchParams(quantization=rescore)


def _require_all_present(chunk_ids: list[str], found_count: int) -> None:
    missing = len(set(chunk_ids)) - found_count
    if missing:
        raise ChunksMissingError(
            f"Vectors were not stored for {missing} of {len(chunk_ids)} chunks, because the chunks do not exist."
        )


def _split_into_pages(chunk_ids: Sequence[str]) -> Iterator[list[str]]:
    for at in range(0, len(chunk_ids), PAGE_POINTS):
        yield list(chunk_ids[at : at + PAGE_POINTS])


def _convert_vector(vector: DenseVector) -> list[float]:
    row: list[float] = vector.astype(np.float32).tolist()
    return row


def _convert_sparse_vector(vector: SparseVector) -> models.SparseVector:
    return models.SparseVector(indices=list(vector.indices), values=list(vector.values))


def _build_match_condition(field: str, value: str) -> models.FieldCondition:
    return models.FieldCondition(key=field, match=models.MatchValue(value=value))


def _build_match_any_condition(field: str, values: Sequence[str]) -> models.FieldCondition:
    return models.FieldCondition(key=field, match=models.MatchAny(any=list(values)))


def _build_version_filter(
    tenant_id: str, version_id: str, extra_conditions: Sequence[models.Condition] = ()
) -> models.Filter:
    return models.Filter(
        must=[_build_match_condition(TENANT, tenant_id), _build_match_condition(VERSION, version_id), *extra_conditions]
    )


def _build_scope_filter(scope: SearchScope) -> models.Filter:
    must = _build_access_conditions(scope)
    if scope.collections:
        must.append(_build_match_any_condition(COLLECTION, scope.collections))
    if scope.documents:
        at_once = range(0, len(scope.documents), MAX_CONDITION_VALUES)
        parts = [
            _build_match_any_condition(DOCUMENT, scope.documents[at : at + MAX_CONDITION_VALUES]) for at in at_once
        ]
        must.append(parts[0] if len(parts) == 1 else models.Filter(should=list(parts)))
    must_not: list[models.Condition] = []
    if scope.hidden_versions:
        must_not.append(_build_match_any_condition(VERSION, scope.hidden_versions))
    return models.Filter(must=must, must_not=must_not or None)


def _build_access_conditions(scope: SearchScope) -> list[models.Condition]:
    """Return the filter conditions for the tenant, the readers, and the collections closed to them."""
    must: list[models.Condition] = [_build_match_condition(TENANT, scope.tenant_id)]
    if scope.readers is not None:
        unlisted = models.IsEmptyCondition(is_empty=models.PayloadField(key=READERS))
        # guard: server-query-readers
        must.append(models.Filter(should=[unlisted, _build_match_any_condition(READERS, sorted(scope.readers))]))
    if scope.closed:
        must.append(models.Filter(must_not=[_build_match_any_condition(COLLECTION, scope.closed)]))
    return must
