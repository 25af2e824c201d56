"""Batches of sub-calls over a model that is a function: order, limits, budgets, and what is sent."""

import asyncio
import threading
from dataclasses import replace

from rlm.errors import (
    ContextTooLongError,
    LanguageModelRefusedError,
)
from rlm.llm.budgets import Budget, Limits, Usage
from rlm.llm.port import SubFailure, SubReply
from rlm.llm.profiles import Profiles
from rlm.llm.rate_limit import CallPriority
from rlm.llm.scheduler import SubCallScheduler
from tests.fakes.callable_chat import Answer
from tests.fakes.scripted_chat import ScriptedChat
from tests.support.scheduling import (
    PROFILE,
    SCHEMA,
    Held,
    call,
    calls,
    chat,
    echo,
    run,
    scripted,
    started,
    texts,
    until,
)


def test_results_are_in_the_order_of_the_calls(scheduler: SubCallScheduler) -> None:
    async def answer(prompt: str) -> Answer:
        for _ in range(20 - int(prompt[1:])):  # later ones are done sooner
            await asyncio.sleep(0)
        return f"re {prompt}"

    model = chat(answer)
    assert texts(run(scheduler, model, calls(20))) == [f"re q{number}" for number in range(20)]
    assert model.most_at_once == 4


def test_each_reply_has_its_own_usage(scheduler: SubCallScheduler) -> None:
    budget = Budget(Limits())
    results = scheduler.bind_sub_calls(chat(echo), PROFILE, tenant_id="ann", budget=budget).run(calls(3))
    assert [each.usage for each in results] == [Usage(1, 20, 5)] * 3
    assert (budget.spending.calls, budget.spending.prompt_tokens, budget.spending.completion_tokens) == (3, 60, 15)


def test_no_calls_are_no_results(scheduler: SubCallScheduler) -> None:
    assert run(scheduler, chat(echo), []) == []


def test_one_failure_takes_no_other_call_with_it(scheduler: SubCallScheduler) -> None:
    async def answer(prompt: str) -> Answer:
        if prompt == "q3":
            raise LanguageModelRefusedError("Not this one.")
        if prompt == "q5":
            raise RuntimeError("internals of a library")
        return "fine"

    results = run(scheduler, chat(answer), calls(8))
    assert texts(results) == ["fine"] * 3 + ["language_model_refused", "fine", "language_model_output"] + ["fine"] * 2
    failure = results[5]
    assert isinstance(failure, SubFailure)
    assert "internals" not in failure.detail


def test_a_model_that_neither_streams_nor_is_asynchronous_serves_too(scheduler: SubCallScheduler) -> None:
    model = ScriptedChat(script=["one"])
    (reply,) = run(scheduler, model, [call("q")])
    assert reply == SubReply("one", Usage(1, 100, 10))


def test_what_the_budget_does_not_cover_is_not_sent(scheduler: SubCallScheduler) -> None:
    model = chat(echo)
    results = run(scheduler, model, calls(30), limits=Limits(calls=7))
    answered = [number for number, each in enumerate(results) if isinstance(each, SubReply)]
    assert sorted(model.prompts) == sorted(f"q{number}" for number in answered)
    assert len(answered) == 7
    assert texts(results).count("budget_exhausted") == 23


def test_what_finished_calls_give_back_is_used_for_the_next(scheduler: SubCallScheduler) -> None:
    """Each reserves 50 tokens to write and uses 5: twelve fit into 110, but no more than two at once."""
    model = chat(echo)
    results = run(scheduler, model, calls(12), limits=Limits(completion_tokens=110))
    assert "budget_exhausted" not in texts(results)
    assert model.most_at_once <= 2


def test_a_huge_batch_is_refused_as_soon_as_nothing_of_its_size_fits(scheduler: SubCallScheduler) -> None:
    """The last call is smaller, and is still sent."""
    model, budget = chat(echo), Budget(Limits(completion_tokens=60))
    batch = [*calls(5_000), call("small", max_tokens=5)]
    results = scheduler.bind_sub_calls(model, PROFILE, tenant_id="ann", budget=budget).run(batch)
    assert texts(results).count("budget_exhausted") == 5_000 - 3
    assert texts(results)[-1] == "re small"
    assert budget.spending.completion_tokens == 20


def test_what_somebody_else_has_reserved_is_not_waited_for(scheduler: SubCallScheduler) -> None:
    budget = Budget(Limits(completion_tokens=60))
    reservation = budget.reserve(prompt_tokens=1, completion_tokens=30)
    results = scheduler.bind_sub_calls(chat(echo), PROFILE, tenant_id="ann", budget=budget.create_child()).run(calls(3))
    assert texts(results) == ["budget_exhausted"] * 3
    reservation.release()
    bound = scheduler.bind_sub_calls(chat(echo), PROFILE, tenant_id="ann", budget=budget)
    assert "budget_exhausted" not in texts(bound.run(calls(3)))


def test_a_small_call_still_fits_where_a_large_one_does_not(scheduler: SubCallScheduler) -> None:
    batch = [call("large", max_tokens=300), call("small", max_tokens=10)]
    assert texts(run(scheduler, chat(echo), batch, limits=Limits(completion_tokens=100))) == [
        "budget_exhausted",
        "re small",
    ]


