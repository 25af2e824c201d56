"""Batches of sub-calls over a model that is a function: order, limits, budgets, repetition, and giving up."""

import asyncio
import json
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from ingest.catalog.replies import StoredReply
from ingest.errors import CatalogUnavailableError
from rlm.answers import Usage
from rlm.budgets import NOTHING, Budget, Limits
from rlm.errors import (
    ContextTooLongError,
    LanguageModelRefusedError,
    LanguageModelRestingError,
    LanguageModelTimeoutError,
    LanguageModelUnavailableError,
    RunCancelledError,
)
from rlm.profiles import ModelProfile, StructuredOutput
from rlm.subcalls.cache import MemoryReplyCache, NoReplyCache
from rlm.subcalls.port import SubCall, SubFailure, SubReply
from rlm.subcalls.scheduler import SubCallScheduler
from tests.fakes.callable_chat import Answer, CallableChat
from tests.fakes.scripted_chat import ScriptedChat

PROFILE = ModelProfile("m", context_tokens=4_000, max_output_tokens=400, parallel_calls=4)
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"], "additionalProperties": False}


class Time:
    """A clock that runs only while somebody sleeps, and then at once."""

    def __init__(self) -> None:
        self.now = 0.0
        self.naps: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.naps.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


@pytest.fixture
def clock() -> Time:
    return Time()


@pytest.fixture
def scheduler(clock: Time) -> Iterator[SubCallScheduler]:
    made = SubCallScheduler(MemoryReplyCache(), clock=clock, sleep=clock.sleep, jitter=lambda: 1.0)
    yield made
    made.close()


def call(prompt: str, max_tokens: int = 50, schema: dict[str, object] | None = None) -> SubCall:
    return SubCall("Be brief.", prompt, max_tokens, schema)


def calls(count: int) -> list[SubCall]:
    return [call(f"q{number}") for number in range(count)]


def chat(answer: Callable[[str], Awaitable[Answer]]) -> CallableChat:
    return CallableChat(answer=answer)


async def echo(prompt: str) -> Answer:
    return f"re {prompt}"


def scripted(*lines: Answer | Exception) -> CallableChat:
    """Gives one line a request, whatever is asked; the last one from then on."""
    rest = list(lines)

    async def answer(_: str) -> Answer:
        line = rest.pop(0) if len(rest) > 1 else rest[0]
        if isinstance(line, Exception):
            raise line
        return line

    return chat(answer)


def run(
    scheduler: SubCallScheduler,
    model: Any,  # noqa: ANN401 - any chat model
    batch: Sequence[SubCall],
    *,
    limits: Limits | None = None,
    profile: ModelProfile = PROFILE,
    tenant: str = "ann",
) -> Sequence[SubReply | SubFailure]:
    return scheduler.bind(model, profile, tenant_id=tenant, budget=Budget(limits or Limits())).run(batch)


def texts(results: Sequence[SubReply | SubFailure]) -> list[str]:
    return [each.text if isinstance(each, SubReply) else each.code for each in results]


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
    results = scheduler.bind(chat(echo), PROFILE, tenant_id="ann", budget=budget).run(calls(3))
    assert [each.usage for each in results] == [Usage(1, 20, 5)] * 3
    assert (budget.spent.calls, budget.spent.prompt_tokens, budget.spent.completion_tokens) == (3, 60, 15)


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
    results = scheduler.bind(model, PROFILE, tenant_id="ann", budget=budget).run(batch)
    assert texts(results).count("budget_exhausted") == 5_000 - 3
    assert texts(results)[-1] == "re small"
    assert budget.spent.completion_tokens == 20


def test_what_somebody_else_has_reserved_is_not_waited_for(scheduler: SubCallScheduler) -> None:
    budget = Budget(Limits(completion_tokens=60))
    with budget.reserve(prompt_tokens=1, completion_tokens=30):
        results = scheduler.bind(chat(echo), PROFILE, tenant_id="ann", budget=budget.child()).run(calls(3))
        assert texts(results) == ["budget_exhausted"] * 3
    bound = scheduler.bind(chat(echo), PROFILE, tenant_id="ann", budget=budget)
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
    assert "5,035 tokens of prompt and 50 of answer" in failure.detail
    assert "4,000" in failure.detail
    assert model.prompts == []


