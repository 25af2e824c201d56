"""A source is synchronized while its process is killed again and again: nothing is lost, and little is read twice."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from ingest.storage.db.database import open_database
from ingest.storage.documents.catalog import Catalog
from ingest.storage.sources.records import NewSource, SyncState
from ingest.storage.sources.store import Sources
from tests.support.catalogs import migrated_sqlite
from tests.support.fault_folder import VARIABLE, FaultFolder

_FILES = 100
# The point of each kill, and how often it is passed before.
_KILLS = (
    ("sync.begun", 0),
    ("sync.opened", 5),
    ("sync.accepted", 5),
    ("sync.recorded", 5),
    ("sync.opened", 0),
    ("sync.accepted", 0),
    ("sync.recorded", 0),
    ("sync.accepted", 2),
    ("sync.listed", 0),
    ("sync.removed", 0),
)


def wait_for(is_true: Callable[[], object], *, seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def start(home: Path, folder: Path, notes: Path, faults: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.support.sync_process", str(home), str(folder), str(notes)]
    return subprocess.Popen(command, env={**os.environ, VARIABLE: str(faults)})


def write(path: Path, text: str) -> None:
    """Write a file that was not modified just now: one that was might change again, and has no version yet."""
    path.write_text(text)
    os.utime(path, ns=(0, time.time_ns() - 60_000_000_000))


def change(folder: Path) -> None:
    """Change 20 files, rename 5 and remove 5."""
    for number in range(20):
        write(folder / f"{number:03}.txt", f"changed {number}")
    for number in range(20, 25):
        (folder / f"{number:03}.txt").rename(folder / f"renamed {number}.txt")
    for number in range(25, 30):
        (folder / f"{number:03}.txt").unlink()


def test_after_ten_kills_the_library_equals_the_source(tmp_path: Path) -> None:
    home, folder, notes = tmp_path / "home", tmp_path / "folder", tmp_path / "notes"
    folder.mkdir()
    for number in range(_FILES):
        write(folder / f"{number:03}.txt", f"text {number}")
    engine = open_database(migrated_sqlite(home / "catalog.sqlite"))
    catalog, sources, faults = Catalog(engine), Sources(engine), FaultFolder(tmp_path / "faults")
    catalog.ensure_tenant("default")
    record = sources.create("default", NewSource("default", "folder", "a folder", {"path": str(folder)}))

    def ended() -> bool:
        return sources.list_syncs("default", record.id)[0].state is SyncState.SUCCEEDED

    process = start(home, folder, notes, faults.folder)
    try:
        wait_for(ended)
        assert len(notes.read_text().split("\n")) == _FILES + 1
        notes.unlink()
        change(folder)
        faults.arm(_KILLS[0][0], skip=_KILLS[0][1])
        sources.request_sync("default", record.id)
        for number, (point, _) in enumerate(_KILLS):
            wait_for(lambda at=point: faults.reached(at))  # type: ignore[misc]
            process.send_signal(signal.SIGKILL)
            process.wait(timeout=30)
            faults.release()
            if number + 1 < len(_KILLS):
                faults.arm(_KILLS[number + 1][0], skip=_KILLS[number + 1][1])
            process = start(home, folder, notes, faults.folder)
        wait_for(ended)
    finally:
        process.kill()
        process.wait(timeout=30)
    opened = Counter(line for line in notes.read_text().splitlines() if line)
    assert len(opened) == 25  # those that were changed or renamed
    assert opened.total() - len(opened) <= len(_KILLS)
    documents = catalog.list_documents("default", limit=1_000)
    found = {each.name: each.version.content_sha256 for each in documents}
    assert found == {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}
    assert len(documents) == _FILES - 5
    assert {each.attributes["source_path"] for each in documents} == {path.name for path in folder.iterdir()}
    engine.dispose()
