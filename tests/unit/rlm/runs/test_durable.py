"""What a durable run asks for, and what it takes from its log, however it was interrupted."""

import json
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.storage.answers.run_records import Run, RunSpending
from ingest.storage.errors import LeaseLostError
from retrieval.search.requests import Passage
from rlm.corpus.corpus import build_handle
from rlm.corpus.handles import Handle
from rlm.errors import LanguageModelUnavailableError, RunCancelledError, not_cancelled
from rlm.events import Reading, Turn
from rlm.llm.budgets import Budget, Limits, Usage
from rlm.llm.port import Finished, SubCall, SubFailure, SubReply, ignore_result
from rlm.runs.attempt import RunClock
from rlm.runs.bodies import build_limits_body, parse_limits
from rlm.runs.durable import DurableRun
from tests.fakes.memory_log import MemoryLog
from tests.fakes.passages import passage
from tests.fakes.runs import RUN
from tests.fakes.whole_replies import WholeReplies

PAID = Usage(1, 10, 2)


class Died(Exception):
    """The process ended here."""


AWAY = LanguageModelUnavailableError("It is away.", retry_after_seconds=3.0, sent=False)


class CountingCalls(WholeReplies):
    """Answers each prompt with how often it was asked; dies when it has answered `dies_after` calls.

    Once it has answered `away_after` it cannot be reached; `refusing` it refuses everything, at `refused` each. Prompts
    that are `failing` fail with a code, the first `failing_times` times that they are asked.
    """

    def __init__(self, dies_after: int | None = None) -> None:
        self.asked: Counter[str] = Counter()
        self.dies_after = dies_after
        self.away_after: int | None = None
        self.refusing = False
        self.refused = PAID
        self.failing: dict[str, str] = {}
        self.failing_times = 1_000

    def run(
        self,
        calls: Sequence[SubCall],
        *,
        cancelled: Callable[[], bool] = not_cancelled,
        on_result: Finished = ignore_result,
    ) -> Sequence[SubReply | SubFailure]:
        results: list[SubReply | SubFailure] = []
        for at, call in enumerate(calls):
            if self.dies_after is not None and self.asked.total() >= self.dies_after:
                raise Died
            if self.away_after is not None and self.asked.total() >= self.away_after:
                results.append(SubFailure(AWAY.code, AWAY.detail, error=AWAY))
                on_result(at, results[-1])
                continue
            self.asked[call.prompt] += 1
            code = AWAY.code if self.refusing else self.failing.get(call.prompt)
            if code is not None and self.asked[call.prompt] <= self.failing_times:
                results.append(SubFailure(code, "It failed.", self.refused))
            else:
                results.append(SubReply(f"{call.prompt} {self.asked[call.prompt]}", PAID))
            on_result(at, results[-1])
        return results


def call(prompt: str) -> SubCall:
    return SubCall("", prompt, 10)


def texts(results: Sequence[SubReply | SubFailure]) -> list[str]:
    return [result.text if isinstance(result, SubReply) else result.code for result in results]


def attempt(log: MemoryLog, inner: CountingCalls, batches: Sequence[Sequence[str]]) -> list[list[str]]:
    """Run a program that asks batch after batch; what it saw."""
    run = DurableRun(RUN, log)
    calls = run.wrap_sub_calls(inner, Budget(Limits()), None)
    try:
        return [texts(calls.run([call(prompt) for prompt in batch])) for batch in batches]
    finally:
        run.close()


PROGRAMS = st.lists(st.lists(st.sampled_from("abc"), max_size=6), min_size=1, max_size=5)


@given(PROGRAMS, st.lists(st.integers(0, 8), max_size=4))
def test_however_often_it_dies_a_run_asks_nothing_twice_and_ends_as_if_it_had_not(
    program: list[list[str]], deaths: list[int]
) -> None:
    undisturbed, inner = CountingCalls(), CountingCalls()
    expected = attempt(MemoryLog(), undisturbed, program)
    log = MemoryLog()
    for death in deaths:
        inner.dies_after = inner.asked.total() + death
        try:
            attempt(log, inner, program)
        except Died:
            continue
    inner.dies_after = None
    assert attempt(log, inner, program) == expected
    assert inner.asked == undisturbed.asked


