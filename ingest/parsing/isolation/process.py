"""Start the parser child, send it requests with a timeout, and kill it.

The child gets no secrets from our environment, and is killed with its process group. It responds on behalf of the
processes that parse documents (`ingest.parsing.isolation.child`), which are confined and not trusted.
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

# The command that starts the child. With -I, the child's imports do not depend on environment variables or on files in
# the working folder.
CHILD_COMMAND = (sys.executable, "-I", "-m", "ingest.parsing.isolation.child")

_MAX_ANSWER_BYTES = 65_536
_START_TIMEOUT_SECONDS = 60.0
_POLL_SECONDS = 0.25  # When a document is deleted, the parsing of the document stops within this time.


def do_nothing() -> None:
    """Do nothing while waiting for a response."""


class ChildExitedError(Exception):
    """The child closed its output before it responded, most likely because it crashed or was killed."""


class InvalidResponseError(ValueError):
    """The output of the child is not a valid response to the request."""


@dataclass(frozen=True)
class ProcessOutcome:
    """The exit status of a document's process (negative for a signal) and its message, or None if that is invalid."""

    status: int
    message: dict[str, Any] | None


class ParserProcess:
    """A child that handles one request at a time. Each request and each response is one line of JSON.

    `confined_by` lists the mechanisms that confine the processes of documents.
    """

    def __init__(self, command: Sequence[str], folder: Path) -> None:
        """Start the child and wait until it is ready. Raises `IngestError` if it cannot be started."""
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
            ready = self._read_response(0, time.monotonic() + _START_TIMEOUT_SECONDS)
            self.confined_by = tuple(map(str, ready.get("confined", ())))
        except (ChildExitedError, InvalidResponseError, TimeoutError) as error:
            self.kill()
            raise IngestError(
                "The parser process could not be started.", hint=f"Run `{' '.join(command)}` to see why."
            ) from error

    def send_request(
        self, request: dict[str, Any], timeout_seconds: float, wait_callback: Callable[[], None] = do_nothing
    ) -> ProcessOutcome:
        """Send a request and return its outcome.

        `wait_callback` is called several times a second until the child responds.

        After `TimeoutError`, `ChildExitedError` or `InvalidResponseError`, the caller must call `kill`.
        """
        self.requests += 1
        deadline = time.monotonic() + timeout_seconds
        line = json.dumps({"id": self.requests, **request}) + "\n"
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line.encode())
        except BrokenPipeError as error:
            raise ChildExitedError from error
        answer = self._read_response(self.requests, deadline, wait_callback)
        return ProcessOutcome(int(answer["status"]), _parse_message(str(answer["said"])))

    def is_alive(self) -> bool:
        return self._process.poll() is None

    def kill(self) -> None:
        """Kill the child and all processes that it started."""
        process = self._process
        if process.returncode is None:  # Until the child is reaped, no other process can have its group id.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
        process.wait()

    def _read_response(
        self, request_id: int, deadline: float, wait_callback: Callable[[], None] = do_nothing
    ) -> dict[str, Any]:
        try:
            answer = json.loads(self._read_line(deadline, wait_callback))
        except (ValueError, RecursionError) as error:
            raise InvalidResponseError("The response is not valid JSON.") from error
        if not isinstance(answer, dict) or answer.get("id") != request_id:
            raise InvalidResponseError("The response belongs to another request.")
        return answer

    def _read_line(self, deadline: float, wait_callback: Callable[[], None]) -> bytes:
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
                wait_callback()
                continue
            block = os.read(descriptor, _MAX_ANSWER_BYTES)
            if not block:
                raise ChildExitedError
            line += block
            if len(line) > _MAX_ANSWER_BYTES:
                raise InvalidResponseError("The response is too long.")
        return line


def _parse_message(text: str) -> dict[str, Any] | None:
    try:
        read = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return read if isinstance(read, dict) else None


def _build_environment(folder: Path) -> dict[str, str]:
    """Return an environment without our secrets.

    It allows only one malloc arena, because each arena reserves some of the limited memory.
    """
    environment = {"LANG": "C.UTF-8", "TMPDIR": str(folder), "MALLOC_ARENA_MAX": "1"}
    if "LD_LIBRARY_PATH" in os.environ:  # Some Python builds find their own library through this variable.
        environment["LD_LIBRARY_PATH"] = os.environ["LD_LIBRARY_PATH"]
    return environment
