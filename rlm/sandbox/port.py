"""The interface of the sandbox, which runs cells of Python and returns capped output.

Tools are the code's only access to the outside.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from rlm.errors import not_cancelled


class SandboxIsolation(StrEnum):
    """The kind of isolation of the sandbox.

    `plain` is an interpreter without files, network or environment, in its own process. `bubblewrap` also puts that
    process into its own namespaces.
    """

    PLAIN = "plain"
    BUBBLEWRAP = "bubblewrap"


@dataclass(frozen=True)
class SandboxLimits:
    """Limits of the sandbox.

    `cell_seconds` limits the time in which the code itself runs, excluding the time spent waiting for tools. A worker
    that has not stopped `grace_seconds` later is killed. `calls` limits all requests from a session to its host,
    including tool calls. At most `sessions` can be open at the same time; a further session waits up to `wait_seconds`.
    """

    memory_bytes: int = 512 * 1024**2
    cell_seconds: float = 30.0
    recursion_depth: int = 200
    calls: int = 200_000
    output_chars: int = 20_000
    error_chars: int = 3_000
    sessions: int = 64
    wait_seconds: float = 30.0
    grace_seconds: float = 1.0


DEFAULT_LIMITS = SandboxLimits()


Tool = Callable[..., Any]


class ToolError(Exception):
    """Reports an incorrect or failed tool call to the code that made it.

    The message is for the model and must not contain internal details.
    """


@dataclass(frozen=True)
class CellResult:
    """The result of running a piece of code.

    `output` is the printed text and the value of the last expression; if it is too long, only its beginning and end are
    kept. `characters` is its length before it was shortened. `error` is the traceback if the code failed, followed by a
    hint if there is one, and otherwise None.
    """

    output: str
    characters: int
    error: str | None
    seconds: float


class Session(Protocol):
    """One interpreter. Its variables persist from cell to cell."""

    def run(self, code: str, *, cancelled: Callable[[], bool] = not_cancelled) -> CellResult:
        """Run a cell. If the code fails, the failure is part of the result.

        Raises `SandboxLostError` if the interpreter crashed or had to be killed (its variables are lost),
        `RunCancelledError` soon after `cancelled` returns True, and any `LeadlineError` raised by a tool. After each of
        these errors, the session is closed.
        """

    def close(self) -> None:
        """Stop the interpreter's process. Closing a session twice is not an error."""


class Sandbox(Protocol):
    """Opens sessions. Each session has a new process of its own."""

    def open(self, tools: Mapping[str, Tool]) -> Session:
        """Open a session. Its code calls `tools` by name. Tools run on the host, in the thread of `Session.run`.

        A tool returns plain data. A `ToolError` reaches the code as an exception with its message, and a
        `LeadlineError` ends the cell. For any other exception, the code learns only the name of the tool. Raises
        `SandboxUnavailableError` if the requested isolation is unavailable. Weaker isolation is never used instead.
        """

    def close(self) -> None: ...
