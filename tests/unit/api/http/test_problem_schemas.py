"""Which problems the routes are described to send."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
from fastapi import Request

from api.admission.services import Services
from api.http.problem_schemas import ProblemOut
from api.http.problems import MEDIA_TYPE, ProblemHandlers, build_problem
from api.main import create_app
from api.openai.elsewhere import get_alternative_hint, is_openai_path
from api.settings.settings import Settings
from ingest.storage.errors import RunNotFoundError


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    services = cast(
        Services,
        SimpleNamespace(
            settings=Settings(),
            admission=SimpleNamespace(idempotency=None, ballast=None, tokens=None),
            computes_searches=True,
        ),
    )
    return create_app(services).openapi()


def test_each_lists_the_problems_it_sends_in_their_own_media_type(document: dict[str, Any]) -> None:
    shared = document["components"]["responses"]
    for path in document["paths"].values():
        for operation in path.values():
            sent = {status: each for status, each in operation["responses"].items() if status >= "4"}
            assert {"401", "404", "409", "422", "429", "500", "502", "503", "504"} <= sent.keys()
            assert all(each == {"$ref": f"#/components/responses/Problem{status}"} for status, each in sent.items())
    assert all(each["content"].keys() == {MEDIA_TYPE} for each in shared.values())
    assert "code" in document["components"]["schemas"]["ProblemOut"]["properties"]


def test_what_succeeds_is_described_as_before(document: dict[str, Any]) -> None:
    paths = document["paths"]
    assert {"200", "202"} <= paths["/v1/answers"]["post"]["responses"].keys()
    assert "204" in paths["/v1/runs/{run_id}"]["delete"]["responses"]


def test_a_problem_has_the_members_that_are_described() -> None:
    request = Request({"type": "http", "path": "/v1/runs/x", "headers": [], "query_string": b"", "server": ("h", 80)})
    handlers = ProblemHandlers(get_alternative_hint, is_openai_path)
    sent = handlers.build_problem_response(request, build_problem(RunNotFoundError("There is no such run.")))
    found = ProblemOut.model_validate_json(bytes(sent.body))
    assert (found.status, found.code) == (404, "run_not_found")
