"""The OpenAPI document, by its validator and by the rules that make generated clients pleasant."""

import gzip
import json
import re
from collections import Counter
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
from fastapi.testclient import TestClient
from openapi_spec_validator import OpenAPIV31SpecValidator

from api.admission.services import Services
from api.main import create_app
from api.settings.settings import Settings

_MAX_BYTES = 600_000


def _build_services(**settings: object) -> Services:
    admission = SimpleNamespace(idempotency=None, ballast=None, tokens=None)
    return cast(
        Services,
        SimpleNamespace(
            settings=Settings.model_validate(settings), admission=admission, accepting=True, computes_searches=True
        ),
    )


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return create_app(_build_services()).openapi()


def _iter_operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            yield f"{method} {path}", operation


def test_the_document_is_valid(document: dict[str, Any]) -> None:
    errors = [
        f"{'/'.join(map(str, error.absolute_path))}: {error.message[:200]}"
        for error in OpenAPIV31SpecValidator(document).iter_errors()
    ]
    assert errors == []


def test_the_document_is_small_and_sent_compressed() -> None:
    client = TestClient(create_app(_build_services()))  # Without its lifespan, which needs storage.
    sent = client.get("/openapi.json", headers={"Accept-Encoding": "gzip"})
    plain = client.get("/openapi.json", headers={"Accept-Encoding": "identity"})
    assert sent.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert sent.content == plain.content
    assert len(plain.content) < _MAX_BYTES
    assert int(sent.headers["content-length"]) == len(gzip.compress(plain.content, mtime=0)) < _MAX_BYTES // 6


def test_each_operation_has_one_name_that_begins_with_a_verb(document: dict[str, Any]) -> None:
    names = [operation["operationId"] for _, operation in _iter_operations(document)]
    assert [name for name, count in Counter(names).items() if count > 1] == []
    assert [name for name in names if not re.fullmatch(r"[a-z]+(_[a-z]+)+", name)] == []


def test_names_of_schemas_and_security_schemes_are_single_words(document: dict[str, Any]) -> None:
    components = document["components"]
    names = [*components["schemas"], *components["securitySchemes"], *components["responses"]]
    assert [name for name in names if not re.fullmatch("[A-Za-z][A-Za-z0-9]*", name)] == []


def test_each_operation_says_whether_it_needs_a_key(document: dict[str, Any]) -> None:
    found = {where: operation.get("security") for where, operation in _iter_operations(document)}
    assert {where for where, needed in found.items() if needed is None} == set()
    assert {where for where, needed in found.items() if needed == []} == {
        "get /health/live",
        "get /health/ready",
        "get /problems/{code}",
        "post /v1/back-channel-logout",
        "post /v1/sign-in",
    }


def test_each_tag_is_explained(document: dict[str, Any]) -> None:
    used = {tag for _, operation in _iter_operations(document) for tag in operation["tags"]}
    assert used == {tag["name"] for tag in document["tags"]}


def test_uploads_have_a_body(document: dict[str, Any]) -> None:
    paths = document["paths"]
    bodies = {
        "form or file": paths["/v1/documents"]["post"]["requestBody"]["content"].keys(),
        "file": paths["/v1/documents/{document_id}"]["put"]["requestBody"]["content"].keys(),
        "part": paths["/v1/uploads/{upload_id}"]["patch"]["requestBody"]["content"].keys(),
    }
    assert bodies == {
        "form or file": {"multipart/form-data", "application/octet-stream"},
        "file": {"application/octet-stream"},
        "part": {"application/offset+octet-stream"},
    }


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/responses"])
def test_answers_to_clients_of_openai_are_typed(document: dict[str, Any], path: str) -> None:
    content = document["paths"][path]["post"]["responses"]["200"]["content"]
    assert content["application/json"]["schema"].keys() == {"$ref"}
    assert "text/event-stream" in content


@pytest.mark.parametrize(
    ("settings", "url"), [({}, "/"), ({"public_url": "https://leadline.example.org"}, "https://leadline.example.org")]
)
def test_the_server_is_the_public_address(settings: dict[str, str], url: str) -> None:
    document = create_app(_build_services(**settings)).openapi()
    assert document["servers"] == [{"url": url}]
    assert json.dumps(document) == json.dumps(create_app(_build_services(**settings)).openapi())