def test_a_busy_server_is_asked_again_after_growing_pauses(scheduler: SubCallScheduler, clock: Time) -> None:
    busy = LanguageModelUnavailableError("Busy.")
    (reply,) = run(scheduler, scripted(busy, busy, "at last"), [call("q")])
    assert reply == SubReply("at last", Usage(3, 20, 5))
    assert clock.naps == [0.5, 1.0]


def test_a_server_that_stays_away_is_given_up(scheduler: SubCallScheduler) -> None:
    model = scripted(LanguageModelUnavailableError("Away."))
    assert texts(run(scheduler, model, [call("q")])) == ["language_model_unavailable"]
    assert len(model.prompts) == 4


def test_retry_after_holds_every_request_to_that_model(scheduler: SubCallScheduler, clock: Time) -> None:
    sent_at: list[float] = []

    async def answer(prompt: str) -> Answer:
        sent_at.append(clock.now)
        if len(sent_at) == 1:
            raise LanguageModelUnavailableError("Busy.", retry_after_seconds=7.0)
        return "fine"

    one_place = replace(PROFILE, parallel_calls=1)
    assert texts(run(scheduler, chat(answer), calls(3), profile=one_place)) == ["fine"] * 3
    assert sent_at[0] == 0.0
    assert min(sent_at[1:]) >= 7.0


class Limited:
    """A model that tells everybody to come again a second later, `seconds` long."""

    def __init__(self, clock: Time, seconds: float) -> None:
        self._clock, self._seconds = clock, seconds

    async def answer(self, prompt: str) -> Answer:
        await asyncio.sleep(0)
        if self._clock.now < self._seconds:
            raise LanguageModelUnavailableError("Too many.", retry_after_seconds=1.0)
        return f"re {prompt}"


def test_a_limit_that_is_over_when_it_was_said_to_be_fails_nobody(scheduler: SubCallScheduler, clock: Time) -> None:
    many = replace(PROFILE, parallel_calls=32)
    results = run(scheduler, chat(Limited(clock, 2.5).answer), calls(100), profile=many)
    assert texts(results) == [f"re q{number}" for number in range(100)]
    _, retries = scheduler._models["m"]
    assert retries.withdraw()


def test_a_limit_that_is_never_over_is_not_believed_for_ever(scheduler: SubCallScheduler, clock: Time) -> None:
    model = chat(Limited(clock, float("inf")).answer)
    assert set(texts(run(scheduler, model, calls(100)))) == {"language_model_unavailable"}
    assert len(model.prompts) <= 100 + (12 * 4 + 1) + 10 + 20
    lane, retries = scheduler._models["m"]
    lane._held_until = retries._tokens = 0.0
    run(scheduler, model, [call("q")])
    assert lane._held_until == 0.0  # a refusal that nothing is repeated after makes nobody wait


def test_a_call_comes_back_no_later_than_it_may_take(scheduler: SubCallScheduler, clock: Time) -> None:
    model = chat(Limited(clock, 5.0).answer)
    impatient = replace(PROFILE, call_seconds=2.5)
    scheduler.bind(model, impatient, tenant_id="ann", budget=Budget(Limits()))
    _, retries = scheduler._models["m"]
    while retries.withdraw():
        pass
    assert texts(run(scheduler, model, [call("q")], profile=impatient)) == ["language_model_unavailable"]
    assert len(model.prompts) == 3


@pytest.mark.parametrize("seconds", [3_600.0, float("inf"), float("nan")])
def test_a_server_that_wants_us_back_much_later_has_refused(scheduler: SubCallScheduler, seconds: float) -> None:
    model = scripted(LanguageModelUnavailableError("Tomorrow.", retry_after_seconds=seconds))
    assert texts(run(scheduler, model, [call("q")])) == ["language_model_unavailable"]
    assert len(model.prompts) == 1


