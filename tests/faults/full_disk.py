"""Services whose disk fills up while they take uploads: python -m tests.faults.full_disk --trials 20

Each trial mounts a small file system of its own, fills it to the last byte during uploads, searches, deletes, restarts
the service on the full disk, deletes again, frees the disk, and looks for everything that was accepted. `ext4` needs
root, because it is mounted from a file; `tmpfs` needs only `unshare`.
"""

import argparse
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.support import disk_process

KINDS = ("ext4", "tmpfs")
_SIZE_MB = 512
_DOCUMENTS = 12
_ROOT = Path(__file__).parents[2]
_NAMESPACES = {"tmpfs": ("unshare", "--map-root-user", "--mount"), "ext4": ("unshare", "--mount")}
_MOUNTS = {
    "tmpfs": "mount -t tmpfs -o size={size}m none {disk}",
    "ext4": "truncate -s {size}m {disk}.img; mkfs.ext4 -q -m 0 {disk}.img; mount -o loop {disk}.img {disk}",
}
# Services are forked from a process that has imported everything.
_PROCESSES = multiprocessing.get_context("forkserver")


def run_trials(kind: str, trials: int) -> Iterator[dict[str, Any]]:
    """Run trials in a mount namespace of their own, and yield what each saw. The service of every second is killed."""
    command = [*_NAMESPACES[kind], sys.executable, "-m", "tests.faults.full_disk", "--inside", kind]
    environment = {
        "PYTHONPATH": os.environ.get("PYTHONPATH", str(_ROOT)),
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": os.environ.get("HOME", "/"),
    }
    with subprocess.Popen(
        [*command, "--trials", str(trials)], cwd=_ROOT, env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            yield json.loads(line)
    if process.returncode:
        yield {"failed": process.returncode}


def run_here(kind: str, *, kill: bool) -> dict[str, Any]:
    """Run one trial on a new file system, mounted in the namespace of this process."""
    with tempfile.TemporaryDirectory() as folder:
        disk = Path(folder, "disk")
        disk.mkdir()
        subprocess.run(["sh", "-ec", _MOUNTS[kind].format(size=_SIZE_MB, disk=disk)], check=True)
        try:
            return Trial(disk, Service(disk, Path(folder))).run(kill=kill)
        finally:
            subprocess.run(["umount", "--lazy", str(disk)], check=True)


class Service:
    """The service in its process. Its exit statuses are kept: -7 is SIGBUS."""

    def __init__(self, disk: Path, outside: Path) -> None:
        self._home = disk / "home"
        self._address = outside / "address"
        self._log = outside / "log"
        self._key = ""
        self.exits: list[int] = []

    def start(self) -> bool:
        """Start it; return False if it ended instead of listening."""
        self._address.unlink(missing_ok=True)
        arguments = (str(self._home), str(self._address), self._key, str(self._log))
        self._process = _PROCESSES.Process(target=disk_process.run, args=arguments)
        self._process.start()
        until = time.monotonic() + 120
        while not self._address.exists():
            if not self._process.is_alive() or time.monotonic() > until:
                self.stop(signal.SIGKILL)
                return False
            time.sleep(0.05)
        told = json.loads(self._address.read_text())
        self._key = told["key"]
        self.http = httpx.Client(
            base_url=told["url"], headers={"Authorization": f"Bearer {self._key}"}, timeout=60, trust_env=False
        )
        return True

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End it and return its exit status."""
        assert self._process.pid is not None
        with suppress(ProcessLookupError):
            os.kill(self._process.pid, number)
        self._process.join(60)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        assert self._process.exitcode is not None
        self.exits.append(self._process.exitcode)
        return self.exits[-1]

    def ask(self, method: str, path: str, **more: Any) -> httpx.Response:  # noqa: ANN401 - arguments of httpx
        """Send a request; 599 stands for a connection that broke."""
        try:
            return self.http.request(method, path, **more)
        except httpx.TransportError as error:
            return httpx.Response(599, text=repr(error))

    def last_lines(self) -> str:
        return self._log.read_text(errors="replace")[-1_500:]


@dataclass
class Trial:
    """One service on one disk, and the statuses of what was asked of it."""

    disk: Path
    service: Service
    seen: dict[str, Any] = field(default_factory=dict)
    accepted: dict[str, str] = field(default_factory=dict)

    def run(self, *, kill: bool) -> dict[str, Any]:
        self.service.start()
        for number in range(_DOCUMENTS):
            self._upload(f"before-{number}")
        self._wait_until(lambda: set(self._states()) == {"ready"})
        self._fill_during_uploads()
        self.seen["accepted"] = len(self.accepted)
        self.seen["full"] = self._look()
        self._fill()
        self.seen["exit_when_stopped"] = self.service.stop(signal.SIGKILL if kill else signal.SIGTERM)
        self._fill()
        self.seen["started"] = self.service.start()
        if self.seen["started"]:
            self.seen["restarted"] = self._look()
        (self.disk / "filler").unlink()
        if self.seen["started"] or self.service.start():
            self._wait_until(lambda: self._upload("after") == 202)
            self._wait_until(lambda: set(self._states()) == {"ready"})
            self.seen["lost"] = sum(not self._finds(word) for word in self.accepted)
            self.seen["ready_again"] = self.service.ask("GET", "/health/ready?for=uploads").status_code
            self.seen["exit_at_end"] = self.service.stop()
        self.seen["sigbus"] = sum(status == -signal.SIGBUS for status in self.service.exits)
        self.seen["log"] = self.service.last_lines()
        return self.seen

    def _look(self) -> dict[str, Any]:
        """Ask for everything once on the full disk; the last is a deletion, which is asked for on a full disk again."""
        name = next(iter(self.accepted))
        writing = self.service.ask("POST", "/v1/documents", params={"name": "late.txt"}, content=b"Too late. " * 400)
        collection = self.service.ask("POST", "/v1/collections", json={"name": "late"})
        ready = self.service.ask("GET", "/health/ready")
        found = self._finds(name)
        answer = self.service.ask("POST", "/v1/search", json={"query": name})
        self._fill()
        free = shutil.disk_usage(self.disk).free
        deletion = self.service.ask("DELETE", f"/v1/documents/{self.accepted.pop(name)}")
        return {
            "free_bytes": free,
            "upload": writing.status_code,
            "collection": collection.status_code,
            "ready": ready.status_code,
            "ready_for_uploads": self.service.ask("GET", "/health/ready?for=uploads").status_code,
            "search": answer.status_code,
            "found": found,
            "delete": deletion.status_code,
            "gone": not self._finds(name),
        }

    def _fill_during_uploads(self) -> None:
        filling = threading.Thread(target=self._fill)
        filling.start()
        number = 0
        while filling.is_alive() and number < 500:
            self._upload(f"during-{number}")
            number += 1
        filling.join()
        time.sleep(1)  # work on what was accepted meets the full disk
        self._fill()

    def _fill(self) -> None:
        """Write until nothing more can be written, in ever smaller pieces."""
        with (self.disk / "filler").open("ab", buffering=0) as file:
            for size in (1 << 20, 4096, 1):
                with suppress(OSError):
                    while True:
                        file.write(bytes(size))

    def _upload(self, name: str) -> int:
        word = "w" + name.replace("-", "x")
        body = f"{word} is the word of {name}. ".encode() + b"Ballast and rigging of ships. " * 2_000
        response = self.service.ask("POST", "/v1/documents", params={"name": f"{name}.txt"}, content=body)
        if response.status_code == 202:
            self.accepted[word] = response.json()["id"]
        return response.status_code

    def _finds(self, word: str) -> bool:
        response = self.service.ask("POST", "/v1/search", json={"query": word, "top_k": 50})
        if response.status_code != 200:
            return False
        return any(word in hit["text"] for hit in response.json()["hits"])

    def _states(self) -> list[str]:
        return [
            self.service.ask("GET", f"/v1/documents/{identifier}").json()["state"]
            for identifier in self.accepted.values()
        ]

    def _wait_until(self, is_so: Callable[[], bool]) -> None:
        until = time.monotonic() + 180
        while not is_so():
            if time.monotonic() > until:
                self.seen["waited_in_vain"] = True
                return
            time.sleep(0.2)


def violations(seen: dict[str, Any]) -> list[str]:
    """Return what a trial should not have seen."""
    if "failed" in seen:
        return ["failed"]
    wrong = [name for name in ("sigbus", "lost", "waited_in_vain") if seen.get(name)]
    if not seen["started"]:
        wrong.append("started")
    wanted = {
        "upload": 507, "collection": 507, "ready": 200, "ready_for_uploads": 503,
        "search": 200, "found": True, "delete": 200, "gone": True,
    }  # fmt: skip
    for when in ("full", "restarted"):
        found = seen.get(when, {})
        wrong += [f"{when}.{name}: {found[name]}" for name, value in wanted.items() if found and found[name] != value]
    if seen.get("ready_again") != 200:
        wrong.append("ready_again")
    return wrong


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--trials", type=int, default=20, help="of each kind")
    arguments.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    arguments.add_argument("--verbose", action="store_true", help="print everything that each trial saw")
    arguments.add_argument("--inside", choices=KINDS, help=argparse.SUPPRESS)
    given = arguments.parse_args()
    if given.inside:
        _PROCESSES.set_forkserver_preload(["tests.support.disk_process"])
        for number in range(given.trials):
            print(json.dumps(run_here(given.inside, kill=number % 2 == 1)), flush=True)
        return
    for kind in given.kinds:
        counts: Counter[str] = Counter()
        for number, seen in enumerate(run_trials(kind, given.trials)):
            found = violations(seen)
            counts.update(found or ["as it should be"])
            if given.verbose or found:
                print(kind, number, found, json.dumps(seen, indent=1).replace("\\n", "\n"), flush=True)
        print(f"{kind}: {given.trials} trials", dict(counts), flush=True)


if __name__ == "__main__":
    main()
