"""When a step is overdue."""

import threading
import time

from workers.steps import RunningSteps


def test_looking_whether_to_stop_begins_another_step() -> None:
    now = 0.0
    steps = RunningSteps(lambda: now)
    stopping = steps.wrap_stop_check(lambda: False)
    stopping()
    assert steps.find_overdue_threads(-1) == set()  # this thread is at none
    steps.start_step()
    now = 10.0
    assert steps.find_overdue_threads(5) == {threading.get_ident()}
    stopping()
    assert steps.find_overdue_threads(5) == set()
    steps.end_step()
    now = time.monotonic() + 1e9
    assert steps.find_overdue_threads(5) == set()
