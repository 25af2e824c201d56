"""`python -m tests.faults.rolling_restart`: restarts a whole cluster on this machine under load, process by process.

PostgreSQL, Valkey, the vector server's double, a stub of a model server, API processes behind a balancer, workers and
beat. While documents are uploaded and questions asked, each process in turn is taken out of the balancer, stopped by
SIGTERM and started again, as an orchestrator does. Nothing accepted may be lost, and no request may fail.
"""

import argparse
import itertools
import json
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.support.balancer import Balancer, balancing
from tests.support.books import book
from tests.support.cluster import Cluster, Part, running_cluster, wait_until
from tests.support.postgres import running_postgres
from tests.support.scripted_openai import scripted_openai

MODEL = "stub"
# As long as a balancer's readiness probes take to notice.
_NOTICED_SECONDS = 0.5
_STOP_SECONDS = 120.0
_START_SECONDS = 240.0  # on a machine that has much else to do
_BACKGROUND_EACH = 4
_REPLY = "It is said here [1]."


@dataclass
class Found:
    """What was asked and what became of it; a cluster that lost nothing has no `violations`."""

    documents: int = 0
    questions: int = 0
    runs: int = 0
    restarts: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    broken_connections: int = 0
    seconds: float = 0.0
    violations: list[str] = field(default_factory=list)


class Load:
    """Clients that send each request once over the balancer, and note what they get."""

    def __init__(self, url: str, key: str, found: Found) -> None:
        self._http = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=120.0)
        self._found = found
        self._lock = threading.Lock()
        self.documents: list[str] = []
        self.runs: list[str] = []

    def upload(self, number: int) -> None:
        response = self._send("/v1/documents", params={"name": f"book-{number}.md"}, content=book(number, chapters=1))
        if response is not None and response.is_success:
            self.documents.append(str(response.json()["id"]))

    def ask(self, number: int) -> None:
        in_background = number % _BACKGROUND_EACH == 0
        body = {"question": f"What is said of the harbour in book {number}?", "strategy": "direct"}
        response = self._send("/v1/answers", json={**body, "background": in_background})
        if response is None or not response.is_success:
            return
        if in_background:
            self.runs.append(str(response.json()["id"]))
        elif not response.json()["sentences"]:
            self._violation(f"question {number} has an empty answer: {response.text[:200]}")

    def get(self, path: str) -> httpx.Response:
        return self._http.get(path).raise_for_status()

    def _send(self, path: str, **options: object) -> httpx.Response | None:
        try:
            response = self._http.post(path, **options)  # type: ignore[arg-type]
        except httpx.TransportError as error:
            with self._lock:
                self._found.broken_connections += 1
            self._violation(f"{path}: {error!r}")
            return None
        with self._lock:
            self._found.statuses[response.status_code] += 1
        if not response.is_success:
            self._violation(f"{path}: {response.status_code} {response.text[:200]}")
        return response

    def _violation(self, what: str) -> None:
        with self._lock:
            self._found.violations.append(what)

    def close(self) -> None:
        self._http.close()


def restart_in_turn(cluster: Cluster, balancer: Balancer, found: Found, ended: threading.Event) -> None:
    """Restart API processes, workers and beat, one after the other, until the load has ended and all had a turn."""
    parts: list[tuple[str, Part, int | None]] = [("api", part, port) for port, part in cluster.replicas.items()]
    parts += [("worker", part, None) for part in cluster.workers]
    parts.append(("beat", cluster.beat, None))
    for turn, (name, part, port) in enumerate(itertools.cycle(parts)):
        if ended.is_set() and turn >= len(parts):
            return
        if port is not None:
            balancer.take_out(port)
            time.sleep(_NOTICED_SECONDS)
        status = part.stop(_STOP_SECONDS)
        if status != 0:
            found.violations.append(f"{name} ended with {status}")
        part.start()
        if port is not None:
            wait_until(lambda: is_ready(port), seconds=_START_SECONDS, what=f"the API at {port} is ready")  # noqa: B023
            balancer.put_in(port)
        found.restarts[name] += 1


def is_ready(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health/ready", params={"for": "answers"}).status_code == 200
    except httpx.TransportError:
        return False


def spread(work: Callable[[int], None], numbers: Sequence[int], threads: int) -> None:
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, numbers))


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
        ) as cluster,
        balancing() as balancer,
    ):
        for port in cluster.replicas:
            wait_until(lambda: is_ready(port), seconds=_START_SECONDS, what=f"the API at {port} is ready")  # noqa: B023
            balancer.put_in(port)
        yield cluster, balancer


def rolling_restart(folder: Path, *, documents: int, questions: int, apis: int = 2, workers: int = 3) -> Found:
    """Upload and ask while every process is restarted, wait until all is done, and count what was lost."""
    found = Found(documents=documents, questions=questions)
    begun = time.monotonic()
    with prepared(folder, apis=apis, workers=workers) as (cluster, balancer):
        load = Load(balancer.url, cluster.key, found)
        ended = threading.Event()
        for number in range(min(10, documents)):
            load.upload(number)  # so that the first questions have something to read
        wait_until(lambda: _states(load).get("ready", 0) > 0, seconds=120, what="the first document is ready")
        with ThreadPoolExecutor(2) as together:
            restarting = together.submit(restart_in_turn, cluster, balancer, found, ended)
            asking = together.submit(spread, load.ask, range(questions), 4)
            spread(load.upload, range(min(10, documents), documents), 4)
            asking.result()
            ended.set()
            restarting.result()
        accepted = len(set(load.documents))
        wait_until(
            lambda: _states(load).get("ready", 0) >= accepted, seconds=600, what=f"{accepted} documents are ready"
        )
        wait_until(cluster.settled, seconds=300, what="no job is left")
        if accepted != documents:
            found.violations.append(f"{documents - accepted} uploads were not accepted")
        if set(_states(load)) != {"ready"}:
            found.violations.append(f"documents are {_states(load)}")
        found.runs = len(load.runs)
        for run in load.runs:
            body = load.get(f"/v1/runs/{run}").json()
            if body["state"] != "completed" or not body["answer"]["sentences"]:
                found.violations.append(f"run {run} is {body['state']}: {body.get('failure')}")
        load.close()
    found.seconds = round(time.monotonic() - begun, 1)
    return found


def _states(load: Load) -> dict[str, int]:
    """The documents in each state, as the API counts them."""
    return dict(load.get("/v1/status").json()["documents"])


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
    raise SystemExit(1 if found.violations else 0)


if __name__ == "__main__":
    main()
