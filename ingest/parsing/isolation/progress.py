"""How far a parser is: pages, slides or sheets done. The confined process leaves it in a small file of its folder.

Off unless the child arms it, so that a parser that is called by itself writes nothing.
"""

import time
from pathlib import Path

from ingest.parsing.isolation.plain_files import NotPlainError, read_plain_file

PROGRESS_FILE = "progress"

_MAX_FILE_BYTES = 64
_MAX_COUNT = 10_000_000
_MIN_INTERVAL_SECONDS = 0.25


class ProgressFile:
    """Writes the figures, a few times in a second however often it is told them."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / PROGRESS_FILE
        self._next = 0.0

    def __call__(self, done: int, total: int | None) -> None:
        now = time.monotonic()
        if now >= self._next:
            self._next = now + _MIN_INTERVAL_SECONDS
            self._file.write_text(f"{done} {total or ''}", encoding="ascii")


_told: ProgressFile | None = None


def set_progress_file(file: ProgressFile | None) -> None:
    """Have `tell` write into a file; None ends that."""
    global _told
    _told = file


def report_progress(done: int, total: int | None = None) -> None:
    """Say how many places of the document are parsed, and of how many if that is known."""
    if _told is not None:
        _told(done, total)


def read_progress(folder: Path) -> tuple[int, int | None] | None:
    """Read what an untrusted process has left; None if it has left nothing that could be figures."""
    try:
        done, _, total = read_plain_file(folder / PROGRESS_FILE, _MAX_FILE_BYTES).decode("ascii").partition(" ")
        figures = int(done), int(total) if total else None
    except (OSError, ValueError, NotPlainError):
        return None
    return figures if 0 <= figures[0] <= _MAX_COUNT and 0 <= (figures[1] or 0) <= _MAX_COUNT else None
