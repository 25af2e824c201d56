"""The parent's side of the parser child: started without our secrets, asked with a deadline, killed with its group.

The child answers for processes of single documents (`ingest.parsing.isolation.child`), which are confined and not
trusted.
"""

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ingest.storage.errors import IngestError

# -I: no environment variable and no file in the working folder changes what the child imports.
CHILD_COMMAND = (sys.executable, "-I", "-m", "ingest.parsing.isolation.child")

_MAX_ANSWER_BYTES = 65_536
_START_TIMEOUT_SECONDS = 60.0
_POLL_SECONDS = 0.25  # so soon is a document let go that is deleted meanwhile


def do_nothing() -> None:
    """Waits and does nothing else."""


class ChildEndedError(Exception):
    """The child closed its answers before it answered, most likely because it died."""


class BadAnswerError(ValueError):
    """The child's output is not an answer to the request."""


@dataclass(frozen=True)
class ProcessOutcome:
    """How a document's process ended, negative for a signal, and the message that it left; None without one."""

    status: int
    message: dict[str, Any] | None


class ParserProcess:
    """A child that answers one request at a time, a line of JSON for a line of JSON.

    `confined_by` is what the documents' processes are confined by.
    """

    def __init__(self, command: Sequence[str], folder: Path) -> None:
        """Start the child and wait until it is ready. Raises `IngestError` when it cannot be started."""
        self.requests = 0
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            cwd=folder,
            env=_build_environment(folder),
            start_new_session=True,
        )
        try:
            ready = self._read_answer(0, time.monotonic() + _START_TIMEOUT_SECONDS)
            self.confined_by = tuple(map(str, ready.get("confined", ())))
        except (ChildEndedError, BadAnswerError, TimeoutError) as error:
            self.kill()
            raise IngestError(
                "The parser process could not be started.", hint=f"Run `{' '.join(command)}` to see why."
            ) from error

    def send_request(
        self, request: dict[str, Any], seconds: float, waiting: Callable[[], None] = do_nothing
    ) -> ProcessOutcome:
        """Have a document parsed; `waiting` is called now and then until that is done.

        After `TimeoutError`, `ChildEndedError` or `BadAnswerError` the caller must call `end`.
        """
        self.requests += 1
        deadline = time.monotonic() + seconds
        line = json.dumps({"id": self.requests, **request}) + "\n"
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line.encode())
        except BrokenPipeError as error:
            raise ChildEndedError from error
        answer = self._read_answer(self.requests, deadline, waiting)
        return ProcessOutcome(int(answer["status"]), _parse_message(str(answer["said"])))

    def is_alive(self) -> bool:
        return self._process.poll() is None

    def kill(self) -> None:
        """Kill the child and whatever it started."""
        process = self._process
        if process.returncode is None:  # not reaped yet, so its group's number is nobody else's
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
        process.wait()

    def _read_answer(self, number: int, deadline: float, waiting: Callable[[], None] = do_nothing) -> dict[str, Any]:
        try:
            answer = json.loads(self._read_line(deadline, waiting))
        except (ValueError, RecursionError) as error:
            raise BadAnswerError("The answer is not JSON.") from error
        if not isinstance(answer, dict) or answer.get("id") != number:
            raise BadAnswerError("The answer is to another request.")
        return answer

    def _read_line(self, deadline: float, waiting: Callable[[], None]) -> bytes:
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        readable = select.poll()
        readable.register(descriptor, select.POLLIN)
        line = b""
        while not line.endswith(b"\n"):
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                raise TimeoutError
            if not readable.poll(min(remaining, _POLL_SECONDS) * 1000):
                waiting()
                continue
            block = os.read(descriptor, _MAX_ANSWER_BYTES)
            if not block:
                raise ChildEndedError
            line += block
            if len(line) > _MAX_ANSWER_BYTES:
                raise BadAnswerError("The answer is too long.")
        return line


def _parse_message(said: str) -> dict[str, Any] | None:
    try:
        read = json.loads(said)
    except (ValueError, RecursionError):
        return None
    return read if isinstance(read, dict) else None


def _build_environment(folder: Path) -> dict[str, str]:
    """Return an environment without our secrets, with one allocation arena, because arenas reserve limited space."""
    environment = {"LANG": "C.UTF-8", "TMPDIR": str(folder), "MALLOC_ARENA_MAX": "1"}
    if "LD_LIBRARY_PATH" in os.environ:  # some Pythons find their own library through it
        environment["LD_LIBRARY_PATH"] = os.environ["LD_LIBRARY_PATH"]
    return environment
