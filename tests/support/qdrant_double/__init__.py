"""A Qdrant server for tests: a process that speaks Qdrant's REST interface over the engine in process.

No server can be had from a package registry, and the client's own local mode is another program. This is the server's
engine (`qdrant_edge`) behind the part of the interface that the adapter uses, for several processes at once, with data
that survives a kill. Bodies are read with the client's own models and everything unknown is refused, so each request
that it answers is one that those models describe.

What it is not: it has one shard and one replica, whatever it is asked for and claims, and it optimizes nothing. What it
tells of several nodes and of copies on them is made up in `nodes`, as tests ask for it.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

_ROOT = Path(__file__).parents[3]


class QdrantDouble:
    """One process at a time on one folder; it has the same URL after each start."""

    def __init__(self, folder: Path, *, api_key: str | None = None, nodes: int = 1) -> None:
        self.url = ""
        self._options = ["--nodes", str(nodes), *(["--api-key", api_key] if api_key else [])]
        self._folder = folder
        self._log = folder.with_name(f"{folder.name}.log")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        return self._running().pid

    def start(self) -> None:
        """Returns when requests can be sent."""
        port = self.url.rpartition(":")[2] or "0"
        command = [sys.executable, "-m", "tests.support.qdrant_double", "--port", port, "--folder", str(self._folder)]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*command, *self._options], cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log
            )
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().decode().strip()
        if not self.url:
            self.stop()
            raise RuntimeError(f"the Qdrant double did not start: {self._log.read_text()[-2000:]}")

    def kill(self) -> None:
        """SIGKILL: whatever was not answered may be lost, and nothing else."""
        self._running().kill()
        self._reap()

    def pause(self) -> None:
        """SIGSTOP: connections are still accepted by the kernel, and nothing is answered."""
        os.kill(self.pid, signal.SIGSTOP)

    def restart(self) -> None:
        """On the same folder and port, after `kill` or in place of a running process."""
        self.stop()
        self.start()

    @property
    def urls(self) -> str:
        return self.url

    def take_away(self, peer: int) -> None:
        """Let a claimed node not answer the others."""
        httpx.put(f"{self.url}/double/nodes/{peer}/away").raise_for_status()

    def bring_back(self, peer: int) -> None:
        httpx.put(f"{self.url}/double/nodes/{peer}/back").raise_for_status()

    def add_node(self) -> int:
        """Let an empty node join; returns its id."""
        return int(httpx.post(f"{self.url}/double/nodes").raise_for_status().json()["result"])

    def replace(self, peer: int) -> int:
        """Do as the runbook says of a node whose disk is lost; returns the id of the empty one in its place."""
        self.remove(peer)
        return self.add_node()

    def remove(self, peer: int) -> None:
        httpx.delete(f"{self.url}/cluster/peer/{peer}", params={"force": "true"}).raise_for_status()

    def stop(self) -> None:
        """End it in order, if it runs."""
        if self._process is not None:
            self._process.terminate()
            self._reap()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError("the Qdrant double does not run")
        return self._process

    def _reap(self) -> None:
        process = self._running()
        process.wait(120)
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
        self._process = None


@contextmanager
def qdrant_double(folder: Path, *, api_key: str | None = None, nodes: int = 1) -> Iterator[QdrantDouble]:
    """A running double that claims to have `nodes`; `folder` keeps its data and is made when it is not there."""
    double = QdrantDouble(folder, api_key=api_key, nodes=nodes)
    double.start()
    try:
        yield double
    finally:
        double.stop()
