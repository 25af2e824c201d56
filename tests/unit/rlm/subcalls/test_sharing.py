"""Runs that ask the same at the same time: one request, and an answer for whoever stays."""

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from rlm.answers import Usage
from rlm.budgets import Budget, Limits
from rlm.errors import RunCancelledError
from rlm.profiles import ModelProfile
from rlm.subcalls.cache import NoReplyCache
from rlm.subcalls.port import SubCall, SubFailure, SubReply
from rlm.subcalls.scheduler import SubCallScheduler
from tests.fakes.callable_chat import Answer, CallableChat

PROFILE = ModelProfile("m", context_tokens=4_000, max_output_tokens=400, parallel_calls=4)
CALL = SubCall("Be brief.", "q", 50)
# Turns of the event loop from where a batch is begun to where each of its calls waits; a few are enough.
TURNS = 50


@pytest.fixture
def scheduler() -> Iterator[SubCallScheduler]:
    """Without a cache, so that a reply comes from the model or from a call under way."""
    made = SubCallScheduler(NoReplyCache())
    yield made
    made.close()


class Held:
    """A model that answers when a test lets it."""

    def __init__(self) -> None:
        self.asked, self.let = threading.Event(), threading.Event()
        self.turns = 0
        self.chat = CallableChat(answer=self._answer)

    async def _answer(self, prompt: str) -> Answer:
        self.asked.set()
        while not self.let.is_set():
            self.turns += 1
            await asyncio.sleep(0.002)
        return f"re {prompt}"

    def wait_some_turns(self) -> None:
        until = self.turns + TURNS
        pause = threading.Event()
        while self.turns < until:  # the suite's time limit bounds the wait
            pause.wait(0.002)


class Asking:
    """A run with a budget of its own that asks in a thread of its own; it may be `gone`."""

    def __init__(self, scheduler: SubCallScheduler, held: Held, pool: ThreadPoolExecutor) -> None:
        self.budget, self.gone = Budget(Limits()), threading.Event()
        self._looked: list[None] = []
        bound = scheduler.bind(held.chat, PROFILE, tenant_id="ann", budget=self.budget)
        self.end: Future[Sequence[SubReply | SubFailure]] = pool.submit(bound.run, [CALL], cancelled=self._is_gone)

    def wait_until_begun(self) -> None:
        """Once before it begins it looks whether it is cancelled, and again while it waits."""
        pause = threading.Event()
        while len(self._looked) < 2:
            pause.wait(0.005)

    def _is_gone(self) -> bool:
        self._looked.append(None)
        return self.gone.is_set()


@pytest.fixture
def two(scheduler: SubCallScheduler) -> Iterator[Callable[[Held], tuple[Asking, Asking]]]:
    """Two runs that ask the same, the second while the first one's request is under way."""
    pool = ThreadPoolExecutor(2)

    def ask(held: Held) -> tuple[Asking, Asking]:
        first = Asking(scheduler, held, pool)
        assert held.asked.wait(timeout=30)
        second = Asking(scheduler, held, pool)
        second.wait_until_begun()
        held.wait_some_turns()
        return first, second

    yield ask
    pool.shutdown(wait=False)  # closing the scheduler ends what still waits


def test_two_runs_that_ask_the_same_at_once_are_one_request_that_one_of_them_pays(
    two: Callable[[Held], tuple[Asking, Asking]],
) -> None:
    held = Held()
    first, second = two(held)
    held.let.set()
    assert first.end.result(timeout=30) == [SubReply("re q", Usage(1, 20, 5))]
    assert second.end.result(timeout=30) == [SubReply("re q", Usage(1, 20, 5), cached=True)]
    assert len(held.chat.prompts) == 1
    assert (first.budget.spent.calls, second.budget.spent.calls) == (1, 0)


def test_a_run_whose_reply_was_another_ones_that_is_cancelled_asks_for_itself(
    two: Callable[[Held], tuple[Asking, Asking]],
) -> None:
    held = Held()
    first, second = two(held)
    asked_before = len(held.chat.prompts)
    first.gone.set()
    with pytest.raises(RunCancelledError):
        first.end.result(timeout=30)
    held.let.set()
    assert second.end.result(timeout=30) == [SubReply("re q", Usage(1, 20, 5))]
    assert (asked_before, len(held.chat.prompts), held.chat.given_up) == (1, 2, 1)
    assert second.budget.spent.calls == 1
