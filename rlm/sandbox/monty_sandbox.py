"""Sessions of pydantic-monty: an interpreter without files, network or environment, in its own process."""

import inspect
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import structlog
from pydantic_monty import (
    FunctionSnapshot,
    Monty,
    MontyComplete,
    MontyCrashedError,
    MontyError,
    MontyRuntimeError,
    MontySession,
    NameLookupSnapshot,
)

from ingest.storage.counts import format_count
from ingest.storage.errors import LeadlineError
from rlm.errors import RunCancelledError, SandboxLostError, SandboxUnavailableError, not_cancelled
from rlm.metrics import CELL_SECONDS, CELLS
from rlm.sandbox.lowering import PRELUDE, build_shim_source, lower_code
from rlm.sandbox.port import DEFAULT_LIMITS, CellResult, SandboxLimits, Tool, ToolError
from rlm.sandbox.reports import NO_FILES, CappedOutput, find_hint, format_report, format_syntax_error

log = structlog.get_logger(__name__)
_PLAIN = (str, int, float, bool, bytes, type(None))
_MAX_DEPTH = 100
_FATAL_ERRORS = ("TimeoutError: feed time limit exceeded", "MemoryError: ")
_LIMIT_OF_CALLS = "RuntimeError: suspension limit"


class MontySandbox:
    """A pool of workers. Each worker serves one session and is then replaced. Thread-safe.

    `worker` is the program that is started for each session: the interpreter itself, or a program that starts the
    interpreter with more isolation.
    """

    def __init__(self, worker_path: Path, limits: SandboxLimits = DEFAULT_LIMITS) -> None:
        self._worker = worker_path
        self._limits = limits
        self._pool: Monty | None = None
        self._lock = threading.Lock()

    def open(self, tools: Mapping[str, Tool]) -> "MontyReplSession":
        """Open a session.

        Raises `SandboxUnavailableError` if no worker can be started, or if none becomes free in time.
        """
        try:
            checkout = self._open_pool().checkout(
                limits={
                    "max_memory": self._limits.memory_bytes,
                    "max_feed_duration_secs": self._limits.cell_seconds,
                    "max_recursion_depth": self._limits.recursion_depth,
                    "max_suspensions": self._limits.calls,
                },
                # Disable sleeping, and make random numbers repeat, so that a run can be replayed.
                os_policy={"sleep": "zero", "random_start": {"seed": 0}},
                script_name="cell.py",
            )
            return MontyReplSession(checkout, checkout.__enter__(), ToolTable(tools), self._limits)
        except TimeoutError as error:
            raise SandboxUnavailableError(
                f"All {self._limits.sessions} sandboxes are in use, and none became free in time.",
                hint="Try again later.",
            ) from error
        except (MontyError, OSError, RuntimeError) as error:
            raise SandboxUnavailableError("The sandbox's interpreter did not start.") from error

    def close(self) -> None:
        with self._lock:
            if self._pool is not None:
                self._pool.__exit__(None, None, None)
                self._pool = None

    def _open_pool(self) -> Monty:
        with self._lock:
            if self._pool is None:
                pool = Monty(
                    binary_path=self._worker,
                    min_processes=0,
                    max_processes=self._limits.sessions,
                    checkout_timeout=self._limits.wait_seconds,
                    request_timeout=self._limits.cell_seconds + 2 * self._limits.grace_seconds,
                    max_checkouts_per_worker=1,
                    feed_duration_limit_grace=self._limits.grace_seconds,
                )
                self._pool = pool.__enter__()
            return self._pool


