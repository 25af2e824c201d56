"""Pairs of records that a model judges, from the question to the answer."""

import json
import re
from itertools import combinations

import pytest

from ingest.runs import RunState
from rlm.answers import Answer, AnswerStatus
from rlm.corpus.corpus import Corpus
from rlm.errors import LanguageModelUnavailableError, NotExhaustiveError
from rlm.estimates import estimate
from rlm.exhaustive import ExhaustiveStrategy
from rlm.operators.aggregate import Key
from rlm.operators.cascade import CascadeLimits
from rlm.operators.operators import Operators
from rlm.operators.packing import PackLimits
from rlm.plan.layout import look
from rlm.plan.plan import JudgePairs, RecordPairs
from rlm.plan.record_pairs import MOST_PAIRS
from rlm.plan.rules import plan_by_rules
from rlm.profiles import ModelProfile
from rlm.routing import Wanted, route
from rlm.runs.bodies import state_of
from rlm.strategy_names import StrategyName
from rlm.subcalls.port import SubFailure
from tests.fakes.rule_subcalls import RuleSubCalls
from tests.support.corpora import corpus_of

FAULTS = ("leaks at the door", "hums at night", "will not start", "smells of smoke")
ROWS = [(number, f"c{number % 3}", FAULTS[number * number % 4]) for number in range(1, 25)]
TICKETS = "\n".join(f"Ticket: {n} || Customer: {customer} || Text: The machine {fault}." for n, customer, fault in ROWS)
SAME_FAULT = "Which pairs of tickets describe the same fault?"
BY_CUSTOMER = "Which pairs of tickets from the same customer describe the same fault?"


def alike(text: str) -> str:
    """What the rule says of "first: … second: …"."""
    first, _, second = text.partition("second: ")
    return "yes" if [fault for fault in FAULTS if fault in first] == [f for f in FAULTS if f in second] else "no"


def answer(corpus: Corpus, calls: RuleSubCalls, question: str) -> Answer:
    return ExhaustiveStrategy(corpus, Operators(corpus, calls), calls, "scripted").answer(question)


def tickets_of(found: Answer, corpus: Corpus) -> set[tuple[int, int]]:
    """The numbers of the tickets of each pair."""
    assert found.result is not None
    assert isinstance(found.result.value, list)
    whole = corpus.documents[0].handle
    pairs = set()
    for pair in found.result.value:
        one, other = (corpus.text(whole[span["start"] : span["end"]]) for span in pair)
        pairs.add((_number(one), _number(other)))
    return pairs


def _number(text: str) -> int:
    match = re.match(r"Ticket: (\d+)", text)
    assert match is not None, text
    return int(match[1])


@pytest.mark.parametrize(("question", "by_customer"), [(SAME_FAULT, False), (BY_CUSTOMER, True)])
def test_every_pair_that_code_leaves_is_judged_and_named(question: str, by_customer: bool) -> None:
    corpus, calls = corpus_of(TICKETS, titles=("tickets.txt",)), RuleSubCalls(alike)
    assert (
        route(question, Wanted(), lambda: corpus, can_judge=True, can_program=True).strategy is StrategyName.EXHAUSTIVE
    )
    found = answer(corpus, calls, question)
    candidates = [(a, b) for a, b in combinations(ROWS, 2) if not by_customer or a[1] == b[1]]
    assert len(calls.records()) == len(candidates)
    assert tickets_of(found, corpus) == {(a[0], b[0]) for a, b in candidates if a[2] == b[2]}
    assert found.status is AnswerStatus.ANSWERED
    assert found.coverage is not None
    assert found.coverage.complete
    first, second = re.findall(r"\d+", found.text.split("\n")[0])
    quoted = {citation.number: citation.quote for citation in found.citations}
    assert (_number(quoted[int(first)]), _number(quoted[int(second)])) in tickets_of(found, corpus)


