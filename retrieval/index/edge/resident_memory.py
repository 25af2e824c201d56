"""Measure this process's memory, and release parts of it. On systems other than Linux, these functions do nothing.

The engine maps its files. A page of a mapped file counts as resident from its first read until the kernel needs the
memory, so the resident size of a searching process gradually grows to the size of its index. Unmapping these pages
loses nothing: they stay in the page cache, and the next read maps them again (16 pages at a time, in about a
microsecond).
"""

import ctypes
import mmap
import os
import sys
from contextlib import suppress
from pathlib import Path

_LINUX = sys.platform == "linux"


def get_mapped_size() -> int:
    """Return the resident size of mapped files in bytes, including libraries, or 0 if unknown."""
    return _read_page_count(2) * mmap.PAGESIZE


def get_resident_size() -> int:
    """Return the resident size of this process in bytes, including mapped files, or 0 if unknown."""
    return _read_page_count(1) * mmap.PAGESIZE


def unmap_pages(folder: Path) -> None:
    """Release the resident pages of all shared mappings of files under `folder`.

    No other thread may unmap a file under `folder` at the same time. Otherwise, an address could belong to other memory
    by the time the kernel receives it.
    """
    if not _LINUX:
        return
    inside = os.fsencode(folder.resolve()) + b"/"
    advise = ctypes.CDLL(None, use_errno=True).madvise
    for line in Path("/proc/self/maps").read_bytes().splitlines():
        addresses, permissions, _, _, _, *path = line.split(maxsplit=5)
        if path and path[0].startswith(inside) and permissions.endswith(b"s"):
            start, end = (int(address, 16) for address in addresses.split(b"-"))
            advise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), mmap.MADV_DONTNEED)


def release_freed_memory() -> None:
    """Return freed memory to the system, which the C library does not do by itself for small blocks."""
    if _LINUX:
        with suppress(AttributeError):  # The C library is not glibc.
            ctypes.CDLL(None).malloc_trim(0)


def _read_page_count(column: int) -> int:
    return int(Path("/proc/self/statm").read_text().split()[column]) if _LINUX else 0
