"""Closes asynchronous generators where they were begun, and not when the garbage collector comes by.

A streamed reply is a dozen generators, one inside the other, that refer to each other in a circle. When it breaks off,
they are left to the collector, which may find them in another thread: it then finalizes the inner ones while the event
loop is closing the outer ones ("async generator already executing").
"""

import sys
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar
from typing import Any

_begun: ContextVar[list[AsyncGenerator[Any, Any]] | None] = ContextVar("begun", default=None)


def note_generators() -> None:
    """From now on, let `closed_generators` know each asynchronous generator that this thread's event loop begins.

    Must run on the loop, which has set its own hooks by then.
    """
    own = sys.get_asyncgen_hooks().firstiter

    def note(generator: AsyncGenerator[Any, Any]) -> None:
        if (begun := _begun.get()) is not None:
            begun.append(generator)
        if own is not None:
            own(generator)

    sys.set_asyncgen_hooks(firstiter=note)


@asynccontextmanager
async def closed_generators() -> AsyncIterator[None]:
    """At the end of the block, close each generator that was begun in it, the outermost first."""
    begun: list[AsyncGenerator[Any, Any]] = []
    token = _begun.set(begun)
    try:
        yield
    finally:
        _begun.reset(token)
        for generator in begun:
            with suppress(Exception):  # what went wrong in the block was raised there
                await generator.aclose()
