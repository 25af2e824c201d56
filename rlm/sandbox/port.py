"""The port of the sandbox: cells of Python in, capped output out; tools are the only way to the outside."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from rlm.errors import not_cancelled


class SandboxForm(StrEnum):
    """The isolation of the sandbox.

    `plain` is an interpreter without files, network or environment, in its own process; `bubblewrap` also puts that
    process into its own namespaces.
    """

    PLAIN = "plain"
    BUBBLEWRAP = "bubblewrap"


@dataclass(frozen=True)
class SandboxLimits:
    """Limits of the sandbox.

    `cell_seconds` is time in which the code itself runs; waiting for tools does not count. A worker that has not
    stopped `grace_seconds` later is killed. `calls` limits all requests of a session to its host, including tool calls.
    `sessions` can be open at once; a further one waits `wait_seconds` for its turn.
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

    `output` is the printed text and the value of the last expression, capped to head and tail; `characters` is its
    length before that. `error` is the traceback of the code's own failure, with a hint where there is one, or None.
    """

    output: str
    characters: int
    error: str | None
    seconds: float


class Session(Protocol):
    """One interpreter; variables persist from cell to cell."""

    def run(self, code: str, *, cancelled: Callable[[], bool] = not_cancelled) -> CellResult:
        """Run a cell; failures of the code are in the result.

        Raises `SandboxLostError` if the interpreter died or had to be killed (its variables are gone),
        `RunCancelledError` soon after `cancelled` returns True, and the `LeadlineError` of a tool; after each of them
        the session is closed.
        """

    def close(self) -> None:
        """End the interpreter's process; closing twice is no error."""


class Sandbox(Protocol):
    """Opens sessions; each has a fresh process of its own."""

    def open(self, tools: Mapping[str, Tool]) -> Session:
        """Open a session. Its code calls `tools` by name; they run on the host, in the thread of `Session.run`.

        A tool returns plain data. `ToolError` reaches the code as an exception with its text, a `LeadlineError` ends
        the cell, and of any other exception the code learns only the tool's name. Raises `SandboxUnavailableError` if
        the requested isolation is unavailable; a weaker one is never used instead.
        """

    def close(self) -> None: ...
