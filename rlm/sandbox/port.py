"""The port of the sandbox: cells of Python in, capped output out; tools are the only way to the outside."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from rlm.errors import not_cancelled


class SandboxForm(StrEnum):
    """`plain` is an interpreter without files, network or environment, in a process of its own; `bubblewrap` puts that
    process into namespaces of its own besides."""

    PLAIN = "plain"
    BUBBLEWRAP = "bubblewrap"


@dataclass(frozen=True)
class SandboxLimits:
    """`cell_seconds` is time in which the code itself runs; tools are waited for besides.

    A worker that has not stopped `grace_seconds` after that is killed. `calls` are calls of tools and everything else
    that a session asks of its host. `sessions` are open at once, and one more waits `wait_seconds` for its turn.
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
    """A tool's report of a wrong or failed call to the code. Its text is for the model: no internals in it."""


@dataclass(frozen=True)
class CellResult:
    """The result of running a piece of code.

    `output` is what it printed and the value of its last expression, capped to its head and tail; `characters` is how
    much there was before. `error` is the traceback of the code's own failure, with a hint where there is one, or None.
    """

    output: str
    characters: int
    error: str | None
    seconds: float


class Session(Protocol):
    """One interpreter; variables live from cell to cell."""

    def run(self, code: str, *, cancelled: Callable[[], bool] = not_cancelled) -> CellResult:
        """Failures of the code are in the result. Raises `SandboxLostError` when the interpreter died or had to be
        killed (its variables are gone), `RunCancelledError` soon after `cancelled` says so, and the `LeadlineError`
        of a tool; after each of them the session is closed.
        """

    def close(self) -> None:
        """End the interpreter's process; closing twice is no error."""


class Sandbox(Protocol):
    """Opens sessions; each has a fresh process to itself."""

    def open(self, tools: Mapping[str, Tool]) -> Session:
        """Open a session. Its code calls `tools` by name; they run on the host, in the thread of `Session.run`.

        A tool answers with plain data. `ToolError` reaches the code as an exception with its text, a `LeadlineError`
        ends the cell, and of any other exception the code learns only the tool's name. Raises
        `SandboxUnavailableError` when isolation that was asked for cannot be had: never a weaker one instead.
        """

    def close(self) -> None: ...
