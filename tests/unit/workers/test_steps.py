"""When a step is overdue."""

import threading
import time

from workers.steps import Steps


def test_looking_whether_to_stop_begins_another_step() -> None:
    now = 0.0
    steps = Steps(lambda: now)
    stopping = steps.marking(lambda: False)
    stopping()
    assert steps.overdue(-1) == set()  # this thread is at none
    steps.begin()
    now = 10.0
    assert steps.overdue(5) == {threading.get_ident()}
    stopping()
    assert steps.overdue(5) == set()
    steps.end()
    now = time.monotonic() + 1e9
    assert steps.overdue(5) == set()
