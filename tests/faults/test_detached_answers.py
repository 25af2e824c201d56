"""Detached answers of a real service that is killed or stopped in the middle of an answer."""

import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.admission.services import DEFAULT_TENANT
from api.build.embedded import open_catalog
from tests.support.cluster import wait_until
from tests.support.portal_pages import TEXT
from tests.support.ports import free_port
from tests.support.scripted_openai import ScriptedOpenAI, scripted_openai

pytestmark = pytest.mark.timeout(600)

QUESTION = {"question": "Which colour had the whale?", "conversation": "new", "detach": True, "strategy": "direct"}


@contextmanager
def serve_until_killed(home: Path, model: ScriptedOpenAI, http: httpx.Client) -> Iterator[None]:
    """Serve in a process of its own, and kill it without warning when the block exits."""
    command = [sys.executable, "-m", "tests.support.run_process", str(home), model.url, str(http.base_url.port)]
    log = home.parent / "service.log"
    with log.open("ab") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:

        def is_ready() -> bool:
            assert process.poll() is None, log.read_text()[-3000:]
            try:
                return http.get("/health/ready").is_success
            except httpx.TransportError:
                return False

        try:
            wait_until(is_ready, what="the service listens")
            yield
        finally:
            process.kill()


@pytest.fixture
def http(tmp_path: Path) -> Iterator[httpx.Client]:
    with open_catalog(tmp_path / "home") as catalog:
        _, key = catalog.keys.issue_key(DEFAULT_TENANT, "a test")
    headers = {"Authorization": f"Bearer {key}"}
    with httpx.Client(base_url=f"http://127.0.0.1:{free_port()}", headers=headers, timeout=60) as client:
        yield client


def load(http: httpx.Client, conversation: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = http.get(f"/v1/conversations/{conversation}").json()
    return found


def test_a_killed_service_starts_the_answer_again_and_stores_it_once(tmp_path: Path, http: httpx.Client) -> None:
    home = tmp_path / "home"
    with scripted_openai() as model:
        with serve_until_killed(home, model, http):
            document = http.post("/v1/documents", params={"name": "whale.md"}, content=TEXT.encode()).json()["id"]
            wait_until(lambda: http.get(f"/v1/documents/{document}").json()["state"] == "ready", what="it is ready")
            model.fault = "wait"
            pending = http.post("/v1/answers", json=QUESTION).json()
            wait_until(lambda: model.open > 0, what="the model is asked")
        model.fault = ""
        with serve_until_killed(home, model, http):
            wait_until(lambda: bool(load(http, pending["conversation"])["turns"]), what="the answer is stored")
            shown = load(http, pending["conversation"])
            assert [each["answer"]["id"] for each in shown["turns"]] == [pending["id"]]
            assert shown["pending"] == []


def test_a_question_that_kills_the_service_three_times_ends_with_its_reason(tmp_path: Path, http: httpx.Client) -> None:
    home = tmp_path / "home"
    with scripted_openai() as model:
        with serve_until_killed(home, model, http):
            document = http.post("/v1/documents", params={"name": "whale.md"}, content=TEXT.encode()).json()["id"]
            wait_until(lambda: http.get(f"/v1/documents/{document}").json()["state"] == "ready", what="it is ready")
            model.fault = "wait"
            pending = http.post("/v1/answers", json=QUESTION).json()
            wait_until(lambda: model.open > 0, what="the model is asked")
        for _ in range(2):
            wait_until(lambda: model.open == 0, what="the model notices the kill")
            with serve_until_killed(home, model, http):
                wait_until(lambda: model.open > 0, what="the model is asked again")
        with serve_until_killed(home, model, http):
            wait_until(lambda: load(http, pending["conversation"])["pending"][0]["state"] == "failed", what="it ends")
            (kept,) = load(http, pending["conversation"])["pending"]
            assert (kept["problem"]["code"], kept["question"]) == ("answer_interrupted", QUESTION["question"])