def test_a_refusal_is_not_repeated(scheduler: SubCallScheduler) -> None:
    model = scripted(LanguageModelRefusedError("No such model."))
    run(scheduler, model, [call("q")])
    assert len(model.prompts) == 1


def test_a_server_in_trouble_gets_few_more_requests_than_before(scheduler: SubCallScheduler) -> None:
    model = scripted(LanguageModelUnavailableError("Down."))
    run(scheduler, model, calls(100))
    assert 100 < len(model.prompts) <= 100 + 10 + 20


@pytest.mark.parametrize(
    ("first", "again"),
    [
        ('{"n": "one"}', "properties/n/type is not kept"),
        ("Certainly! Here it comes:", "it is not JSON"),
        ("", "empty"),
    ],
)
def test_a_reply_that_is_not_the_schemas_is_asked_for_once_more(
    scheduler: SubCallScheduler, first: str, again: str
) -> None:
    model = scripted(first, '{"n": 1}')
    (reply,) = run(scheduler, model, [call("q", schema=SCHEMA)])
    assert reply == SubReply('{"n": 1}', Usage(2, 40, 10))
    assert model.prompts[1].startswith("q\n\n")
    assert again in model.prompts[1]


def test_a_second_reply_of_the_wrong_shape_is_a_failure_with_its_cost(scheduler: SubCallScheduler) -> None:
    model = scripted("no JSON")
    (failure,) = run(scheduler, model, [call("q", schema=SCHEMA)])
    assert isinstance(failure, SubFailure)
    assert (failure.code, failure.usage) == ("language_model_output", Usage(2, 40, 10))
    assert "no JSON" not in failure.detail.replace("it is not JSON", "")


def test_a_reply_cut_off_is_asked_for_with_twice_the_room(scheduler: SubCallScheduler) -> None:
    model = scripted(("It is a lo", "length"), "It is long.")
    (reply,) = run(scheduler, model, [call("q", max_tokens=100)])
    assert isinstance(reply, SubReply)
    assert [options["max_tokens"] for options in model.options] == [100, 200]


def test_a_reply_cut_off_at_the_models_own_limit_is_a_failure(scheduler: SubCallScheduler) -> None:
    model = scripted(("It is a lo", "length"))
    (failure,) = run(scheduler, model, [call("q", max_tokens=400)])
    assert isinstance(failure, SubFailure)
    assert "cut off at its limit of 400 tokens" in failure.detail
    assert len(model.prompts) == 1


def test_mending_that_the_budget_does_not_cover_leaves_the_first_failure(scheduler: SubCallScheduler) -> None:
    (failure,) = run(scheduler, scripted("prose"), [call("q", schema=SCHEMA)], limits=Limits(calls=1))
    assert isinstance(failure, SubFailure)
    assert failure.code == "language_model_output"


def test_a_schema_that_is_none_is_refused_unsent(scheduler: SubCallScheduler) -> None:
    model = chat(echo)
    assert texts(run(scheduler, model, [call("q", schema={"type": "sausage"})])) == ["language_model_refused"]
    assert model.prompts == []


def test_thoughts_get_room_of_their_own_and_are_no_part_of_the_reply(scheduler: SubCallScheduler) -> None:
    model = scripted("<think>Hm, 2?</think>\n\nTwo.")
    profile = replace(PROFILE, thinking_tokens=300)
    budget = Budget(Limits(completion_tokens=350))
    (reply,) = scheduler.bind(model, profile, tenant_id="ann", budget=budget).run([call("q")])
    assert texts([reply]) == ["Two."]
    assert model.options[0]["max_tokens"] == 350


