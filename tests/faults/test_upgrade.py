"""An earlier release and this one on one PostgreSQL: both serve under load while the catalog is migrated, and then one.

The earlier release is this repository's own code from before its newest migrations.
"""

import itertools
import os
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory

from tests.support.cluster import Part, wait_until
from tests.support.ports import free_port
from tests.support.postgres import Postgres
from tests.support.scripted_openai import scripted_openai
from tests.support.valkey import running_valkey
from tests.support.vector_servers import vector_server

_ROOT = Path(__file__).parents[2]
_MIGRATIONS = "migrations/versions"  # the end of their folder, which has moved between releases
_BETWEEN = 1  # migrations between the two releases, at least
_CLIENTS = 3
_PAUSE_SECONDS = 0.2  # between the rounds of a client, so that the others have a processor
_ROUNDS = 12  # of the load, for as long as each state of the cluster lasts
_START_SECONDS = 240.0
_GRACE_SECONDS = 60.0


def git(*arguments: str) -> bytes:
    """Skips the test where there is no history to read."""
    try:
        return subprocess.run(["git", *arguments], cwd=_ROOT, capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"the release before is read from the repository's whole history: git {arguments[0]}: {error!r}")


def migrations(tree: Path) -> set[str]:
    return {path.name for path in tree.glob(f"ingest/**/{_MIGRATIONS}/*.py")}


def newest_migrations() -> list[str]:
    """The files of this release's migrations, the newest first."""
    config = Config()
    (folder,) = _ROOT.glob(f"ingest/**/{_MIGRATIONS}")
    config.set_main_option("script_location", str(folder.parent))
    return [Path(script.path).name for script in ScriptDirectory.from_config(config).walk_revisions()]


def unpacked(folder: Path, *, without: str) -> Path:
    """The tree of the commit before the one that added a migration."""
    where = f":(glob)ingest/**/{_MIGRATIONS}/{without}"  # the oldest of what is found: a move adds the file, too
    added = git("log", "--diff-filter=A", "--format=%H", "--", where).decode().split()
    if not added:
        pytest.skip(f"the history does not reach back to the migration {without}")
    with tarfile.open(fileobj=BytesIO(git("archive", f"{added[-1]}^"))) as archive:
        archive.extractall(folder, filter="data")
    return folder


@dataclass
class Release:
    """Processes of one tree, on the servers that the environment names."""

    tree: Path
    environment: dict[str, str]
    stack: ExitStack
    port: int = field(default_factory=free_port)
    parts: list[Part] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """An API process and a worker, as soon as the API is ready."""
        self._start("api")
        wait_until(self._is_ready, seconds=_START_SECONDS, what=f"{self.tree.name} is ready")
        self._start("worker", "--name", f"of-{self.port}")

    def leadline(self, *words: str) -> str:
        """Return the output of a command of this release."""
        command = [sys.executable, "-c", "from api.cli.main import main; main()", *words]
        return subprocess.run(command, env=self._own(), capture_output=True, check=True, text=True).stdout

    def stop(self) -> list[int]:
        """The exit codes after SIGTERM."""
        return [part.stop(_GRACE_SECONDS) for part in self.parts]

    def _start(self, *arguments: str) -> None:
        log = Path(self.environment["LEADLINE_HOME"]).parent / f"{arguments[0]}-{self.port}.log"
        part = Part(arguments, {**self._own(), "LEADLINE_PORT": str(self.port)}, log)
        self.stack.callback(part.kill)
        part.start()
        self.parts.append(part)

    def _own(self) -> dict[str, str]:
        """An environment in which this tree's packages are imported, whatever folder is the current one."""
        return {**self.environment, "PYTHONPATH": str(self.tree), "PYTHONSAFEPATH": "1"}

    def _is_ready(self) -> bool:
        with suppress(httpx.TransportError):
            return httpx.get(f"{self.url}/health/ready", params={"for": "answers"}, timeout=5).is_success
        return False