class MontyReplSession:
    """A session with one worker, which keeps the definitions made by earlier cells."""

    def __init__(
        self, checkout: MontySession, session: MontySession, tools: "ToolTable", limits: SandboxLimits
    ) -> None:
        self._checkout: MontySession | None = checkout
        self._session = session
        self._tools = tools
        self._limits = limits
        self._loaded: set[str] = set()
        self._killer = WorkerKiller(session.worker_pid)
        self._load_shims({PRELUDE})
        # Bind tools to their names as values, so that code can pass tools on like any function.
        self._session.feed_run("None", inputs={name: _build_tool_placeholder(name) for name in tools.list_tool_names()})

    def run(self, code: str, *, cancelled: Callable[[], bool] = not_cancelled) -> CellResult:
        if self._checkout is None:
            raise SandboxLostError("The sandbox was closed.")
        begun = time.perf_counter()
        output = CappedOutput(self._limits.output_chars)
        outcome = "lost"
        try:
            with self._killer.watch_cancellation(cancelled):
                error = self._run_code(code, output, cancelled)
            outcome = "error" if error else "ok"
        finally:
            CELLS.labels(outcome).inc()
            CELL_SECONDS.observe(time.perf_counter() - begun)
        return CellResult(output.get_text(), output.characters, error, time.perf_counter() - begun)

    def close(self) -> None:
        """Close the session.

        If a cell is running, the worker is killed, so that its code receives nothing more.
        """
        if self._checkout is not None:
            checkout, self._checkout = self._checkout, None
            self._killer.close()
            checkout.__exit__(None, None, None)

    def _run_code(self, code: str, output: CappedOutput, cancelled: Callable[[], bool]) -> str | None:
        """Return the failure of the code with a hint, or None if the code did not fail."""
        try:
            lowered = lower_code(code)
        except SyntaxError as error:
            return format_syntax_error(error)
        except ValueError as error:
            return f"SyntaxError: {error}"  # The code was rejected before any of it was run.
        try:
            self._load_shims(lowered.shims)
            self._feed_code(lowered.code, output, cancelled)
        except MontyCrashedError as error:
            self.close()
            if cancelled():
                raise RunCancelledError("The run was cancelled.") from error
            raise SandboxLostError("The sandbox crashed, or did not stop at its limits.") from error
        except MontyRuntimeError as error:
            return self._format_error(error)
        except MontyError as error:
            return self._format_report(f"{type(error).__name__}: {error}")
        except BaseException:
            self.close()
            raise
        return None

    def _format_error(self, error: MontyRuntimeError) -> str | None:
        text = str(error)
        if text.startswith(_FATAL_ERRORS):
            self.close()
            what = "memory" if text.startswith("MemoryError") else "time"
            raise SandboxLostError(
                f"The cell ran out of {what}, and the sandbox's variables are lost.", hint=find_hint(text)
            ) from error
        if text.startswith(_LIMIT_OF_CALLS):
            self.close()
            raise SandboxLostError(
                f"The session's limit of {format_count(self._limits.calls, 'call')} has been reached.",
                hint=find_hint(text),
            ) from error
        if text.split(":")[0] == "SystemExit":
            return None
        return self._format_report(error.display())

    def _format_report(self, text: str) -> str:
        return format_report(text, limit=self._limits.error_chars, tool_names=self._tools.list_tool_names())

    def _load_shims(self, shims: set[str] | frozenset[str]) -> None:
        for name in sorted(shims - self._loaded):
            self._session.feed_run(build_shim_source(name))
            self._loaded.add(name)

    def _feed_code(self, code: str, output: CappedOutput, cancelled: Callable[[], bool]) -> None:
        snapshot: Any = self._session.feed_start(code, print_callback=lambda _, text: output.write(text))
        while not isinstance(snapshot, MontyComplete):
            if cancelled():
                # Do not resume the cell with an exception, because the code could catch that exception.
                raise RunCancelledError("The run was cancelled.")
            snapshot = self._answer_snapshot(snapshot)

    def _answer_snapshot(self, snapshot: Any) -> Any:  # noqa: ANN401 - the vendor's snapshots share no type
        if isinstance(snapshot, NameLookupSnapshot):
            return snapshot.resume()
        if not isinstance(snapshot, FunctionSnapshot):
            raise SandboxLostError("The code waits for something that never arrives.")
        name = str(snapshot.function_name)
        if snapshot.is_os_function:
            wanted = str(snapshot.args[0] if snapshot.args else "")[:100]
            no_module = ModuleNotFoundError(f"No module named {wanted!r}")
            return snapshot.resume({"exception": no_module if name == "import" else PermissionError(NO_FILES)})
        result = self._tools.call_tool(name, snapshot.args, snapshot.kwargs)
        return snapshot.resume({"exception": result} if isinstance(result, Exception) else {"return_value": result})


