"""A peer's process: in its own environment, without our variables, and killed with all that it started."""

import os
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import IO

_PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR")


def start(
    python: Path, script: Path, *, stdin: int | IO[str], settings: Mapping[str, str] | None = None
) -> "subprocess.Popen[str]":
    """Runs a script; `settings` are further environment variables. What it says on standard error is lost."""
    return subprocess.Popen(
        [python, script],
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**{name: os.environ[name] for name in _PASSED_ON if name in os.environ}, **(settings or {})},
        start_new_session=True,
    )


def kill(peer: "subprocess.Popen[str]") -> None:
    """With all processes that it started."""
    try:
        os.killpg(peer.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    peer.wait()
