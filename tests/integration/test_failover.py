"""A model on several servers, real HTTP servers each: one dies, one is busy, all are away; and models of parts."""

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client import REGISTRY

from api.build.language_model import RemoteLanguageModel, open_language_model
from api.client import Client
from api.settings.settings import Settings
from retrieval.models.store import ModelStore
from rlm.llm.budgets import Budget, Limits
from rlm.llm.port import SubFailure, SubReply
from rlm.llm.scheduler import SubCallScheduler
from tests.support.cluster import wait_until
from tests.support.relay import Relay, relayed
from tests.support.scheduling import SCHEMA, call
from tests.support.scripted_openai import Fault, ScriptedOpenAI, scripted_openai, wanted_members
from tests.support.service import running

SERVERS = 3


@dataclass
class Fleet:
    """Servers of one model, each behind a line that can be cut."""

    servers: list[ScriptedOpenAI]
    relays: list[Relay]

    @property
    def setting(self) -> str:
        return ",".join(f"{relay.url}/v1" for relay in self.relays) + " fleet-model"


@pytest.fixture
def fleet() -> Iterator[Fleet]:
    with ExitStack() as stack:
        servers = [stack.enter_context(scripted_openai(_reply)) for _ in range(SERVERS)]
        yield Fleet(servers, [stack.enter_context(relayed(server.url)) for server in servers])


@pytest.fixture
def scheduler() -> Iterator[SubCallScheduler]:
    made = SubCallScheduler()
    yield made
    made.close()


def _reply(request: dict[str, Any]) -> str:
    return '{"n": 1}' if wanted_members(request) else " ".join(f"word{number}" for number in range(20))


def opened(fleet: Fleet, home: Path) -> RemoteLanguageModel:
    settings = Settings(home=home, models=home / "models", llm=fleet.setting)
    model = open_language_model(settings, ModelStore(settings.models))
    assert isinstance(model, RemoteLanguageModel)
    assert model.wait_for_check(120)
    return model


def asked(
    scheduler: SubCallScheduler, model: RemoteLanguageModel, prompt: str, *, affinity: str = "", whole: bool = False
) -> SubReply | SubFailure:
    chat = model.acquire()
    assert chat is not None
    calls = scheduler.bind_sub_calls(
        chat.chat, chat.profile, tenant_id="ann", budget=Budget(Limits()), affinity=affinity
    )
    (result,) = calls.run([call(prompt, schema=SCHEMA if whole else None)])
    return result


def failures(server: str) -> float:
    """Requests that a server was sent and did not answer, in this process."""
    labels = {"model": "fleet-model", "server": server, "outcome": "language_model_unavailable"}
    return REGISTRY.get_sample_value("leadline_model_server_requests_total", labels) or 0.0


def upload(client: Client) -> None:
    text = b"The lamp was lit in 1871."
    document = client.http.post("/v1/documents", params={"name": "a.txt"}, content=text).json()["id"]
    wait_until(lambda: client.get(f"/v1/documents/{document}")["state"] == "ready", what="it is ready")


@pytest.mark.parametrize("whole", [False, True], ids=["streamed", "whole"])
def test_when_one_of_three_servers_dies_under_load_no_call_fails(
    tmp_path: Path, fleet: Fleet, scheduler: SubCallScheduler, whole: bool
) -> None:
    for server in fleet.servers:
        server.delay_seconds, server.piece_seconds = 0.02, 0.002
    # Whenever the line is cut, this one works on something.
    fleet.servers[0].delay_seconds, fleet.servers[0].piece_seconds = 0.2, 0.02
    model = opened(fleet, tmp_path)
    dying, under_way, before = fleet.relays[0], threading.Barrier(17), failures("1")

    def ask(number: int) -> list[SubReply | SubFailure]:
        under_way.wait()
        return [asked(scheduler, model, f"{number} {each}", affinity=str(number), whole=whole) for each in range(6)]

    with ThreadPoolExecutor(16) as threads:
        results = [threads.submit(ask, number) for number in range(16)]
        under_way.wait()
        wait_until(lambda: fleet.servers[0].open > 0, what="the server works on something")
        dying.cut()
        replies = [reply for result in results for reply in result.result()]
    assert [reply for reply in replies if isinstance(reply, SubFailure)] == []
    told = {state["server"]: state["state"] for state in model.get_state()["servers"]}
    assert (told[2], told[3]) == ("ready", "ready")
    assert failures("1") > before


def test_a_server_that_comes_back_gets_requests_again(
    tmp_path: Path, fleet: Fleet, scheduler: SubCallScheduler
) -> None:
    model = opened(fleet, tmp_path)
    fleet.relays[1].cut()
    for number in range(6):
        assert isinstance(asked(scheduler, model, f"{number}"), SubReply)
    before = len(fleet.servers[1].requests)
    fleet.relays[1].mend()

    def is_asked() -> bool:
        assert isinstance(
            asked(scheduler, model, f"{threading.get_ident()} {len(fleet.servers[0].requests)}"), SubReply
        )
        return len(fleet.servers[1].requests) > before

    wait_until(is_asked, what="the server is asked again")


