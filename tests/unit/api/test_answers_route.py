"""Waiting for an answer that is made in a thread."""

import asyncio
import threading
from types import SimpleNamespace
from typing import Any, cast

import pytest

from api.answer_threads import AnswerThreads
from api.routes.answers import _waited_for


async def _connected() -> bool:
    return False


def test_an_answer_is_given_up_when_the_service_ends_while_it_is_made() -> None:
    stop = threading.Event()

    async def served() -> bool:
        work: asyncio.Future[Any] = AnswerThreads(1).start(lambda: stop.wait(60))
        waiting = asyncio.create_task(_waited_for(cast(Any, SimpleNamespace(is_disconnected=_connected)), work, stop))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        return stop.is_set()

    assert asyncio.run(served())
