"""Calls that take much longer than others: sent a second time, where that is allowed."""

import asyncio
from dataclasses import replace

from rlm.llm.budgets import Budget, Limits
from rlm.llm.port import SubReply
from rlm.llm.scheduler import SubCallScheduler
from tests.fakes.callable_chat import Answer
from tests.support.scheduling import (
    PROFILE,
    Time,
    call,
    calls,
    chat,
    run,
    texts,
)


def test_a_straggler_is_sent_twice_and_the_first_answer_counts(scheduler: SubCallScheduler) -> None:
    asked: list[str] = []

    async def answer(prompt: str) -> Answer:
        asked.append(prompt)
        if prompt == "q9" and asked.count("q9") == 1:
            await asyncio.Event().wait()
        return f"re {prompt}"

    model, budget = chat(answer), Budget(Limits())
    profile = replace(PROFILE, hedge_after_medians=3.0)
    results = scheduler.bind(model, profile, tenant_id="ann", budget=budget).run(calls(10))
    assert texts(results) == [f"re q{number}" for number in range(10)]
    assert asked.count("q9") == 2
    assert model.given_up == 1
    last = results[9]
    assert isinstance(last, SubReply)
    assert last.usage.calls == 2  # the copy that lost was paid for as well
    assert budget.spent.calls == 11
    assert budget._reserved.calls == 0


def test_a_call_is_late_among_those_of_its_purpose(scheduler: SubCallScheduler, clock: Time) -> None:
    """A root's reply takes many times as long as a label, and is not sent twice for that."""
    asked: list[str] = []

    async def answer(prompt: str) -> Answer:
        asked.append(prompt)
        while prompt == "write" and clock.now < 60:
            await asyncio.sleep(0)
        return f"re {prompt}"

    profile = replace(PROFILE, hedge_after_medians=3.0)
    bound = scheduler.bind(chat(answer), profile, tenant_id="ann", budget=Budget(Limits()))
    bound.run(calls(10))
    assert texts(bound.run([replace(call("write"), purpose="root")])) == ["re write"]
    assert asked.count("write") == 1


def test_a_straggler_waits_where_the_budget_has_no_room_for_a_second_copy(
    scheduler: SubCallScheduler, clock: Time
) -> None:
    asked: list[str] = []

    async def answer(prompt: str) -> Answer:
        asked.append(prompt)
        if prompt == "q9":
            while clock.now < 60:
                await asyncio.sleep(0)
        return f"re {prompt}"

    profile = replace(PROFILE, hedge_after_medians=3.0)
    results = run(scheduler, chat(answer), calls(10), profile=profile, limits=Limits(calls=10))
    assert texts(results)[9] == "re q9"
    assert asked.count("q9") == 1


def test_a_profile_that_does_not_allow_it_is_never_hedged(scheduler: SubCallScheduler, clock: Time) -> None:
    async def answer(prompt: str) -> Answer:
        if prompt == "q9":
            for _ in range(50):
                await asyncio.sleep(0)
        return "fine"

    model = chat(answer)
    run(scheduler, model, calls(10))
    assert (len(model.prompts), clock.naps) == (10, [])
