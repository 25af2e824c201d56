"""The vector server of tests: the double, or the real one that LEADLINE_TEST_QDRANT names.

The variable is the path of a `qdrant` program, of which tests start one or several processes with a folder each, or the
address of one server that is for tests alone: its collections named `leadline…` are deleted. A test that ends its
server or wants several nodes is skipped without a program.
"""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import httpx
import pytest

from tests.support.ports import free_port
from tests.support.qdrant_double import QdrantDouble

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

VARIABLE = "LEADLINE_TEST_QDRANT"
_START_SECONDS = 120.0
_SCHEMES = ("http://", "https://")


class VectorServer(Protocol):
    """One server at a time on one folder, with the same URL after each start."""

    url: str

    @property
    def urls(self) -> str:
        """The addresses of all its nodes, as a setting names them."""

    @property
    def pid(self) -> int: ...

    def start(self) -> None:
        """Returns when requests can be sent."""

    def kill(self) -> None:
        """SIGKILL: whatever was not answered may be lost, and nothing else."""

    def pause(self) -> None:
        """SIGSTOP: connections are still accepted by the kernel, and nothing is answered."""

    def restart(self) -> None:
        """On the same folder and port, after `kill` or in place of a running process."""

    def stop(self) -> None:
        """End it in order, if it runs."""


def named() -> str:
    """The program or address of a real server; empty where tests use the double."""
    return os.environ.get(VARIABLE, "")


def program() -> Path:
    """The real server's program. Skips the test where there is none."""
    if not named() or named().startswith(_SCHEMES):
        pytest.skip(f"needs a real vector server: set {VARIABLE} to the path of a qdrant program")
    return Path(named())


@contextmanager
def vector_server(
    folder: Path, *, api_key: str | None = None, nodes: int = 1, is_ended: bool = False
) -> Iterator[VectorServer]:
    """A running server, empty if `folder` is; its URL is that of the first of its `nodes`.

    `is_ended` says that the test kills or pauses it.
    """
    server: VectorServer
    if not named():
        server = QdrantDouble(folder, api_key=api_key, nodes=nodes)
    elif not named().startswith(_SCHEMES):
        server = QdrantCluster(program(), folder, api_key=api_key, nodes=nodes)
    else:
        if api_key is not None or nodes > 1 or is_ended:
            program()
        server = ServerAtAddress(named())
    server.start()
    try:
        yield server
    finally:
        server.stop()


