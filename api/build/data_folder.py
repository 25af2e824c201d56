"""Locks a data folder, so that only one process has its index open."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from ingest.storage.ballast import Ballast
from ingest.storage.blobs.store import translate_disk_errors
from ingest.storage.errors import DataFolderBusyError


@contextmanager
def hold_data_folder(home: Path) -> Iterator[None]:
    """Hold the lock of the data folder, and free ballast (reserved disk space) so that startup can write.

    Raises `DataFolderBusyError` if another process holds the lock, `StorageReadOnlyError` if the folder is read-only,
    and `StorageFullError` if there is too little space.
    """
    with translate_disk_errors():
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = (home / "lock").open("a+")
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DataFolderBusyError(
                f"Leadline process {_read_owner_pid(lock)} has the data folder {home} open."
            ) from error
        # guard: start-gets-room
        Ballast(home).shrink()
        with translate_disk_errors():
            lock.truncate(0)
            lock.write(json.dumps({"pid": os.getpid()}))
            lock.flush()
        yield


def find_owner_pid(home: Path) -> int | None:
    """Return the process id of the Leadline process that has the data folder open, or None."""
    try:
        with (home / "lock").open() as lock:
            pid = int(_read_owner_pid(lock))
        os.kill(pid, 0)
    except (OSError, ValueError):
        return None
    return pid


def _read_owner_pid(lock_file: IO[str]) -> str:
    lock_file.seek(0)
    try:
        return str(json.loads(lock_file.read())["pid"])
    except (ValueError, KeyError):
        return "(starting)"
