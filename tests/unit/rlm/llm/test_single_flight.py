"""Runs that ask the same at the same time: one request, and an answer for whoever stays."""

import asyncio
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Protocol

import pytest

from rlm.errors import (
    LanguageModelError,
    LanguageModelUnavailableError,
    RunCancelledError,
)
from rlm.llm.budgets import Budget, Limits, Usage
from rlm.llm.port import SubCall, SubFailure, SubReply
from rlm.llm.profiles import ModelProfile
from rlm.llm.scheduler import SubCallScheduler
from tests.fakes.callable_chat import Answer, CallableChat

PROFILE = ModelProfile("m", context_tokens=4_000, max_output_tokens=400, parallel_calls=4)
CALL = SubCall("Be brief.", "q", 50)
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
UNLIMITED = Limits()
# Turns of the event loop from where a batch is begun to where each of its calls waits; a few are enough.
TURNS = 50


class Time:
    """A clock that runs only while somebody sleeps, and then at once."""

    now = 0.0

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        await asyncio.sleep(0)


@pytest.fixture
def scheduler() -> Iterator[SubCallScheduler]:
    """Without a cache, so that a reply comes from the model or from a call under way."""
    time = Time()
    made = SubCallScheduler(None, clock=lambda: time.now, sleep=time.sleep)
    yield made
    made.close()


class Held:
    """A model that answers when a test lets it, first with `lines`."""

    def __init__(self, *lines: Answer | LanguageModelError) -> None:
        self._lines = list(lines)
        self.asked, self.let = threading.Event(), threading.Event()
        self.turns = 0
        self.chat = CallableChat(answer=self._answer)

    async def _answer(self, prompt: str) -> Answer:
        self.asked.set()
        while not self.let.is_set():
            self.turns += 1
            await asyncio.sleep(0.002)
        line = self._lines.pop(0) if self._lines else f"re {prompt}"
        if isinstance(line, LanguageModelError):
            raise line
        return line

    def wait_some_turns(self) -> None:
        until = self.turns + TURNS
        pause = threading.Event()
        while self.turns < until:  # the suite's time limit bounds the wait
            pause.wait(0.002)


class Asking:
    """A run with a budget of its own that asks in a thread of its own; it may be `gone`."""

    def __init__(
        self, scheduler: SubCallScheduler, held: Held, pool: ThreadPoolExecutor, call: SubCall, limits: Limits
    ) -> None:
        self.budget, self.gone = Budget(limits), threading.Event()
        self._looked: list[None] = []
        bound = scheduler.bind_sub_calls(held.chat, PROFILE, tenant_id="ann", budget=self.budget)
        self.end: Future[Sequence[SubReply | SubFailure]] = pool.submit(bound.run, [call], cancelled=self._is_gone)

    def wait_until_begun(self) -> None:
        """Once before it begins it looks whether it is cancelled, and again while it waits."""
        pause = threading.Event()
        while len(self._looked) < 2:
            pause.wait(0.005)

    def _is_gone(self) -> bool:
        self._looked.append(None)
        return self.gone.is_set()


def codes(asking: Asking) -> list[str]:
    return [each.code for each in asking.end.result(timeout=120) if isinstance(each, SubFailure)]


class Two(Protocol):
    def __call__(self, held: Held, call: SubCall = CALL, limits: Limits = UNLIMITED) -> tuple[Asking, Asking]: ...


@pytest.fixture
def two(scheduler: SubCallScheduler) -> Iterator[Two]:
    """Two runs that ask the same, the second while the request of the first, which has `limits`, is under way."""
    pool = ThreadPoolExecutor(2)

    def ask(held: Held, call: SubCall = CALL, limits: Limits = UNLIMITED) -> tuple[Asking, Asking]:
        first = Asking(scheduler, held, pool, call, limits)
        assert held.asked.wait(timeout=120)
        second = Asking(scheduler, held, pool, call, UNLIMITED)
        second.wait_until_begun()
        held.wait_some_turns()
        return first, second

    yield ask
    pool.shutdown(wait=False)  # closing the scheduler ends what still waits


def test_two_runs_that_ask_the_same_at_once_are_one_request_that_one_of_them_pays(two: Two) -> None:
    held = Held()
    first, second = two(held)
    held.let.set()
    assert first.end.result(timeout=120) == [SubReply("re q", Usage(1, 20, 5))]
    assert second.end.result(timeout=120) == [SubReply("re q", Usage(1, 20, 5), cached=True)]
    assert len(held.chat.prompts) == 1
    assert (first.budget.spending.calls, second.budget.spending.calls) == (1, 0)


def test_what_the_model_did_wrong_is_shared_with_all_that_it_says(two: Two) -> None:
    held = Held(LanguageModelUnavailableError("Tomorrow.", retry_after_seconds=3_600.0))
    first, second = two(held)
    held.let.set()
    assert codes(first) == codes(second) == ["language_model_unavailable"]
    assert len(held.chat.prompts) == 1
    (failure,) = second.end.result()
    assert isinstance(failure, SubFailure)
    assert isinstance(failure.error, LanguageModelUnavailableError)
    assert failure.error.retry_after_seconds == 3_600.0


def test_a_run_does_not_fail_because_another_one_has_no_time_to_come_again(two: Two) -> None:
    held = Held(LanguageModelUnavailableError("Busy.", retry_after_seconds=50.0))
    first, second = two(held, limits=Limits(seconds=45.0))
    held.let.set()
    assert codes(first) == ["language_model_unavailable"]
    assert second.end.result(timeout=120) == [SubReply("re q", Usage(1, 20, 5))]


def test_a_run_does_not_fail_because_another_one_cannot_ask_once_more(two: Two) -> None:
    held = Held("no JSON", "neither", '{"n": 1}')
    first, second = two(held, replace(CALL, schema=SCHEMA), Limits(calls=1))
    held.let.set()
    assert codes(first) == ["language_model_output"]
    assert second.end.result(timeout=120) == [SubReply('{"n": 1}', Usage(2, 40, 10))]


def test_a_run_whose_reply_was_another_ones_that_is_cancelled_asks_for_itself(two: Two) -> None:
    held = Held()
    first, second = two(held)
    asked_before = len(held.chat.prompts)
    first.gone.set()
    with pytest.raises(RunCancelledError):
        first.end.result(timeout=120)
    held.let.set()
    assert second.end.result(timeout=120) == [SubReply("re q", Usage(1, 20, 5))]
    assert (asked_before, len(held.chat.prompts), held.chat.given_up) == (1, 2, 1)
    assert second.budget.spending.calls == 1
