"""Runs that wait for a person when their budget is met: a real service, its catalog on disk, and a scripted model."""

import json
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from api.admission.services import Services
from api.build.language_model import RemoteLanguageModel
from api.cli.main import app
from api.client import Client
from ingest.storage.operations.expiry import Expiry
from ingest.storage.operations.retention import Retention
from rlm.llm.chat_models import build_remote_chat_model
from rlm.llm.port import ChatModel
from rlm.llm.profiles import ModelProfile
from tests.support.cluster import wait_until
from tests.support.scripted_openai import ScriptedOpenAI, scripted_openai, wanted_members
from tests.support.service import listening, running

WHALE = b"# The Whale\n\nThe white whale was seen off the coast of Japan in 1819. It had a crooked jaw.\n"
CELLS = (
    'print(llm_query_batched([f"First {n}: " + read(outline()[0]) for n in range(6)]), "ONE IS DONE")',
    'print(llm_query_batched([f"Second {n}" for n in range(6)]), "TWO IS DONE")',
    'submit("It was seen in 1819 [1].", ["The white whale was seen off the coast of Japan in 1819."])',
)
PROFILE = ModelProfile("scripted", 16_000, 1_000, writes_code=True, parallel_calls=1)
# Three cells, twelve sub-calls, and the judge.
ALL_CALLS = 16


def replied(request: dict[str, Any]) -> str:
    prompt = str(request["messages"][-1]["content"])
    if "verdicts" in wanted_members(request):
        return json.dumps({"verdicts": [{"sentence": 1, "support": "supported", "reason": ""}]})
    if prompt.startswith(("First", "Second")):
        return f"a reply to {prompt[:9]}"
    done = "ONE IS DONE" in prompt.replace('"ONE IS DONE"', ""), "TWO IS DONE" in prompt.replace('"TWO IS DONE"', "")
    return f"```python\n{CELLS[sum(done)]}\n```"


@pytest.fixture
def model() -> Iterator[ScriptedOpenAI]:
    with scripted_openai() as server:
        server.reply = replied
        yield server


def opened(home: Path, server: ScriptedOpenAI) -> Any:  # noqa: ANN401 - a context manager
    chat = ChatModel(build_remote_chat_model(server.url, PROFILE), PROFILE)
    return running(home, language_model=RemoteLanguageModel(server.url, chat))


def upload(client: Client) -> None:
    document = client.http.post("/v1/documents", params={"name": "whale.md"}, content=WHALE).json()["id"]
    wait_until(lambda: client.get(f"/v1/documents/{document}")["state"] == "ready", what="it is ready")


def ask(client: Client, **budget: float) -> str:
    body = {"question": "Go through it.", "strategy": "recursive", "background": True, "pause_on_budget": True}
    response = client.http.post("/v1/answers", json={**body, "budget": budget})
    assert response.status_code == 202, response.text
    identifier: str = response.json()["id"]
    return identifier


def in_state(client: Client, run: str, *states: str) -> dict[str, Any]:
    wait_until(lambda: client.get(f"/v1/runs/{run}")["state"] in states, what=f"the run is {states}")
    found: dict[str, Any] = client.get(f"/v1/runs/{run}")
    return found


def add(client: Client, run: str, *, status: int = 200, **more: float) -> Any:  # noqa: ANN401 - JSON
    found = client.http.post(f"/v1/runs/{run}/continue", json=more)
    assert found.status_code == status, found.text
    return found.json()


def kinds(client: Client, run: str) -> list[str]:
    page = client.get(f"/v1/runs/{run}/events", headers={"Accept": "application/json"}, limit=1000)
    return [each["kind"] for each in page["events"]]


def prompts(model: ScriptedOpenAI) -> list[str]:
    return [str(each["messages"]) for each in model.requests]


def test_a_paused_run_outlives_its_process_and_asks_nothing_twice_when_its_budget_is_raised(
    tmp_path: Path, model: ScriptedOpenAI
) -> None:
    with opened(tmp_path, model) as (_, client):
        upload(client)
        run = ask(client, calls=4)
        paused = in_state(client, run, "paused", "failed", "completed", "partial")
        assert (paused["state"], paused["answer"], paused["pause_on_budget"]) == ("paused", None, True)
        assert paused["progress"]["resource"] == "calls"
        assert paused["usage"]["calls"] == 4
    with opened(tmp_path, model) as (_, client):
        assert client.get(f"/v1/runs/{run}")["state"] == "paused"
        add(client, run, calls=7)
        assert in_state(client, run, "paused", "failed", "completed", "partial")["usage"]["calls"] == 11
    with opened(tmp_path, model) as (_, client):
        raised = add(client, run, calls=20)
        assert raised["budget"]["calls"] == 31
        done = in_state(client, run, "failed", "completed", "partial")
        assert (done["state"], done["answer"]["text"]) == ("completed", "It was seen in 1819 [1].")
        assert done["usage"]["calls"] == ALL_CALLS
        assert [each for each in kinds(client, run) if each in ("paused", "budget", "raised")] == [
            *("paused", "budget", "raised", "paused", "budget", "raised"),
        ]
    assert len(prompts(model)) == len(set(prompts(model))) == ALL_CALLS


