"""Headers that every response has, and those that let event streams through proxies."""

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from starlette.responses import Response

from api.http.middleware import RequestContext
from api.http.problems import ProblemHandlers
from api.openai.elsewhere import get_alternative_hint, is_openai_path


@pytest.mark.parametrize(
    ("media_type", "buffering", "caching"),
    [
        ("text/event-stream", "no", "no-cache, no-store"),
        ("text/event-stream; charset=utf-8", "no", "no-cache, no-store"),
        ("application/json", None, "no-store"),
    ],
)
def test_proxies_are_told_not_to_hold_back_events(media_type: str, buffering: str | None, caching: str) -> None:
    app = FastAPI()
    app.add_middleware(RequestContext, problems=ProblemHandlers(get_alternative_hint, is_openai_path))

    @app.get("/")
    def respond() -> Response:
        return Response("data: 1\n\n", media_type=media_type)

    with TestClient(app) as client:
        headers = client.get("/").headers
    assert headers.get("x-accel-buffering") == buffering
    assert headers["cache-control"] == caching
    assert headers["x-content-type-options"] == "nosniff"
