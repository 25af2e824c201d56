"""Answers in the background over a real service: a real server, catalog and engine, and a scripted language model."""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.admission.services import Services
from api.build.language_model import RemoteLanguageModel
from api.cli import runs
from api.client import Client
from ingest.storage.answers.run_records import RunState
from ingest.storage.queue.records import JobKind
from rlm.llm.chat_models import build_remote_chat_model
from rlm.llm.port import ChatModel
from rlm.llm.profiles import ModelProfile
from tests.support.cluster import wait_until
from tests.support.scripted_openai import ScriptedOpenAI, scripted_openai, wanted_members
from tests.support.service import running

WHALE = b"# The Whale\n\nThe white whale was seen off the coast of Japan in 1819. It had a crooked jaw.\n"
QUESTION = "When was the white whale seen off the coast of Japan?"
ANSWER = "It was seen there in 1819 [1]."
pytestmark = pytest.mark.usefixtures("no_drafts")
# A direct answer that a judge checks.
TOLD = ["start", "routed", "reading", "call", "checking", "call", "end"]


@pytest.fixture(scope="module")
def model() -> Iterator[ScriptedOpenAI]:
    with scripted_openai() as server:
        yield server


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, model: ScriptedOpenAI) -> Iterator[tuple[Services, Client]]:
    with running(tmp_path_factory.mktemp("home"), language_model=language_model(model)) as (services, client):
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
    model.reply = replied
    return service[1]


def replied(request: dict[str, Any]) -> str:
    """What a model that makes no mistake replies: an answer, a verdict on it, or a follow-up that stands alone."""
    members = wanted_members(request)
    if "verdicts" in members:
        return json.dumps({"verdicts": [{"sentence": 1, "support": "supported", "reason": ""}]})
    return json.dumps({"question": QUESTION}) if "question" in members else ANSWER


def language_model(server: ScriptedOpenAI) -> RemoteLanguageModel:
    profile = ModelProfile("scripted", 8192, 512)
    return RemoteLanguageModel(server.url, ChatModel(build_remote_chat_model(server.url, profile), profile))


def ask(client: Client, question: str = QUESTION, *, conversation: str | None = None, **headers: str) -> httpx.Response:
    body = {"question": question, "conversation": conversation, "background": True}
    return client.http.post("/v1/answers", json=body, headers=headers)


def ended(client: Client, run: str) -> dict[str, Any]:
    wait_until(lambda: bool(client.get(f"/v1/runs/{run}")["ended_at"]), what="the run has ended")
    found: dict[str, Any] = client.get(f"/v1/runs/{run}")
    return found


def followed(client: Client, run: str, **headers: str) -> list[tuple[int, str, dict[str, Any]]]:
    """Number, name and body of each event until the stream ends."""
    with client.http.stream("GET", f"/v1/runs/{run}/events", headers=headers) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        text = "".join(response.iter_text())
    found = re.findall(r"^id: (\d+)\nevent: (\w+)\ndata: (.*)$", text, re.MULTILINE)
    return [(int(number), name, json.loads(data)) for number, name, data in found]


def test_a_question_in_the_background_is_answered_by_a_run(client: Client) -> None:
    response = ask(client)
    assert response.status_code == 202
    run = response.json()
    assert response.headers["location"] == f"/v1/runs/{run['id']}"
    done = ended(client, run["id"])
    assert (done["state"], done["attempt"], done["scope"]["documents"]) == ("completed", 1, 1)
    assert (done["answer"]["status"], done["answer"]["text"]) == ("answered", ANSWER)
    assert [each["check"] for each in done["answer"]["sentences"]] == ["verified"]
    assert done["usage"]["calls"] == done["answer"]["usage"]["calls"] == 2
    assert done["usage"]["prompt_tokens"] > 0


def test_everything_that_was_done_is_told_as_it_happens_and_again_from_anywhere(client: Client) -> None:
    run = ask(client).json()["id"]
    told = followed(client, run)
    assert [name for _, name, _ in told] == TOLD
    assert [number for number, _, _ in told] == list(range(1, len(TOLD) + 1))
    assert told[-1][2]["run"]["answer"] == ended(client, run)["answer"]
    assert followed(client, run, **{"Last-Event-ID": "3"}) == told[3:]
    assert client.http.get(f"/v1/runs/{run}/events", headers={"Last-Event-ID": str(len(TOLD))}).status_code == 204


