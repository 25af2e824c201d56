"""A sandbox in this process, for unit tests of what uses one: cells are a test's own, and run as plain Python.

It has no limits but those of output, and holds nothing back. Code that catches every exception is not stopped.
"""

import traceback
from collections.abc import Callable, Mapping
from typing import Any

from ingest.storage.errors import LeadlineError
from rlm.errors import SandboxLostError, not_cancelled, require_not_cancelled
from rlm.sandbox.lowering import PRELUDE, build_shim_source, lower_code
from rlm.sandbox.monty_sandbox import ToolTable
from rlm.sandbox.port import DEFAULT_LIMITS, CellResult, SandboxLimits, Tool
from rlm.sandbox.reports import CappedOutput, format_report, format_syntax_error

_FILE = "<cell>"


class SandboxHere:
    """Opens sessions in this process."""

    def __init__(self, limits: SandboxLimits = DEFAULT_LIMITS) -> None:
        self._limits = limits

    def open(self, tools: Mapping[str, Tool]) -> "SessionHere":
        return SessionHere(ToolTable(tools), self._limits)

    def close(self) -> None: ...


class _Ended(BaseException):
    """Ends a cell with an error of the host."""

    def __init__(self, error: LeadlineError) -> None:
        self.error = error


class SessionHere:
    """The variables of one session."""

    def __init__(self, tools: ToolTable, limits: SandboxLimits) -> None:
        self._tools, self._limits = tools, limits
        self._output = CappedOutput(limits.output_chars)
        self._cancelled: Callable[[], bool] = not_cancelled
        self._variables: dict[str, Any] | None = {"__name__": "cell", "print": self._print}
        exec(build_shim_source(PRELUDE), self._variables)
        self._variables |= {name: self._tool(name) for name in tools.list_tool_names()}

    def run(self, code: str, *, cancelled: Callable[[], bool] = not_cancelled) -> CellResult:
        if self._variables is None:
            raise SandboxLostError("The sandbox was closed.")
        self._output, self._cancelled = CappedOutput(self._limits.output_chars), cancelled
        try:
            error = self._failure(code, self._variables)
        except _Ended as ended:
            self.close()
            raise ended.error from None
        return CellResult(self._output.get_text(), self._output.characters, error, 0.0)

    def close(self) -> None:
        self._variables = None

    def _failure(self, code: str, variables: dict[str, Any]) -> str | None:
        """Run the code. Returns its failure in the words that a model is shown, or None."""
        try:
            lowered = lower_code(code)
        except SyntaxError as error:
            return format_syntax_error(error)
        except ValueError as error:
            return f"SyntaxError: {error}"
        try:
            for shim in lowered.shims:
                exec(build_shim_source(shim), variables)
            exec(compile(lowered.code, _FILE, "exec"), variables)
        except SystemExit:
            return None
        except Exception as error:  # noqa: BLE001 - the code of a cell raises anything
            return format_report(
                _traceback(error), limit=self._limits.error_chars, tool_names=self._tools.list_tool_names()
            )
        return None

    def _print(self, *values: object, sep: str = " ", end: str = "\n") -> None:
        self._output.write(sep.join(map(str, values)) + end)

    def _tool(self, name: str) -> Callable[..., Any]:
        def tool(*arguments: object, **named: object) -> object:
            try:
                require_not_cancelled(self._cancelled)
                result = self._tools.call_tool(name, arguments, named)
            except LeadlineError as error:
                raise _Ended(error) from error
            if isinstance(result, Exception):
                raise result
            return result

        return tool


def _traceback(error: Exception) -> str:
    """Return the traceback of an error without our own frames."""
    frames = [each for each in traceback.extract_tb(error.__traceback__) if each.filename == _FILE]
    return "".join((*traceback.format_list(frames), *traceback.format_exception_only(error)))
