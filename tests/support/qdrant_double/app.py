"""The double's application: errors and collections. What is done to points is in `writes` and `reads`."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from pydantic import TypeAdapter
from qdrant_client import models
from starlette.exceptions import HTTPException
from starlette.middleware.base import RequestResponseEndpoint

from tests.support.qdrant_double import nodes, reads, strict_mode, writes
from tests.support.qdrant_double.asked import Asked, Body, ok
from tests.support.qdrant_double.refusals import Refusal, only, query_parameters, read
from tests.support.qdrant_double.store import Collections

# The release whose interface the client's models describe.
_VERSION = "1.20.0"
_CREATE = TypeAdapter(models.CreateCollection)
_CHANGE = TypeAdapter(models.UpdateCollection)


def make_app(collections: Collections, api_key: str | None = None, several: int = 1) -> FastAPI:
    """Endpoints are plain functions, so that they run in threads and one slow request holds up no other.

    With `api_key`, requests without it are refused. `several` is how many nodes the server claims to have.
    """

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        yield
        collections.close()

    app = FastAPI(openapi_url=None, lifespan=life)
    _install_errors(app)
    _install_key(app, api_key)
    _install_service(app)
    claimed = nodes.Nodes(several)
    _install_collections(app, collections, claimed)
    nodes.install(app, collections, claimed)
    writes.install(app, collections)
    reads.install(app, collections)
    return app


def _install_errors(app: FastAPI) -> None:
    @app.exception_handler(Refusal)
    async def refused(_: Request, error: Refusal) -> JSONResponse:
        return _error(str(error), error.status)

    @app.exception_handler(HTTPException)
    async def unknown(request: Request, error: HTTPException) -> JSONResponse:
        return _error(f"the test double has no {request.method} {request.url.path}", error.status_code)


def _install_key(app: FastAPI, api_key: str | None) -> None:
    @app.middleware("http")
    async def require_key(request: Request, call_next: RequestResponseEndpoint) -> Response:
        if api_key and request.headers.get("api-key") != api_key:
            return PlainTextResponse("Must provide an API key or an Authorization bearer token", 401)
        return await call_next(request)


def _error(said: str, status: int) -> JSONResponse:
    return JSONResponse({"status": {"error": said}, "time": 0.0}, status)


def _install_service(app: FastAPI) -> None:
    @app.get("/")
    def root(request: Request) -> JSONResponse:
        query_parameters(request.query_params, ())
        return JSONResponse({"title": "Leadline's test double of Qdrant", "version": _VERSION})

    @app.get("/readyz")
    def readyz(request: Request) -> PlainTextResponse:
        query_parameters(request.query_params, ())
        return PlainTextResponse("all shards are ready")


def _install_collections(app: FastAPI, collections: Collections, claimed: nodes.Nodes) -> None:
    @app.get("/collections")
    def names(request: Request) -> JSONResponse:
        begun = time.perf_counter()
        query_parameters(request.query_params, ())
        return ok({"collections": [{"name": name} for name in collections.names()]}, begun)

    @app.get("/collections/{name}")
    def describe(name: str, request: Request) -> JSONResponse:
        begun = time.perf_counter()
        query_parameters(request.query_params, ())
        return ok(collections.get(name).describe(), begun)

    @app.put("/collections/{name}")
    def create(name: str, request: Request, body: Body) -> JSONResponse:
        begun = time.perf_counter()
        query_parameters(request.query_params, ("timeout",))
        wanted = read(body, _CREATE)
        strict_mode.known(wanted.strict_mode_config)
        collections.create(name, wanted)
        claimed.place(name, collections.get(name).params)
        return ok(True, begun)

    @app.patch("/collections/{name}")
    def change(name: str, request: Request, body: Body) -> JSONResponse:
        asked = Asked(collections, name, request, body, _CHANGE, "timeout")
        only(asked.wanted, "optimizers_config", "strict_mode_config", "metadata")
        strict_mode.known(asked.wanted.strict_mode_config)
        for part, values in asked.wanted.model_dump(mode="json", exclude_none=True).items():
            asked.collection.change(part, values)
        return asked.ok(True)

    @app.delete("/collections/{name}")
    def delete(name: str, request: Request) -> JSONResponse:
        begun = time.perf_counter()
        query_parameters(request.query_params, ("timeout",))
        claimed.forget(name)
        return ok(collections.delete(name), begun)