def test_a_prompt_past_the_window_is_refused_here_with_the_counts(scheduler: SubCallScheduler) -> None:
    model = chat(echo)
    (failure,) = run(scheduler, model, [call("7" * 5_000)])
    assert isinstance(failure, SubFailure)
    assert failure.code == ContextTooLongError.code
    assert "prompt (about 5,035 tokens) and the answer (50)" in failure.detail
    assert "4,000" in failure.detail
    assert model.prompts == []


def test_a_single_call_goes_before_those_of_a_batch(scheduler: SubCallScheduler) -> None:
    held = Held()
    model = chat(held.answer)
    scan, _ = started(lambda: run(scheduler, model, calls(40)))
    for _ in range(4):
        assert held.asked.acquire(timeout=120)
    single, _ = started(lambda: run(scheduler, model, [call("somebody waits")]))
    until(lambda: scheduler._models["m"].rate_limit.count_waiting(CallPriority.INTERACTIVE) == 1)
    held.let.set()
    single.join()
    scan.join()
    assert model.prompts.index("somebody waits") < 8


def test_priorities_are_sent_only_where_the_server_takes_them(scheduler: SubCallScheduler) -> None:
    model, refuses = chat(echo), replace(PROFILE, priority=False)
    run(scheduler, model, calls(2))
    run(scheduler, model, [call("single")])
    run(scheduler, model, [call("q8"), call("q9")], profile=refuses)
    run(scheduler, model, [call("q10"), call("q11")], background=True)
    run(scheduler, model, [call("single in the background")], background=True)
    sent = [options.get("extra_body", {}).get("priority") for options in model.options]
    assert sent == [1, 1, None, None, None, 3, 3, 2]


def test_tenants_have_different_salts_and_only_where_the_server_takes_them(scheduler: SubCallScheduler) -> None:
    salts = []
    for tenant, takes in (("ann", True), ("bob", True), ("ann", False)):
        model = chat(echo)
        profile = replace(PROFILE, cache_salt=takes, request_options={"extra_body": {"top_k": 1}})
        run(scheduler, model, [call(f"for {tenant} {takes}")], profile=profile, tenant=tenant)
        assert model.options[0]["extra_body"]["top_k"] == 1
        salts.append(model.options[0]["extra_body"].get("cache_salt"))
    assert len(set(salts)) == 3
    assert salts[2] is None


def test_each_result_is_told_as_soon_as_it_is_there_in_the_thread_of_the_run(scheduler: SubCallScheduler) -> None:
    held, told = Held(), []

    async def answer(prompt: str) -> Answer:
        return await held.answer(prompt) if prompt == "q2" else f"re {prompt}"

    def finished(position: int, result: SubReply | SubFailure) -> None:
        told.append((position, texts([result])[0], threading.current_thread()))
        if len(told) == 4:
            held.let.set()

    batch = [*calls(3), call("q0"), call("7" * 5_000)]
    bound = scheduler.bind_sub_calls(chat(answer), PROFILE, tenant_id="ann", budget=Budget(Limits()))
    results = bound.run(batch, on_result=finished)
    assert told[-1][:2] == (2, "re q2")
    assert sorted(each[:2] for each in told) == list(enumerate(texts(results)))
    assert {each[2] for each in told} == {threading.current_thread()}
    told.clear()
    bound.run(batch[:2], on_result=finished)
    assert [each[:2] for each in told] == [(0, "re q0"), (1, "re q1")]


def test_a_large_run_does_not_starve_a_small_one(scheduler: SubCallScheduler) -> None:
    """Both get half of the places: when the small one is done, the large one has had about as much and no more."""
    held = Held()
    model = chat(held.answer)
    large, _ = started(lambda: run(scheduler, model, [call(f"large {number}") for number in range(400)]))
    for _ in range(4):
        assert held.asked.acquire(timeout=120)
    small, _ = started(lambda: run(scheduler, model, [call(f"small {number}") for number in range(20)]))
    rate_limit = scheduler._models["m"].rate_limit
    until(lambda: rate_limit.count_waiting(CallPriority.INTERACTIVE_BATCH) == 2)
    held.let.set()
    large.join()
    small.join()
    last_small = max(number for number, prompt in enumerate(model.prompts) if prompt.startswith("small"))
    assert last_small < 4 + 2 * 20 + 8


def test_text_is_streamed_and_what_follows_a_schema_comes_whole(scheduler: SubCallScheduler) -> None:
    model = scripted('{"n": 1}')
    run(scheduler, model, [call("q", schema=SCHEMA)])
    run(scheduler, model, [call("q")])
    assert model.streamed == [False, True]


def test_the_first_streamed_reply_of_an_unknown_model_shows_none_of_its_thoughts(scheduler: SubCallScheduler) -> None:
    profile = Profiles().get_profile("a-model-of-tomorrow")
    model = ScriptedChat(script=["Hm, 2?</think>\n\nTwo.", "Hm, 3?</think>\n\nThree."])
    calls = scheduler.bind_sub_calls(model, profile, tenant_id="ann", budget=Budget(Limits()))
    for question, answer in (("q", "Two."), ("r", "Three.")):
        assert list(calls.stream(call(question))) == [answer, SubReply(answer, Usage(1, 100, 10))]


def test_a_reply_that_closes_thoughts_twice_is_what_follows_the_last_tag(scheduler: SubCallScheduler) -> None:
    model = ScriptedChat(script=["Hm.</think>Two?</think>Three."])
    assert texts(run(scheduler, model, [call("q")])) == ["Three."]