@given(PROGRAMS, st.lists(st.integers(0, 8), max_size=4))
def test_however_often_the_model_is_away_a_run_ends_as_if_it_had_not_been(
    program: list[list[str]], outages: list[int]
) -> None:
    undisturbed, inner = CountingCalls(), CountingCalls()
    expected = attempt(MemoryLog(), undisturbed, program)
    log = MemoryLog()
    for outage in outages:
        inner.away_after = inner.asked.total() + outage
        try:
            attempt(log, inner, program)
        except LanguageModelUnavailableError:
            continue
    inner.away_after = None
    assert attempt(log, inner, program) == expected
    assert inner.asked == undisturbed.asked


def test_a_model_that_is_away_ends_the_attempt_with_its_own_error_and_leaves_nothing_in_the_log() -> None:
    log, inner = MemoryLog(), CountingCalls()
    inner.away_after = 1
    for _ in range(9):
        with pytest.raises(LanguageModelUnavailableError) as raised:
            attempt(log, inner, [["a", "b"], ["c"]])
        assert raised.value.retry_after_seconds == 3.0
    assert [entry.body["text"] for entry in log.entries] == ["a 1"]
    assert inner.asked == Counter(a=1)


def test_a_server_that_refuses_everything_is_waited_for_however_often_it_does() -> None:
    log, inner = MemoryLog(), CountingCalls()
    attempt(log, inner, [["a"]])
    inner.refusing = True
    for _ in range(9):
        with pytest.raises(LanguageModelUnavailableError):
            attempt(log, inner, [["a"], ["b", "c"]])
    inner.refusing = False
    first, then = attempt(log, inner, [["a"], ["b", "c"]])
    assert (first, [text.split()[0] for text in then]) == (["a 1"], ["b", "c"])


def test_what_a_model_fails_on_each_time_while_it_answers_others_is_gone_on_without() -> None:
    log, inner = MemoryLog(), CountingCalls()
    inner.failing = {"b": AWAY.code}
    for _ in range(2):
        with pytest.raises(LanguageModelUnavailableError):
            attempt(log, inner, [["a", "b"], ["c"]])
    expected = [["a 1", AWAY.code], ["c 1"]]
    assert attempt(log, inner, [["a", "b"], ["c"]]) == expected
    asked = inner.asked.copy()
    assert (asked["a"], asked["b"], asked.total()) == (1, 4, 7)  # one of them to see whether it answers at all
    assert attempt(log, inner, [["a", "b"], ["c"]]) == expected
    assert inner.asked == asked
    assert sum(entry.spent.calls for entry in log.entries) == 7


def test_what_was_refused_until_the_model_came_back_is_answered_after_all() -> None:
    log, inner = MemoryLog(), CountingCalls()
    inner.failing, inner.failing_times = {"b": AWAY.code}, 3
    for _ in range(2):
        with pytest.raises(LanguageModelUnavailableError):
            attempt(log, inner, [["b"]])
    assert attempt(log, inner, [["b"]]) == [["b 4"]]
    assert attempt(log, inner, [["b"]]) == [["b 4"]]


def test_what_ran_out_of_time_a_few_times_is_not_asked_for_again() -> None:
    log, inner = MemoryLog(), CountingCalls()
    inner.failing = {"a": "language_model_timeout"}
    for _ in range(5):
        assert attempt(log, inner, [["a"]]) == [["language_model_timeout"]]
    assert inner.asked == Counter(a=3)
    assert sum(entry.spent.calls for entry in log.entries) == 3


def test_each_reply_is_logged_before_it_is_used_and_its_cost_counts_once() -> None:
    log = MemoryLog()
    run = DurableRun(RUN, log)
    run.wrap_sub_calls(CountingCalls(), Budget(Limits()), None).run([call("a"), call("b")])
    assert [(entry.body["text"], entry.spent.calls) for entry in log.entries] == [("a 1", 1), ("b 1", 1)]
    run.close()


