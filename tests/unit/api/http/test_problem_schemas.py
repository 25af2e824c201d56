"""Which problems the routes of answers, conversations and runs are described to send."""

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

_ROUTES = ("/v1/answers", "/v1/conversations", "/v1/runs")


@pytest.fixture(scope="module")
def paths() -> dict[str, Any]:
    services = cast(
        Services, SimpleNamespace(settings=Settings(), admission=SimpleNamespace(idempotency=None, ballast=None))
    )
    described = create_app(services).openapi()["paths"]
    return {path: described[path] for path in described if path.startswith(_ROUTES)}


def test_each_lists_the_problems_it_sends_in_their_own_media_type(paths: dict[str, Any]) -> None:
    operations = [operation for path in paths.values() for operation in path.values()]
    assert len(operations) == 31
    for operation in operations:
        sent = {status: each for status, each in operation["responses"].items() if status >= "4"}
        assert {"401", "404", "409", "422", "429", "500", "502", "503", "504"} <= sent.keys()
        assert {media for each in sent.values() for media in each["content"]} == {MEDIA_TYPE}
        assert all("code" in each["content"][MEDIA_TYPE]["schema"]["properties"] for each in sent.values())


def test_what_succeeds_is_described_as_before(paths: dict[str, Any]) -> None:
    assert {"200", "202"} <= paths["/v1/answers"]["post"]["responses"].keys()
    assert "204" in paths["/v1/runs/{run_id}"]["delete"]["responses"]


def test_a_problem_has_the_members_that_are_described() -> None:
    request = Request({"type": "http", "path": "/v1/runs/x", "headers": [], "query_string": b"", "server": ("h", 80)})
    handlers = ProblemHandlers(get_alternative_hint, is_openai_path)
    sent = handlers.build_problem_response(request, build_problem(RunNotFoundError("There is no such run.")))
    found = ProblemOut.model_validate_json(bytes(sent.body))
    assert (found.status, found.code) == (404, "run_not_found")
