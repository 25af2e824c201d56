"""`leadline up` on a data folder of its own, watched from outside: statuses, searches, memory and processor time."""

import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil

from api.cli.client import find_service_url
from api.cli.up import FIRST_KEY_FILE
from api.client import Client

_START_SECONDS = 120.0
_STOP_SECONDS = 120.0
_POLL_SECONDS = 0.2
_TIMEOUT_SECONDS = 600.0


@dataclass
class Measured:
    """Collects the statuses of all replies, milliseconds of searches by phase, and the most memory in bytes."""

    process: psutil.Process
    statuses: Counter[str] = field(default_factory=Counter)
    search_ms: dict[str, list[float]] = field(default_factory=dict)
    most_bytes: int = 0
    most_child_bytes: int = 0

    def resident_bytes(self) -> int:
        """Return the resident memory of the service's process."""
        return int(self.process.memory_info().rss)

    def look(self) -> None:
        """Note the memory of the process, and of its children together, if it is the most so far."""
        self.most_bytes = max(self.most_bytes, self.resident_bytes())
        children = sum(each.memory_info().rss for each in self._children())
        self.most_child_bytes = max(self.most_child_bytes, children)

    def processor_seconds(self) -> float:
        """Return the processor time of the process and of its children, those that ended included."""
        used = self.process.cpu_times()
        children = [each.cpu_times() for each in self._children()]
        ended = used.children_user + used.children_system
        return float(sum((each.user + each.system for each in children), used.user + used.system + ended))

    def percentiles(self, phase: str) -> dict[str, Any]:
        """Return the count of a phase's searches, and their median and 95th percentile."""
        times = self.search_ms[phase]
        p50, p95 = np.percentile(times, [50, 95])
        return {
            f"searches_{phase}": len(times),
            f"search_p50_ms_{phase}": round(float(p50), 1),
            f"search_p95_ms_{phase}": round(float(p95), 1),
        }

    def _children(self) -> Iterator[psutil.Process]:
        for each in self.process.children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                each.memory_info()
                yield each


class Served:
    """A running service and a client of it whose every reply is counted; each request is sent once."""

    def __init__(self, url: str, key: str, process: psutil.Process) -> None:
        self.measured = Measured(process)
        self.client = Client(http=self._http(url, key), tries=1)
        self._searching = Client(http=self._http(url, key), tries=1)

    def search(self, query: str, phase: str, **members: Any) -> list[Any]:  # noqa: ANN401 - members of a search
        """Search, and note the time among those of `phase`; return the hits."""
        begun = time.perf_counter()
        found = self._searching.search(query, **members).hits
        self.measured.search_ms.setdefault(phase, []).append((time.perf_counter() - begun) * 1000)
        return list(found)

    @contextmanager
    def watched(self, queries: Sequence[str], phase: str, **members: Any) -> Iterator[None]:  # noqa: ANN401
        """Until the block ends, look at the memory again and again, and search once a second."""
        source = random.Random(0)
        with (
            _repeating(_POLL_SECONDS, self.measured.look),
            _repeating(1.0, lambda: self.search(source.choice(queries), phase, **members)),
        ):
            yield

    def close(self) -> None:
        self.client.http.close()
        self._searching.http.close()

    def _http(self, url: str, key: str) -> httpx.Client:
        def count(response: httpx.Response) -> None:
            self.measured.statuses[str(response.status_code)] += 1

        return httpx.Client(
            base_url=url,
            headers={"Authorization": f"Bearer {key}"},
            timeout=_TIMEOUT_SECONDS,
            trust_env=False,
            event_hooks={"response": [count]},
        )


@contextmanager
def up(home: Path) -> Iterator[Served]:
    """Run `leadline up` without a language model and a reranker until the block ends."""
    given = {"HOME": str(home), "LLM": "none", "RERANKER": "none", "PORT": "0"}
    environment = {**os.environ, **{f"LEADLINE_{name}": value for name, value in given.items()}}
    home.mkdir(parents=True, exist_ok=True)
    with (home / "service.log").open("wb") as log:
        process = subprocess.Popen(
            [Path(sys.executable).with_name("leadline"), "up"], env=environment, stdout=log, stderr=subprocess.STDOUT
        )
        try:
            served = Served(*_address(home, process), psutil.Process(process.pid))
            try:
                yield served
            finally:
                served.close()
        finally:
            process.terminate()
            process.wait(_STOP_SECONDS)


def _address(home: Path, process: "subprocess.Popen[bytes]") -> tuple[str, str]:
    """Wait for the service; return its URL and its first key. Raises `RuntimeError` if it ends or is late."""
    late, key = time.monotonic() + _START_SECONDS, home / FIRST_KEY_FILE
    while time.monotonic() < late and process.poll() is None:
        url = find_service_url(home)
        if url is not None and key.exists() and (text := key.read_text().strip()):
            return url, text
        time.sleep(_POLL_SECONDS)
    raise RuntimeError(f"The service did not start: {(home / 'service.log').read_text('utf-8', 'replace')[-2_000:]}")


@contextmanager
def _repeating(seconds: float, work: Callable[[], object]) -> Iterator[None]:
    """Do something again and again in a thread. Raises its error at the end of the block."""
    over, errors = threading.Event(), list[Exception]()

    def loop() -> None:
        while not over.wait(seconds):
            try:
                work()
            except Exception as error:  # noqa: BLE001 - raised again where the block ends
                errors.append(error)
                return

    thread = threading.Thread(target=loop, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    if errors:
        raise errors[0]