def test_records_that_stand_alone_are_not_asked_about() -> None:
    corpus = corpus_of("\n".join(f"Ticket: {n} || Customer: c{n} || Text: It hums at night." for n in range(9)))
    calls = RuleSubCalls(alike)
    found = answer(corpus, calls, "Which pairs of records from the same customer are alike?")
    assert calls.calls == []
    assert found.status is AnswerStatus.NOT_FOUND


def test_conditions_on_written_fields_leave_records_out() -> None:
    corpus, calls = corpus_of(TICKETS), RuleSubCalls(alike)
    found = answer(corpus, calls, "Which pairs of records of customer c1 describe the same fault?")
    mine = [row for row in ROWS if row[1] == "c1"]
    assert tickets_of(found, corpus) == {(a[0], b[0]) for a, b in combinations(mine, 2) if a[2] == b[2]}
    assert len(calls.records()) == len(mine) * (len(mine) - 1) // 2


def test_a_pair_that_nobody_judged_makes_the_answer_partial() -> None:
    corpus = corpus_of(TICKETS)
    calls = RuleSubCalls(alike, lambda call: SubFailure("timeout", "slow") if call is calls.calls[0] else None)
    found = answer(corpus, calls, SAME_FAULT)
    assert found.status is AnswerStatus.PARTIAL
    assert state_of(found) is RunState.PARTIAL
    assert tickets_of(found, corpus)


def test_where_no_pair_can_be_judged_the_reason_is_raised() -> None:
    calls = RuleSubCalls(alike, lambda call: SubFailure("language_model_unavailable", "It is away."))
    with pytest.raises(LanguageModelUnavailableError):
        answer(corpus_of(TICKETS), calls, SAME_FAULT)


def test_too_many_pairs_are_refused_before_anything_is_spent() -> None:
    many = corpus_of("\n".join(f"Ticket: {n} || Text: It hums at night." for n in range(200)))
    calls = RuleSubCalls(alike)
    with pytest.raises(NotExhaustiveError, match="19,900 pairs") as raised:
        answer(many, calls, "Which pairs of records are alike?")
    assert "same in both" in (raised.value.hint or "")
    assert calls.calls == []
    assert MOST_PAIRS < 19_900


def test_an_estimate_counts_pairs() -> None:
    corpus = corpus_of(TICKETS)
    layout = look(corpus)
    profile = ModelProfile("m", 32_000, 2_000)
    costs = []
    for question in (SAME_FAULT, BY_CUSTOMER):
        plan = plan_by_rules(question, layout)
        assert plan is not None
        costs.append(estimate(plan, layout, corpus, profile, pack=PackLimits(10), cascade=CascadeLimits()))
    assert [cost.calls for cost in costs] == [28, 9]
    assert costs[0].prompt_tokens > costs[1].prompt_tokens > 0


def test_a_model_may_ask_for_pairs_in_its_form() -> None:
    form = {
        "yes_no_question": "Do both describe the same fault?",
        **{"labels": [], "values": [], "where": [], "compute": "pairs", "column": "customers"},
    }
    corpus = corpus_of(TICKETS)
    calls = RuleSubCalls(alike, lambda call: json.dumps(form) if call.purpose == "plan" else None)
    found = answer(corpus, calls, "Duplicates, all told?")
    assert tickets_of(found, corpus) == {(a[0], b[0]) for a, b in combinations(ROWS, 2) if (a[1], a[2]) == (b[1], b[2])}


@pytest.mark.parametrize(
    "asked",
    [
        "Which pairs of tickets about the same fault are not from the same customer?",
        "Which pairs of tickets from different customers describe the same fault?",
        "Which pairs of tickets, one from customer c1 and one from customer c2, are alike?",
        "Which pairs of tickets from the same customer have the same ticket?",
        "How many pairs of tickets aren't alike?",
    ],
)
def test_what_would_be_asked_of_the_wrong_pairs_is_no_plan_by_rules(asked: str) -> None:
    assert plan_by_rules(asked, look(corpus_of(TICKETS, titles=("tickets.txt",)))) is None


