"""The process of the local language model: started, monitored, restarted after a crash, and stopped with its parent."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

State = Literal["loading", "ready", "failed", "stopped"]

LOAD_FAILED = 78
"""Exit status of a child that cannot load its model, after it recorded the reason; a restart would not help."""

_POLL_SECONDS = 0.5
_TERMINATE_SECONDS = 8.0
# Delays before restarts after consecutive crashes. A crash on one unusual prompt justifies a restart, but a model that
# crashes every time should not be reloaded forever.
_RESTART_DELAYS_SECONDS = (1.0, 2.0, 4.0, 8.0, 16.0)
_STEADY_SECONDS = 600.0  # Time without a crash after which the count of consecutive crashes is reset.
_INHERITED_VARIABLES = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH", "PYTHONPATH", "VIRTUAL_ENV")


@dataclass(frozen=True)
class ProcessState:
    """The state of the process, the number of seconds it has been in that state, and the reason for a failure."""

    state: State
    seconds: float
    reason: str = ""
    hint: str = ""


class LocalModelProcess:
    """A child process that serves a model on a Unix socket that only this user can access.

    Environment variables that could contain a secret are not passed to the child. `socket` stays the same across
    restarts.
    """

    def __init__(
        self,
        model_path: Path,
        log_path: Path,
        *,
        command: Sequence[str] | None = None,
        restart_delays: Sequence[float] = _RESTART_DELAYS_SECONDS,
    ) -> None:
        """Start the process and return immediately, before the model is loaded.

        `command` is for tests; `--uds SOCKET` is appended to it. `restart_delays` are the seconds to wait before each
        consecutive restart. If the process crashes again after the last of them, it is not restarted.
        """
        self._restart_delays = restart_delays
        self._folder = tempfile.TemporaryDirectory(prefix="leadline-llm-")
        self.socket = Path(self._folder.name) / "socket"
        self._command = command or (sys.executable, "-m", "rlm.llm.local.server", "--model", str(model_path))
        self._log = log_path
        self._child: subprocess.Popen[bytes] | None = None
        self._closing = threading.Event()
        self._changed = threading.Condition()
        self._state = ProcessState("loading", 0.0)
        self._since = time.monotonic()
        self._watch = threading.Thread(target=self._run_supervisor, name="language-model", daemon=True)
        self._watch.start()

    def get_state(self) -> ProcessState:
        """Return the last known state, which is at most one second old."""
        with self._changed:
            now = self._state
            return ProcessState(now.state, round(time.monotonic() - self._since, 1), now.reason, now.hint)

    def wait_until_ready(self, timeout_seconds: float) -> ProcessState:
        """Return the state once it is no longer `loading`, or when the timeout expires."""
        with self._changed:
            self._changed.wait_for(lambda: self._state.state != "loading", timeout_seconds)
        return self.get_state()

    def close(self) -> None:
        """Stop the child, by force if necessary, and remove the socket."""
        self._closing.set()
        self._watch.join()
        self._folder.cleanup()

    def _run_supervisor(self) -> None:
        try:
            self._supervise_child()
        except OSError as error:
            self._set_state(
                "failed",
                f"The language model's process could not be started: {error}.",
                "Check the folder of its log file.",
            )

    def _supervise_child(self) -> None:
        crashes = 0
        while not self._closing.is_set():
            begun = time.monotonic()
            with self._log.open("ab") as log:
                self._child = self._start_child(log)
                self._watch_child(self._child)
            if self._closing.is_set():
                break
            if self._child.returncode == LOAD_FAILED:
                said = json.loads(get_failure_path(self.socket).read_text(encoding="utf-8"))
                self._set_state("failed", said["reason"], said["hint"])
                return
            crashes = 1 if time.monotonic() - begun > _STEADY_SECONDS else crashes + 1
            if crashes > len(self._restart_delays):
                self._record_permanent_failure(crashes, self._child.returncode)
                return
            # Set the state immediately and not only when the next child process is started, because nothing listens
            # until then.
            self._set_state("loading")
            self._closing.wait(self._restart_delays[crashes - 1])
        self._set_state("stopped")

    def _record_permanent_failure(self, crash_count: int, exit_status: int) -> None:
        reason = (
            f"The language model's process exited {crash_count} times in a row, most recently with status "
            f"{exit_status}."
        )
        killed = (
            "It was killed, which usually means that memory ran out; it needs 4 GB. "
            if exit_status == -signal.SIGKILL
            else ""
        )
        self._set_state("failed", reason, f"{killed}See {self._log} for the reason.")

    def _start_child(self, log_file: IO[bytes]) -> "subprocess.Popen[bytes]":
        command = [*self._command, "--uds", str(self.socket), "--parent-pid", str(os.getpid())]
        environment = {name: os.environ[name] for name in _INHERITED_VARIABLES if name in os.environ}
        return subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=log_file, stderr=log_file, start_new_session=True
        )

    def _watch_child(self, child: "subprocess.Popen[bytes]") -> None:
        """Watch the child until it exits or is closed. The child listens only once its model is loaded."""
        while child.poll() is None:
            if self._state.state == "loading" and _is_listening(self.socket):
                self._set_state("ready")
            if self._closing.wait(_POLL_SECONDS):
                _terminate_process(child)
                return

    def _set_state(self, state: State, reason: str = "", hint: str = "") -> None:
        with self._changed:
            self._state, self._since = ProcessState(state, 0.0, reason, hint), time.monotonic()
            self._changed.notify_all()


def get_failure_path(socket_path: Path) -> Path:
    """Return the path of the file in which the child reports why its model cannot be loaded.

    The file is JSON with `reason` and `hint`.
    """
    return socket_path.with_name("failure.json")


def _is_listening(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
        return True


def _terminate_process(child: "subprocess.Popen[bytes]") -> None:
    child.terminate()
    try:
        child.wait(_TERMINATE_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
