"""Fault points armed from another process: a file in a folder says where to stop, and the test decides what dies.

A process that reaches an armed point writes its pid and waits there until the test lets it go on or kills it. A point
fires once, in whichever process comes first.
"""

import json
import os
import time
from pathlib import Path

from ingest.storage import instrumentation as faultpoints
from tests.support.fault_points import (
    FAULT_POINTS,
    RUN_FAULT_POINTS,
    SLACK_FAULT_POINTS,
    SLACK_FILE_FAULT_POINTS,
    SLACK_PAUSE_FAULT_POINTS,
    SOURCE_FAULT_POINTS,
    WEBHOOK_FAULT_POINTS,
)

VARIABLE = "LEADLINE_TEST_FAULTS"
_HELD_SECONDS = 300.0
_POINTS = {
    *FAULT_POINTS,
    *RUN_FAULT_POINTS,
    *SLACK_FAULT_POINTS,
    *SLACK_FILE_FAULT_POINTS,
    *SLACK_PAUSE_FAULT_POINTS,
    *SOURCE_FAULT_POINTS,
    *WEBHOOK_FAULT_POINTS,
}


class FaultFolder:
    """The test's side: arm a point, wait until something stands there, and let it go."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def arm(self, point: str, *, skip: int = 0) -> None:
        """Stop whoever reaches `point` after it was passed `skip` times."""
        if point not in _POINTS:
            raise ValueError(f"there is no fault point {point!r}")
        waiting = self.folder / "next"
        waiting.write_text(str(skip))
        waiting.rename(self.folder / f"{point}.armed")

    def reached(self, point: str) -> int | None:
        """The pid of the process that stands at the point, or None."""
        try:
            return int(json.loads((self.folder / f"{point}.reached").read_text())["pid"])
        except FileNotFoundError:
            return None

    def release(self, point: str | None = None) -> None:
        """Let go of everything, and disarm; of one point, where one is named."""
        for path in self.folder.glob("*" if point is None else f"{point}.*"):
            path.unlink(missing_ok=True)


def arm_from_environment() -> None:
    """The process's side: hold at the points of the folder that the environment names, if it names one."""
    named = os.environ.get(VARIABLE)
    if named:
        faultpoints.set_fault_point_hook(_Holder(Path(named)))


class _Holder:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __call__(self, point: str) -> None:
        armed, mine = self._folder / f"{point}.armed", self._folder / f"{point}.{os.getpid()}"
        try:
            armed.rename(mine)  # one process wins
        except FileNotFoundError:
            return
        skip = int(mine.read_text())
        if skip:
            mine.write_text(str(skip - 1))
            mine.rename(armed)
            return
        mine.write_text(json.dumps({"pid": os.getpid()}))
        reached = self._folder / f"{point}.reached"
        mine.rename(reached)
        deadline = time.monotonic() + _HELD_SECONDS
        while reached.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