def test_a_paused_run_ends_with_what_it_has_when_a_person_says_so(tmp_path: Path, model: ScriptedOpenAI) -> None:
    with opened(tmp_path, model) as (_, client):
        upload(client)
        run = ask(client, calls=14)
        in_state(client, run, "paused", "failed", "completed", "partial")
        assert client.http.post(f"/v1/runs/{run}/finish").status_code == 200
        done = in_state(client, run, "failed", "completed", "partial")
        assert done["state"] != "failed", done["failure"]
        assert done["usage"]["calls"] <= 14
        assert done["pause_on_budget"] is False
        assert client.http.post(f"/v1/runs/{run}/finish").json()["code"] == "run_state"
    assert len(prompts(model)) == len(set(prompts(model)))


def test_a_run_whose_time_is_over_waits_and_goes_on_with_more_of_it(tmp_path: Path, model: ScriptedOpenAI) -> None:
    added = threading.Event()

    def slow(request: dict[str, Any]) -> str:
        if "First 3" in str(request["messages"]):
            assert added.wait(120)
        return replied(request)

    model.reply = slow
    with opened(tmp_path, model) as (_, client):
        upload(client)
        run = ask(client, seconds=1.5)
        assert in_state(client, run, "paused")["progress"]["resource"] == "seconds"
        last = prompts(model)[-1:]  # that of "First 3", if the machine got so far in time
        added.set()
        add(client, run, seconds=600)
        done = in_state(client, run, "failed", "completed", "partial")
        assert (done["state"], done["answer"]["text"]) == ("completed", "It was seen in 1819 [1].")
    again = [prompt for prompt, times in Counter(prompts(model)).items() if times > 1]
    assert again in ([], last), "only what was broken off is asked again"


def test_what_is_added_is_a_limit_of_the_run_and_only_a_paused_run_waits_for_it(
    tmp_path: Path, model: ScriptedOpenAI
) -> None:
    with opened(tmp_path, model) as (_, client):
        upload(client)
        run = ask(client, calls=4)
        in_state(client, run, "paused")
        assert "no `dollars` limit" in add(client, run, status=400, dollars=1)["detail"]
        assert add(client, run, status=400)["code"] == "bad_request"
        assert add(client, run, status=422, calls=0)["code"] == "invalid_request"
        cancelled = client.post(f"/v1/runs/{run}/cancel", {})
        assert cancelled["state"] == "cancelled"
        assert add(client, run, status=409, calls=1)["code"] == "run_state"
        other = {"question": "Why?", "pause_on_budget": True}
        assert client.http.post("/v1/answers", json=other).status_code == 422


def test_a_person_asks_adds_and_ends_from_the_command_line(tmp_path: Path, model: ScriptedOpenAI) -> None:
    with opened(tmp_path, model) as (services, client), listening(services) as (url, key):
        upload(client)

        def leadline(*arguments: str, fails: bool = False) -> str:
            environment = {"LEADLINE_URL": url, "LEADLINE_API_KEY": key, "COLUMNS": "200"}
            done = CliRunner().invoke(app, arguments, env=environment)
            assert (done.exit_code != 0) == fails, done.output
            return done.output

        asked = ("ask", "Go through it.", "--strategy", "recursive", "--pause-on-budget", "--budget-calls", "4")
        assert "--background" in leadline(*asked, fails=True)
        leadline(*asked, "--background")
        (run,) = [each["id"] for each in client.get("/v1/runs")["runs"]]
        in_state(client, run, "paused", "failed", "completed", "partial")
        shown = leadline("runs", "show", run)
        assert f"leadline runs continue {run}" in shown
        assert f"leadline runs finish {run}" in shown
        leadline("runs", "continue", run, fails=True)
        leadline("runs", "continue", run, "--dollars", "1", fails=True)
        assert f"leadline runs watch {run}" in leadline("runs", "continue", run, "--calls", "10")
        wait_until(lambda: client.get(f"/v1/runs/{run}")["usage"]["calls"] == 14, what="14 calls are made")
        in_state(client, run, "paused", "failed", "completed", "partial")
        leadline("runs", "finish", run)
        assert in_state(client, run, "failed", "completed", "partial")["state"] != "failed"
        lines = leadline("runs", "show", run)
        assert "Somebody added to its budget (Model calls: 10)" in lines
        assert "Somebody asked it to answer with what it has" in lines
        leadline("runs", "finish", run, fails=True)


def test_nobody_is_waited_for_longer_than_the_days_that_are_set(tmp_path: Path, model: ScriptedOpenAI) -> None:
    with opened(tmp_path, model) as (services, client):
        upload(client)
        run = ask(client, calls=14)
        in_state(client, run, "paused")
        expiry = Expiry(engine_of(services))
        assert expiry.delete_expired_records(Retention(paused_days=1)) == {}
        assert expiry.delete_expired_records(Retention(paused_days=-1)) == {"paused runs": 1}
        assert in_state(client, run, "failed", "completed", "partial")["state"] != "failed"


def engine_of(services: Services) -> Any:  # noqa: ANN401 - SQLAlchemy's
    return services.answers.runs._engine
