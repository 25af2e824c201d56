"""A query parameter that nothing reads is refused on Leadline's own routes, and left aside where others add some."""

from collections.abc import Iterator

import httpx
import pytest
from fastapi import FastAPI

from api.admission.services import Services
from api.client import Client
from api.main import create_app
from tests.support.openapi import text_places
from tests.support.routes import api_routes
from tests.support.service import running

# Protocols of others, whose clients may add parameters, and where nobody is signed in yet.
_OTHERS = (
    *("GET /v1/models", "POST /v1/chat", "POST /v1/embeddings", "POST /v1/sign-in"),
    "POST /v1/back-channel-logout",
    *(f"{method} /v1/conversations/conv_" for method in ("GET", "POST", "DELETE")),
    *(
        f"{method} /v1/{name}"
        for method in ("GET", "POST", "DELETE")
        for name in ("files", "responses", "vector_stores")
    ),
)
# Only programs create conversations without a question.
_OTHER = "POST /v1/conversations"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Services, Client]]:
    with running(tmp_path_factory.mktemp("home")) as found:
        yield found


@pytest.fixture
def http(service: tuple[Services, Client]) -> httpx.Client:
    return service[1].http


def routes(app: FastAPI, *, own: bool) -> list[tuple[str, str]]:
    """The method and path of each route below `/v1`, with an id in place of each parameter."""
    found = []
    for method, route in api_routes(app):
        path = route.path_format.format(**dict.fromkeys(route.param_convertors, "x"))
        is_other = f"{method} {path}".startswith(_OTHERS) or f"{method} {path}" == _OTHER
        if path.startswith("/v1/") and is_other is not own:
            found.append((method, path))
    return found


def test_every_route_of_ours_refuses_a_parameter_that_it_does_not_declare(
    service: tuple[Services, Client], http: httpx.Client
) -> None:
    services, _ = service
    ours = routes(create_app(services), own=True)
    assert len(ours) > 70
    wrong = []
    for method, path in ours:
        refused = http.request(method, path, params={"colour": "red"}, headers={"Tus-Resumable": "1.0.0"})
        if refused.status_code != 422 or (method != "HEAD" and "query.colour" not in refused.text):
            wrong.append((method, path, refused.status_code, refused.text))
    assert wrong == []


def test_a_route_takes_every_parameter_that_it_declares(service: tuple[Services, Client], http: httpx.Client) -> None:
    """Those of what it depends on are among them."""
    description = create_app(service[0]).openapi()
    declared = [each for each in text_places(description) if each.where == "query"]
    assert len(declared) > 40
    for place in declared:
        answered = http.request(
            place.method, place.path.replace("{", "").replace("}", ""), params={str(place.name[0]): "x"}
        )
        assert "unknown query parameter" not in answered.text, place.id


def test_routes_of_other_protocols_and_pages_leave_it_aside(
    service: tuple[Services, Client], http: httpx.Client
) -> None:
    for method, path in routes(create_app(service[0]), own=False):
        answered = http.request(method, path, params={"api-version": "2026-01-01"})
        assert "unknown query parameter" not in answered.text, (method, path)
    for path in ("/sign-in", "/health/ready", "/library"):
        assert http.get(path, params={"utm_source": "mail"}).status_code in (200, 303)


@pytest.mark.parametrize(
    ("path", "given", "words"),
    [
        ("/v1/documents", "colection", "unknown query parameter 'colection'; did you mean 'collection'?"),
        ("/v1/batches", "limt", "unknown query parameter 'limt'; did you mean 'limit'?"),
        ("/v1/batches", "colour", "unknown query parameter 'colour'; known: cursor, limit"),
        ("/v1/keys/x", "colour", "unknown query parameter 'colour'; there are none here"),
    ],
)
def test_a_refusal_names_the_nearest_parameter(http: httpx.Client, path: str, given: str, words: str) -> None:
    refused = http.get(path, params={given: "2"})
    assert refused.status_code == 422, refused.text
    assert refused.json()["code"] == "invalid_request"
    assert refused.json()["errors"] == [{"at": f"query.{given}", "problem": words}]


def test_a_misspelt_readers_closes_nothing_because_nothing_is_uploaded(http: httpx.Client) -> None:
    refused = http.post("/v1/documents", params={"name": "pay.md", "reader": "group:hr"}, content=b"Pay.")
    assert refused.status_code == 422, refused.text
    assert refused.json()["detail"] == "query.reader: unknown query parameter 'reader'; did you mean 'readers'?"
    assert http.get("/v1/documents").json()["documents"] == []


def test_a_parameter_with_one_value_is_refused_twice_and_a_list_is_not(http: httpx.Client) -> None:
    refused = http.get("/v1/documents", params=[("collection", "a"), ("collection", "b")])
    assert refused.status_code == 422, refused.text
    assert refused.json()["errors"] == [
        {"at": "query.collection", "problem": "the query parameter 'collection' appears more than once"}
    ]
    assert http.get("/v1/documents", params=[("state", "ready"), ("state", "failed")]).status_code == 200


def test_who_has_no_key_is_told_of_the_key_first(http: httpx.Client) -> None:
    for headers in ({"Authorization": "Bearer ll_wrong"}, {"Authorization": ""}):
        assert http.get("/v1/documents", params={"colour": "red"}, headers=headers).status_code == 401