@pytest.mark.parametrize(
    "what", ["pairs of open support tickets", "pairs of two different tickets", "pairs of the tickets"]
)
def test_pairs_may_be_asked_for_in_several_words(what: str) -> None:
    corpus = corpus_of(TICKETS, titles=("tickets.txt",))
    for how in ("Which", "List all", "What are the", "Find every"):
        found = route(
            f"{how} {what} that describe the same fault?", Wanted(), lambda: corpus, can_judge=True, can_program=True
        )
        assert found.strategy is StrategyName.EXHAUSTIVE
        assert found.plan is not None
        assert found.plan.answer == RecordPairs()


def test_pairs_are_counted_where_that_is_asked() -> None:
    corpus = corpus_of(TICKETS, titles=("tickets.txt",))
    found = answer(corpus, RuleSubCalls(alike), "How many pairs of tickets describe the same fault?")
    assert found.result is not None
    assert found.result.value == sum(a[2] == b[2] for a, b in combinations(ROWS, 2)) > 0
    assert found.text.startswith(str(found.result.value))


def test_too_many_pairs_are_read_for_instead_or_left_to_a_model_that_programs() -> None:
    corpus = corpus_of("\n".join(f"Ticket: {n} || Text: It hums at night, they say." for n in range(2_000)))
    asked = "Which pairs of records are alike?"
    assert route(asked, Wanted(), lambda: corpus, can_judge=True).strategy is StrategyName.DIRECT
    assert route(asked, Wanted(), lambda: corpus, can_judge=True, can_program=True).strategy is StrategyName.RECURSIVE


def test_some_pairs_that_nobody_judged_leave_the_others() -> None:
    corpus = corpus_of("\n".join(f"Ticket: {n} || Text: It hums at night." for n in range(4)))
    calls = RuleSubCalls(alike, lambda call: SubFailure("timeout", "slow") if len(calls.calls) in (1, 6) else None)
    operators = Operators(corpus, calls, limits=PackLimits(records=1))
    found = ExhaustiveStrategy(corpus, operators, calls, "scripted").answer("Which pairs of records are alike?")
    assert tickets_of(found, corpus) == {(0, 2), (0, 3), (1, 2), (1, 3)}
    assert found.status is AnswerStatus.PARTIAL
    assert any("2 pairs of records have no result" in reason for reason in found.reasons)


def test_of_a_pair_that_was_cut_the_longer_record_is_said_to_be() -> None:
    lines = [f"Ticket: {n} || Text: It hums." for n in range(5)]
    corpus = corpus_of("\n".join([*lines, f"Ticket: 5 || Text: {'It hums at night. ' * 1_000}"]))
    found = answer(corpus, RuleSubCalls(alike), "Which pairs of records are alike?")
    assert any(reason.startswith("1 record was judged by its beginning") for reason in found.reasons)


def test_a_form_s_pairs_cost_no_more_than_was_estimated() -> None:
    form = {
        "yes_no_question": "Are both alike?",
        **{"labels": [], "values": [], "where": [], "compute": "pairs", "column": ""},
    }
    corpus = corpus_of("\n".join(f"Ticket: {n} || Text: It hums at night." for n in range(100)))
    calls = RuleSubCalls(alike, lambda call: json.dumps(form) if call.purpose == "plan" else None)
    with pytest.raises(NotExhaustiveError, match="4,950 pairs"):
        answer(corpus, calls, "Duplicates, all told?")
    assert len(calls.calls) == 1


def test_rules_leave_other_questions_of_pairs_alone() -> None:
    layout = look(corpus_of(TICKETS))
    plan = plan_by_rules(BY_CUSTOMER, layout)
    assert plan is not None
    assert plan.answer == RecordPairs()
    assert [step.key for step in plan.steps if isinstance(step, JudgePairs)] == [Key("Customer")]
    assert plan_by_rules("Which pairs go together?", layout) is None
