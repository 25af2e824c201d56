"""The release before the newest migration, and this one, on one PostgreSQL while that migration runs under load."""

import itertools
import os
import shutil
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import httpx
import pytest

from tests.support.cluster import Part, free_port, wait_until
from tests.support.postgres import Postgres
from tests.support.valkey import running_valkey
from tests.support.vector_servers import vector_server

_ROOT = Path(__file__).parents[2]
_MIGRATIONS = "ingest/catalog/migrations/versions"
_SECONDS_OF_LOAD = 3.0


def git(*arguments: str) -> bytes:
    return subprocess.run(["git", *arguments], cwd=_ROOT, capture_output=True, check=True).stdout


@pytest.fixture
def before(tmp_path: Path) -> Path:
    """The tree as it was before the newest migration was added."""
    if shutil.which("git") is None or not (_ROOT / ".git").exists():
        pytest.skip("the release before is read from the repository, and this is none")
    added = git("log", "-1", "--first-parent", "--diff-filter=A", "--format=%H", "--", _MIGRATIONS).decode().strip()
    if not added:
        pytest.skip("the repository does not reach back to the newest migration")
    folder = tmp_path / "before"
    folder.mkdir()
    with tarfile.open(fileobj=BytesIO(git("archive", f"{added}^"))) as archive:
        archive.extractall(folder, filter="data")
    return folder


@dataclass
class Load:
    """Clients that upload, search and ask at whichever processes are open to them."""

    key: str
    urls: list[str]
    failed: list[str] = field(default_factory=list)
    uploaded: dict[str, str] = field(default_factory=dict)
    done: int = 0
    _over: threading.Event = field(default_factory=threading.Event)

    def start(self, clients: int) -> list[threading.Thread]:
        threads = [threading.Thread(target=self._go_on, args=[number]) for number in range(clients)]
        for thread in threads:
            thread.start()
        return threads

    def stop(self) -> None:
        self._over.set()

    def _go_on(self, client: int) -> None:
        with httpx.Client(headers={"Authorization": f"Bearer {self.key}"}, timeout=40) as http:
            for number in itertools.count():
                if self._over.is_set():
                    return
                self._ask_one(http, self.urls[number % len(self.urls)], f"{client}-{number}")

    def _ask_one(self, http: httpx.Client, url: str, name: str) -> None:
        text = f"# Note {name}\n\nThe lamp of note {name} was lit by the keeper.\n"
        try:
            upload = http.post(f"{url}/v1/documents", params={"name": f"{name}.md"}, content=text.encode())
            search = http.post(f"{url}/v1/search", json={"query": "the keeper of the lamp", "mode": "bm25"})
            answer = http.post(f"{url}/v1/answers", json={"question": "Who lit the lamp?"})
        except httpx.TransportError as error:
            self.failed.append(f"{name} at {url}: {error!r}")
            return
        self.failed += [
            f"{name}: {response.status_code} {response.text[:300]}"
            for response in (upload, search, answer)
            if not response.is_success
        ]
        if upload.is_success:
            self.uploaded[upload.json()["id"]] = text
        self.done += 1


class Release(Part):
    """A process of the tree in a folder."""

    def __init__(self, tree: Path, arguments: list[str], environment: dict[str, str], log: Path) -> None:
        super().__init__(arguments, of_tree(environment, tree), log)


@pytest.fixture
def environment(tmp_path: Path, postgres: Postgres) -> Iterator[dict[str, str]]:
    """The servers of a cluster, with an empty database."""
    url = postgres.empty_database()
    with ExitStack() as stack:
        stack.callback(postgres.drop, url)
        valkey = stack.enter_context(running_valkey(tmp_path / "valkey"))
        qdrant = stack.enter_context(vector_server(tmp_path / "qdrant"))
        (tmp_path / "shared").mkdir()
        yield {
            **{name: value for name, value in os.environ.items() if not name.startswith("LEADLINE_")},
            "LEADLINE_DATABASE_URL": url,
            "LEADLINE_REDIS_URL": valkey.url,
            "LEADLINE_QDRANT_URL": qdrant.url,
            "LEADLINE_HOME": str(tmp_path / "shared"),
            "LEADLINE_LLM": "none",
            "LEADLINE_MIN_FREE_BYTES": "0",
        }


@pytest.mark.slow
def test_an_upgrade_under_load_fails_no_request_and_loses_no_upload(
    tmp_path: Path, before: Path, environment: dict[str, str]
) -> None:
    with ExitStack() as stack:

        def started(tree: Path, name: str, *arguments: str, port: int = 0) -> Release:
            made = Release(tree, list(arguments), {**environment, "LEADLINE_PORT": str(port)}, tmp_path / f"{name}.log")
            stack.callback(made.kill)
            made.start()
            return made

        ports = [free_port(), free_port()]
        old_url, new_url = (f"http://127.0.0.1:{port}" for port in ports)
        old_api = started(before, "old-api", "api", port=ports[0])
        wait_until(lambda: is_ready(old_url), seconds=120, what="the old release answers")
        key = made_key(before, environment)
        old_worker = started(before, "old-worker", "worker", "--name", "old")
        load = Load(key, [old_url])
        clients = load.start(3)
        stack.callback(load.stop)
        try:
            wait_until(lambda: load.done > 3, seconds=60, what="the old release works")
            started(_ROOT, "new-api", "api", port=ports[1])
            wait_until(lambda: is_ready(new_url), seconds=120, what="the new release has migrated")
            assert head_of(before) != head_of(_ROOT)
            load.urls = [old_url, new_url]
            time.sleep(_SECONDS_OF_LOAD)
            started(_ROOT, "new-worker", "worker", "--name", "new")
            time.sleep(_SECONDS_OF_LOAD)
            load.urls = [new_url]
            time.sleep(1.0)  # until each client has ended what it asked of the old one
            for part in (old_api, old_worker):
                os.kill(part.pid, 15)
            time.sleep(_SECONDS_OF_LOAD)
        finally:
            load.stop()
            for client in clients:
                client.join()
        assert load.failed == []
        with httpx.Client(headers={"Authorization": f"Bearer {key}"}, timeout=40) as http:
            for document, text in load.uploaded.items():
                at = f"{new_url}/v1/documents/{document}"
                wait_until(lambda at=at: http.get(at).json()["state"] == "ready", seconds=120, what="it is ready")  # type: ignore[misc]
                assert http.get(f"{at}/original").text == text


def of_tree(environment: dict[str, str], tree: Path) -> dict[str, str]:
    """An environment in which the packages of a tree are imported, whatever folder is the current one."""
    return {**environment, "PYTHONPATH": str(tree), "PYTHONSAFEPATH": "1"}


def is_ready(url: str) -> bool:
    with suppress(httpx.TransportError):
        return httpx.get(f"{url}/health/ready", params={"for": "search"}, timeout=5).is_success
    return False


def made_key(tree: Path, environment: dict[str, str]) -> str:
    command = [sys.executable, "-c", "from api.cli.main import main; main()", "keys", "create", "a test"]
    made = subprocess.run(command, env=of_tree(environment, tree), capture_output=True, check=True, text=True)
    return next(word for word in made.stdout.split() if word.startswith("ll_"))


def head_of(tree: Path) -> set[str]:
    return {path.name for path in (tree / _MIGRATIONS).glob("*.py")}
