"""`python -m tests.faults.rolling_restart`: restarts a whole cluster on this machine under load, process by process.

PostgreSQL, Valkey, the vector server's double, a stub of a model server, API processes behind a balancer, workers and
beat. While documents are uploaded and questions asked, each process in turn gets SIGTERM, leaves, and is started again,
as an orchestrator does. Nothing accepted may be lost, and no client may see an error: each sends its request once.
"""

import argparse
import json
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.support.balancer import Balancer, balancing
from tests.support.books import book
from tests.support.cluster import Cluster, Part, running_cluster, wait_until
from tests.support.cluster_truth import Truth
from tests.support.postgres import running_postgres
from tests.support.scripted_openai import scripted_openai

MODEL = "stub"
# Longer than the balancer's probes take to notice, on a machine that has much else to do.
_LEAVE_SECONDS = 3.0
# After these, an orchestrator kills: the graces of the chart, and Kubernetes' own for beat.
_GRACE_SECONDS = {"api": 45.0, "worker": 60.0, "beat": 30.0}
_START_SECONDS = 240.0
_FIRST = 10  # documents before anything is restarted, so that questions have something to read
_CLIENTS = 4
_BACKGROUND_EACH = 4
_REPLY = "It is said here [1]."
_REPLY_SECONDS = 0.3  # so that answers are under way when a process is stopped


@dataclass
class Found:
    """What was asked and what became of it; a cluster that lost nothing has no `violations`.

    `ready` documents were found, and their text, chunks and vectors are whole. `answered` questions had an answer with
    sentences, those of `background` from a worker. `stop_seconds` is the longest that a process of a kind took to
    leave.
    """

    documents: int = 0
    questions: int = 0
    ready: int = 0
    answered: int = 0
    background: int = 0
    restarts: Counter[str] = field(default_factory=Counter)
    stop_seconds: dict[str, float] = field(default_factory=dict)
    statuses: Counter[int] = field(default_factory=Counter)
    seconds: float = 0.0
    violations: list[str] = field(default_factory=list)


class Load:
    """Clients that send each request once over the balancer, and note what they get."""

    def __init__(self, url: str, key: str, found: Found) -> None:
        self._http = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=120.0)
        self._found = found
        self._lock = threading.Lock()
        self.documents: dict[int, str] = {}
        self.runs: list[str] = []
        self._under_way: list[str] = []

    def upload(self, number: int) -> None:
        text = book(number, chapters=1)
        response = self._send("POST", "/v1/documents", params={"name": f"book-{number}.md"}, content=text)
        if response is not None:
            self.documents[number] = str(response.json()["id"])

    def ask(self, number: int) -> None:
        in_background = number % _BACKGROUND_EACH == 0
        body = {"question": f"What is said of the harbour in book {number}?", "strategy": "direct"}
        response = self._send("POST", "/v1/answers", json={**body, "background": in_background})
        if response is None:
            return
        if in_background:
            self.runs.append(str(response.json()["id"]))
            self._under_way.append(self.runs[-1])
        else:
            self._count_answer(f"question {number}", response.json())

    def is_done(self) -> bool:
        """True once every document and every run has ended, well or not."""
        self._under_way = [run for run in self._under_way if self._run(run)["state"] in ("queued", "running")]
        return not self._under_way and set(self._get("/v1/status")["documents"]) <= {"ready", "failed"}

    def check(self, truth: Truth) -> None:
        """Find each document, compare catalog and index with what was sent, and read the answer of each run."""
        for number, document in self.documents.items():
            asked = {"query": f"book {number}", "documents": [document]}
            response = self._send("POST", "/v1/search", json=asked)
            if response is not None and response.json()["hits"]:
                self._found.ready += 1
            else:
                self.violation(f"document {number} is not found")
        texts = {f"book-{number}.md": book(number, chapters=1) for number in self.documents}
        accepted = {f"book-{number}.md": document for number, document in self.documents.items()}
        for violation in truth.violations(texts, accepted, ()):
            self.violation(violation)
        for run in self.runs:
            body = self._run(run)
            if body["state"] == "completed":
                self._found.background += 1
                self._count_answer(f"run {run}", body["answer"])
            else:
                self.violation(f"run {run} is {body['state']}: {body.get('failure')}")

    def violation(self, what: str) -> None:
        with self._lock:
            self._found.violations.append(what)

    def close(self) -> None:
        self._http.close()

    def _count_answer(self, what: str, answer: dict[str, Any]) -> None:
        if not answer["sentences"]:
            self.violation(f"{what} has an empty answer: {answer}")
            return
        with self._lock:
            self._found.answered += 1

    def _run(self, run: str) -> dict[str, Any]:
        return self._get(f"/v1/runs/{run}")

    def _get(self, path: str) -> dict[str, Any]:
        return dict(self._http.get(path).raise_for_status().json())

    def _send(self, method: str, path: str, **options: object) -> httpx.Response | None:
        """None for whatever is no success; it is a violation, also if the client was told to come again."""
        try:
            response = self._http.request(method, path, **options)  # type: ignore[arg-type]
        except httpx.TransportError as error:
            self.violation(f"{path}: {error!r}")
            return None
        with self._lock:
            self._found.statuses[response.status_code] += 1
        if response.is_success:
            return response
        self.violation(f"{path}: {response.status_code} {response.text[:200]}")
        return None