def test_the_schema_is_sent_as_the_models_server_takes_it(scheduler: SubCallScheduler) -> None:
    forms: tuple[StructuredOutput, ...] = ("json_schema", "json_object", "none")
    for form, sent in zip(forms, ("json_schema", "json_object", None), strict=True):
        model = scripted('{"n": 1}')
        profile = replace(PROFILE, structured_output=form)
        assert texts(run(scheduler, model, [call("q", schema=SCHEMA)], profile=profile)) == ['{"n": 1}']
        assert model.options[0].get("response_format", {}).get("type") == sent


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


def test_the_same_call_again_costs_nothing(scheduler: SubCallScheduler) -> None:
    model, budget = chat(echo), Budget(Limits(calls=2))
    bound = scheduler.bind(model, PROFILE, tenant_id="ann", budget=budget)
    bound.run(calls(2))
    assert [(each.text, each.cached) for each in bound.run(calls(2)) if isinstance(each, SubReply)] == [
        ("re q0", True),
        ("re q1", True),
    ]
    assert (len(model.prompts), budget.spent.calls) == (2, 2)


def test_another_tenant_pays_for_itself(scheduler: SubCallScheduler) -> None:
    model = chat(echo)
    for tenant in ("ann", "bob"):
        run(scheduler, model, [call("q")], tenant=tenant)
    assert len(model.prompts) == 2


def test_failures_are_not_kept(scheduler: SubCallScheduler) -> None:
    model = scripted(LanguageModelRefusedError("Not now."), "fine")
    assert texts(run(scheduler, model, [call("q")])) == ["language_model_refused"]
    assert texts(run(scheduler, model, [call("q")])) == ["fine"]


class BrokenCache(NoReplyCache):
    """A cache whose database is away, or worse."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def get(self, tenant_id: str, keys: object) -> Mapping[str, StoredReply]:
        raise self._error

    def put(self, tenant_id: str, replies: object) -> None:
        raise self._error


@pytest.mark.parametrize("error", [CatalogUnavailableError("Away."), ValueError("a value of the statement")])
def test_a_cache_that_is_away_costs_money_and_nothing_else(error: Exception) -> None:
    scheduler = SubCallScheduler(BrokenCache(error))
    try:
        assert texts(run(scheduler, chat(echo), calls(3))) == ["re q0", "re q1", "re q2"]
    finally:
        scheduler.close()


def test_equal_calls_at_once_are_one_request(scheduler: SubCallScheduler) -> None:
    model, budget = chat(echo), Budget(Limits())
    results = scheduler.bind(model, PROFILE, tenant_id="ann", budget=budget).run([call("q")] * 50)
    assert texts(results) == ["re q"] * 50
    assert (len(model.prompts), budget.spent.calls) == (1, 1)
    assert sum(isinstance(each, SubReply) and each.cached for each in results) == 49


class Held:
    """A model that answers when a test lets it; `asked` says that a request is there."""

    def __init__(self) -> None:
        self.asked = threading.Semaphore(0)
        self.let = threading.Event()

    async def answer(self, prompt: str) -> Answer:
        self.asked.release()
        while not self.let.is_set():
            await asyncio.sleep(0.005)
        return f"re {prompt}"


def started(work: Callable[[], object]) -> tuple[threading.Thread, list[object]]:
    ends: list[object] = []

    def body() -> None:
        try:
            ends.append(work())
        except Exception as error:  # noqa: BLE001 - the test looks at it
            ends.append(error)

    thread = threading.Thread(target=body)
    thread.start()
    return thread, ends


def until(state: Callable[[], bool]) -> None:
    """The suite's time limit bounds the wait."""
    pause = threading.Event()
    while not state():
        pause.wait(0.005)


def test_when_the_first_of_two_equal_calls_is_cancelled_the_second_is_answered(scheduler: SubCallScheduler) -> None:
    held, gone = Held(), threading.Event()
    model = chat(held.answer)
    bound = [scheduler.bind(model, PROFILE, tenant_id="ann", budget=Budget(Limits())) for _ in range(2)]
    first, first_end = started(lambda: bound[0].run([call("q")], cancelled=gone.is_set))
    assert held.asked.acquire(timeout=10)
    second, second_end = started(lambda: bound[1].run([call("q")]))
    gone.set()
    first.join()
    assert isinstance(first_end[0], RunCancelledError)
    assert held.asked.acquire(timeout=10)  # the second now asks for itself
    held.let.set()
    second.join()
    assert second_end == [[SubReply("re q", Usage(1, 20, 5))]]
    assert model.given_up == 1