def test_a_failure_that_would_come_again_is_not_asked_for_again() -> None:
    log, inner = MemoryLog(), CountingCalls()
    inner.failing = {"a": "context_too_long"}
    first = attempt(log, inner, [["a"]])
    inner.failing = {}
    assert attempt(log, inner, [["a"]]) == first == [["context_too_long"]]


def test_what_failed_because_the_model_was_away_is_asked_again_and_what_it_cost_is_counted() -> None:
    log, inner = MemoryLog(), CountingCalls()
    inner.failing = {"a": "language_model_timeout"}
    assert attempt(log, inner, [["a"], ["b"]]) == [["language_model_timeout"], ["b 1"]]
    inner.failing = {}
    assert attempt(log, inner, [["a"], ["b"]]) == [["a 2"], ["b 1"]]
    assert sum(entry.spent.calls for entry in log.entries) == 3


def test_a_resumed_budget_has_spent_at_each_point_what_it_had_spent_there_before() -> None:
    log, inner = MemoryLog(), CountingCalls()
    attempt(log, inner, [["a"], ["b"]])
    run = DurableRun(replace(RUN, seconds=50.0), log)
    budget = run.build_budget(Limits(calls=5, seconds=60), None)
    calls = run.wrap_sub_calls(inner, budget, None)
    seen = [budget.spending.calls]
    for prompt in "abc":
        calls.run([call(prompt)])
        seen.append(budget.spending.calls)
    left = budget.get_remaining_limits()
    assert seen == [0, 1, 2, 2]  # the third went to a model, which settles with its own budget
    assert left.seconds is not None
    assert 0 < left.seconds <= 10
    run.close()


def test_meeting_again_what_was_done_takes_none_of_the_time_that_is_left() -> None:
    log, inner = MemoryLog(), CountingCalls()
    attempt(log, inner, [["a"], ["b"]])
    now = [100.0]
    clock = RunClock(50.0, lambda: now[0])
    run = DurableRun(replace(RUN, seconds=50.0), log, clock)
    budget = run.build_budget(Limits(seconds=60), None)
    part = budget.create_child()
    calls = run.wrap_sub_calls(inner, part, None)
    left = []
    for prompt in ("a", "b", "c", "a"):  # the last is asked a second time: that is new
        now[0] += 14
        calls.run([call(prompt)])
        calls.run([])
        left.append((clock(), budget.get_remaining_limits().seconds, part.get_remaining_limits().seconds))
    assert left == [(50, 10, 10), (50, 10, 10), (50, 10, 10), (64, 0, 0)]
    run.close()


def test_the_clock_of_a_run_stands_no_longer_than_its_earlier_attempts_took() -> None:
    now = [0.0]
    clock = RunClock(30.0, lambda: now[0])
    seen = []
    for second in (10, 30, 31, 45):
        now[0] = second
        seen.append(clock())
    clock.resume()
    clock.resume()
    now[0] = 50
    assert (seen, clock()) == ([30, 30, 31, 45], 50)


def resumed(log: MemoryLog) -> Run:
    """The run as its next attempt finds it."""
    return replace(
        RUN,
        events=len(log.entries) + 1,
        spent=RunSpending(
            sum(entry.spent.calls for entry in log.entries),
            sum(entry.spent.cached for entry in log.entries),
            sum(entry.spent.prompt_tokens for entry in log.entries),
            sum(entry.spent.completion_tokens for entry in log.entries),
        ),
    )


def test_what_was_spent_and_is_not_come_to_again_is_charged_before_anything_new_is_sent() -> None:
    log, inner = MemoryLog(), CountingCalls()
    inner.failing = {"b": "language_model_timeout"}
    attempt(log, inner, [["a"], ["b"], ["c"], ["d"]])
    inner.failing = {}
    run = DurableRun(resumed(log), log)
    budget = run.build_budget(Limits(calls=10), None)
    calls = run.wrap_sub_calls(inner, budget.create_child(), None)
    seen = [budget.spending.calls]
    for prompt in ("a", "b", "c", "e"):
        calls.run([call(prompt)])
        seen.append(budget.spending.calls)
    assert seen == [1, 2, 4, 4, 4]  # b was lost; c, met after b was sent again, is charged already, and d is not met
    assert (budget.spending.prompt_tokens, budget.spending.completion_tokens) == (40, 8)
    run.close()