class QdrantNode:
    """One process of the real server; in a cluster, `first` is the node that the others join."""

    def __init__(
        self, program: Path, folder: Path, *, api_key: str | None, first: "QdrantNode | None", alone: bool
    ) -> None:
        self._folder = folder
        self._headers = {"api-key": api_key} if api_key else {}
        http, grpc, self._p2p = (free_port() for _ in range(3))
        self.url = f"http://127.0.0.1:{http}"
        service = {"HOST": "127.0.0.1", "HTTP_PORT": str(http), "GRPC_PORT": str(grpc), "API_KEY": api_key or ""}
        storage = {"STORAGE_PATH": str(folder / "storage"), "SNAPSHOTS_PATH": str(folder / "snapshots")}
        cluster = {} if alone else {"ENABLED": "true", "P2P__PORT": str(self._p2p)}
        parts = (("SERVICE", service), ("STORAGE", storage), ("CLUSTER", cluster))
        given = {f"QDRANT__{part}__{name}": value for part, values in parts for name, value in values.items() if value}
        self._environment = {**os.environ, **given, "QDRANT__TELEMETRY_DISABLED": "true"}
        joining = ["--bootstrap", first.peer] if first is not None else []
        self._command = [str(program.resolve()), *([] if alone else ["--uri", self.peer, *joining])]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def peer(self) -> str:
        return f"http://127.0.0.1:{self._p2p}"

    @property
    def pid(self) -> int:
        assert self._process is not None, "the vector server does not run"
        return self._process.pid

    def start(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command, cwd=self._folder, env=self._environment, stdout=log, stderr=log
            )
        _wait_until(self._is_ready, lambda: f"{self._command} is ready: {self._last_words()}")

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        self._reap()

    def pause(self) -> None:
        os.kill(self.pid, signal.SIGSTOP)

    def restart(self) -> None:
        self.stop()
        self.start()

    def empty(self) -> None:
        """Lose the disk of a node that was killed."""
        shutil.rmtree(self._folder)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.send_signal(signal.SIGCONT)
            self._reap()

    def _reap(self) -> None:
        assert self._process is not None
        self._process.wait(120)
        self._process = None

    def _is_ready(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise RuntimeError(f"the vector server ended: {self._last_words()}")
        try:
            return httpx.get(f"{self.url}/readyz", headers=self._headers).status_code == 200
        except httpx.TransportError:
            return False

    def _last_words(self) -> str:
        return (self._folder / "log").read_text()[-2000:]


class QdrantCluster:
    """One node or several, of which each may be ended alone; what is done to the server is done to all of them."""

    def __init__(self, program: Path, folder: Path, *, api_key: str | None = None, nodes: int = 1) -> None:
        self._headers = {"api-key": api_key} if api_key else {}
        self.nodes: list[QdrantNode] = []
        for number in range(nodes):
            first = self.nodes[0] if self.nodes else None
            self.nodes.append(
                QdrantNode(program, folder / f"node-{number}", api_key=api_key, first=first, alone=nodes == 1)
            )
        self.url = self.nodes[0].url

    @property
    def urls(self) -> str:
        return ",".join(node.url for node in self.nodes)

    @property
    def pid(self) -> int:
        return self.nodes[0].pid

    def start(self) -> None:
        for node in self.nodes:
            node.start()
        if len(self.nodes) > 1:
            _wait_until(self._is_complete, lambda: "all nodes have found each other")

    def kill(self) -> None:
        for node in self.nodes:
            node.kill()

    def pause(self) -> None:
        for node in self.nodes:
            node.pause()

    def restart(self) -> None:
        self.stop()
        self.start()

    def take_away(self, number: int) -> None:
        """End one node, the first of which has the number 1."""
        self.nodes[number - 1].kill()

    def bring_back(self, number: int) -> None:
        self.nodes[number - 1].start()

    def replace(self, number: int) -> None:
        """Do as the runbook says of a node whose disk is lost: remove it, and start an empty one at its address."""
        lost = self.nodes[number - 1]
        peers = httpx.get(f"{self.url}/cluster", headers=self._headers).json()["result"]["peers"]
        (peer,) = [peer for peer, about in peers.items() if about["uri"].rstrip("/") == lost.peer]
        removed = httpx.delete(
            f"{self.url}/cluster/peer/{peer}", params={"force": "true"}, headers=self._headers, timeout=60
        )
        removed.raise_for_status()
        lost.empty()
        lost.start()
        _wait_until(self._is_complete, lambda: "the new node has joined")

    def stop(self) -> None:
        with ExitStack() as stack:
            for node in self.nodes:
                stack.callback(node.stop)

    def _is_complete(self) -> bool:
        answers: Sequence[httpx.Response] = [
            httpx.get(f"{node.url}/cluster", headers=self._headers) for node in self.nodes
        ]
        return all(len(answer.json()["result"].get("peers", ())) == len(self.nodes) for answer in answers)


class ServerAtAddress:
    """A server that somebody else runs; what tests make in it is deleted, and it is never ended."""

    def __init__(self, url: str) -> None:
        self.url = self.urls = url.rstrip("/")
        self._before: set[str] = set()

    @property
    def pid(self) -> int:
        program()
        raise AssertionError("a server at an address has no process here")

    def start(self) -> None:
        self._before = {name for name in self._names() if name != "leadline" and not name.startswith("leadline-g")}
        self._forget_ours()

    def kill(self) -> None:
        program()

    pause = restart = kill

    def stop(self) -> None:
        self._forget_ours()

    def _client(self) -> "QdrantClient":
        from qdrant_client import QdrantClient  # takes a second, and few tests need it

        return QdrantClient(url=self.url, check_compatibility=False)

    def _names(self) -> set[str]:
        with closing(self._client()) as client:
            return {each.name for each in client.get_collections().collections}

    def _forget_ours(self) -> None:
        with closing(self._client()) as client:
            for name in self._names() - self._before:
                client.delete_collection(name)


def _wait_until(true: Callable[[], bool], what: Callable[[], str]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not true():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {_START_SECONDS:.0f} s: {what()}")
        time.sleep(0.05)
