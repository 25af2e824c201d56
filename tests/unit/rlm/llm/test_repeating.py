"""Requests that a server does not answer: repeated after pauses, within limits, or given up."""

import asyncio
from collections import Counter
from dataclasses import replace

import pytest

from rlm.errors import (
    LanguageModelRefusedError,
    LanguageModelRestingError,
    LanguageModelTimeoutError,
    LanguageModelUnavailableError,
)
from rlm.llm.budgets import NO_AMOUNT, Budget, Limits, Usage
from rlm.llm.port import SubFailure, SubReply
from rlm.llm.scheduler import SubCallScheduler
from tests.fakes.callable_chat import Answer
from tests.support.scheduling import (
    PROFILE,
    SCHEMA,
    Time,
    call,
    calls,
    chat,
    run,
    scripted,
    texts,
)


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


def test_a_limit_that_is_never_over_is_not_believed_for_ever(scheduler: SubCallScheduler, clock: Time) -> None:
    model = chat(Limited(clock, float("inf")).answer)
    assert set(texts(run(scheduler, model, calls(100)))) == {"language_model_unavailable"}
    assert len(model.prompts) < 100


def test_a_call_comes_back_no_later_than_it_may_take(scheduler: SubCallScheduler, clock: Time) -> None:
    model = chat(Limited(clock, 5.0).answer)
    impatient = replace(PROFILE, call_seconds=2.5)
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


def test_a_server_in_trouble_gets_fewer_requests_than_before(scheduler: SubCallScheduler) -> None:
    model = scripted(LanguageModelUnavailableError("Down."))
    assert set(texts(run(scheduler, model, calls(100)))) == {"language_model_unavailable"}
    assert len(model.prompts) < 100


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
    results = scheduler.bind_sub_calls(model, PROFILE, tenant_id="ann", budget=budget).run(calls(50))
    assert texts(results) == ["language_model_unavailable"] * 50
    assert len(model.prompts) < 50
    assert budget.spending == NO_AMOUNT


def test_a_whole_reply_that_broke_off_is_counted_as_if_it_had_been_written(scheduler: SubCallScheduler) -> None:
    broken, away = (LanguageModelUnavailableError("Gone.", reached=reached) for reached in (True, False))
    for error, counted in ((broken, True), (away, False)):
        budget = Budget(Limits())
        model = scripted(error, '{"n": 1}')
        calls = [call("q", schema=SCHEMA, max_tokens=50)]
        (reply,) = scheduler.bind_sub_calls(model, PROFILE, tenant_id=str(counted), budget=budget).run(calls)
        assert isinstance(reply, SubReply)
        assert len(model.prompts) == 2
        lost = 50 if counted else 0
        assert (budget.spending.completion_tokens, reply.usage.completion_tokens) == (5 + lost, 5 + lost)
