"""A whole cluster on this machine for tests: real Valkey, PostgreSQL and Celery, API and workers as processes.

The index is the Qdrant double over the real engine. Every process can be killed and is started again by the test, as
a supervisor would do it.
"""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import Engine, func, select

from api.admission.services import DEFAULT_TENANT
from ingest.storage.accounts.keys import ApiKeys
from ingest.storage.blobs.opening import open_blobs
from ingest.storage.blobs.store import BlobSettings, BlobStore
from ingest.storage.db.database import open_database
from ingest.storage.db.schema import jobs as job_rows
from ingest.storage.documents.catalog import Catalog
from ingest.storage.generations.store import GenerationRecords
from ingest.storage.jobs.jobs import Jobs
from ingest.storage.operations.installation import bind_installation
from ingest.storage.operations.installation_record import InstallationRecord
from retrieval import build
from retrieval.index.open_generations import OpenGenerations
from retrieval.index.port import Index
from tests.support.encoders import hashing_encoders
from tests.support.events import sent_events
from tests.support.fault_folder import VARIABLE, FaultFolder
from tests.support.ports import free_port
from tests.support.valkey import Valkey, running_valkey
from tests.support.vector_servers import VectorServer, vector_server

_START_SECONDS = 120.0
_PATIENCE_SECONDS = 120.0
_VALKEY: dict[bool, dict[str, str]] = {True: {"appendonly": "yes", "appendfsync": "always"}, False: {}}

# Returns the settings of one process that differ, by its name and the settings of all.
Route = Callable[[str, Mapping[str, str]], Mapping[str, str]]


