"""Processes for tests to kill, which start at once: each is a fork of a server that has imported their programs.

A program of its own would spend seconds of a processor on imports at each start, and tests of faults start hundreds.
"""

import importlib
import multiprocessing
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

# Each has a function `main` that takes the arguments of its command line.
_PROGRAMS = ("tests.support.cluster_process", "tests.support.run_process", "tests.support.slack_process")
_CONTEXT = multiprocessing.get_context("forkserver")


class ForkedProcess:
    """A running program in a process group of its own, which writes its output at the end of `log`.

    It has the methods of `subprocess.Popen` that tests use.
    """

    def __init__(self, program: str, arguments: Sequence[str], *, environment: Mapping[str, str], log: Path) -> None:
        _CONTEXT.set_forkserver_preload(list(_PROGRAMS))
        self._process = _CONTEXT.Process(target=_run, args=(program, arguments, dict(environment), log))
        self._process.start()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def poll(self) -> int | None:
        """Return the exit status, or None while it runs."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit status once it has ended. Raises `TimeoutError` after `timeout` seconds."""
        self._process.join(timeout)
        if (status := self.poll()) is None:
            raise TimeoutError(f"Process {self.pid} has not ended within {timeout} seconds.")
        return status

    def terminate(self) -> None:
        self._process.terminate()

    def kill(self) -> None:
        """Send SIGKILL to the process alone."""
        self._process.kill()


def _run(program: str, arguments: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
    os.setsid()
    with log.open("ab") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = [program, *arguments]
    importlib.import_module(program).main(*arguments)
