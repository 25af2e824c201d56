"""What strangers without a key can do to a server: bodies that never end, and idle connections. Loopback only.

`python -m tests.support.public_attack` prints figures: memory, and how long `/health/live` takes meanwhile.
"""

import asyncio
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tests.support.raw_http import answer, connected, head

PATHS = (
    "/v1/sign-in",
    "/slack/events",
    "/openapi.json",
    "/docs",
    "/problems/unauthorized",
    "/metrics",
    "/health/live",
    "/health/ready",
    "/portal/assets/portal.css",
    "/sign-in",
    "/",
)
MIB = 1024**2
_SERVER = """
import sys
from pathlib import Path
from api.cli.serving import ApiServer
from tests.support.service import running
with running(Path(sys.argv[1]), port=0) as (services, _):
    ApiServer(services, Path(sys.argv[2]).write_text).run()
"""


@dataclass(frozen=True)
class Figures:
    """Memory before, and the most during the attack, in bytes; the probes' statuses and seconds."""

    before: int
    most: int
    statuses: tuple[int, ...]
    seconds: tuple[float, ...]
    processor_seconds: float

    @property
    def grown(self) -> int:
        return self.most - self.before

    def __str__(self) -> str:
        median, worst = statistics.median(self.seconds), max(self.seconds)
        missed = sum(status != 200 for status in self.statuses)
        return (
            f"memory {self.before / MIB:,.0f} -> {self.most / MIB:,.0f} MiB (+{self.grown / MIB:,.0f}); /health/live: "
            f"{len(self.statuses)} asked, {missed} not answered with 200, {1000 * median:.0f} ms median, "
            f"{1000 * worst:.0f} ms at most; {self.processor_seconds:.1f} s of processor time"
        )


@contextmanager
def served_process(home: Path) -> Iterator[tuple[str, int]]:
    """A service in a process of its own, with its real server: its URL and process id."""
    home.mkdir(exist_ok=True)
    address = home / "address"
    command = [sys.executable, "-c", _SERVER, str(home), str(address)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            while not address.exists() or not (url := address.read_text()):
                assert process.poll() is None, "the server did not start"
                time.sleep(0.05)
            for path in PATHS:
                with connected(url) as connection:
                    connection.sendall(head("GET", path, Connection="close"))
                    connection.recv(65_536)
            yield url, process.pid
        finally:
            process.terminate()
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()


def hold_bodies(url: str, pid: int, path: str, *, connections: int = 780, seconds: float = 8.0) -> Figures:
    """Announce 1 MiB on each connection, send one byte less, and hold it."""
    return _attack(url, pid, path, connections, seconds)


def hold_idle(url: str, pid: int, *, connections: int = 1_000, seconds: float = 8.0) -> Figures:
    """Open connections and send nothing."""
    return _attack(url, pid, "idle", connections, seconds)


def _attack(url: str, pid: int, kind: str, connections: int, seconds: float) -> Figures:
    """Attack from a process of its own, so that it does not slow the probes down."""
    before, worked, over = _memory(pid), _processor_seconds(pid), threading.Event()
    memory: list[int] = []
    probes: list[tuple[int, float]] = []

    def watch() -> None:
        while not over.wait(0.05):
            memory.append(_memory(pid))

    def probe() -> None:
        while not over.wait(0.2):
            probes.append(_probe(url))

    threads = [threading.Thread(target=each) for each in (watch, probe)]
    for thread in threads:
        thread.start()
    try:
        command = [sys.executable, "-m", "tests.support.public_attack", "--attack"]
        command += [url, kind, str(connections), str(seconds)]
        subprocess.run(command, check=True, timeout=seconds + 120)
    finally:
        over.set()
        for thread in threads:
            thread.join()
    statuses, took = zip(*probes, strict=True)
    return Figures(before, max(memory), statuses, took, _processor_seconds(pid) - worked)


def _run_attack(url: str, kind: str, connections: str, seconds: str) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(4 * int(connections), hard)), hard))
    sent = b""
    if kind != "idle":
        sent = head("POST", kind, Content_Type="application/json", Content_Length=str(MIB)) + b" " * (MIB - 1)
    asyncio.run(_hold(url, sent, int(connections), float(seconds)))


async def _hold(url: str, sent: bytes, connections: int, seconds: float) -> None:
    where = urlsplit(url)

    async def one() -> None:
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(seconds):
                _, writer = await asyncio.open_connection(where.hostname, where.port)
                try:
                    view = memoryview(sent)
                    for start in range(0, len(sent), 65_536):
                        writer.write(view[start : start + 65_536])
                        await writer.drain()
                    await asyncio.sleep(seconds)
                finally:
                    writer.transport.abort()

    await asyncio.gather(*(one() for _ in range(connections)))


def _probe(url: str) -> tuple[int, float]:
    """Ask `/health/live` over a new connection: the status, 0 for none, and how long it took."""
    begun = time.perf_counter()
    try:
        with connected(url, seconds=10) as connection:
            connection.sendall(head("GET", "/health/live", Connection="close"))
            status = answer(connection)[0]
    except (OSError, IndexError):
        status = 0
    return status, time.perf_counter() - begun


def _memory(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("the process has ended")


def _processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> None:
    if sys.argv[1:2] == ["--attack"]:
        _run_attack(*sys.argv[2:])
        return
    for path in sys.argv[1:] or PATHS:
        with tempfile.TemporaryDirectory() as home, served_process(Path(home)) as (url, pid):
            _tell(f"780 bodies of 1 MiB - 1 at {path}: {hold_bodies(url, pid, path)}")
    with tempfile.TemporaryDirectory() as home, served_process(Path(home)) as (url, pid):
        _tell(f"1,000 idle connections: {hold_idle(url, pid)}")


if __name__ == "__main__":
    main()
