"""Isolation that was asked for is had, or nothing runs."""

import shutil
import sys
from pathlib import Path

import pytest

from rlm.errors import SandboxUnavailableError
from rlm.sandbox.build import build_sandbox, get_interpreter_path
from rlm.sandbox.port import SandboxIsolation


def test_without_bubblewrap_nothing_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    with pytest.raises(SandboxUnavailableError, match="not installed") as refused:
        build_sandbox(SandboxIsolation.BUBBLEWRAP).open({})
    assert "apt install bubblewrap" in (refused.value.hint or "")


def test_an_interpreter_that_is_not_installed_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(SandboxUnavailableError, match="Sandbox interpreter not found"):
        get_interpreter_path()