def test_cancelling_gives_up_what_is_in_flight_and_sends_no_more(scheduler: SubCallScheduler) -> None:
    held, gone = Held(), threading.Event()
    model, budget = chat(held.answer), Budget(Limits())
    bound = scheduler.bind(model, PROFILE, tenant_id="ann", budget=budget)
    thread, ends = started(lambda: bound.run(calls(50), cancelled=gone.is_set))
    for _ in range(4):
        assert held.asked.acquire(timeout=10)
    gone.set()
    thread.join()
    assert isinstance(ends[0], RunCancelledError)
    assert (len(model.prompts), model.given_up) == (4, 4)
    assert budget.spent.calls == 4
    assert budget._reserved.calls == 0


def test_a_run_that_is_cancelled_already_sends_nothing(scheduler: SubCallScheduler) -> None:
    model = chat(echo)
    bound = scheduler.bind(model, PROFILE, tenant_id="ann", budget=Budget(Limits()))
    with pytest.raises(RunCancelledError):
        bound.run(calls(1), cancelled=lambda: True)
    assert model.prompts == []


def test_when_the_time_is_over_the_rest_is_a_typed_failure(scheduler: SubCallScheduler) -> None:
    held = Held()
    model, budget = chat(held.answer), Budget(Limits(seconds=0.2))
    results = scheduler.bind(model, PROFILE, tenant_id="ann", budget=budget).run(calls(9))
    assert texts(results) == ["budget_exhausted"] * 9
    assert model.given_up == 4
    assert budget._reserved.calls == 0


def test_each_result_is_told_as_soon_as_it_is_there_in_the_thread_of_the_run(scheduler: SubCallScheduler) -> None:
    held, told = Held(), []

    async def answer(prompt: str) -> Answer:
        return await held.answer(prompt) if prompt == "q2" else f"re {prompt}"

    def finished(position: int, result: SubReply | SubFailure) -> None:
        told.append((position, texts([result])[0], threading.current_thread()))
        if len(told) == 4:
            held.let.set()

    batch = [*calls(3), call("q0"), call("7" * 5_000)]
    bound = scheduler.bind(chat(answer), PROFILE, tenant_id="ann", budget=Budget(Limits()))
    results = bound.run(batch, finished=finished)
    assert told[-1][:2] == (2, "re q2")
    assert sorted(each[:2] for each in told) == list(enumerate(texts(results)))
    assert {each[2] for each in told} == {threading.current_thread()}
    told.clear()
    bound.run(batch[:2], finished=finished)
    assert [each[:2] for each in told] == [(0, "re q0"), (1, "re q1")]


def test_what_the_listener_raises_ends_the_batch(scheduler: SubCallScheduler) -> None:
    held = Held()

    async def answer(prompt: str) -> Answer:
        return await held.answer(prompt) if prompt != "q0" else "fine"

    def finished(position: int, result: SubReply | SubFailure) -> None:
        raise OSError("the log's disk is full")

    model, budget = chat(answer), Budget(Limits())
    with pytest.raises(OSError, match="disk"):
        scheduler.bind(model, PROFILE, tenant_id="ann", budget=budget).run(calls(9), finished=finished)
    assert budget._reserved.calls == 0
    assert len(model.prompts) < 9


def test_closing_the_service_ends_runs_that_wait(clock: Time) -> None:
    scheduler, held = SubCallScheduler(clock=clock, sleep=clock.sleep), Held()
    bound = scheduler.bind(chat(held.answer), PROFILE, tenant_id="ann", budget=Budget(Limits()))
    thread, ends = started(lambda: bound.run(calls(2)))
    assert held.asked.acquire(timeout=10)
    scheduler.close()
    scheduler.close()
    thread.join()
    assert isinstance(ends[0], RunCancelledError)
    with pytest.raises(RunCancelledError):
        bound.run(calls(1))


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


