"""Lets long work without model calls notice that it was cancelled."""

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
    """Raise `RunCancelledError` if the run was cancelled."""
    if cancelled():
        raise RunCancelledError("The run was cancelled.")


def unless_cancelled(
    items: Iterable[Item], cancelled: Callable[[], bool], *, seconds: float = _SECONDS
) -> Iterator[Item]:
    """Yield the items; `cancelled` is asked before the first one and then every `seconds`.

    Raises `RunCancelledError`.
    """
    due = 0.0
    for item in items:
        now = time.monotonic()
        if now >= due:
            require_wanted(cancelled)
            due = now + seconds
        yield item