class Part:
    """One process of the cluster, in a process group of its own."""

    def __init__(
        self,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        log: Path,
        *,
        module: str = "tests.support.cluster_process",
    ) -> None:
        self._command = [sys.executable, "-m", module, *arguments]
        self._environment = environment
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def revive(self) -> None:
        """Start it again if it has ended by itself, as a process manager does."""
        if self._process is not None and self._process.poll() is not None:
            self.start()

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, env=self._environment, stdout=log, stderr=log, start_new_session=True
            )

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def pid_or_none(self) -> int | None:
        """None before it was started."""
        return None if self._process is None else self._process.pid

    def kill(self) -> None:
        """SIGKILL to the process and all its children."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def stop(self, seconds: float) -> int:
        """SIGTERM, as a supervisor sends it, and the exit status. Fails if it takes longer."""
        assert self._process is not None
        self._process.terminate()
        return self._process.wait(seconds)

    def runs(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def exit_code(self) -> int | None:
        """None while it runs."""
        assert self._process is not None
        return self._process.poll()

    def restart(self) -> None:
        self.kill()
        self.start()


@dataclass
class Cluster:
    """The parts, and the truth as the catalog has it."""

    valkey: Valkey
    qdrant: VectorServer
    api: Part
    beat: Part
    workers: list[Part]
    faults: FaultFolder
    catalog: Catalog
    engine: Engine
    jobs: Jobs
    home: Path
    url: str
    key: str
    mover: Part
    rebuilder: Part
    replicas: dict[int, Part]  # every API process by its port, the first one too
    environment: Mapping[str, str]
    blobs: BlobStore
    _http: httpx.Client = field(init=False)
    _open: OpenGenerations = field(init=False)

    def __post_init__(self) -> None:
        installation = bind_installation(InstallationRecord(self.engine), self.blobs)
        store = build.build_server_store(self.qdrant.url, installation)
        self.records = GenerationRecords(self.engine)
        self._open = OpenGenerations(self.records, store, hashing_encoders(), build.build_sparse_encoder())
        self._http = httpx.Client(
            base_url=self.url, headers={"Authorization": f"Bearer {self.key}"}, timeout=httpx.Timeout(40.0, connect=2.0)
        )

    @property
    def index(self) -> Index:
        """That of the generation that is active now."""
        with self._open.use_generation(self.records.load_active_generation().id) as made:
            return made.index

    def versions(self) -> dict[str, int]:
        """Points of each version in the generation that has the most of it."""
        found: Counter[str] = Counter()
        with self._open.use_all_indexes() as indexes:
            for index in indexes.values():
                found |= Counter(index.count_chunks_by_version())
        return dict(found)

    def request(self, method: str, path: str, *, give_up_after: float = 60.0, **options: object) -> httpx.Response:
        """Sent again while the API is away or has too much to do, as a careful client would."""
        deadline = time.monotonic() + give_up_after
        while True:
            try:
                response = self._http.request(method, path, **options)  # type: ignore[arg-type]
            except httpx.TransportError:
                if time.monotonic() > deadline:
                    raise
            else:
                if response.status_code not in (429, 503) or time.monotonic() > deadline:
                    return response
            time.sleep(0.1)

    def upload(self, text: str, name: str) -> str:
        """The id of the document that the text became, once the API has said that it is accepted."""
        response = self.request("POST", "/v1/documents", params={"name": name}, content=text.encode())
        assert response.status_code in (200, 202), response.text
        return str(response.json()["id"])

    def delete(self, document: str) -> None:
        """Until the API has said that it is gone; after a lost answer it says so again."""
        response = self.request("DELETE", f"/v1/documents/{document}")
        assert response.status_code == 200, response.text

    def cancel(self, document: str) -> None:
        """Until the API has said that it is stopped; after a lost answer it says that there is nothing to stop."""
        response = self.request("POST", f"/v1/documents/{document}/cancel")
        assert response.status_code in (200, 409), response.text

    @contextmanager
    def events(self, path: str) -> Iterator[Iterator[tuple[str, str, Any]]]:
        """What an events route sends over one connection, as `(id, name, body)`."""
        with self._http.stream("GET", path) as response:
            assert response.status_code == 200, response.read()
            yield sent_events(response)

    def ready(self, role: str) -> httpx.Response:
        return self._http.get("/health/ready", params={"for": role})

    def wait_for_api(self) -> None:
        wait_until(lambda: self._alive(), seconds=_START_SECONDS, what="the API answers")

    def settled(self) -> bool:
        """No job is queued or running. What has ended by itself is started again meanwhile."""
        for part in (self.api, self.beat, *self.workers):
            part.revive()
        return not self.jobs.count_unfinished_jobs()

    def close(self) -> None:
        self._http.close()
        self._open.close()

    def kill(self, pid: int) -> None:
        """SIGKILL to one process, such as a worker's child that stands at a fault point."""
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    def attempts(self, version_id: str) -> int:
        """The most attempts that any job of a version has had."""
        query = select(func.max(job_rows.c.attempt)).where(job_rows.c.version_id == version_id)
        with self.engine.connect() as connection:
            return int(connection.execute(query).scalar_one())

    def log(self) -> str:
        return "\n".join(f"== {path.name}\n{path.read_text()[-4000:]}" for path in sorted(self.home.glob("*.log")))

    def _alive(self) -> bool:
        try:
            return self._http.get("/health/live").status_code == 200
        except httpx.TransportError:
            return False


