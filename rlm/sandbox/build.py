"""Builds the sandbox that the settings ask for; the only module that knows both forms."""

import sys
import threading
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

from rlm.errors import SandboxUnavailableError
from rlm.sandbox.bubblewrap import BubblewrapWorker
from rlm.sandbox.forms import SandboxForm
from rlm.sandbox.limits import DEFAULT_LIMITS, SandboxLimits
from rlm.sandbox.monty_sandbox import MontySandbox
from rlm.sandbox.port import Sandbox, Session, Tool


class PreparedSandbox:
    """Prepared when the first session is opened, and refused then if it cannot be had."""

    def __init__(self, form: SandboxForm, limits: SandboxLimits) -> None:
        self._form = form
        self._limits = limits
        self._lock = threading.Lock()
        self._worker: BubblewrapWorker | None = None
        self._sandbox: MontySandbox | None = None

    def open(self, tools: Mapping[str, Tool]) -> Session:
        with self._lock:
            if self._sandbox is None:
                self._sandbox = MontySandbox(self._program(), self._limits)
            sandbox = self._sandbox
        return sandbox.open(tools)

    def close(self) -> None:
        if self._sandbox is not None:
            self._sandbox.close()
        if self._worker is not None:
            self._worker.close()
        self._sandbox = self._worker = None

    def _program(self) -> Path:
        if self._form is SandboxForm.PLAIN:
            return interpreter_path()
        self._worker = BubblewrapWorker(interpreter_path(), self._limits)
        return self._worker.path


def build_sandbox(form: SandboxForm, limits: SandboxLimits = DEFAULT_LIMITS) -> Sandbox:
    """Nothing is started before the first session, which raises `SandboxUnavailableError` where that fails."""
    return PreparedSandbox(form, limits)


def interpreter_path() -> Path:
    """The interpreter that is installed beside this Python, never one that `PATH` names.

    Raises `SandboxUnavailableError`.
    """
    beside = Path(sys.executable).parent / "monty"
    if not beside.is_file():
        raise SandboxUnavailableError(
            f"There is no sandbox interpreter at {beside}.",
            hint="Install with `pip install 'leadline[embedded]'`, or run `make setup`.",
        )
    return beside.resolve()


def interpreter_release() -> str:
    """Name and release of the interpreter."""
    return f"pydantic-monty {metadata.version('pydantic-monty')}"
