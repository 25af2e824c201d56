"""Calls that nobody waits for any more: a run is cancelled, its time is over, the service ends."""

import threading

import pytest

from rlm.errors import (
    RunCancelledError,
)
from rlm.llm.budgets import Budget, Limits
from rlm.llm.port import SubFailure, SubReply
from rlm.llm.scheduler import SubCallScheduler
from tests.fakes.callable_chat import Answer
from tests.support.scheduling import PROFILE, Held, Time, calls, chat, echo, started, texts


def test_cancelling_gives_up_what_is_in_flight_and_sends_no_more(scheduler: SubCallScheduler) -> None:
    held, gone = Held(), threading.Event()
    model, budget = chat(held.answer), Budget(Limits())
    bound = scheduler.bind_sub_calls(model, PROFILE, tenant_id="ann", budget=budget)
    thread, ends = started(lambda: bound.run(calls(50), cancelled=gone.is_set))
    for _ in range(4):
        assert held.asked.acquire(timeout=120)
    gone.set()
    thread.join()
    assert isinstance(ends[0], RunCancelledError)
    assert (len(model.prompts), model.given_up) == (4, 4)
    assert budget.spending.calls == 4
    assert budget._reserved.calls == 0


def test_a_run_that_is_cancelled_already_sends_nothing(scheduler: SubCallScheduler) -> None:
    model = chat(echo)
    bound = scheduler.bind_sub_calls(model, PROFILE, tenant_id="ann", budget=Budget(Limits()))
    with pytest.raises(RunCancelledError):
        bound.run(calls(1), cancelled=lambda: True)
    assert model.prompts == []


def test_when_the_time_is_over_the_rest_is_a_typed_failure(scheduler: SubCallScheduler) -> None:
    held = Held()
    model, budget = chat(held.answer), Budget(Limits(seconds=0.2))
    results = scheduler.bind_sub_calls(model, PROFILE, tenant_id="ann", budget=budget).run(calls(9))
    assert texts(results) == ["budget_exhausted"] * 9
    assert model.given_up == len(model.prompts) <= 4
    assert budget._reserved.calls == 0


def test_what_the_listener_raises_ends_the_batch(scheduler: SubCallScheduler) -> None:
    held = Held()

    async def answer(prompt: str) -> Answer:
        return await held.answer(prompt) if prompt != "q0" else "fine"

    def finished(position: int, result: SubReply | SubFailure) -> None:
        raise OSError("the log's disk is full")

    model, budget = chat(answer), Budget(Limits())
    with pytest.raises(OSError, match="disk"):
        scheduler.bind_sub_calls(model, PROFILE, tenant_id="ann", budget=budget).run(calls(9), on_result=finished)
    assert budget._reserved.calls == 0
    assert len(model.prompts) < 9


def test_closing_the_service_ends_runs_that_wait(clock: Time) -> None:
    scheduler, held = SubCallScheduler(clock=clock, sleep=clock.sleep), Held()
    bound = scheduler.bind_sub_calls(chat(held.answer), PROFILE, tenant_id="ann", budget=Budget(Limits()))
    thread, ends = started(lambda: bound.run(calls(2)))
    assert held.asked.acquire(timeout=120)
    scheduler.close()
    scheduler.close()
    thread.join()
    assert isinstance(ends[0], RunCancelledError)
    with pytest.raises(RunCancelledError):
        bound.run(calls(1))
