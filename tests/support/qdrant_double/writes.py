"""The double's endpoints that change points; each answers when the change is applied and flushed."""

from typing import Any

import qdrant_edge as edge
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from pydantic import TypeAdapter
from qdrant_client import models

from tests.support.qdrant_double import convert
from tests.support.qdrant_double.asked import Asked, Body, to_write
from tests.support.qdrant_double.refusals import Refusal, only
from tests.support.qdrant_double.store import Collections, engine_errors

_INDEX = TypeAdapter(models.CreateFieldIndex)
_INSERT: TypeAdapter[Any] = TypeAdapter(models.PointInsertOperations)
_VECTORS = TypeAdapter(models.UpdateVectors)
_SET_PAYLOAD = TypeAdapter(models.SetPayload)
_DELETE_PAYLOAD = TypeAdapter(models.DeletePayload)
_SELECTOR: TypeAdapter[Any] = TypeAdapter(models.PointsSelector)

_MODES = {
    models.UpdateMode.UPSERT: edge.UpdateMode.Upsert,
    models.UpdateMode.INSERT_ONLY: edge.UpdateMode.InsertOnly,
    models.UpdateMode.UPDATE_ONLY: edge.UpdateMode.UpdateOnly,
}


def install(app: FastAPI, collections: Collections) -> None:
    @app.put("/collections/{name}/index")
    def create_index(name: str, request: Request, body: Body) -> JSONResponse:
        asked = to_write(collections, name, request, body, _INDEX)
        asked.limits.indexes(asked.wanted.field_name)
        params = asked.wanted.field_schema
        if not isinstance(params, models.KeywordIndexParams):
            raise Refusal(400, "the test double knows keyword indexes only")
        only(params, "type", "is_tenant", "enable_hnsw")
        index = edge.KeywordIndexParams(is_tenant=params.is_tenant, enable_hnsw=params.enable_hnsw)
        return _applied(asked, edge.UpdateOperation.create_field_index(asked.wanted.field_name, index))

    @app.put("/collections/{name}/points")
    def upsert(name: str, request: Request, body: Body) -> JSONResponse:
        asked = to_write(collections, name, request, body, _INSERT)
        if not isinstance(asked.wanted, models.PointsList):
            raise Refusal(400, "the test double knows lists of points only")
        only(asked.wanted, "points", "update_mode")
        asked.limits.upsert(len(asked.wanted.points))
        mode = _MODES[asked.wanted.update_mode or models.UpdateMode.UPSERT]
        with engine_errors():
            points = [
                edge.Point(convert.point_id(point.id), convert.vectors_of(point.vector), point.payload)
                for point in asked.wanted.points
            ]
        return _applied(asked, edge.UpdateOperation.upsert_points(points, update_mode=mode))

    @app.put("/collections/{name}/points/vectors")
    def update_vectors(name: str, request: Request, body: Body) -> JSONResponse:
        asked = to_write(collections, name, request, body, _VECTORS)
        only(asked.wanted, "points")
        asked.limits.upsert(len(asked.wanted.points))
        with engine_errors():
            points = [
                edge.PointVectors(convert.point_id(point.id), convert.vectors_of(point.vector))
                for point in asked.wanted.points
            ]
        return _applied(asked, edge.UpdateOperation.update_vectors(points))

    @app.post("/collections/{name}/points/payload")
    def set_payload(name: str, request: Request, body: Body) -> JSONResponse:
        asked = to_write(collections, name, request, body, _SET_PAYLOAD)
        only(asked.wanted, "payload", "filter")
        asked.limits.filter(asked.wanted.filter, update=True)
        where = convert.filter_of(asked.wanted.filter)
        return _applied(asked, edge.UpdateOperation.set_payload_by_filter(where, asked.wanted.payload))

    @app.post("/collections/{name}/points/payload/delete")
    def delete_payload(name: str, request: Request, body: Body) -> JSONResponse:
        asked = to_write(collections, name, request, body, _DELETE_PAYLOAD)
        only(asked.wanted, "keys", "filter")
        asked.limits.filter(asked.wanted.filter, update=True)
        where = convert.filter_of(asked.wanted.filter)
        return _applied(asked, edge.UpdateOperation.delete_payload_by_filter(where, asked.wanted.keys))

    @app.post("/collections/{name}/points/delete")
    def delete(name: str, request: Request, body: Body) -> JSONResponse:
        asked = to_write(collections, name, request, body, _SELECTOR)
        if not isinstance(asked.wanted, models.FilterSelector):
            raise Refusal(400, "the test double deletes by filter only")
        only(asked.wanted, "filter")
        asked.limits.filter(asked.wanted.filter, update=True)
        return _applied(asked, edge.UpdateOperation.delete_points_by_filter(convert.filter_of(asked.wanted.filter)))


def _applied(asked: Asked[Any], operation: edge.UpdateOperation) -> JSONResponse:
    asked.collection.update(operation)
    return asked.ok({"operation_id": 0, "status": "completed"})
