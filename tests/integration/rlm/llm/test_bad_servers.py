"""Model servers that misbehave over real HTTP: a typed failure by the deadline, no hang, and connections closed."""

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest

from rlm.errors import RunCancelledError
from rlm.llm.budgets import NO_AMOUNT, Budget, Limits, Usage
from rlm.llm.chat_models import OpenAIChatModel, build_remote_chat_model
from rlm.llm.port import SubCall, SubFailure, SubReply
from rlm.llm.profiles import ModelProfile
from rlm.llm.scheduler import SubCallScheduler
from tests.support import misbehaving_openai as bad
from tests.support.misbehaving_openai import Behaviour, MisbehavingOpenAI, misbehaving_openai

PROFILE = ModelProfile("m", 8_000, 500, parallel_calls=8, call_seconds=60.0)
# For servers that do not end. On a busy machine even a good one may be too late for it.
IMPATIENT = replace(PROFILE, call_seconds=1.0)
# No test may take as long as a call with it.
PATIENT = replace(PROFILE, call_seconds=3_600.0)


@pytest.fixture
def server() -> Iterator[MisbehavingOpenAI]:
    with misbehaving_openai() as made:
        yield made


@pytest.fixture
def scheduler() -> Iterator[SubCallScheduler]:
    made = SubCallScheduler(jitter=lambda: 0.0)
    yield made
    made.close()


def model(server: MisbehavingOpenAI, profile: ModelProfile = PROFILE) -> OpenAIChatModel:
    return build_remote_chat_model(server.url, profile)


def calls(count: int) -> list[SubCall]:
    return [SubCall("Be brief.", f"q{number}", 50) for number in range(count)]


def run(
    scheduler: SubCallScheduler,
    server: MisbehavingOpenAI,
    *,
    count: int = 1,
    profile: ModelProfile = PROFILE,
    budget: Budget | None = None,
) -> Sequence[SubReply | SubFailure]:
    budget = budget or Budget(Limits())
    chat = model(server, profile)
    return scheduler.bind_sub_calls(chat, profile, tenant_id="ann", budget=budget).run(calls(count))