def _build_tool_placeholder(name: str) -> Callable[..., None]:
    """Return a placeholder function for a tool. Only its name is passed to the sandbox, which calls the tool by it."""

    def tool(*_: object, **__: object) -> None: ...

    tool.__name__ = tool.__qualname__ = name
    return tool


_LOOK_SECONDS = 0.1


class WorkerKiller:
    """Kills a worker when its run is cancelled while its code makes no requests to the host.

    The worker is identified by a file descriptor, so that a process that reuses its id is never killed.
    """

    def __init__(self, pid: int | None) -> None:
        self._pidfd = os.pidfd_open(pid) if pid is not None else None
        self._lock = threading.Lock()  # Needed because a closed descriptor's number may be reused for another worker.

    @contextmanager
    def watch_cancellation(self, cancelled: Callable[[], bool]) -> Iterator[None]:
        """Check every tenth of a second for cancellation while the block runs."""
        if cancelled is not_cancelled or self._pidfd is None:
            yield
            return
        done = threading.Event()
        watcher = threading.Thread(target=self._watch, args=(done, cancelled), name="sandbox-cancel", daemon=True)
        watcher.start()
        try:
            yield
        finally:
            done.set()
            watcher.join()

    def close(self) -> None:
        with self._lock:
            if self._pidfd is not None:
                os.close(self._pidfd)
            self._pidfd = None

    def _watch(self, done_event: threading.Event, cancelled: Callable[[], bool]) -> None:
        while not done_event.wait(_LOOK_SECONDS):
            if cancelled():
                with self._lock, suppress(OSError):
                    if self._pidfd is not None:
                        signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
                return


class ToolTable:
    """The tools of a session, keyed by name.

    Exceptions raised by tools become built-in exceptions with a message for the model.
    """

    def __init__(self, tools: Mapping[str, Tool]) -> None:
        self._tools = dict(tools)
        self._signatures = {name: inspect.signature(tool) for name, tool in tools.items()}

    def list_tool_names(self) -> tuple[str, ...]:
        return tuple(self._tools)

    def call_tool(self, name: str, arguments: tuple[Any, ...], keyword_arguments: Mapping[str, Any]) -> Any | Exception:  # noqa: ANN401
        """Call a tool, and return its result or the exception to raise in the code.

        If a tool raises a `LeadlineError`, this method raises it too.
        """
        tool = self._tools.get(name)
        if tool is None:
            return NameError(f"name '{name}' is not defined")
        try:
            self._signatures[name].bind(*arguments, **keyword_arguments)
        except TypeError as error:
            return TypeError(f"{name}() {error}; it is {name}{self._signatures[name]}")
        try:
            result = tool(*arguments, **keyword_arguments)
        except ToolError as error:
            return RuntimeError(f"{name}: {error}")
        except LeadlineError:
            raise
        except Exception:  # The code must not learn internal details of the host from an error.
            log.exception("tool_failed", tool=name)
            return RuntimeError(f"{name} failed")
        if not is_plain_value(result):
            log.error("tool_returned_no_plain_value", tool=name)
            return RuntimeError(f"{name} failed")
        return _replace_surrogates(result)


def _replace_surrogates(value: Any) -> Any:  # noqa: ANN401
    """Replace lone surrogates in a plain value. A model's JSON may contain them, but no interpreter accepts them."""
    match value:
        case str():
            return value if value.isascii() else value.encode(errors="replace").decode()
        case dict():
            return {_replace_surrogates(key): _replace_surrogates(each) for key, each in value.items()}
        case list() | tuple() | set() | frozenset():
            return type(value)(map(_replace_surrogates, value))
    return value


def is_plain_value(value: object, depth: int = 0) -> bool:
    """Return whether a value consists only of built-in types. Such a value has the same meaning in both processes."""
    if type(value) in _PLAIN:
        return True
    if depth > _MAX_DEPTH:
        return False
    if type(value) is dict:
        return all(is_plain_value(key, depth + 1) and is_plain_value(each, depth + 1) for key, each in value.items())
    if type(value) in (list, tuple, set, frozenset):
        return all(is_plain_value(each, depth + 1) for each in value)  # type: ignore[attr-defined]
    return False