class Load:
    """Clients that write at one release and read at another, each request once."""

    def __init__(self, key: str, url: str) -> None:
        self.urls = [url]
        self.failed: list[str] = []
        self.uploaded: dict[str, str] = {}
        self.runs: list[str] = []
        self.rounds = 0
        self._over = threading.Event()
        self._http = httpx.Client(headers={"Authorization": f"Bearer {key}"}, timeout=60)

    @contextmanager
    def running(self) -> Iterator[None]:
        with ThreadPoolExecutor(_CLIENTS) as pool:
            working: list[Future[None]] = [pool.submit(self._work, client) for client in range(_CLIENTS)]
            try:
                yield
            finally:
                self._over.set()
                for each in working:
                    each.result()

    def go_on(self, what: str) -> None:
        """Wait until each client has done some rounds more: it has ended what it had begun."""
        wanted = self.rounds + _ROUNDS
        wait_until(lambda: self.rounds >= wanted or bool(self.failed), seconds=_START_SECONDS, what=what)
        assert self.failed == []

    def _work(self, client: int) -> None:
        for number in itertools.count():
            if self._over.wait(_PAUSE_SECONDS):
                return
            urls = self.urls
            here, there = urls[number % len(urls)], urls[(number + 1) % len(urls)]
            try:
                self._round(here, there, f"{client}-{number}")
            except (httpx.HTTPError, AssertionError, LookupError) as error:
                self.failed.append(f"{client}-{number}, written at {here}, read at {there}: {error!r}")
                return

    def _round(self, here: str, there: str, name: str) -> None:
        text = f"# Note {name}\n\nThe lamp of note {name} was lit by the keeper.\n"
        document = self._json("POST", f"{here}/v1/documents", params={"name": f"{name}.md"}, content=text)["id"]
        self.uploaded[document] = text
        assert self._json("GET", f"{there}/v1/documents/{document}")["name"] == f"{name}.md"
        assert self._send("GET", f"{there}/v1/documents/{document}/original").text == text
        self._json("POST", f"{there}/v1/search", json={"query": "the keeper of the lamp"})
        question = {"question": "Who lit the lamp?", "strategy": "direct"}
        answer = self._json("POST", f"{here}/v1/answers", json=question)
        assert self._json("GET", f"{there}/v1/answers/{answer['id']}")["sentences"] == answer["sentences"]
        run = self._json("POST", f"{here}/v1/answers", json={**question, "background": True})["id"]
        assert self._json("GET", f"{there}/v1/runs/{run}")["state"] in ("queued", "running", "completed")
        self.runs.append(run)
        self.rounds += 1

    def close(self) -> None:
        self._http.close()

    def check(self, url: str) -> None:
        """Read everything that was ever written at this release."""
        for document, text in self.uploaded.items():
            at = f"{url}/v1/documents/{document}"
            wait_until(lambda at=at: self._json("GET", at)["state"] == "ready", what=f"{document} is ready")  # type: ignore[misc]
            assert self._send("GET", f"{at}/original").text == text
            name = text.split("\n")[0].removeprefix("# Note ")
            hits = self._json(
                "POST", f"{url}/v1/search", json={"query": f"lamp of note {name}", "documents": [document]}
            )
            assert [hit["document"] for hit in hits["hits"]] == [document]
        for run in self.runs:
            at = f"{url}/v1/runs/{run}"
            wait_until(lambda at=at: self._json("GET", at)["state"] == "completed", what=f"{run} has ended")  # type: ignore[misc]
            assert self._json("GET", at)["answer"]["sentences"]

    def _json(self, method: str, url: str, **options: Any) -> Any:  # noqa: ANN401 - JSON
        return self._send(method, url, **options).json()

    def _send(self, method: str, url: str, **options: Any) -> httpx.Response:  # noqa: ANN401 - of httpx
        response = self._http.request(method, url, **options)
        assert response.is_success, f"{response.status_code} {response.text[:300]}"
        return response


@pytest.fixture
def environment(tmp_path: Path, postgres: Postgres) -> Iterator[dict[str, str]]:
    """The servers of a cluster, with an empty database."""
    database = postgres.empty_database()
    with ExitStack() as stack:
        stack.callback(postgres.drop, database)
        valkey = stack.enter_context(running_valkey(tmp_path / "valkey"))
        qdrant = stack.enter_context(vector_server(tmp_path / "qdrant"))
        model = stack.enter_context(
            scripted_openai(lambda _: "The keeper lit it [1].", window_tokens=10**9, keeps_requests=False)
        )
        (tmp_path / "shared").mkdir()
        yield {
            **{name: value for name, value in os.environ.items() if not name.startswith("LEADLINE_")},
            "LEADLINE_DATABASE_URL": database,
            "LEADLINE_REDIS_URL": valkey.url,
            "LEADLINE_QDRANT_URL": qdrant.url,
            "LEADLINE_HOME": str(tmp_path / "shared"),
            "LEADLINE_LLM": f"{model.url} stub",
            "LEADLINE_RERANKER": "none",
            "LEADLINE_MIN_FREE_BYTES": "0",
        }


@pytest.mark.long
def test_an_upgrade_under_load_fails_no_request_and_both_releases_read_what_the_other_writes(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    before = unpacked(tmp_path / "before", without=newest_migrations()[_BETWEEN - 1])
    assert len(migrations(_ROOT) - migrations(before)) >= _BETWEEN
    with ExitStack() as stack:
        old, new = (Release(tree, environment, stack) for tree in (before, _ROOT))
        old.start()
        key = next(word for word in old.leadline("keys", "create", "a test").split() if word.startswith("ll_"))
        load = stack.enter_context(closing(Load(key, old.url)))
        with load.running():
            load.go_on("the old release works")
            new.leadline("migrate")
            load.go_on("the old release works with the new schema")
            new.start()
            load.urls = [old.url, new.url]
            load.go_on("both work")
            load.urls = [new.url]
            load.go_on("the new release works alone")
            assert old.stop() == [0, 0]
            load.go_on("the new release works after the end of the old one")
        load.check(new.url)