@pytest.mark.parametrize(
    ("behaviour", "code", "requests"),
    [
        (bad.refuses(429), "language_model_unavailable", 4),
        (bad.refuses(503, Retry_After="0"), "language_model_unavailable", 4),
        (bad.refuses(500), "language_model_unavailable", 4),
        (bad.refuses(401), "language_model_refused", 1),
        (bad.refuses(404), "language_model_refused", 1),
        (bad.cuts, "language_model_unavailable", 1),
        (bad.not_a_stream, "language_model_unavailable", 4),
        (bad.broken_events, "language_model_output", 1),
        (bad.other_events, "language_model_output", 1),
        (bad.wrong_utf8, "language_model_output", 1),
        (bad.replies(""), "language_model_output", 2),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_a_bad_server_is_a_typed_failure_and_takes_nothing_else_with_it(
    scheduler: SubCallScheduler, server: MisbehavingOpenAI, behaviour: Behaviour, code: str, requests: int
) -> None:
    server.behaviours = [behaviour]
    budget = Budget(Limits())
    (failure,) = run(scheduler, server, budget=budget)
    assert isinstance(failure, SubFailure)
    assert (failure.code, len(server.requests)) == (code, requests)
    assert (budget.spending.calls, budget._reserved.calls) == (requests, 0)
    server.behaviours = [bad.replies("fine")]
    (reply,) = run(scheduler, server)
    assert isinstance(reply, SubReply)


@pytest.mark.parametrize("behaviour", [bad.hangs, bad.hangs_after_a_word, bad.drips])
def test_a_server_that_does_not_end_is_a_typed_failure_and_is_not_asked_again(
    scheduler: SubCallScheduler, server: MisbehavingOpenAI, behaviour: Behaviour
) -> None:
    server.behaviours = [behaviour]
    budget = Budget(Limits())
    (failure,) = run(scheduler, server, profile=IMPATIENT, budget=budget)
    assert isinstance(failure, SubFailure)
    assert failure.code == "language_model_timeout"
    assert len(server.requests) <= 1
    assert (budget.spending.calls, budget._reserved.calls) == (1, 0)


def test_nobody_at_the_address_is_a_typed_failure_that_costs_nothing(scheduler: SubCallScheduler) -> None:
    chat = build_remote_chat_model("http://127.0.0.1:9/v1", PROFILE)
    budget = Budget(Limits(calls=2))
    (failure,) = scheduler.bind_sub_calls(chat, PROFILE, tenant_id="ann", budget=budget).run(calls(1))
    assert isinstance(failure, SubFailure)
    assert (failure.code, failure.usage) == ("language_model_unavailable", Usage())
    assert (budget.spending, budget.get_remaining_limits().calls) == (NO_AMOUNT, 2)


def test_good_and_bad_replies_of_one_batch_stay_apart(scheduler: SubCallScheduler, server: MisbehavingOpenAI) -> None:
    server.behaviours = [bad.refuses(401), bad.cuts, bad.wrong_utf8, bad.replies("fine")]
    results = run(scheduler, server, count=12)
    assert sum(isinstance(each, SubReply) for each in results) == 9
    assert {each.code for each in results if isinstance(each, SubFailure)} == {
        "language_model_refused",
        "language_model_unavailable",
        "language_model_output",
    }


def test_each_call_of_a_batch_has_the_servers_own_count(scheduler: SubCallScheduler, server: MisbehavingOpenAI) -> None:
    server.behaviours = [bad.replies("a", prompt=11, completion=1), bad.replies("b", prompt=22, completion=2)]
    one_by_one = replace(PROFILE, parallel_calls=1)
    assert [each.usage for each in run(scheduler, server, count=2, profile=one_by_one)] == [
        Usage(1, 11, 1),
        Usage(1, 22, 2),
    ]


def test_a_server_that_does_not_count_is_counted_for(scheduler: SubCallScheduler, server: MisbehavingOpenAI) -> None:
    server.behaviours = [bad.replies("one two three", completion=0)]
    budget = Budget(Limits())
    run(scheduler, server, budget=budget)
    assert budget.spending.prompt_tokens > 20
    assert budget.spending.completion_tokens >= 3


def test_a_request_that_is_late_is_closed_at_the_server(scheduler: SubCallScheduler, server: MisbehavingOpenAI) -> None:
    server.behaviours = [bad.drips]
    run(scheduler, server, count=3, profile=IMPATIENT)
    assert server.wait_until(lambda now: now.hung_up == len(now.requests) and now.under_way == 0)


def test_a_server_that_hangs_is_not_waited_for_by_every_call_of_a_large_batch(
    scheduler: SubCallScheduler, server: MisbehavingOpenAI
) -> None:
    server.behaviours = [bad.hangs]
    results = run(scheduler, server, count=500, profile=IMPATIENT)
    codes = Counter(each.code for each in results if isinstance(each, SubFailure))
    assert codes.keys() == {"language_model_timeout", "language_model_unavailable"}
    assert codes.total() == 500
    assert len(server.requests) <= codes["language_model_timeout"] <= 2 * IMPATIENT.parallel_calls


def test_when_the_budgets_time_is_over_requests_are_closed_at_the_server(
    scheduler: SubCallScheduler, server: MisbehavingOpenAI
) -> None:
    server.behaviours = [bad.hangs]
    budget = Budget(Limits(seconds=0.5))
    results = run(scheduler, server, count=20, budget=budget)
    assert {each.code for each in results if isinstance(each, SubFailure)} == {"budget_exhausted"}
    assert len(results) == 20
    assert len(server.requests) <= 8
    assert server.wait_until(lambda now: now.hung_up == len(now.requests) and now.under_way == 0)
    assert budget._reserved.calls == 0


@pytest.mark.parametrize("behaviour", [bad.hangs, bad.hangs_after_a_word, bad.drips])
def test_cancelling_closes_every_request_at_the_server_long_before_a_call_may_end(
    scheduler: SubCallScheduler, server: MisbehavingOpenAI, behaviour: Behaviour
) -> None:
    server.behaviours = [behaviour]
    cancelled = threading.Event()
    chat = model(server)
    bound = scheduler.bind_sub_calls(chat, PATIENT, tenant_id="ann", budget=Budget(Limits()))

    def work() -> None:
        with pytest.raises(RunCancelledError):
            bound.run(calls(30), cancelled=cancelled.is_set)

    thread = threading.Thread(target=work)
    thread.start()
    assert server.wait_until(lambda now: now.under_way == 8)
    cancelled.set()
    thread.join()
    assert server.wait_until(lambda now: now.hung_up == 8 and now.under_way == 0)
    assert len(server.requests) == 8


def test_no_more_requests_than_the_profile_allows_are_at_the_server(
    scheduler: SubCallScheduler, server: MisbehavingOpenAI
) -> None:
    run(scheduler, server, count=40)
    assert len(server.requests) == 40
    assert server.most_under_way <= 8


def test_the_salt_and_other_options_reach_the_server(scheduler: SubCallScheduler, server: MisbehavingOpenAI) -> None:
    thoughtless = {"extra_body": {"chat_template_kwargs": {"enable_thinking": False}}}
    run(scheduler, server, profile=replace(PROFILE, cache_salt=True, request_options=thoughtless))
    (body,) = server.requests
    assert len(body["cache_salt"]) == 64
    assert body["chat_template_kwargs"] == {"enable_thinking": False}
    assert body["stream"] is True
