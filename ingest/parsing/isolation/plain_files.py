"""Safely read files written by an untrusted process: no links, no blocking on pipes, and a size limit."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


class NotRegularFileError(ValueError):
    """The path is not a regular file, or the file is too large."""


@contextmanager
def open_regular_file(path: Path, max_bytes: int) -> Iterator[BinaryIO]:
    """Open a regular file of at most `max_bytes`. Raises `NotRegularFileError`, or `OSError` if it cannot be opened."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size > max_bytes:
            raise NotRegularFileError("The file is not a regular file, or it is too large.")
        yield file


def read_regular_file(path: Path, max_bytes: int) -> bytes:
    """Return the content of a regular file. Raises the same errors as `open_regular_file`."""
    with open_regular_file(path, max_bytes) as file:
        # Python allocates the whole requested size, so `max_bytes` would be too much.
        return file.read(os.fstat(file.fileno()).st_size)
