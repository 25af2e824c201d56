"""Time limits for steps of jobs that run in threads of this process.

In a cluster, a worker process that spends too long on one step is killed. A thread cannot be killed, so an exception is
raised in it, which ends any Python loop. A thread that does not end even then is blocked inside a library and is left
there.
"""

import ctypes
import threading
import time
from collections.abc import Callable

from ingest.storage.errors import IngestError


class StepTimeoutError(IngestError):
    """A step of a job exceeded its time limit and was stopped."""

    code = "step_timeout"
    default_hint = "Split the document into smaller files, or export it again from the program it was made with."

    def __init__(self) -> None:
        super().__init__("A processing step took longer than LEADLINE_TASK_SECONDS and was stopped.")


class RunningSteps:
    """The threads that are running a step, and since when. Each check of whether to stop starts another step."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._since: dict[int, float] = {}

    def start_step(self) -> None:
        """Start a step in this thread."""
        self._since[threading.get_ident()] = self._clock()

    def end_step(self) -> None:
        """Record that this thread is not running a step any more."""
        self._since.pop(threading.get_ident(), None)

    def wrap_stopping(self, stopping: Callable[[], bool]) -> Callable[[], bool]:
        """Wrap `stopping` so that each call by a thread that is running a step starts its next step."""

        def is_stopping() -> bool:
            if threading.get_ident() in self._since:
                self.start_step()
            return stopping()

        return is_stopping

    def find_overdue_threads(self, seconds: float) -> set[int]:
        """Return the threads whose step has been running for longer than this."""
        before = self._clock() - seconds
        return {thread for thread, since in list(self._since.items()) if since < before}


def interrupt_thread(thread: int) -> None:
    """Raise `StepTimeoutError` in a thread as soon as it runs Python code again."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(StepTimeoutError))
