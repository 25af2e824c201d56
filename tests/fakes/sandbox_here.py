"""A sandbox in this process, for unit tests of what uses one: cells are a test's own, and run as plain Python.

It has no limits and holds nothing back. The contract of real ones is `tests/contract/test_sandbox.py`.
"""

import ast
import traceback
from collections.abc import Callable, Mapping
from typing import Any

from ingest.errors import LeadlineError
from rlm.cancelling import not_cancelled, require_wanted
from rlm.errors import SandboxLostError
from rlm.sandbox.lowering import PRELUDE, lower, shim_source
from rlm.sandbox.monty_sandbox import ToolTable
from rlm.sandbox.port import Cell, SandboxLimits, Tool
from rlm.sandbox.reports import CappedOutput, report, syntax_report

_LIMITS = SandboxLimits()


class SandboxHere:
    """Opens sessions in this process."""

    def open(self, tools: Mapping[str, Tool]) -> "SessionHere":
        return SessionHere(ToolTable(tools))

    def close(self) -> None: ...


class _Ended(BaseException):
    """Ends a cell with an error of the host, which its code must not catch."""

    def __init__(self, error: LeadlineError) -> None:
        self.error = error


class SessionHere:
    """The variables of one session."""

    def __init__(self, tools: ToolTable) -> None:
        self._tools = tools
        self._variables: dict[str, Any] | None = {"__name__": "cell", "print": self._print}
        self._output = CappedOutput(_LIMITS.output_chars)
        self._cancelled: Callable[[], bool] = not_cancelled
        exec(shim_source(PRELUDE), self._variables)
        self._variables |= {name: self._tool(name) for name in tools.names()}

    def run(self, code: str, *, cancelled: Callable[[], bool] = not_cancelled) -> Cell:
        if self._variables is None:
            raise SandboxLostError("The sandbox was closed.")
        self._output, self._cancelled = CappedOutput(_LIMITS.output_chars), cancelled
        try:
            error = self._failure(code, self._variables)
        except _Ended as ended:
            self.close()
            raise ended.error from None
        return Cell(self._output.text(), self._output.characters, error, 0.0)

    def close(self) -> None:
        self._variables = None

    def _failure(self, code: str, variables: dict[str, Any]) -> str | None:
        """Run the code; its failure as the model is told it, or None."""
        try:
            lowered = lower(code)
            for shim in lowered.shims:
                exec(shim_source(shim), variables)
            exec(compile(ast.parse(lowered.code), "<cell>", "exec"), variables)
        except SyntaxError as error:
            return syntax_report(error)
        except SystemExit:
            return None
        except Exception as error:  # noqa: BLE001 - the code of a cell raises anything
            told = "".join(traceback.format_exception_only(error))
            return report(told, limit=_LIMITS.error_chars, names=self._tools.names())
        return None

    def _print(self, *values: object, sep: str = " ", end: str = "\n") -> None:
        self._output.write(sep.join(map(str, values)) + end)

    def _tool(self, name: str) -> Callable[..., Any]:
        def tool(*arguments: object, **named: object) -> object:
            try:
                require_wanted(self._cancelled)
                result = self._tools.call(name, arguments, named)
            except LeadlineError as error:
                raise _Ended(error) from error
            if isinstance(result, Exception):
                raise result
            return result

        return tool
