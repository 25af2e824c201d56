"""The parts of the cluster, the lines between them, and what can happen to each."""

import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import httpx

from tests.support.balancer import Balancer, balancing
from tests.support.cluster import Cluster, Part, running_cluster, wait_until
from tests.support.pausing import paused
from tests.support.ports import free_port
from tests.support.postgres import Postgres, running_postgres
from tests.support.relay import Relay
from tests.support.s3_server import BUCKET, bucket_environment
from tests.support.valkey import Valkey
from tests.support.vector_servers import QdrantCluster, QdrantNode, VectorServer

MODEL = "stub"
NODES = 3
# Each worker's queues, as deploy/cluster/compose.yaml divides them; two workers take documents.
_QUEUES = ("ingest,embed", "ingest,embed", "runs,sources", "upkeep")
_APIS = 2
# Longer than the balancer's probes take to notice, on a machine that has much else to do.
_LEAVE_SECONDS = 3.0
# After this, an orchestrator kills.
_GRACE_SECONDS = 60.0
_START_SECONDS = 240.0
_CLIENTS = "clients"
_SETTINGS = {
    "LEADLINE_QUERY_CACHE_BYTES": "0",  # else the vector servers are hardly asked
    "LEADLINE_DESCRIBE": "off",  # descriptions change the results of searches
    "LEADLINE_QDRANT_SHARDS": "6",
    "LEADLINE_QDRANT_REPLICAS": "2",
}


