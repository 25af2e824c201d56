"""Processes that hang: stopped with all of their children, and let go on."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil


@contextmanager
def paused(*pids: int) -> Iterator[None]:
    """SIGSTOP to these processes and all of their descendants until the end of the block."""
    stopped: list[psutil.Process] = []
    try:
        for pid in pids:
            first = psutil.Process(pid)
            first.suspend()  # first, so that it starts no other process
            stopped.append(first)
            for each in first.children(recursive=True):
                with suppress(psutil.NoSuchProcess):
                    each.suspend()
                    stopped.append(each)
        yield
    finally:
        for each in stopped:
            with suppress(psutil.NoSuchProcess):
                each.resume()
