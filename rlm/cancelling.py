"""Noticing in long work without a model's calls that nobody wants it any more."""

import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from rlm.errors import RunCancelledError

Item = TypeVar("Item")

_SECONDS = 0.2


def not_cancelled() -> bool:
    """For callers that never cancel."""
    return False


def require_wanted(cancelled: Callable[[], bool]) -> None:
    """Raises `RunCancelledError` where the run was cancelled."""
    if cancelled():
        raise RunCancelledError("The run was cancelled.")


def unless_cancelled(
    items: Iterable[Item], cancelled: Callable[[], bool], *, seconds: float = _SECONDS
) -> Iterator[Item]:
    """The items; `cancelled` is asked before the first of them and every so many seconds.

    Raises `RunCancelledError`.
    """
    due = 0.0
    for item in items:
        now = time.monotonic()
        if now >= due:
            require_wanted(cancelled)
            due = now + seconds
        yield item