def test_a_model_that_lets_calls_go_unanswered_is_asked_again_after_a_rest(
    scheduler: SubCallScheduler, clock: Time
) -> None:
    silent = True

    async def answer(prompt: str) -> Answer:
        if silent:
            raise LanguageModelTimeoutError("The language model sent nothing.")
        return f"re {prompt}"

    model = chat(answer)
    codes = Counter(texts(run(scheduler, model, calls(50))))
    sent, silent = len(model.prompts), False
    assert codes == {"language_model_timeout": sent, "language_model_unavailable": 50 - sent}
    assert sent < 50
    (unsent,) = run(scheduler, model, [call("soon")], limits=Limits(calls=0))
    assert isinstance(unsent, SubFailure)
    assert isinstance(unsent.error, LanguageModelRestingError)
    assert (unsent.usage, unsent.error.retry_after_seconds) == (Usage(), 30)
    clock.now += 31
    assert texts(run(scheduler, model, [call("later")])) == ["re later"]
    assert len(model.prompts) == sent + 1


def test_a_model_whose_connections_do_not_come_about_in_time_is_asked_again_after_a_rest_too(
    scheduler: SubCallScheduler,
) -> None:
    budget = Budget(Limits())
    model = scripted(LanguageModelUnavailableError("Nobody there.", sent=False, silent=True))
    results = scheduler.bind(model, PROFILE, tenant_id="ann", budget=budget).run(calls(50))
    assert texts(results) == ["language_model_unavailable"] * 50
    assert len(model.prompts) < 50
    assert budget.spent == NOTHING


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


def test_a_large_run_does_not_starve_a_small_one(scheduler: SubCallScheduler) -> None:
    """Both get half of the places: when the small one is done, the large one has had about as much and no more."""
    held = Held()
    model = chat(held.answer)
    large, _ = started(lambda: run(scheduler, model, [call(f"large {number}") for number in range(400)]))
    for _ in range(4):
        assert held.asked.acquire(timeout=10)
    small, _ = started(lambda: run(scheduler, model, [call(f"small {number}") for number in range(20)]))
    lane, _ = scheduler._models["m"]
    until(lambda: len(lane._waiting) == 2)
    held.let.set()
    large.join()
    small.join()
    last_small = max(number for number, prompt in enumerate(model.prompts) if prompt.startswith("small"))
    assert last_small < 4 + 2 * 20 + 8


def test_json_around_which_a_model_talks_is_found(scheduler: SubCallScheduler) -> None:
    model = scripted('Sure:\n```json\n{"n": 4}\n```\nAnything else?')
    (reply,) = run(scheduler, model, [call("q", schema=SCHEMA)])
    assert json.loads(texts([reply])[0]) == {"n": 4}


def test_text_is_streamed_and_what_follows_a_schema_comes_whole(scheduler: SubCallScheduler) -> None:
    model = scripted('{"n": 1}')
    run(scheduler, model, [call("q", schema=SCHEMA)])
    run(scheduler, model, [call("q")])
    assert model.streamed == [False, True]


def test_a_whole_reply_that_broke_off_is_counted_as_if_it_had_been_written(scheduler: SubCallScheduler) -> None:
    broken, away = (LanguageModelUnavailableError("Gone.", reached=reached) for reached in (True, False))
    for error, counted in ((broken, True), (away, False)):
        budget = Budget(Limits())
        model = scripted(error, '{"n": 1}')
        calls = [call("q", schema=SCHEMA, max_tokens=50)]
        (reply,) = scheduler.bind(model, PROFILE, tenant_id=str(counted), budget=budget).run(calls)
        assert isinstance(reply, SubReply)
        assert len(model.prompts) == 2
        lost = 50 if counted else 0
        assert (budget.spent.completion_tokens, reply.usage.completion_tokens) == (5 + lost, 5 + lost)
