"""One request, read and checked: what every endpoint starts from."""

import time
from typing import Annotated, Any, Generic, TypeVar

from fastapi import Depends, Request
from fastapi.responses import JSONResponse
from pydantic import TypeAdapter

from tests.support.qdrant_double.refusals import Refusal, query_parameters, read
from tests.support.qdrant_double.store import Collections
from tests.support.qdrant_double.strict_mode import Limits

M = TypeVar("M")

# What the server takes a missing `limit` for.
DEFAULT_LIMIT = 10


async def _raw(request: Request) -> bytes:
    return await request.body()


Body = Annotated[bytes, Depends(_raw)]


class Asked(Generic[M]):
    """A request about one collection; `wanted` is its body, and `limits` are that collection's."""

    def __init__(
        self, collections: Collections, name: str, request: Request, body: bytes, kind: TypeAdapter[M], *known: str
    ) -> None:
        self.begun = time.perf_counter()
        query_parameters(request.query_params, known)
        self.wanted = read(body, kind)
        self.collection = collections.get(name)
        self.limits = Limits(self.collection)
        self.limits.timeout(request.query_params.get("timeout"))

    def ok(self, result: Any) -> JSONResponse:  # noqa: ANN401 - JSON
        return ok(result, self.begun)


def to_read(collections: Collections, name: str, request: Request, body: bytes, kind: TypeAdapter[M]) -> Asked[M]:
    return Asked(collections, name, request, body, kind, "timeout")


def to_write(collections: Collections, name: str, request: Request, body: bytes, kind: TypeAdapter[M]) -> Asked[M]:
    asked = Asked(collections, name, request, body, kind, "timeout", "wait", "ordering")
    given = request.query_params
    if given.get("wait") != "true":
        raise Refusal(400, "the test double knows writes with wait=true only")
    if given.get("ordering", "weak") not in ("weak", "medium", "strong"):
        raise Refusal(400, f"Deserialize error in query parameters: unknown variant `{given['ordering']}`")
    return asked


def ok(result: Any, begun: float) -> JSONResponse:  # noqa: ANN401 - JSON
    """The server's envelope; `time` is in seconds."""
    return JSONResponse({"result": result, "status": "ok", "time": time.perf_counter() - begun})