@contextmanager
def running_cluster(
    home: Path,
    database_url: str,
    *,
    workers: int = 1,
    lease_seconds: float = 3.0,
    sweep_seconds: float = 1.0,
    task_seconds: float = 6.0,
    persistent_valkey: bool = True,
    start_workers: bool = True,
    start_beat: bool = True,
    apis: int = 1,
    llm: str = "none",
    encoder: str | None = None,
    leave_seconds: float = 0.0,
    nodes: int = 1,
    settings: Mapping[str, str] | None = None,
    queues: Sequence[str] = (),
    blobs: Mapping[str, str] | None = None,
    route: Route = lambda _name, _environment: {},
) -> Iterator[Cluster]:
    """All parts started and answering; killed at the end. They need no model, unless an `encoder` is named.

    `nodes` is the number of the vector server's, and `settings` are further ones of every process. `queues` are those
    of each worker, if they differ, and `blobs` the settings of a bucket in which texts are kept.
    """
    home.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        valkey = stack.enter_context(running_valkey(home / "valkey", **_VALKEY[persistent_valkey]))
        qdrant = stack.enter_context(vector_server(home / "qdrant", nodes=nodes))
        engine = open_database(database_url)
        stack.callback(engine.dispose)
        catalog = Catalog(engine)
        catalog.ensure_tenant(DEFAULT_TENANT)
        _, key = ApiKeys(engine).issue_key(DEFAULT_TENANT, "tests")
        port = free_port()
        faults = FaultFolder(home / "faults")
        environment = {
            **os.environ,
            "LEADLINE_DATABASE_URL": database_url,
            "LEADLINE_REDIS_URL": valkey.url,
            "LEADLINE_QDRANT_URL": qdrant.urls,
            "LEADLINE_HOME": str(home / "shared"),
            "LEADLINE_PORT": str(port),
            "LEADLINE_LLM": llm,
            "LEADLINE_MIN_FREE_BYTES": "0",
            "LEADLINE_LEASE_SECONDS": str(lease_seconds),
            "LEADLINE_SWEEP_SECONDS": str(sweep_seconds),
            "LEADLINE_TASK_SECONDS": str(task_seconds),
            "LEADLINE_UPKEEP_SECONDS": str(2 * sweep_seconds),
            "LEADLINE_LEAVE_SECONDS": str(leave_seconds),
            VARIABLE: str(faults.folder),
            **{f"LEADLINE_{name.upper()}": value for name, value in (blobs or {}).items()},
            **(settings or {}),
        }
        if encoder is not None:
            environment["LEADLINE_ENCODER"] = encoder
        (home / "shared").mkdir(exist_ok=True)

        def part(*arguments: str, name: str, start: bool = True, **changed: str) -> Part:
            made = Part(arguments, {**environment, **changed, **route(name, environment)}, home / f"{name}.log")
            stack.callback(made.kill)
            if start:
                made.start()
            return made

        api = part("api", name="api")
        replicas = {port: api}
        for n in range(1, apis):
            other = free_port()
            replicas[other] = part("api", name=f"api-{n}", LEADLINE_PORT=str(other))
        mover = part("move", name="mover", start=False)
        rebuilder = part("rebuild", name="rebuilder", start=False)
        staff = [
            part("worker", "--name", f"w{n}", *worker, "--concurrency", "1", name=f"worker-{n}", start=start_workers)
            for n, worker in enumerate([["--queues", each] for each in queues] or [[]] * workers)
        ]
        beat = part("beat", name="beat", start=start_beat)
        cluster = Cluster(
            valkey=valkey,
            qdrant=qdrant,
            api=api,
            beat=beat,
            workers=staff,
            faults=faults,
            catalog=catalog,
            engine=engine,
            jobs=Jobs(engine, lease_seconds=lease_seconds),
            mover=mover,
            rebuilder=rebuilder,
            replicas=replicas,
            environment=environment,
            blobs=open_blobs(BlobSettings.model_validate(blobs or {}), home / "shared", None),
            home=home,
            url=f"http://127.0.0.1:{port}",
            key=key,
        )
        stack.callback(cluster.close)
        try:
            cluster.wait_for_api()
            yield cluster
        except BaseException as error:
            error.add_note(cluster.log())
            raise


def wait_until(true: Callable[[], bool], *, what: str, seconds: float = _PATIENCE_SECONDS) -> float:
    """Seconds it took. Fails with `what` was waited for, after longer than a busy machine takes."""
    start = time.monotonic()
    while not true():
        if time.monotonic() - start > seconds:
            raise AssertionError(f"not within {seconds:.0f} s: {what}")
        time.sleep(0.05)
    return time.monotonic() - start
