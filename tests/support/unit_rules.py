"""The rules of unit tests: no socket, no child process, no model file, and no sleep.

`tests/unit/conftest.py` applies them to every test below it, however it is run. A test that breaks one fails, even if
the code under test catches what is raised here, and the message names the next step.
"""

import _posixsubprocess
import asyncio
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any

import openvino
import pytest
import urllib3.util.connection  # noqa: F401 - it looks for IPv6 with a socket at import, before tests are watched
from pydantic_monty import Monty

from api.settings.settings import Settings

# Long enough to give other threads a turn, and to poll for them.
MAX_SLEEP_SECONDS = 0.01

_MOVE = "or move the test to the same path under tests/integration"


class Rule(Enum):
    """What a unit test must not do, and what to do instead."""

    SOCKET = f"A unit test uses no network. Use httpx.MockTransport, TestClient or a fake of tests/fakes, {_MOVE}."
    PROCESS = f"A unit test starts no process. Call the code in this process, use a fake of tests/fakes, {_MOVE}."
    MODEL = f"A unit test reads no model. Use HashingEmbedder or a scripted model of tests/fakes, {_MOVE}."
    SLEEP = (
        f"A unit test sleeps no longer than {MAX_SLEEP_SECONDS:g} s. Pass a clock or a `sleep` that takes no time, "
        f"wait for an event, {_MOVE}."
    )


_EVENTS = {
    **dict.fromkeys(("socket.connect", "socket.bind", "socket.sendto", "socket.sendmsg"), Rule.SOCKET),
    **dict.fromkeys(("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"), Rule.SOCKET),
    **dict.fromkeys(("subprocess.Popen", "os.posix_spawn", "os.fork", "os.forkpty", "os.exec"), Rule.PROCESS),
    **dict.fromkeys(("os.system", "pty.spawn"), Rule.PROCESS),
}


class _Watch:
    """Refuses what breaks a rule while a unit test runs, and remembers it."""

    def __init__(self) -> None:
        self.broken: list[str] = []
        self._is_on = False
        self._file: Path | None = None
        self._older_threads: frozenset[int | None] = frozenset()

    def begin(self, file: Path) -> None:
        """Start watching. Threads older than the first test of this file belong to tests of other folders."""
        if file != self._file:
            self._file = file
            self._older_threads = frozenset(each.ident for each in threading.enumerate()) - {threading.get_ident()}
        self.broken = []
        self._is_on = True

    def end(self) -> None:
        self._is_on = False

    def audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Check an audit event of the interpreter, which every socket, process and opened file raises."""
        if not self._is_on:
            return
        if rule := _EVENTS.get(event):
            self.refuse(rule, event, *arguments)
        elif event == "open" and _is_of_model(arguments[0]):
            self.refuse(Rule.MODEL, event, arguments[0])

    def refuse(self, rule: Rule, what: str, *arguments: object) -> None:
        """Fail the test, unless nothing is watched now."""
        __tracebackhide__ = True
        if self._is_on and threading.get_ident() not in self._older_threads:
            called = f"{what}({', '.join(map(repr, arguments))})"
            self.broken.append(f"{rule.value}\nIt called {called[:300]}.")
            pytest.fail(self.broken[-1])


@cache
def _watch() -> _Watch:
    watch = _Watch()
    _models()  # before a test sets another folder
    sys.addaudithook(watch.audit)  # for good: no hook can be removed
    return watch


@cache
def _models() -> str:
    return f"{Settings().models}{os.sep}"


def _is_of_model(path: object) -> bool:
    return isinstance(path, str | os.PathLike) and str(path).startswith(_models())


@contextmanager
def hold_to_rules(item: pytest.Item) -> Iterator[None]:
    """Watch a phase of a test. Fails it if a rule was broken, also where the code under test caught the failure."""
    watch = _watch()
    watch.begin(item.path)
    try:
        yield
    finally:
        watch.end()
        if watch.broken and str(sys.exc_info()[1]) not in watch.broken:
            pytest.fail("\n".join(watch.broken), pytrace=False)


@contextmanager
def watched_functions() -> Iterator[None]:
    """Replace what raises no audit event, before a test's own fixtures may replace it."""
    watch = _watch()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "sleep", _watched_sleep(watch, time.sleep))
        patch.setattr(asyncio, "sleep", _watched_async_sleep(watch, asyncio.sleep))
        # These are native code. The first two start processes, for multiprocessing and for the sandbox.
        patch.setattr(_posixsubprocess, "fork_exec", _watched(watch, Rule.PROCESS, _posixsubprocess.fork_exec))
        patch.setattr("rlm.sandbox.monty_sandbox.Monty", _watched(watch, Rule.PROCESS, Monty))
        patch.setattr(openvino.Core, "read_model", _watched(watch, Rule.MODEL, openvino.Core.read_model))
        patch.setattr(openvino.Core, "compile_model", _watched(watch, Rule.MODEL, openvino.Core.compile_model))
        yield


def _watched(watch: _Watch, rule: Rule, function: Callable[..., Any]) -> Callable[..., Any]:
    def watched(*arguments: object, **named: object) -> Any:  # noqa: ANN401 - of any function
        watch.refuse(rule, function.__name__, *arguments)
        return function(*arguments, **named)

    return watched


def _watched_sleep(watch: _Watch, sleep: Callable[[float], None]) -> Callable[[float], None]:
    def watched_sleep(seconds: float) -> None:
        if seconds > MAX_SLEEP_SECONDS:
            watch.refuse(Rule.SLEEP, "time.sleep", seconds)
        sleep(seconds)

    return watched_sleep


def _watched_async_sleep(watch: _Watch, sleep: Callable[..., Any]) -> Callable[..., Any]:
    async def watched_sleep(delay: float, result: object = None) -> object:
        """Refuse a long sleep when it has ended. One that is cancelled, such as a timer's, has cost no time."""
        await sleep(delay)
        if delay > MAX_SLEEP_SECONDS:
            watch.refuse(Rule.SLEEP, "asyncio.sleep", delay)
        return result

    return watched_sleep
