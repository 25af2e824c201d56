"""SIGTERM under load: the process ends by itself, and what was accepted is there after the next start."""

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from api.cli.client import find_service_url
from ingest.storage.accounts.keys import ApiKeys
from ingest.storage.db.database import build_sqlite_url, open_database
from ingest.storage.documents.catalog import Catalog
from tests.support.books import book
from tests.support.scripted_openai import scripted_openai

# Far more than a busy machine takes for a start, for an end, or for what was left.
PATIENCE_SECONDS = 240.0
UPLOADERS = 4


def start(home: Path, model_url: str, log: Path, **settings: str) -> "subprocess.Popen[bytes]":
    environment = {
        **os.environ,
        "LEADLINE_HOME": str(home),
        "LEADLINE_PORT": "0",
        "LEADLINE_LLM": f"{model_url} scripted",
        "LEADLINE_LOG_FORMAT": "json",
        **settings,
    }
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-c", "from api.cli.main import main; main()", "up"],
            env=environment,
            stdout=output,
            stderr=output,
        )


def address(home: Path, process: "subprocess.Popen[bytes]", log: Path) -> str:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (url := find_service_url(home)) is None:
        assert process.poll() is None, log.read_text()[-3000:]
        assert time.monotonic() < deadline, log.read_text()[-3000:]
        time.sleep(0.05)
    return url


class Load:
    """Clients that upload, follow a batch, and wait for answers, until their service is gone."""

    def __init__(self, url: str, key: str) -> None:
        self._url, self._headers = url, {"Authorization": f"Bearer {key}"}
        self.accepted: dict[str, str] = {}
        self.streamed = 0
        self._over = threading.Event()
        with self._client() as http:
            self._batch = http.post("/v1/batches", json={}).json()["id"]
            self.run = http.post("/v1/answers", json={"question": "What happened?", "background": True}).json()["id"]
        works = [lambda number=number: self._upload(number) for number in range(UPLOADERS)]
        self._threads = [
            threading.Thread(target=self._until_gone, args=(work,)) for work in (*works, self._follow, self._ask)
        ]
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(60)

    def _client(self) -> httpx.Client:
        return httpx.Client(base_url=self._url, headers=self._headers, timeout=60)

    def _until_gone(self, work: object) -> None:
        count = 0
        while not self._over.is_set():
            count += 1
            try:
                work()  # type: ignore[operator]
            except httpx.HTTPError:
                time.sleep(0.05)

    def _upload(self, number: int) -> None:
        name = f"{number}-{time.monotonic_ns()}.md"
        with self._client() as http:
            answer = http.post(
                "/v1/documents", params={"name": name}, content=book(time.monotonic_ns(), chapters=1).encode()
            )
            if answer.status_code in (200, 202):
                self.accepted[answer.json()["id"]] = name

    def _follow(self) -> None:
        with self._client() as http, http.stream("GET", f"/v1/batches/{self._batch}/events") as events:
            for _ in events.iter_lines():
                self.streamed += 1

    def _ask(self) -> None:
        with self._client() as http:
            http.post("/v1/answers", json={"question": "What happened then?"})


def new_key(home: Path) -> str:
    home.mkdir()
    engine = open_database(build_sqlite_url(home / "catalog.sqlite"))
    Catalog(engine).ensure_tenant("default")
    _, key = ApiKeys(engine).issue_key("default", "load")
    engine.dispose()
    return key


@pytest.mark.timeout(1_200)
def test_answers_that_outlast_the_draining_are_broken_off_without_a_traceback(
    tmp_path: Path, encoder_files: Path
) -> None:
    home, log = tmp_path / "home", tmp_path / "log"
    key = new_key(home)
    with scripted_openai(window_tokens=32_000) as server, ThreadPoolExecutor(2) as threads:
        server.fault = "wait"
        process = start(home, server.url, log, LEADLINE_DRAIN_SECONDS="1")
        with httpx.Client(
            base_url=address(home, process, log), headers={"Authorization": f"Bearer {key}"}, timeout=PATIENCE_SECONDS
        ) as http:
            put = http.post("/v1/documents", params={"name": "mine.md"}, content=b"# Mine\n\nIt opened in 1845.\n")
            deadline = time.monotonic() + PATIENCE_SECONDS
            while http.get(f"/v1/documents/{put.json()['id']}").json()["state"] != "ready":
                assert time.monotonic() < deadline, log.read_text()[-3000:]
                time.sleep(0.1)

            def ask(*, stream: bool) -> httpx.Response:
                return http.post("/v1/answers", json={"question": "When did the mine open?", "stream": stream})

            whole, streamed = threads.submit(ask, stream=False), threads.submit(ask, stream=True)
            while server.open < 2:
                assert time.monotonic() < deadline, log.read_text()[-3000:]
                time.sleep(0.05)
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=PATIENCE_SECONDS) == 0, log.read_text()[-3000:]
            with pytest.raises(httpx.RemoteProtocolError):
                streamed.result(PATIENCE_SECONDS)
            refused = whole.result(PATIENCE_SECONDS)
    assert (refused.status_code, refused.json()["code"]) == (503, "service_busy")
    assert "retry-after" in refused.headers
    assert "Traceback" not in log.read_text()
    assert log.read_text().count("response broken off") == 2


@pytest.mark.timeout(1_200)
def test_what_was_accepted_is_there_after_an_end_under_load(tmp_path: Path, encoder_files: Path) -> None:
    home, log = tmp_path / "home", tmp_path / "log"
    key = new_key(home)
    with scripted_openai(window_tokens=32_000) as server:
        server.delay_seconds = 0.2
        process = start(home, server.url, log)
        load = Load(address(home, process, log), key)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while len(load.accepted) < 20 or not load.streamed:
            assert time.monotonic() < deadline, log.read_text()[-3000:]
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=PATIENCE_SECONDS) == 0, log.read_text()[-3000:]
        load.join()
        assert not (home / "unclean").exists()

        process = start(home, server.url, log)
        try:
            with httpx.Client(
                base_url=address(home, process, log), headers={"Authorization": f"Bearer {key}"}, timeout=60
            ) as http:
                missing, deadline = dict(load.accepted), time.monotonic() + PATIENCE_SECONDS
                while missing:
                    assert time.monotonic() < deadline, missing
                    for identifier in list(missing):
                        state = http.get(f"/v1/documents/{identifier}").json()["state"]
                        assert state != "failed"
                        if state == "ready":
                            del missing[identifier]
                    time.sleep(0.1)
                while (run := http.get(f"/v1/runs/{load.run}").json())["state"] in ("queued", "running"):
                    assert time.monotonic() < deadline, run
                    time.sleep(0.1)
                assert run["failure"] is None, run
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=PATIENCE_SECONDS) == 0
