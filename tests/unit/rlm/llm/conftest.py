"""A scheduler whose pauses take no time."""

from collections.abc import Iterator

import pytest

from rlm.llm.scheduler import SubCallScheduler
from tests.fakes.memory_reply_cache import MemoryReplyCache
from tests.support.scheduling import Time


@pytest.fixture
def clock() -> Time:
    return Time()


@pytest.fixture
def scheduler(clock: Time) -> Iterator[SubCallScheduler]:
    made = SubCallScheduler(MemoryReplyCache(), clock=clock, sleep=clock.sleep, jitter=lambda: 1.0)
    yield made
    made.close()