@pytest.mark.parametrize("fault", ["busy", "down"])
def test_a_busy_or_closing_server_gets_no_new_requests_for_as_long_as_it_asks(
    tmp_path: Path, fleet: Fleet, scheduler: SubCallScheduler, fault: Fault
) -> None:
    model = opened(fleet, tmp_path)
    fleet.servers[2].fault, fleet.servers[2].retry_after_seconds = fault, 600
    replies = [asked(scheduler, model, f"{number}") for number in range(12)]
    assert all(isinstance(reply, SubReply) and reply.usage.calls == 1 for reply in replies)
    assert len(fleet.servers[2].requests) == 1


def test_calls_of_one_conversation_stay_with_one_server(
    tmp_path: Path, fleet: Fleet, scheduler: SubCallScheduler
) -> None:
    model = opened(fleet, tmp_path)
    for number in range(6):
        asked(scheduler, model, f"{number}", affinity="one conversation")
    assert sorted(len(server.requests) for server in fleet.servers) == [0, 0, 6]


def test_an_answer_that_broke_off_is_begun_anew_elsewhere_once_if_nobody_was_shown_a_part(
    tmp_path: Path, fleet: Fleet, scheduler: SubCallScheduler
) -> None:
    model = opened(fleet, tmp_path)
    breaking = next(server for number, server in enumerate(fleet.servers, 1) if number == _first_server(model, "a"))
    breaking.fault = "cut"
    unseen = asked(scheduler, model, "in a batch", affinity="a")
    assert isinstance(unseen, SubReply)
    assert unseen.usage.calls == 2
    assert sum(len(server.requests) for server in fleet.servers) == 2
    for server in fleet.servers:
        server.fault = "cut"
    breaks_servers = asked(scheduler, model, "what breaks servers")
    assert isinstance(breaks_servers, SubFailure)
    assert sum(len(server.requests) for server in fleet.servers) == 4


def test_an_answer_that_somebody_has_read_a_part_of_is_not_begun_anew(
    tmp_path: Path, fleet: Fleet, scheduler: SubCallScheduler
) -> None:
    chat = opened(fleet, tmp_path).acquire()
    assert chat is not None
    calls = scheduler.bind_sub_calls(chat.chat, chat.profile, tenant_id="ann", budget=Budget(Limits()))
    # The first reply of an unknown model comes in one piece, and says if the model thinks before it answers.
    assert isinstance([*calls.stream(call("first"))][-1], SubReply)
    for server in fleet.servers:
        server.fault = "cut"
    *shown, last = calls.stream(call("for a reader"))
    assert shown
    assert isinstance(last, SubFailure)
    assert sum(len(server.requests) for server in fleet.servers) == 2


def _first_server(model: RemoteLanguageModel, affinity: str) -> int:
    chat: Any = model.acquire()
    attempt = chat.chat.pool.start_attempt(affinity)
    attempt.end_attempt("given_up")
    return int(attempt.server.number)


def test_with_every_server_away_the_client_is_told_when_to_ask_again_and_no_address(
    tmp_path: Path, fleet: Fleet
) -> None:
    settings = Settings(home=tmp_path, models=tmp_path / "models", llm=fleet.setting)
    model = open_language_model(settings, ModelStore(settings.models))
    with running(tmp_path / "home", language_model=model) as (_, client):
        upload(client)
        for relay in fleet.relays:
            relay.cut()
        response = client.http.post("/v1/answers", json={"question": "When was the lamp lit?"}, timeout=60)
        assert response.status_code == httpx.codes.SERVICE_UNAVAILABLE
        assert int(response.headers["retry-after"]) > 0
        assert response.json()["code"] == "language_model_unavailable"
        assert "127.0.0.1" not in response.text
        for relay in fleet.relays:
            relay.mend()
        again = client.http.post("/v1/answers", json={"question": "When was the lamp lit?"}, timeout=60)
        assert again.status_code == httpx.codes.OK


def test_each_server_is_counted_by_its_number(tmp_path: Path, fleet: Fleet, scheduler: SubCallScheduler) -> None:
    model = opened(fleet, tmp_path)

    before = failures("2")
    fleet.servers[1].fault, fleet.servers[1].retry_after_seconds = "down", 600
    for number in range(6):
        asked(scheduler, model, f"{number}")
    assert failures("2") == before + 1
    resting = {"model": "fleet-model", "server": "2"}
    assert REGISTRY.get_sample_value("leadline_model_server_resting", resting) == 1.0


def test_parts_of_the_work_go_to_the_models_that_the_settings_name(tmp_path: Path) -> None:
    def answers(request: dict[str, Any]) -> str:
        return "The lamp was lit in 1871 [1]." if not wanted_members(request) else '{"searches": []}'

    def judges(request: dict[str, Any]) -> str:
        return json.dumps({"verdicts": [{"sentence": 1, "verdict": "supported", "why": "It says so."}]})

    with ExitStack() as stack:
        root, judge = (stack.enter_context(scripted_openai(reply)) for reply in (answers, judges))
        settings = Settings(home=tmp_path, models=tmp_path / "models", llm=f"{root.url} root-model")
        model = open_language_model(settings, ModelStore(settings.models))
        made = running(tmp_path / "home", language_model=model, judge=f"{judge.url} judge-model")
        _, client = stack.enter_context(made)
        upload(client)
        response = client.http.post("/v1/answers", json={"question": "When was the lamp lit?"}, timeout=60)
        assert response.status_code == httpx.codes.OK
        assert {request["model"] for request in root.requests} == {"root-model"}
        assert {request["model"] for request in judge.requests} == {"judge-model"}
