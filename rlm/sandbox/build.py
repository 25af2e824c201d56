"""Builds the sandbox that the settings select. No other module knows both kinds of isolation."""

import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path

from rlm.errors import SandboxUnavailableError
from rlm.sandbox.monty_sandbox import MontySandbox
from rlm.sandbox.port import DEFAULT_LIMITS, Sandbox, SandboxIsolation, SandboxLimits, Session, Tool

_MOUNT_PATH = "/monty"
_START_SECONDS = 20
# Factor by which the interpreter's own limit is multiplied to limit the address space. The interpreter's limit covers
# only its heap. Code, stacks and the messages between the two processes need more memory.
_ADDRESS_SPACE_FACTOR = 2
_ADDRESS_SPACE_BASE = 1024**3
_CPU_SECONDS = 3_600


class BubblewrapWorker:
    """A program that starts the worker in isolation. The worker sees only its own binary and libraries.

    Raises `SandboxUnavailableError` if bubblewrap is missing or is not allowed to create namespaces on this machine.
    """

    def __init__(self, interpreter: Path, limits: SandboxLimits) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="leadline-sandbox-")
        self.path = Path(self._folder.name) / "worker"
        try:
            self.path.write_text(_build_script(_build_command(interpreter), limits))
            self.path.chmod(0o700)
            self._check_isolation()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._folder.cleanup()

    def _check_isolation(self) -> None:
        try:
            tried = subprocess.run(
                [self.path, "--version"], capture_output=True, timeout=_START_SECONDS, env={}, text=True, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise SandboxUnavailableError("bubblewrap could not be started.") from error
        if tried.returncode != 0:
            said = tried.stderr.strip().splitlines()
            raise SandboxUnavailableError(
                f"bubblewrap cannot isolate the sandbox: {said[-1][:200] if said else 'no output'}"
            )


def _build_command(interpreter: Path) -> list[str]:
    bubblewrap = shutil.which("bwrap", path="/usr/local/bin:/usr/bin:/bin")
    if bubblewrap is None:
        raise SandboxUnavailableError(
            "LEADLINE_SANDBOX is `bubblewrap`, but bubblewrap is not installed on this machine.",
            hint="Install bubblewrap (Debian: `apt install bubblewrap`), or set LEADLINE_SANDBOX=plain.",
        )
    return [
        bubblewrap,
        *("--unshare-all", "--die-with-parent", "--new-session", "--clearenv", "--cap-drop", "ALL"),
        *("--hostname", "sandbox"),
        *("--ro-bind", str(interpreter), _MOUNT_PATH),
        *(part for library in _list_libraries(interpreter) for part in ("--ro-bind", library, library)),
        *("--remount-ro", "/"),
        *("--chdir", "/"),
        "--",
        _MOUNT_PATH,
    ]


def _list_libraries(interpreter: Path) -> Sequence[str]:
    """Return the paths of the dynamic loader and of the libraries that it loads, as the program refers to them."""
    try:
        listed = subprocess.run(
            ["/usr/bin/ldd", interpreter], capture_output=True, timeout=_START_SECONDS, text=True, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise SandboxUnavailableError("Could not list the libraries of the sandbox's interpreter.") from error
    return sorted({path for path in re.findall(r"(/\S+) \(0x", listed) if Path(path).is_file()})


def _build_script(command: Sequence[str], limits: SandboxLimits) -> str:
    """Return a script that sets limits for the kernel to enforce and then replaces the shell with bubblewrap."""
    address_space = _ADDRESS_SPACE_BASE + _ADDRESS_SPACE_FACTOR * limits.memory_bytes
    return "\n".join(
        (
            "#!/bin/sh",
            f"ulimit -v {address_space // 1024} && ulimit -t {_CPU_SECONDS} && ulimit -c 0 && ulimit -f 0 || exit 1",
            f'exec {shlex.join(command)} "$@"',
            "",
        )
    )


class PreparedSandbox:
    """A sandbox that is prepared when its first session is opened.

    Opening a session raises an error if the sandbox is unavailable.
    """

    def __init__(self, isolation: SandboxIsolation, limits: SandboxLimits) -> None:
        self._form = isolation
        self._limits = limits
        self._lock = threading.Lock()
        self._worker: BubblewrapWorker | None = None
        self._sandbox: MontySandbox | None = None

    def open(self, tools: Mapping[str, Tool]) -> Session:
        with self._lock:
            if self._sandbox is None:
                self._sandbox = MontySandbox(self._prepare_program(), self._limits)
            sandbox = self._sandbox
        return sandbox.open(tools)

    def close(self) -> None:
        if self._sandbox is not None:
            self._sandbox.close()
        if self._worker is not None:
            self._worker.close()
        self._sandbox = self._worker = None

    def _prepare_program(self) -> Path:
        if self._form is SandboxIsolation.PLAIN:
            return get_interpreter_path()
        self._worker = BubblewrapWorker(get_interpreter_path(), self._limits)
        return self._worker.path


def build_sandbox(isolation: SandboxIsolation, limits: SandboxLimits = DEFAULT_LIMITS) -> Sandbox:
    """Build the sandbox without starting anything.

    The first session raises `SandboxUnavailableError` if the sandbox cannot be started.
    """
    return PreparedSandbox(isolation, limits)


def get_interpreter_path() -> Path:
    """Return the path of the interpreter installed next to this Python, never of an interpreter found on `PATH`.

    Raises `SandboxUnavailableError` if it is not installed.
    """
    beside = Path(sys.executable).parent / "monty"
    if not beside.is_file():
        raise SandboxUnavailableError(
            f"Sandbox interpreter not found at {beside}.",
            hint="Install with `pip install './leadline[embedded]'`, or run `make setup`.",
        )
    return beside.resolve()


def get_interpreter_release() -> str:
    """Return the name and version of the interpreter."""
    return f"pydantic-monty {metadata.version('pydantic-monty')}"
