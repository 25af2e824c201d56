"""The double's endpoints that read points."""

import qdrant_edge as edge
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from pydantic import TypeAdapter
from qdrant_client import models

from tests.support.qdrant_double import convert
from tests.support.qdrant_double.asked import DEFAULT_LIMIT, Body, to_read
from tests.support.qdrant_double.refusals import Refusal, only
from tests.support.qdrant_double.store import Collections, engine_errors
from tests.support.qdrant_double.strict_mode import Limits

_COUNT = TypeAdapter(models.CountRequest)
_RETRIEVE = TypeAdapter(models.PointRequest)
_SCROLL = TypeAdapter(models.ScrollRequest)
_FACET = TypeAdapter(models.FacetRequest)
_QUERY = TypeAdapter(models.QueryRequest)
_BATCH = TypeAdapter(models.QueryRequestBatch)


def install(app: FastAPI, collections: Collections) -> None:
    _install_listing(app, collections)
    _install_queries(app, collections)

    @app.post("/collections/{name}/points/count")
    def count(name: str, request: Request, body: Body) -> JSONResponse:
        asked = to_read(collections, name, request, body, _COUNT)
        only(asked.wanted, "filter", "exact")
        asked.limits.filter(asked.wanted.filter)
        where = convert.filter_of(asked.wanted.filter)
        with engine_errors():
            found = asked.collection.shard.count(edge.CountRequest(exact=asked.wanted.exact is not False, filter=where))
        return asked.ok({"count": found})

    @app.post("/collections/{name}/facet")
    def facet(name: str, request: Request, body: Body) -> JSONResponse:
        asked = to_read(collections, name, request, body, _FACET)
        only(asked.wanted, "key", "limit", "filter", "exact")
        limit = asked.wanted.limit or DEFAULT_LIMIT
        asked.limits.limit(limit)
        asked.limits.filter(asked.wanted.filter)
        where = convert.filter_of(asked.wanted.filter)
        with engine_errors():
            found = asked.collection.shard.facet(
                edge.FacetRequest(asked.wanted.key, limit, bool(asked.wanted.exact), where)
            )
        return asked.ok({"hits": [{"value": hit.value, "count": hit.count} for hit in found.hits]})


def _install_listing(app: FastAPI, collections: Collections) -> None:
    @app.post("/collections/{name}/points")
    def retrieve(name: str, request: Request, body: Body) -> JSONResponse:
        asked = to_read(collections, name, request, body, _RETRIEVE)
        only(asked.wanted, "ids", "with_payload", "with_vector")
        ids = [convert.point_id(identifier) for identifier in asked.wanted.ids]
        payload = convert.selector(asked.wanted.with_payload, True)
        vector = convert.selector(asked.wanted.with_vector, False)
        with engine_errors():
            found = asked.collection.shard.retrieve(ids, payload, vector)
        return asked.ok([convert.record_out(record) for record in found])

    @app.post("/collections/{name}/points/scroll")
    def scroll(name: str, request: Request, body: Body) -> JSONResponse:
        asked = to_read(collections, name, request, body, _SCROLL)
        only(asked.wanted, "filter", "limit", "offset", "with_payload", "with_vector")
        limit = asked.wanted.limit or DEFAULT_LIMIT
        asked.limits.limit(limit)
        asked.limits.filter(asked.wanted.filter)
        engine = edge.ScrollRequest(
            offset=None if asked.wanted.offset is None else convert.point_id(asked.wanted.offset),
            limit=limit,
            filter=convert.filter_of(asked.wanted.filter),
            with_payload=convert.selector(asked.wanted.with_payload, True),
            with_vector=convert.selector(asked.wanted.with_vector, False),
        )
        with engine_errors():
            found, following = asked.collection.shard.scroll(engine)
        offset = following if following is None or isinstance(following, int) else str(following)
        return asked.ok({"points": [convert.record_out(record) for record in found], "next_page_offset": offset})


def _install_queries(app: FastAPI, collections: Collections) -> None:
    @app.post("/collections/{name}/points/query")
    def query(name: str, request: Request, body: Body) -> JSONResponse:
        asked = to_read(collections, name, request, body, _QUERY)
        with engine_errors():
            found = asked.collection.shard.query(_query(asked.wanted, asked.limits))
        return asked.ok({"points": [convert.record_out(point) for point in found]})

    @app.post("/collections/{name}/points/query/batch")
    def query_batch(name: str, request: Request, body: Body) -> JSONResponse:
        asked = to_read(collections, name, request, body, _BATCH)
        asked.limits.batch(len(asked.wanted.searches))
        engine = edge.QueryBatchRequest([_query(search, asked.limits) for search in asked.wanted.searches])
        with engine_errors():
            answers = asked.collection.shard.query_batch(engine)
        return asked.ok([{"points": [convert.record_out(point) for point in found]} for found in answers])


def _query(wanted: models.QueryRequest, limits: Limits) -> edge.QueryRequest:
    only(wanted, "prefetch", "query", "using", "filter", "params", "limit", "with_payload", "with_vector")
    _check(wanted, limits)
    prefetch = wanted.prefetch or []
    return edge.QueryRequest(
        prefetches=[_prefetch(one, limits) for one in (prefetch if isinstance(prefetch, list) else [prefetch])],
        query=convert.query_of(wanted.query, wanted.using),
        filter=convert.filter_of(wanted.filter),
        limit=wanted.limit or DEFAULT_LIMIT,
        params=convert.params_of(wanted.params),
        with_vector=convert.selector(wanted.with_vector, False),
        with_payload=convert.selector(wanted.with_payload, False),
    )


def _prefetch(wanted: models.Prefetch, limits: Limits) -> edge.Prefetch:
    only(wanted, "query", "using", "filter", "params", "limit")
    _check(wanted, limits)
    return edge.Prefetch(
        query=convert.query_of(wanted.query, wanted.using),
        filter=convert.filter_of(wanted.filter),
        params=convert.params_of(wanted.params),
        limit=wanted.limit or DEFAULT_LIMIT,
    )


def _check(wanted: models.QueryRequest | models.Prefetch, limits: Limits) -> None:
    if wanted.query is None:
        raise Refusal(400, "the test double knows nothing without a query")
    limits.limit(wanted.limit or DEFAULT_LIMIT)
    limits.filter(wanted.filter)
    limits.params(wanted.params)
    if wanted.params is not None and isinstance(wanted.params.idf, models.IdfCorpusParams):
        limits.filter(wanted.params.idf.corpus)
