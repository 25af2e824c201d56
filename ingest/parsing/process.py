"""The parser child as its parent holds it: given nothing of ours, asked with a deadline, ended with its group."""

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from ingest.errors import IngestError

# -I: no environment variable and no file in the working folder changes what the child imports.
CHILD_COMMAND = (sys.executable, "-I", "-m", "ingest.parsing.child")

_ANSWER_BYTES = 65_536
_START_SECONDS = 60.0
_LAST_WORDS_SECONDS = 5.0
_STEP_SECONDS = 0.005


class ChildEndedError(Exception):
    """The child closed its answers before it answered, most likely because it died."""


class BadAnswerError(ValueError):
    """What the child said is not an answer to what it was asked."""


class ParserProcess:
    """A child that answers one request at a time, a line of JSON for a line of JSON."""

    def __init__(self, command: Sequence[str], folder: Path) -> None:
        """Returns when the child is ready. Raises `IngestError` when it cannot be started."""
        self.requests = 0
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            cwd=folder,
            env=_environment(folder),
            start_new_session=True,
        )
        try:
            self._read_answer(0, time.monotonic() + _START_SECONDS)
        except (ChildEndedError, BadAnswerError, TimeoutError) as error:
            self.end()
            raise IngestError(
                "The parser process could not be started.", hint=f"Run `{' '.join(command)}` to see why."
            ) from error

    def ask(self, request: dict[str, Any], seconds: float) -> dict[str, Any]:
        """The answer to `request`. Raises `TimeoutError`, `ChildEndedError` or `BadAnswerError`; then `end` is due."""
        self.requests += 1
        deadline = time.monotonic() + seconds
        line = json.dumps({"id": self.requests, **request}) + "\n"
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line.encode())
        except BrokenPipeError as error:
            raise ChildEndedError from error
        return self._read_answer(self.requests, deadline)

    def end(self, *, last_words_seconds: float = 0.0) -> int:
        """Kill the child and whatever it started; its exit status, negative for a signal.

        A child that is on its way out gets `last_words_seconds` to do so by itself, so that the status is its own.
        """
        process = self._process
        deadline = time.monotonic() + last_words_seconds
        # Without reaping it: as long as the child is there, dead or alive, its group's number is nobody else's.
        while time.monotonic() < deadline and not _has_ended(process.pid):
            time.sleep(_STEP_SECONDS)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
        return process.wait()

    def status_of_its_own(self) -> int:
        """The exit status of a child that has closed its answers."""
        return self.end(last_words_seconds=_LAST_WORDS_SECONDS)

    def _read_answer(self, number: int, deadline: float) -> dict[str, Any]:
        try:
            answer = json.loads(self._read_line(deadline))
        except (ValueError, RecursionError) as error:
            raise BadAnswerError("The answer is not JSON.") from error
        if not isinstance(answer, dict) or answer.get("id") != number:
            raise BadAnswerError("The answer is to another request.")
        return answer

    def _read_line(self, deadline: float) -> bytes:
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        readable = select.poll()
        readable.register(descriptor, select.POLLIN)
        line = b""
        while not line.endswith(b"\n"):
            remaining = deadline - time.monotonic()
            if remaining <= 0 or not readable.poll(remaining * 1000):
                raise TimeoutError
            block = os.read(descriptor, _ANSWER_BYTES)
            if not block:
                raise ChildEndedError
            line += block
            if len(line) > _ANSWER_BYTES:
                raise BadAnswerError("The answer is too long.")
        return line


def _environment(folder: Path) -> dict[str, str]:
    """No secret of ours. One allocation arena, because every arena reserves address space, which is limited."""
    environment = {"LANG": "C.UTF-8", "TMPDIR": str(folder), "MALLOC_ARENA_MAX": "1"}
    if "LD_LIBRARY_PATH" in os.environ:  # some Pythons find their own library through it
        environment["LD_LIBRARY_PATH"] = os.environ["LD_LIBRARY_PATH"]
    return environment


def _has_ended(pid: int) -> bool:
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
