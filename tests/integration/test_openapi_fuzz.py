"""Requests made from the OpenAPI description: whatever they say, nothing is a fault of the service."""

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import httpx
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from hypothesis.strategies import SearchStrategy

from api.build.language_model import RemoteLanguageModel
from rlm.llm.chat_models import build_remote_chat_model
from rlm.llm.port import ChatModel
from rlm.llm.profiles import ModelProfile
from tests.support.scripted_openai import scripted_openai
from tests.support.service import listening, running

pytestmark = pytest.mark.slow

CASES = 5
# A test has ten minutes, so the operations are shared out among several.
PARTS = 4
# Something that the service needs is away, which it says; that is no fault of its own.
_AWAY = (502, 503, 504, 507)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str, dict[str, str]]]:
    """The URL of a service with one of each thing, a key, and the ids of the things."""
    profile = ModelProfile("scripted", 32_000, 4_000)
    with scripted_openai(window_tokens=32_000) as server:
        model = RemoteLanguageModel(server.url, ChatModel(build_remote_chat_model(server.url, profile), profile))
        with (
            running(tmp_path_factory.mktemp("home"), language_model=model, body_idle_seconds=5) as (services, _),
            listening(services) as (url, key),
            httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=60) as http,
        ):
            document = http.post("/v1/documents", params={"name": "a.csv"}, content=b"id,note\n1,late\n2,fine\n").json()
            answer = http.post("/v1/answers", json={"question": "who?", "conversation": "new"}).json()
            ids = {
                "document_id": document["id"],
                "batch_id": http.post("/v1/batches", json={}).json()["id"],
                "run_id": http.post("/v1/answers", json={"question": "who?", "background": True}).json()["id"],
                "answer_id": str(answer.get("id")),
                "conversation_id": str(answer.get("conversation")),
            }
            ids["file_id"] = http.post(
                "/v1/files", files={"file": ("a.csv", b"id,note\n1,late\n")}, data={"purpose": "assistants"}
            ).json()["id"]
            ids["vector_store_id"] = http.post("/v1/vector_stores", json={"file_ids": [ids["file_id"]]}).json()["id"]
            http.post(f"/v1/batches/{ids['batch_id']}/close").raise_for_status()  # so that its events come to an end
            yield url, key, ids


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("mode", list(schemathesis.GenerationMode), ids=lambda mode: mode.value)
def test_no_request_that_the_description_allows_or_forbids_is_a_fault_of_ours(
    service: tuple[str, str, dict[str, str]], mode: schemathesis.GenerationMode, part: int
) -> None:
    url, key, ids = service
    faults: dict[str, str] = {}
    asked: Counter[int] = Counter()
    schemathesis.serializer.alias(
        "application/offset+octet-stream", "application/octet-stream"
    )  # chunks of tus uploads
    schema: Any = schemathesis.openapi.from_url(f"{url}/openapi.json")
    operations = [found.ok() for found in schema.get_all_operations()]
    with requests.Session() as session:
        session.headers["Authorization"] = f"Bearer {key}"
        for operation in operations[part::PARTS]:
            known = {name: identifier for name, identifier in ids.items() if f"{{{name}}}" in operation.path}
            for given_ids in [{}, {"path_parameters": known}] if known else [{}]:
                _try(operation.as_strategy(mode, **given_ids), session, faults, asked)
    assert faults == {}
    assert len(operations) >= 100
    assert asked.total() >= 3 * len(operations[part::PARTS])
    assert asked[200] > 0 or mode is schemathesis.GenerationMode.NEGATIVE


def _try(strategy: SearchStrategy[Any], session: requests.Session, faults: dict[str, str], asked: Counter[int]) -> None:
    @settings(
        max_examples=CASES, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
    )
    @given(case=strategy)
    def ask(case: Any) -> None:  # noqa: ANN401 - generic over kinds of schema
        status = case.call(session=session, timeout=60).status_code
        asked[status] += 1
        if status >= 500 and status not in _AWAY:
            faults.setdefault(f"{status} {case.operation.label}", case.as_curl_command()[:600])

    with suppress(Unsatisfiable):  # an operation in which nothing could be wrong
        ask()