class Pace:
    """Spreads the load over the restarts, so that there is work under way in each: a turn opens its part of it."""

    def __init__(self, turns: int) -> None:
        self._turns = turns
        self._begun = 0
        self._changed = threading.Condition()

    def next_turn(self) -> None:
        with self._changed:
            self._begun += 1
            self._changed.notify_all()

    def end(self) -> None:
        """Let all through, also after a restart that failed."""
        with self._changed:
            self._begun = self._turns
            self._changed.notify_all()

    def spread(self, work: Callable[[int], None], numbers: Sequence[int]) -> None:
        """Do the work for each number, by several clients, as far as turns have begun."""

        def one(position: int) -> None:
            with self._changed:
                self._changed.wait_for(lambda: position * self._turns < self._begun * len(numbers))
            work(numbers[position])

        with ThreadPoolExecutor(_CLIENTS) as pool:
            list(pool.map(one, range(len(numbers))))


def parts_of(cluster: Cluster) -> list[tuple[str, Part, int | None]]:
    """Name each process of the cluster, with the port of those that listen."""
    parts: list[tuple[str, Part, int | None]] = [("api", part, port) for port, part in cluster.replicas.items()]
    return [*parts, *(("worker", part, None) for part in cluster.workers), ("beat", cluster.beat, None)]


def restart_in_turn(cluster: Cluster, balancer: Balancer, pace: Pace, found: Found) -> None:
    """Restart API processes, workers and beat, one after the other; an API is in again before the next one leaves."""
    for name, part, port in parts_of(cluster):
        pace.next_turn()
        begun = time.monotonic()
        status = part.stop(_GRACE_SECONDS[name])
        found.stop_seconds[name] = max(found.stop_seconds.get(name, 0.0), round(time.monotonic() - begun, 1))
        if status != 0:
            found.violations.append(f"{name} ended with {status}")
        part.start()
        if port is not None:
            wait_until(lambda: balancer.is_in(port), seconds=_START_SECONDS, what=f"the API at {port} is in")  # noqa: B023
        found.restarts[name] += 1


@contextmanager
def prepared(folder: Path, *, apis: int, workers: int) -> Iterator[tuple[Cluster, Balancer]]:
    """A cluster whose API processes are all behind the balancer, and ready."""
    with (
        running_postgres() as postgres,
        scripted_openai(lambda _: _REPLY, window_tokens=10**9, keeps_requests=False) as model,
        running_cluster(
            folder,
            postgres.catalog_database(),
            workers=workers,
            apis=apis,
            llm=f"{model.url} {MODEL}",
            lease_seconds=15.0,
            task_seconds=60.0,
            leave_seconds=_LEAVE_SECONDS,
        ) as cluster,
        balancing(list(cluster.replicas)) as balancer,
    ):
        model.delay_seconds = _REPLY_SECONDS
        for port in cluster.replicas:
            wait_until(lambda: balancer.is_in(port), seconds=_START_SECONDS, what=f"the API at {port} is in")  # noqa: B023
        yield cluster, balancer


def rolling_restart(folder: Path, *, documents: int, questions: int, apis: int = 2, workers: int = 3) -> Found:
    """Upload and ask while every process is restarted, wait until all is done, and count what was lost."""
    found = Found(documents=documents, questions=questions)
    begun = time.monotonic()
    with (
        prepared(folder, apis=apis, workers=workers) as (cluster, balancer),
        closing(Load(balancer.url, cluster.key, found)) as load,
    ):
        for number in range(min(_FIRST, documents)):
            load.upload(number)
        wait_until(load.is_done, what="the first documents are ready")
        pace = Pace(len(parts_of(cluster)))
        with ThreadPoolExecutor(2) as clients:
            uploading = clients.submit(pace.spread, load.upload, range(_FIRST, documents))
            asking = clients.submit(pace.spread, load.ask, range(questions))
            try:
                restart_in_turn(cluster, balancer, pace, found)
            finally:
                pace.end()
            uploading.result()
            asking.result()
        wait_until(load.is_done, seconds=600, what="every document and every run has ended")
        load.check(Truth(cluster))
    found.seconds = round(time.monotonic() - begun, 1)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=500)
    parser.add_argument("--questions", type=int, default=200)
    parser.add_argument("--apis", type=int, default=2)
    parser.add_argument("--workers", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="leadline-rolling-") as folder:
        found = rolling_restart(Path(folder), **vars(options))
    print(json.dumps(vars(found), indent=1))
    lost = found.documents - found.ready + found.questions - found.answered
    raise SystemExit(1 if found.violations or lost else 0)


if __name__ == "__main__":
    main()