def test_threads_that_send_and_meet_at_once_charge_everything_once() -> None:
    log, inner = MemoryLog(), CountingCalls()
    prompts = [str(number) for number in range(40)]
    attempt(log, inner, [prompts])
    run = DurableRun(resumed(log), log)
    budget = run.build_budget(Limits(), None)
    calls = run.wrap_sub_calls(inner, budget, None)
    asked = [*prompts[:20], "new", *prompts[20:], "newer"]
    threads = [threading.Thread(target=lambda p=prompt: calls.run([call(p)])) for prompt in asked]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    run.close()
    assert budget.spending.calls == 40


class CancelledCalls(WholeReplies):
    """Answers the first call, and is cancelled while the second is under way."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget

    def run(
        self,
        calls: Sequence[SubCall],
        *,
        cancelled: Callable[[], bool] = not_cancelled,
        on_result: Finished = ignore_result,
    ) -> Sequence[SubReply | SubFailure]:
        for _ in calls[:2]:
            self._budget.reserve(prompt_tokens=10, completion_tokens=2).settle(prompt_tokens=10, completion_tokens=2)
        on_result(0, SubReply("a", PAID))
        raise RunCancelledError("The run was cancelled.")


def test_requests_that_were_given_up_are_spent_when_the_run_goes_on() -> None:
    log = MemoryLog()
    for _ in range(2):
        run = DurableRun(resumed(log), log)
        budget = run.build_budget(Limits(calls=20), None)
        with pytest.raises(RunCancelledError):
            run.wrap_sub_calls(CancelledCalls(budget), budget, None).run([call("a"), call("b"), call("c")])
        run.close()
    assert [entry.kind for entry in log.entries] == ["call", "lost", "call", "lost"]
    assert (log.load_lost_usage(), resumed(log).spent.calls) == (PAID + PAID, 4)
    run = DurableRun(resumed(log), log)
    assert (
        run.build_budget(Limits(calls=20), None).get_remaining_limits().calls == 18
    )  # and two more, when they are met
    run.close()
    assert len(log.entries) == 4


def test_what_was_spent_in_vain_is_gone_from_the_budget() -> None:
    log, inner = MemoryLog(), CountingCalls()
    inner.failing = {"a": "language_model_timeout"}
    attempt(log, inner, [["a"]])
    run = DurableRun(RUN, log)
    assert run.build_budget(Limits(calls=5), None).get_remaining_limits().calls == 4
    run.close()


def test_a_cell_is_logged_once_over_all_attempts() -> None:
    log = MemoryLog()
    for seconds in (1.0, 2.0):
        run = DurableRun(RUN, log)
        run.record_turn(Turn(1, 0, "x = 1", "", "out", None, seconds, 3))
        run.close()
    (entry,) = log.entries
    assert (entry.kind, entry.body["sub_calls"], entry.body["code"]) == ("cell", 3, "x = 1")


def test_limits_are_the_same_after_they_were_kept() -> None:
    limits = Limits(calls=3, dollars=Decimal("0.10"), seconds=2.5)
    assert parse_limits(json.loads(json.dumps(build_limits_body(limits)))) == limits


def test_a_cached_reply_costs_nothing() -> None:
    class Cached(CountingCalls):
        def run(self, calls: Sequence[SubCall], **_: object) -> Sequence[SubReply | SubFailure]:
            return [SubReply("kept", PAID, cached=True) for _ in calls]

    log = MemoryLog()
    assert attempt(log, Cached(), [["a"]]) == [["kept"]]
    assert (log.entries[0].spent.calls, log.entries[0].spent.cached) == (0, 1)


def test_a_run_that_was_taken_away_gets_no_reply_to_use() -> None:
    log = MemoryLog()
    log.failure = LeaseLostError("lost")
    with pytest.raises(LeaseLostError):
        attempt(log, CountingCalls(), [["a"]])


def test_threads_in_another_order_get_what_was_logged() -> None:
    log, inner = MemoryLog(), CountingCalls()
    attempt(log, inner, [["a"], ["b"], ["a"]])
    run = DurableRun(RUN, log)
    calls, seen = run.wrap_sub_calls(inner, Budget(Limits()), None), []
    threads = [
        threading.Thread(target=lambda p=prompt: seen.extend(texts(calls.run([call(p)])))) for prompt in ("a", "a", "b")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    run.close()
    assert sorted(seen) == ["a 1", "a 2", "b 1"]
    assert inner.asked == Counter(a=2, b=1)


def searched(log: MemoryLog, found: Sequence[Passage]) -> Sequence[Passage]:
    run = DurableRun(RUN, log)
    try:
        return run.wrap_search(lambda query, top_k: found)("Why?", 10)
    finally:
        run.close()


def test_a_search_finds_again_what_it_found_but_nothing_that_was_deleted_since() -> None:
    log = MemoryLog()
    before = [passage("One."), passage("Two.", document="doc-2")]
    assert searched(log, before) == before
    assert searched(log, []) == before
    log.gone = {"doc-2-v1"}
    assert searched(log, []) == before[:1]


def test_searches_of_single_documents_are_told_apart_though_their_query_is_the_same() -> None:
    log = MemoryLog()

    def find(found: Sequence[Passage], document: str) -> Sequence[Handle]:
        run = DurableRun(RUN, log)
        try:
            return run.wrap_document_search(lambda query, top_k: found, document)("Why?", 10)
        finally:
            run.close()

    first, second = [passage("One.")], [passage("Two.", document="doc-2")]
    spans = [list(map(build_handle, each)) for each in (first, second)]
    assert [find(first, "doc-1"), find(second, "doc-2")] == spans
    assert find([], "doc-2") == spans[1], "though the search of the other document was not repeated first"
    assert find([], "doc-1") == spans[0]
    logged = json.dumps([entry.body for entry in log.entries])
    assert "One." not in logged, "the spans are enough to read the passages again"
    assert "Handbook" in logged
    log.gone = {"doc-2-v1"}
    assert find([], "doc-2") == []


def test_nonces_are_the_same_in_each_attempt_and_differ_between_runs_and_prompts() -> None:
    first, again, other = (
        DurableRun(RUN, MemoryLog()),
        DurableRun(RUN, MemoryLog()),
        DurableRun(replace(RUN, id="s"), MemoryLog()),
    )
    nonces = [first.create_nonce(), first.create_nonce()]
    assert [again.create_nonce(), again.create_nonce()] == nonces
    assert len({*nonces, other.create_nonce()}) == 3
    for run in (first, again, other):
        run.close()


def test_the_day_of_an_attempt_is_the_one_on_which_the_run_was_asked_for() -> None:
    late = datetime(2024, 5, 17, 23, 59, tzinfo=UTC).timestamp()
    run = DurableRun(replace(RUN, created_at=late), MemoryLog())
    assert run.get_today() == date(2024, 5, 17)
    run.close()


def test_what_a_strategy_says_of_itself_is_logged_once_over_all_attempts() -> None:
    log = MemoryLog()
    for _ in range(2):
        run = DurableRun(RUN, log)
        run.record_event(Reading(1, (passage("One."),)))
        run.record_event(Reading(2, (passage("One."),)))
        run.close()
    assert [entry.body["call"] for entry in log.entries] == [1, 2]


def test_waiting_for_a_model_that_reads_nothing_spends_no_calls_of_the_run() -> None:
    log, inner = MemoryLog(), CountingCalls()
    inner.refusing, inner.refused = True, Usage(4, 0, 0)
    for _ in range(10):
        with pytest.raises(LanguageModelUnavailableError):
            attempt(log, inner, ["a"])
    assert resumed(log).spent.calls == 0
    inner.refusing = False
    assert attempt(log, inner, ["a"]) == [["a 11"]]
