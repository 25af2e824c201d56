"""Isolation that was asked for is had, or nothing runs: with real processes."""

import shlex
import shutil
from pathlib import Path

import pytest

from rlm.errors import SandboxUnavailableError
from rlm.sandbox.build import BubblewrapWorker, build_sandbox, get_interpreter_path
from rlm.sandbox.monty_sandbox import MontySandbox
from rlm.sandbox.port import SandboxIsolation, SandboxLimits


def test_where_bubblewrap_may_not_make_namespaces_nothing_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    refusing = tmp_path / "bwrap"
    refusing.write_text("#!/bin/sh\necho 'bwrap: No permissions to create a new namespace' >&2\nexit 1\n")
    refusing.chmod(0o755)
    monkeypatch.setattr(shutil, "which", lambda *_, **__: str(refusing))
    with pytest.raises(SandboxUnavailableError, match="No permissions"):
        build_sandbox(SandboxIsolation.BUBBLEWRAP).open({})


def test_an_interpreter_that_does_not_start_is_told(tmp_path: Path) -> None:
    for text in ("#!/bin/sh\nexit 1\n", "#!/bin/sh\nexec cat /dev/null\n"):
        broken = tmp_path / "broken"
        broken.write_text(text)
        broken.chmod(0o755)
        sandbox = MontySandbox(broken)
        with pytest.raises(SandboxUnavailableError):
            sandbox.open({})
        sandbox.close()


def test_more_sessions_than_there_may_be_are_refused_after_a_while() -> None:
    sandbox = build_sandbox(SandboxIsolation.PLAIN, SandboxLimits(sessions=1, wait_seconds=0.05))
    session = sandbox.open({})
    with pytest.raises(SandboxUnavailableError, match="in use"):
        sandbox.open({})
    session.close()
    sandbox.open({}).close()
    sandbox.close()


@pytest.mark.needs_program("bwrap")
def test_what_is_started_sees_the_interpreter_and_its_libraries_alone() -> None:
    worker = BubblewrapWorker(get_interpreter_path(), SandboxLimits())
    words = shlex.split(worker.path.read_text().splitlines()[-1])
    worker.close()
    assert not worker.path.exists()
    seen = [words[at + 2] for at, word in enumerate(words) if word.startswith("--") and "bind" in word]
    assert "/monty" in seen
    assert all(Path(path).name.startswith(("lib", "ld-")) for path in seen if path != "/monty")
    assert {"--unshare-all", "--die-with-parent", "--new-session", "--clearenv", "--cap-drop"} <= set(words)