def test_the_answer_of_a_run_is_kept_under_its_id_and_is_a_turn_of_its_conversation(
    client: Client, model: ScriptedOpenAI
) -> None:
    first = ask(client, conversation="new").json()
    assert ended(client, first["id"])["answer"] == client.get(f"/v1/answers/{first['id']}")
    talk = first["conversation"]
    assert client.get(f"/v1/answers/{first['id']}")["conversation"] == talk
    second = ask(client, "And where was it?", conversation=talk).json()
    assert second["history"] == 2
    assert ended(client, second["id"])["answer"]["question"] == QUESTION
    turns = client.get(f"/v1/conversations/{talk}")["turns"]
    assert [turn["answer"]["id"] for turn in turns] == [first["id"], second["id"]]
    (condensing,) = [request for request in model.requests if "question" in wanted_members(request)]
    assert ANSWER in str(condensing["messages"])
    client.delete(f"/v1/runs/{first['id']}")
    assert client.http.get(f"/v1/answers/{first['id']}").status_code == 404


def test_events_are_paged_as_json(client: Client) -> None:
    run = ask(client).json()["id"]
    ended(client, run)
    headers, seen, cursor = {"Accept": "application/json"}, [], None
    while True:
        params = {"limit": 4} | ({"cursor": cursor} if cursor else {})
        page = client.http.get(f"/v1/runs/{run}/events", params=params, headers=headers).json()
        seen += page["events"]
        if (cursor := page["next_cursor"]) is None:
            break
    assert [event["kind"] for event in seen] == TOLD
    assert [event["sequence"] for event in seen] == list(range(1, len(TOLD) + 1))


def test_a_cancelled_run_stops_and_its_request_to_a_model_that_never_ends_is_closed(
    client: Client, model: ScriptedOpenAI, service: tuple[Services, Client]
) -> None:
    model.fault = "wait"
    dropped = model.dropped
    run = ask(client).json()["id"]
    wait_until(lambda: model.open == 1, what="the model was asked")
    cancelled = client.post(f"/v1/runs/{run}/cancel", {})
    assert cancelled["state"] == "cancelled"
    wait_until(lambda: model.open == 0, what="the request is closed")
    wait_until(lambda: model.dropped == dropped + 1, what="its client is lost")
    wait_until(lambda: not [t for t in threading.enumerate() if t.name == "run-log"], what="it has stopped")
    assert service[0].jobs.count_unfinished_jobs().get(JobKind.RUN) is None
    assert client.post(f"/v1/runs/{run}/cancel", {})["state"] == "cancelled"
    assert [name for _, name, _ in followed(client, run)][-1] == "end"


def test_a_run_that_goes_on_is_not_deleted_and_an_ended_one_leaves_nothing(
    client: Client, model: ScriptedOpenAI
) -> None:
    model.fault = "wait"
    run = ask(client).json()["id"]
    refused = client.http.delete(f"/v1/runs/{run}")
    assert (refused.status_code, refused.json()["code"]) == (409, "run_state")
    client.post(f"/v1/runs/{run}/cancel", {})
    assert client.http.delete(f"/v1/runs/{run}").status_code == 204
    assert client.http.get(f"/v1/runs/{run}").status_code == 404


def test_the_same_idempotency_key_is_the_same_run(client: Client) -> None:
    first, again = (ask(client, **{"Idempotency-Key": "once"}) for _ in range(2))
    assert (first.status_code, again.status_code) == (202, 202)
    assert first.json()["id"] == again.json()["id"]
    ended(client, first.json()["id"])


