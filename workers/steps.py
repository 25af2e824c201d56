"""Time limits for job steps that run in threads of this process.

In a cluster, a worker process that spends too long on one step is killed. A thread cannot be killed, so an exception is
raised in it, which interrupts any Python loop. If the thread still does not end, it is blocked inside a library and is
abandoned.
"""

import ctypes
import threading
import time
from collections.abc import Callable

from ingest.storage.errors import IngestError


class StepTimeoutError(IngestError):
    """A step of a job exceeded its time limit and was interrupted."""

    code = "step_timeout"
    default_hint = "Split the document into smaller files, or export it again from the program it was made with."

    def __init__(self) -> None:
        super().__init__("A processing step took longer than LEADLINE_TASK_SECONDS and was stopped.")


class RunningSteps:
    """The threads that are currently running a step, and the start time of each step.

    Whenever a thread checks whether to stop, its next step begins.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._since: dict[int, float] = {}

    def start_step(self) -> None:
        """Record that this thread starts a step."""
        self._since[threading.get_ident()] = self._clock()

    def end_step(self) -> None:
        """Record that this thread is no longer running a step."""
        self._since.pop(threading.get_ident(), None)

    def wrap_stop_check(self, should_stop: Callable[[], bool]) -> Callable[[], bool]:
        """Wrap `should_stop` so that each call by a thread in a step also starts the thread's next step."""

        def is_stopping() -> bool:
            if threading.get_ident() in self._since:
                self.start_step()
            return should_stop()

        return is_stopping

    def find_overdue_threads(self, max_seconds: float) -> set[int]:
        """Return the threads whose current step has been running for longer than the given time."""
        before = self._clock() - max_seconds
        return {thread for thread, since in list(self._since.items()) if since < before}


def interrupt_thread(thread_id: int) -> None:
    """Raise `StepTimeoutError` in a thread. It is raised the next time the thread executes Python code."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread_id), ctypes.py_object(StepTimeoutError))
