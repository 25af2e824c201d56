"""What answers may spend: those that a caller waits for, like those in the background; and nothing for who has left."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.admission.services import Services
from api.build.language_model import RemoteLanguageModel
from api.client import Client
from rlm.errors import LanguageModelUnavailableError
from rlm.llm.chat_models import build_remote_chat_model
from rlm.llm.port import ChatModel
from rlm.llm.profiles import ModelProfile
from tests.fakes.loaded_model import LoadedModel
from tests.support.cluster import wait_until
from tests.support.raw_http import connected, head
from tests.support.scripted_openai import ScriptedOpenAI, scripted_openai
from tests.support.service import listening, running

WHALE = b"# The Whale\n\nThe white whale was seen off the coast of Japan in 1819. It had a crooked jaw.\n"
QUESTION = "When was the white whale seen off the coast of Japan?"
PROFILE = ModelProfile("scripted", 8192, 512, structured_output="none", judges=False)


@pytest.fixture(scope="module")
def model() -> Iterator[ScriptedOpenAI]:
    with scripted_openai() as server:
        yield server


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, model: ScriptedOpenAI) -> Iterator[tuple[Services, Client]]:
    language_model = RemoteLanguageModel(model.url, ChatModel(build_remote_chat_model(model.url, PROFILE), PROFILE))
    with running(tmp_path_factory.mktemp("home"), language_model=language_model) as (services, client):
        document = client.http.post("/v1/documents", params={"name": "whale.md"}, content=WHALE).json()["id"]
        wait_until(
            lambda: client.get(f"/v1/documents/{document}")["state"] == "ready",
            what="the document is ready",
        )
        yield services, client


@pytest.fixture
def client(service: tuple[Services, Client], model: ScriptedOpenAI) -> Client:
    model.fault = ""
    model.requests.clear()
    model.reply = lambda _: "It was seen there in 1819 [1]."
    return service[1]


def test_no_call_is_made_that_the_budget_does_not_cover(client: Client, model: ScriptedOpenAI) -> None:
    body = {"question": QUESTION, "strategy": "direct", "budget": {"calls": 0}}
    refused = client.http.post("/v1/answers", json=body)
    assert model.requests == []
    assert (refused.status_code, refused.json()["code"]) == (422, "budget_exhausted")
    assert refused.json()["hint"]


def test_what_is_asked_of_a_model_follows_its_profile(client: Client, model: ScriptedOpenAI) -> None:
    answer = client.http.post("/v1/answers", json={"question": QUESTION, "strategy": "direct"}).json()
    assert answer["text"] == "It was seen there in 1819 [1]."
    assert [each["check"] for each in answer["sentences"]] == ["quoted"]
    assert answer["usage"]["calls"] == len(model.requests) == 1
    assert "response_format" not in model.requests[0]


def test_a_server_that_hangs_is_waited_for_no_longer_than_the_time_that_was_given(
    client: Client, model: ScriptedOpenAI
) -> None:
    model.fault = "wait"
    body = {"question": QUESTION, "strategy": "direct", "budget": {"seconds": 0.5}}
    assert client.http.post("/v1/answers", json=body).json()["code"] == "budget_exhausted"
    wait_until(lambda: model.open == 0, what="the request is closed")


def test_who_goes_away_closes_the_request_to_the_model(client: Client, model: ScriptedOpenAI) -> None:
    model.fault = "wait"
    dropped = model.dropped
    body = {"question": QUESTION, "strategy": "direct", "stream": True}
    with client.http.stream("POST", "/v1/answers", json=body):
        wait_until(lambda: model.open == 1, what="the model was asked")
    wait_until(lambda: model.dropped == dropped + 1, what="the request is closed")


@pytest.mark.usefixtures("client")
def test_who_hangs_up_closes_the_request_to_the_model_too(
    service: tuple[Services, Client], model: ScriptedOpenAI
) -> None:
    model.fault = "wait"
    dropped = model.dropped
    body = json.dumps({"question": QUESTION, "strategy": "direct"}).encode()
    with listening(service[0]) as (url, key):
        with connected(url) as connection:
            about = {"Authorization": f"Bearer {key}", "Content_Type": "application/json"}
            connection.sendall(head("POST", "/v1/answers", **about, Content_Length=str(len(body))) + body)
            wait_until(lambda: model.open == 1, what="the model was asked")
        wait_until(lambda: model.dropped == dropped + 1, what="the request is closed")


def test_an_error_of_the_model_keeps_its_hint(client: Client, model: ScriptedOpenAI) -> None:
    model.fault = "unauthorized"
    response = client.http.post("/v1/answers", json={"question": QUESTION, "strategy": "direct"})
    assert response.status_code == 502
    assert "API key" in response.json()["hint"]


class Loading(LoadedModel):
    """A model that is not there yet."""

    def acquire(self) -> ChatModel | None:
        raise LanguageModelUnavailableError("It is still loading.")


def test_a_run_is_accepted_while_its_model_loads_and_gets_a_limit(tmp_path: Path) -> None:
    with running(tmp_path, language_model=Loading(None)) as (_, client):
        run = client.http.post("/v1/answers", json={"question": QUESTION, "background": True}).json()
        assert (run["state"], run["budget"]) == ("queued", {"calls": 500, "seconds": 900.0})
