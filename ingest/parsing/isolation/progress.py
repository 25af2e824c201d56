"""Report how many pages, slides or sheets are parsed, through a small file in the folder of the parser's process.

Nothing is written unless the child sets a progress file, so that parsers also run without the child.
"""

import time
from pathlib import Path

from ingest.parsing.isolation.plain_files import NotRegularFileError, read_regular_file

PROGRESS_FILE = "progress"

_MAX_FILE_BYTES = 64
_MAX_COUNT = 10_000_000
_MIN_INTERVAL_SECONDS = 0.25


class ProgressFile:
    """Writes progress to a file, at most four times a second."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / PROGRESS_FILE
        self._next = 0.0

    def __call__(self, count: int, total: int | None) -> None:
        now = time.monotonic()
        if now >= self._next:
            self._next = now + _MIN_INTERVAL_SECONDS
            self._file.write_text(f"{count} {total or ''}", encoding="ascii")


_told: ProgressFile | None = None


def set_progress_file(file: ProgressFile | None) -> None:
    """Set the file that `report_progress` writes to, or None to stop reporting."""
    global _told
    _told = file


def report_progress(count: int, total: int | None = None) -> None:
    """Report how many pages, slides or sheets have been parsed so far, and the total if known."""
    if _told is not None:
        _told(count, total)


def read_progress(folder: Path) -> tuple[int, int | None] | None:
    """Read the progress file of an untrusted process. Returns None if it is missing or invalid."""
    try:
        done, _, total = read_regular_file(folder / PROGRESS_FILE, _MAX_FILE_BYTES).decode("ascii").partition(" ")
        figures = int(done), int(total) if total else None
    except (OSError, ValueError, NotRegularFileError):
        return None
    return figures if 0 <= figures[0] <= _MAX_COUNT and 0 <= (figures[1] or 0) <= _MAX_COUNT else None
