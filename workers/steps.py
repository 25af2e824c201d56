"""Steps of jobs in threads of this process: how long each has taken, and how a hung one is ended.

In a cluster a worker process that is at one step for too long is killed. A thread cannot be, so an exception is raised
in it, which ends any loop of Python; a thread that does not even end then waits inside of a library, and is left to it.
"""

import ctypes
import threading
import time
from collections.abc import Callable

from ingest.storage.errors import IngestError


class StepTimeoutError(IngestError):
    """One step of a job took longer than it may, and was ended."""

    code = "step_timeout"
    default_hint = "Split the document into smaller files, or export it again from its own program."

    def __init__(self) -> None:
        super().__init__("A step of its processing took longer than LEADLINE_TASK_SECONDS, and was ended.")


class RunningSteps:
    """The threads that are at a step, and since when. Each look at whether to stop begins another step."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._since: dict[int, float] = {}

    def start_step(self) -> None:
        """Begin a step in this thread."""
        self._since[threading.get_ident()] = self._clock()

    def end_step(self) -> None:
        """This thread is at no step any more."""
        self._since.pop(threading.get_ident(), None)

    def wrap_stopping(self, stopping: Callable[[], bool]) -> Callable[[], bool]:
        """Return `stopping` so that each call of it by a thread at a step begins the next one."""

        def is_stopping() -> bool:
            if threading.get_ident() in self._since:
                self.start_step()
            return stopping()

        return is_stopping

    def find_overdue_threads(self, seconds: float) -> set[int]:
        """Return the threads whose step began longer ago than that."""
        before = self._clock() - seconds
        return {thread for thread, since in list(self._since.items()) if since < before}


def interrupt_thread(thread: int) -> None:
    """Raise `StepTimeoutError` in a thread, as soon as it runs Python again."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(StepTimeoutError))
