"""Named places in the code path where a test may make the process die, wait or fail. Off unless a test arms them.

A fault point stands where a crash leaves something half done: between a write and the commit that makes it count.
`tests/support/fault_points.py` names them all, so that a test which visits every one cannot forget a new one.
"""

from collections.abc import Callable

_hook: Callable[[str], None] | None = None


def reach(point: str) -> None:
    """Report that `point` was reached; without a test this costs one comparison."""
    if _hook is not None:
        _hook(point)


def arm(hook: Callable[[str], None] | None) -> None:
    """Call `hook` with the name of each point as it is reached; None ends that. For tests only."""
    global _hook
    _hook = hook