@pytest.mark.parametrize("other", [{"question": "Who saw it?"}, {"budget": {"calls": 3}}, {"strategy": "direct"}])
def test_the_same_idempotency_key_with_another_question_is_refused(client: Client, other: dict[str, Any]) -> None:
    key = {"Idempotency-Key": f"for {other}"}
    run = ask(client, **key).json()["id"]
    body = {"question": QUESTION, "background": True, **other}
    refused = client.http.post("/v1/answers", json=body, headers=key)
    assert (refused.status_code, refused.json()["code"]) == (422, "idempotency_key_reused")
    assert "new Idempotency-Key" in refused.json()["hint"]
    ended(client, run)


def test_runs_are_listed_newest_first_page_by_page(client: Client) -> None:
    made = [ask(client).json()["id"] for _ in range(3)]
    for run in made:
        ended(client, run)
    listed, cursor = [], None
    for _ in range(2):
        page = client.get("/v1/runs", limit=2, cursor=cursor, state="completed")
        listed += [run["id"] for run in page["runs"]]
        cursor = page["next_cursor"]
    assert listed[:3] == made[::-1]


def test_another_tenants_run_is_not_there(client: Client, service: tuple[Services, Client]) -> None:
    run = ask(client).json()["id"]
    services = service[0]
    services.documents.catalog.ensure_tenant("other")
    stranger = {"Authorization": f"Bearer {services.keys.issue_key('other', 'test')[1]}"}
    for method, path in (
        ("GET", ""),
        ("GET", "/events"),
        ("POST", "/cancel"),
        ("DELETE", ""),
    ):
        response = client.http.request(method, f"/v1/runs/{run}{path}", headers=stranger)
        assert (response.status_code, response.json()["code"]) == (404, "run_not_found")
    assert client.http.get("/v1/runs", headers=stranger).json() == {"runs": [], "next_cursor": None}
    ended(client, run)


def test_a_model_that_refuses_fails_the_run_with_its_reason(client: Client, model: ScriptedOpenAI) -> None:
    model.fault = "unauthorized"
    done = ended(client, ask(client).json()["id"])
    assert (done["state"], done["failure"]["code"]) == ("failed", "language_model_refused")
    assert done["failure"]["hint"]


@pytest.mark.parametrize("question", ["", "?" * 5000])
def test_a_question_that_cannot_be_answered_is_refused_at_once(client: Client, question: str) -> None:
    assert ask(client, question).status_code == 422


def test_background_and_stream_exclude_each_other(client: Client) -> None:
    body = {"question": QUESTION, "background": True, "stream": True}
    assert client.http.post("/v1/answers", json=body).status_code == 400


def test_the_command_line_shows_a_run_as_a_tree_with_its_answer(
    client: Client, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(runs, "open_client", lambda _: nullcontext(client))
    run = ask(client).json()["id"]
    runs.watch(run)
    assert "Reads 1 passage: The Whale" in capsys.readouterr().out
    runs.show(run)
    out = capsys.readouterr().out
    assert "Writes the answer: 1 model call" in out
    assert "1819" in out
    runs.list_runs(state=[RunState.COMPLETED], as_json=True, limit=1)
    assert run in capsys.readouterr().out
    runs.cancel(run)
    runs.delete(run)
    assert "completed" in capsys.readouterr().out
    assert client.http.get(f"/v1/runs/{run}").status_code == 404


def test_a_stopped_service_goes_on_with_its_runs_when_it_starts_again(tmp_path: Path, model: ScriptedOpenAI) -> None:
    model.fault = "wait"
    model.reply = replied
    with running(tmp_path, language_model=language_model(model)) as (_, first):
        document = first.http.post("/v1/documents", params={"name": "whale.md"}, content=WHALE).json()["id"]
        wait_until(lambda: first.get(f"/v1/documents/{document}")["state"] == "ready", what="ready")
        run = ask(first).json()["id"]
        wait_until(lambda: model.open == 1, what="the model was asked")
    wait_until(lambda: model.open == 0, what="the request is closed")
    model.fault = ""
    with running(tmp_path, language_model=language_model(model)) as (_, second):
        done = ended(second, run)
        assert (done["state"], done["attempt"]) == ("completed", 1)
        assert done["usage"]["calls"] == 3  # the one that was given up may have been paid for
        names = [name for _, name, _ in followed(second, run)]
    assert names == ["start", "routed", "reading", "lost", "resume", *TOLD[3:]]