class Lines:
    """A relay from each process to each server that it uses, so that either end can be cut off."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._relays: dict[tuple[str, str], Relay] = {}

    def open(self, source: str, target: str, address: str) -> Relay:
        """Run a relay to an address, which is a URL or the path of a Unix socket."""
        relay = self._stack.enter_context(Relay(address).running())
        self._relays[source, target] = relay
        return relay

    def is_used(self, source: str, target: str) -> bool:
        """True if a process has a connection to a server."""
        return self._relays[source, target].is_used

    @contextmanager
    def cut(self, name: str) -> Iterator[None]:
        """Break every connection from and to a part, and refuse new ones until the end of the block."""
        touched = [relay for ends, relay in self._relays.items() if name in ends]
        if not touched:
            raise ValueError(f"no line leads to {name}")
        for relay in touched:
            relay.cut()
        try:
            yield
        finally:
            for relay in touched:
                relay.mend()


@dataclass(frozen=True)
class Failing:
    """A part by its name, and how it is ended, started and stopped. `stop` sends SIGTERM and waits for the end;
    it raises `subprocess.TimeoutExpired` if that takes too long."""

    name: str
    kill: Callable[[], None]
    stop: Callable[[], object]
    start: Callable[[], None]
    pause: Callable[[], AbstractContextManager[None]]
    cut: Callable[[], AbstractContextManager[None]] | None

    def fail(self, kind: str, seconds: float) -> None:
        """Let it fail in a way, and let it work again. A killed or restarted part is started at once."""
        if kind == "kill":
            self.kill()
            self.start()
        elif kind == "restart":
            try:
                self.stop()
            except subprocess.TimeoutExpired:
                self.kill()
                raise
            finally:
                self.start()
        else:
            failing = self.pause if kind == "stop" else self.cut
            if failing is None:
                raise ValueError(f"no line leads to {self.name}")
            with failing():
                time.sleep(seconds)

    @property
    def kinds(self) -> Sequence[str]:
        return ("kill", "restart", "stop", "cut") if self.cut else ("kill", "restart", "stop")


@dataclass
class Installation:
    """The cluster behind its balancer. `ports` are those under which the balancer knows the API processes."""

    cluster: Cluster
    balancer: Balancer
    ports: Sequence[int]
    parts: Sequence[Failing]
    lines: Lines

    def describe_absence(self) -> str:
        """Say which process is not in; empty if all are. A worker is in while it has a connection to the broker."""
        for port in self.ports:
            if not self.balancer.is_in(port):
                return f"the balancer has not let the API process at port {port} in"
        for n in range(len(self.cluster.workers)):
            if not self.lines.is_used(f"worker-{n}", "valkey"):
                return f"worker-{n} has no connection to the broker"
        return ""


@dataclass
class _Opening:
    """The processes, relays and addresses that are collected while the cluster starts."""

    stack: ExitStack
    home: Path
    postgres: Postgres
    lines: Lines
    addresses: dict[str, str] = field(default_factory=dict)  # of servers beside the cluster's own
    servers: dict[str, Part] = field(default_factory=dict)

    def start_server(self, name: str, kind: str, target: str = "") -> str:
        """Start a program of `cluster_servers`; returns its address once it accepts connections."""
        port = free_port()
        arguments = [kind, "--port", str(port), "--target", target]
        server = Part(arguments, os.environ, self.home / f"{name}.log", module="tests.support.cluster_servers")
        self.stack.callback(server.kill)
        server.start()
        self.servers[name] = server
        self.addresses[name] = f"http://127.0.0.1:{port}"
        wait_until(partial(_answers, self.addresses[name]), what=f"{name} answers")
        return self.addresses[name]

    def route(self, name: str, environment: Mapping[str, str]) -> Mapping[str, str]:
        """Lead every connection of a process through a line of its own."""
        if name in ("mover", "rebuilder"):
            return {}
        database = re.sub(r"\?.*", "", environment["LEADLINE_DATABASE_URL"]).rpartition("/")[2]
        catalog = self.lines.open(name, "postgres", str(self.postgres.folder / ".s.PGSQL.5432"))
        broker = self.lines.open(name, "valkey", environment["LEADLINE_REDIS_URL"])
        model = self.lines.open(name, "model", self.addresses["model"])
        changed = {
            "LEADLINE_DATABASE_URL": f"postgresql+psycopg://postgres:@{_strip(catalog)}/{database}",
            "LEADLINE_REDIS_URL": f"redis://{_strip(broker)}/0",
            "LEADLINE_QDRANT_URL": ",".join(
                self.lines.open(name, f"vectors-{n}", url).url for n, url in enumerate(self._nodes(environment))
            ),
            "LEADLINE_LLM": f"{model.url}/v1 {MODEL}",
        }
        if "bucket" in self.addresses:
            changed["LEADLINE_S3_ENDPOINT"] = self.lines.open(name, "bucket", self.addresses["bucket"]).url
        return changed

    def _nodes(self, environment: Mapping[str, str]) -> Sequence[str]:
        """The addresses of three nodes. The double is one process, so that processes in front of it are its nodes."""
        urls = environment["LEADLINE_QDRANT_URL"].split(",")
        if len(urls) == NODES:
            return urls
        names = [f"vectors-{n}" for n in range(NODES)]
        return [self.addresses.get(name) or self.start_server(name, "node", urls[0]) for name in names]


@contextmanager
def open_installation(home: Path, *, in_bucket: bool) -> Iterator[Installation]:
    """Run all parts, with texts in a folder or in a bucket, until the end of the block."""
    with ExitStack() as stack:
        postgres = stack.enter_context(running_postgres(keeps_commits=True))
        opening = _Opening(stack, home, postgres, Lines(stack))
        opening.start_server("model", "model")
        blobs = None
        if in_bucket:
            s3 = opening.start_server("s3", "s3")
            wait_until(lambda: httpx.put(f"{s3}/{BUCKET}").is_success, what="the bucket is there")
            opening.start_server("bucket", "bucket", s3)
            blobs = bucket_environment(s3)
        cluster = stack.enter_context(
            running_cluster(
                home / "cluster",
                postgres.catalog_database(),
                apis=_APIS,
                queues=_QUEUES,
                llm=f"{opening.addresses['model']}/v1 {MODEL}",
                lease_seconds=15.0,
                task_seconds=60.0,
                leave_seconds=_LEAVE_SECONDS,
                persistent_valkey=False,
                nodes=NODES,
                settings=_SETTINGS,
                blobs=blobs,
                route=opening.route,
            )
        )
        apis = {f"api-{n}" if n else "api": port for n, port in enumerate(cluster.replicas)}
        lines = {name: opening.lines.open(_CLIENTS, name, f"http://127.0.0.1:{port}") for name, port in apis.items()}
        ports = [int(line.url.rpartition(":")[2]) for line in lines.values()]
        balancer = stack.enter_context(balancing(ports))
        made = Installation(cluster, balancer, ports, list(_list_parts(cluster, opening)), opening.lines)
        wait_until(lambda: not made.describe_absence(), seconds=_START_SECONDS, what="all processes are ready")
        yield made


def _list_parts(cluster: Cluster, opening: _Opening) -> Iterator[Failing]:
    cut = opening.lines.cut
    postgres = opening.postgres
    yield Failing("postgres", postgres.kill, postgres.stop, postgres.start, postgres.paused, partial(cut, "postgres"))
    yield _from_valkey(cluster.valkey, partial(cut, "valkey"))
    yield from _list_vector_servers(cluster.qdrant, cut)
    processes = dict(zip(("api", "api-1"), cluster.replicas.values(), strict=True))
    processes |= {f"worker-{n}": part for n, part in enumerate(cluster.workers)} | {"beat": cluster.beat}
    processes |= {name: part for name, part in opening.servers.items() if name != "s3"}  # it keeps objects in memory
    for name, part in processes.items():
        yield _from_process(name, part, partial(cut, name))


def _from_process(name: str, part: Part, cut: Callable[[], AbstractContextManager[None]]) -> Failing:
    return Failing(name, part.kill, partial(part.stop, _GRACE_SECONDS), part.start, lambda: paused(part.pid), cut)


def _from_valkey(valkey: Valkey, cut: Callable[[], AbstractContextManager[None]]) -> Failing:
    return Failing("valkey", valkey.kill, valkey.stop, valkey.restart, lambda: paused(valkey.pid), cut)


def _list_vector_servers(server: VectorServer, cut: Callable[[str], AbstractContextManager[None]]) -> Iterator[Failing]:
    """The nodes of a real cluster, one by one; or the double's engine, whose nodes are processes of their own."""
    if isinstance(server, QdrantCluster):
        for n, node in enumerate(server.nodes):
            yield _from_node(f"vectors-{n}", node, partial(cut, f"vectors-{n}"))
    else:
        yield Failing("vectors", server.kill, server.stop, server.start, lambda: paused(server.pid), None)


def _from_node(name: str, node: QdrantNode, cut: Callable[[], AbstractContextManager[None]]) -> Failing:
    return Failing(name, node.kill, node.stop, node.start, lambda: paused(node.pid), cut)


def _strip(relay: Relay) -> str:
    return relay.url.removeprefix("http://")


def _answers(url: str) -> bool:
    try:
        httpx.get(url, timeout=5)
    except httpx.TimeoutException:
        return True
    except httpx.TransportError as error:
        return isinstance(error, httpx.RemoteProtocolError | httpx.ReadError)
    return True
