"""Threads apart from those that all other requests share, for work that must not wait behind theirs."""

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

import anyio
import anyio.to_thread

_Result = TypeVar("_Result")


class Threads:
    """Runs functions in at most `count` threads of their own; more of them wait."""

    def __init__(self, count: int) -> None:
        self._limiter = anyio.CapacityLimiter(count)
        self._under_way: dict[str, asyncio.Future[Any]] = {}

    async def run(self, work: Callable[..., _Result], *arguments: Any) -> _Result:  # noqa: ANN401 - of any function
        return await anyio.to_thread.run_sync(work, *arguments, limiter=self._limiter)

    async def within(self, seconds: float, name: str, work: Callable[[], Any], late: Any) -> Any:  # noqa: ANN401
        """Return the result of `work`, or `late` if there is none in time.

        Of one name only one is under way: who asks meanwhile waits for the same, so that what hangs holds one thread.
        """
        under_way = self._under_way.get(name)
        if under_way is None or under_way.done():
            # Abandoned when the loop ends, which would wait for it else.
            started = anyio.to_thread.run_sync(work, limiter=self._limiter, abandon_on_cancel=True)
            under_way = self._under_way[name] = asyncio.ensure_future(started)
        await asyncio.wait({under_way}, timeout=seconds)
        return under_way.result() if under_way.done() else late
