"""Detached answers of a real service that is killed in the middle of an answer."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from api.admission.services import DEFAULT_TENANT
from api.build.embedded import open_catalog
from tests.support.cluster import wait_until
from tests.support.portal_pages import TEXT
from tests.support.scripted_openai import ScriptedOpenAI, scripted_openai


@contextmanager
def killed_at_the_end(home: Path, model: ScriptedOpenAI, port: int) -> Iterator[None]:
    """Serve in a process of its own, and kill it without warning when the block exits."""
    command = [sys.executable, "-m", "tests.support.portal_process", str(home), model.url, str(port)]
    process = subprocess.Popen(command)

    def is_ready() -> bool:
        assert process.poll() is None
        try:
            return httpx.get(f"http://127.0.0.1:{port}/health/ready").is_success
        except httpx.TransportError:
            return False

    try:
        wait_until(is_ready, what="the service listens")
        yield
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()


def test_a_killed_service_starts_the_answer_again_and_stores_it_once(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = int(listener.getsockname()[1])
    home = tmp_path / "home"
    with open_catalog(home) as catalog:
        _, key = catalog.keys.issue_key(DEFAULT_TENANT, "a test")
    http = httpx.Client(base_url=f"http://127.0.0.1:{port}", headers={"Authorization": f"Bearer {key}"}, timeout=60)
    question = {"question": "Which colour had the whale?", "conversation": "new", "detach": True, "strategy": "direct"}
    with scripted_openai() as model, http:
        with killed_at_the_end(home, model, port):
            document = http.post("/v1/documents", params={"name": "whale.md"}, content=TEXT.encode()).json()["id"]
            wait_until(lambda: http.get(f"/v1/documents/{document}").json()["state"] == "ready", what="it is ready")
            model.fault = "wait"
            pending = http.post("/v1/answers", json=question).json()
            wait_until(lambda: model.open > 0, what="the model is asked")
        model.fault = ""
        with killed_at_the_end(home, model, port):
            conversation = f"/v1/conversations/{pending['conversation']}"
            wait_until(lambda: bool(http.get(conversation).json()["turns"]), what="the answer is stored")
            shown = http.get(conversation).json()
            assert [each["answer"]["id"] for each in shown["turns"]] == [pending["id"]]
            assert shown["pending"] == []
