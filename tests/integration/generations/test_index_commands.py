"""`leadline index` as a user gives it, with the real encoders and a folder that is killed in the middle."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.books import shelf
from tests.support.fault_folder import VARIABLE, FaultFolder

pytestmark = pytest.mark.slow

_COMMAND = [sys.executable, "-c", "from api.cli.main import main; main()"]
_HELD_COMMAND = [
    sys.executable,
    "-c",
    "from tests.support.fault_folder import arm_from_environment; arm_from_environment();"
    "from api.cli.main import main; main()",
]
# It adds nothing to the generation before the switch has given up.
_SLOW_COMMAND = [
    sys.executable,
    "-c",
    """
import threading
from ingest.storage.instrumentation import set_fault_point_hook
from workers.generations import switcher

given_up = threading.Event()
build_error = switcher.build_incomplete_error
switcher.build_incomplete_error = lambda *values: (given_up.set(), build_error(*values))[1]
set_fault_point_hook(lambda point: given_up.wait(250) if point == "reembed.claimed" else None)
from api.cli.main import main
main()
""",
]


@pytest.fixture
def environment(tmp_path: Path, encoder_files: Path) -> dict[str, str]:
    return {**os.environ, "LEADLINE_HOME": str(tmp_path / "home"), "LEADLINE_LLM": "none", "COLUMNS": "200"}


def leadline(
    environment: dict[str, str], *words: str, command: list[str] = _COMMAND
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([*command, *words], env=environment, capture_output=True, text=True, check=False, timeout=300)


def done(home: Path) -> int:
    """Versions that are in the generation being built."""
    with closing(sqlite3.connect(f"file:{home / 'catalog.sqlite'}?mode=ro", uri=True)) as connection:
        query = "SELECT count(*) FROM jobs WHERE kind = 'reembed' AND state = 'done'"
        return int(connection.execute(query).fetchone()[0])


def kill_when_one_is_done(environment: dict[str, str], folder: Path, *words: str) -> None:
    """Run a command that stands still as soon as one version is in the new generation, and kill it there."""
    faults = FaultFolder(folder)
    faults.arm("reembed.committed")
    held = {**environment, VARIABLE: str(folder)}
    process = subprocess.Popen([*_HELD_COMMAND, *words], env=held, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while faults.reached("reembed.committed") is None:
        assert process.poll() is None, "it ended without having put a version into the generation"
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL


def test_moving_to_another_encoder_and_back_survives_a_kill(environment: dict[str, str], tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert leadline(environment, "ingest", str(shelf(tmp_path / "books", 2, chapters=5))).returncode == 0

    kill_when_one_is_done(environment, tmp_path / "faults", "index", "reembed", "--encoder", "minilm-128")
    assert done(home) == 1
    limited = {**environment, "LEADLINE_INDEX_SWITCH_SECONDS": "0.01"}
    early = leadline(limited, "index", "switch", command=_SLOW_COMMAND)
    assert early.returncode == 1
    said = " ".join(early.stderr.split())
    assert "The switch requires all of them. None could be added within 1 second" in said
    assert "`leadline index reembed`" in said
    assert leadline(environment, "index", "switch").returncode == 0
    verified = json.loads(leadline(environment, "index", "verify", "--sample", "20", "--json").stdout)
    assert (verified["agrees"], verified["generation"], verified["versions"]) == (True, 2, 2)

    refused = leadline({**environment, "LEADLINE_ENCODER": "minilm"}, "search", "whale")
    assert refused.returncode == 1
    assert "index reembed --encoder minilm" in " ".join(refused.stderr.split())

    assert "Generation 1 is active. Generation 2 is kept" in leadline(environment, "index", "rollback").stdout
    assert leadline(environment, "index", "discard").returncode == 0
    shown = json.loads(leadline(environment, "index", "show", "--json").stdout)
    assert [(row["encoder"], row["state"]) for row in shown["generations"]] == [
        ("minilm", "active"),
        ("minilm-128", "discarded"),
    ]
    assert sorted(path.name for path in home.glob("index*")) == ["index"]
