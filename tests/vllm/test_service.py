"""The whole service, answering through a real vLLM server."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from pydantic import SecretStr

from api.build.language_model import RemoteLanguageModel
from api.cli.doctor import check_server_release
from api.client import Client
from rlm.llm.chat_models import build_remote_chat_model
from rlm.llm.port import ChatModel
from rlm.llm.profiles import ModelProfile
from tests.support.cluster import wait_until
from tests.support.service import running
from tests.support.vllm_server import KEY, VllmServer
from tests.vllm.test_protocol import PROFILE, filled, wait_idle

WHALE = b"# The Whale\n\nThe white whale was seen off the coast of Japan in 1819. It had a crooked jaw.\n"
SHIPS = b"# Ships\n\nThe Dolphin was built in Genoa in 1702. The Falcon was lost in a storm in 1711.\n"
QUESTION = "When was the white whale seen off the coast of Japan?"


@contextmanager
def service(home: Path, server: VllmServer, profile: ModelProfile) -> Iterator[Client]:
    chat = build_remote_chat_model(server.url, profile, api_key=SecretStr(KEY))
    model = RemoteLanguageModel(server.url, ChatModel(chat, profile), api_key=SecretStr(KEY))
    with running(home, language_model=model) as (_, client):
        for name, content in (("whale.md", WHALE), ("ships.md", SHIPS)):
            document = client.http.post("/v1/documents", params={"name": name}, content=content).json()["id"]
            wait_ready(client, document)
        yield client


def wait_ready(client: Client, document: str) -> None:
    wait_until(
        lambda: client.get(f"/v1/documents/{document}")["state"] == "ready", seconds=120, what="the document is ready"
    )


def test_a_question_is_answered_with_a_citation_that_was_checked(chat_server: VllmServer, tmp_path: Path) -> None:
    with service(tmp_path, chat_server, PROFILE) as client:
        answer = client.http.post("/v1/answers", json={"question": QUESTION, "strategy": "direct"}, timeout=600).json()
    assert answer["status"] == "answered", answer
    assert "1819" in answer["text"]
    (citation, *_) = answer["citations"]
    assert citation["title"] == "The Whale"
    assert "1819" in citation["quote"]
    assert citation["quote"] in WHALE.decode()
    assert any(sentence["quotes"] for sentence in answer["sentences"])
    assert answer["usage"]["calls"] >= 1


def test_a_full_server_is_our_503_with_a_time_to_come_again(chat_server: VllmServer, tmp_path: Path) -> None:
    profile = replace(PROFILE, call_seconds=6.0)
    with service(tmp_path, chat_server, profile) as client, filled(chat_server):
        refused = client.http.post("/v1/answers", json={"question": QUESTION, "strategy": "direct"}, timeout=300)
    assert (refused.status_code, refused.json()["code"]) == (503, "language_model_unavailable")
    assert int(refused.headers["retry-after"]) >= 1
    wait_idle(chat_server)


def test_a_cancelled_recursive_run_leaves_the_server_idle(chat_server: VllmServer, tmp_path: Path) -> None:
    profile = replace(PROFILE, writes_code=True, max_depth=1, judges=True)
    with service(tmp_path, chat_server, profile) as client:
        wait_idle(chat_server)
        body = {"question": "Which ships were lost, and when?", "strategy": "recursive", "background": True}
        run = client.http.post("/v1/answers", json=body).json()["id"]
        wait_until(
            lambda: chat_server.metric("vllm:num_requests_running") >= 1, seconds=120, what="the model writes for it"
        )
        assert client.post(f"/v1/runs/{run}/cancel", {})["state"] == "cancelled"
        wait_idle(chat_server)
        assert client.get(f"/v1/runs/{run}")["state"] == "cancelled"


def test_doctor_reports_the_servers_release_and_advises_an_upgrade_from_an_old_one(chat_server: VllmServer) -> None:
    (finding,) = check_server_release(chat_server.url, SecretStr(KEY))
    assert finding.found.startswith("vLLM 0.")
    assert finding.advice == "" or finding.advice.startswith("Upgrade vLLM to 0.33 or newer")
