import sys
import time
from pathlib import Path

from rlm.llm.local.process import LocalModelProcess


def test_a_child_that_dies_every_time_is_given_up_with_its_status(tmp_path: Path) -> None:
    starts, log = tmp_path / "starts", tmp_path / "log"
    script = f"open({str(starts)!r}, 'a').write('x'); raise SystemExit(7)"
    process = LocalModelProcess(Path("unused"), log, command=[sys.executable, "-c", script], restart_delays=[0, 0])
    state = process.wait_until_ready(300)
    process.close()
    assert state.state == "failed"
    assert "3 times" in state.reason
    assert "status 7" in state.reason
    assert str(log) in state.hint
    assert starts.read_text() == "xxx"


def test_a_child_killed_by_the_system_is_told_apart(tmp_path: Path) -> None:
    script = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    command = [sys.executable, "-c", script]
    process = LocalModelProcess(Path("unused"), tmp_path / "log", command=command, restart_delays=[])
    state = process.wait_until_ready(300)
    process.close()
    assert "memory" in state.hint


def test_a_log_that_cannot_be_written_is_a_reason(tmp_path: Path) -> None:
    process = LocalModelProcess(Path("unused"), tmp_path / "missing" / "log")
    state = process.wait_until_ready(300)
    process.close()
    assert state.state == "failed"
    assert "missing" in state.reason


def test_closing_does_not_wait_for_the_next_restart(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "raise SystemExit(1)"]
    process = LocalModelProcess(Path("unused"), tmp_path / "log", command=command, restart_delays=[3600])
    while process._child is None or process._child.returncode is None:
        time.sleep(0.01)
    process.close()
    assert process.get_state().state == "stopped"
    assert not process.socket.parent.exists()
