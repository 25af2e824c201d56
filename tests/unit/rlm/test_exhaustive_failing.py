"""Whole questions where a model, a budget or the documents fail."""

import pytest

from ingest.runs import RunState
from rlm.answers import AnswerStatus
from rlm.errors import (
    LanguageModelOutputError,
    LanguageModelRefusedError,
    LanguageModelUnavailableError,
    NotExhaustiveError,
    RunCancelledError,
)
from rlm.exhaustive import ExhaustiveStrategy
from rlm.operators.cascade import EVERY_RECORD
from rlm.operators.operators import Operators, finish
from rlm.plan.executor import execute
from rlm.plan.layout import look
from rlm.plan.rules import plan_by_rules
from rlm.runs.bodies import state_of
from rlm.subcalls.port import SubCall, SubFailure
from tests.fakes.rule_subcalls import RuleSubCalls
from tests.support.corpora import corpus_of
from tests.support.labelled_records import PREAMBLE, by_label, document, label_of
from tests.support.whole_questions import MANY, RECORDS, USERS, first_line, strategy


def test_what_failed_makes_the_answer_partial_and_is_counted() -> None:
    def fault(call: SubCall) -> SubFailure | None:
        return SubFailure("language_model_timeout", "slow") if "1. Tell me of the oak" in call.prompt else None

    corpus = corpus_of(document(RECORDS))
    calls = RuleSubCalls(label_of, fault)
    answer = strategy(corpus, calls).answer(f"{PREAMBLE} Question: How many records have the label 'animal'?")
    assert answer.status is AnswerStatus.PARTIAL
    assert answer.coverage is not None
    assert answer.coverage.slices_failed > 0
    assert "failed" in answer.text
    assert any("language model timeout" in reason for reason in answer.reasons)
    assert answer.result is not None
    assert answer.result.interval is not None
    assert not answer.claims[0].supported


COUNT = f"{PREAMBLE} Question: How many records have the label 'animal'?"
EVERY_KIND = [
    COUNT,
    f"{PREAMBLE} Question: Which of the labels is the most common?",
    f"{PREAMBLE} Question: Is the label 'plant' more common, less common, or as common as the label 'animal'?",
    f"{PREAMBLE} Question: Which user has the most records with the label 'plant'?",
    f"{PREAMBLE} Question: List all pairs of users where both users have a record with the label 'plant'.",
    "List all records that mention a plant.",
]


@pytest.mark.parametrize("question", EVERY_KIND)
def test_a_model_that_judges_nothing_is_an_error_and_no_answer(question: str) -> None:
    refused = LanguageModelRefusedError("The key is wrong.", hint="Set another.")
    calls = RuleSubCalls(label_of, lambda call: SubFailure(refused.code, refused.detail, error=refused))
    with pytest.raises(LanguageModelRefusedError) as raised:
        strategy(corpus_of(document(RECORDS)), calls).answer(question)
    assert raised.value is refused


@pytest.mark.parametrize("said", ["Certainly! Here they are.", "{}", '{"1": ["plant"]}'])
def test_so_is_one_that_answers_nonsense(said: str) -> None:
    with pytest.raises(LanguageModelOutputError, match="nothing usable"):
        strategy(corpus_of(document(RECORDS)), RuleSubCalls(label_of, lambda call: said)).answer(COUNT)


@pytest.mark.parametrize("question", EVERY_KIND)
def test_a_budget_that_covers_nothing_makes_the_answer_partial_and_unfinished(question: str) -> None:
    calls = RuleSubCalls(label_of, lambda call: SubFailure("budget_exhausted", "Nothing is left."))
    answer = strategy(corpus_of(document(RECORDS)), calls).answer(question)
    assert answer.status is AnswerStatus.PARTIAL
    assert not answer.finished
    assert not any(claim.supported for claim in answer.claims)
    assert state_of(answer) is RunState.PARTIAL


def test_where_nothing_was_found_in_what_could_be_judged_something_may_be_in_the_rest() -> None:
    def fault(call: SubCall) -> SubFailure | None:
        return SubFailure("language_model_timeout", "slow") if "10. " in call.prompt else None

    calls = RuleSubCalls(lambda text: "no", fault)
    answer = strategy(corpus_of(document(RECORDS[:285])), calls).answer("List all records that mention a ship.")
    assert answer.status is AnswerStatus.PARTIAL
    assert answer.finished
    assert "failed" in answer.text
    assert state_of(answer) is RunState.PARTIAL


def test_a_model_that_is_away_is_not_asked_about_every_record() -> None:
    calls = RuleSubCalls(label_of, lambda call: SubFailure("language_model_unavailable", "It is away."))
    corpus = corpus_of(document(MANY))
    operators = Operators(corpus, calls, cascade_limits=EVERY_RECORD)
    with pytest.raises(LanguageModelUnavailableError, match="away"):
        ExhaustiveStrategy(corpus, operators, calls, "scripted").answer(COUNT)
    assert len(calls.calls) < len({record.text for record in MANY}) / 10 / 2


def test_a_part_is_asked_about_by_itself_where_a_record_of_the_whole_has_failed() -> None:
    def fault(call: SubCall) -> SubFailure | None:
        return SubFailure("language_model_timeout", "slow") if RECORDS[0].text in call.prompt else None

    corpus = corpus_of(document(RECORDS))
    calls = RuleSubCalls(label_of, fault)
    operators = Operators(corpus, calls, are_kept=lambda asked: all(call in calls.calls for call in asked))
    made = ExhaustiveStrategy(corpus, operators, calls, "scripted")
    assert made.answer(f"{PREAMBLE} Question: How many records have the label 'animal'?").status is AnswerStatus.PARTIAL
    failed = {record.user for record in RECORDS if record.text == RECORDS[0].text}
    user = next(each for each in USERS if each not in failed)
    part = made.answer(f"{PREAMBLE} Question: How many records of user {user} have the label 'animal'?")
    assert first_line(part) == str(by_label([record for record in RECORDS if record.user == user])["animal"])
    assert part.status is AnswerStatus.ANSWERED


def test_a_form_that_cannot_be_used_is_mended_once_and_then_refused_with_the_reason() -> None:
    form = '{"yes_no_question": "", "labels": [], "values": [], "where": [], "compute": "sum", "column": "Prise"}'
    calls = RuleSubCalls(label_of, lambda call: form)
    with pytest.raises(NotExhaustiveError, match="'Prise' is neither"):
        strategy(corpus_of(document(RECORDS)), calls).answer("Prices, all told?")
    assert len(calls.calls) == 2
    assert "'Prise' is neither" in calls.calls[1].prompt


def test_a_form_that_nobody_fills_in_ends_with_the_reason() -> None:
    away = LanguageModelUnavailableError("It is away.", retry_after_seconds=3)
    calls = RuleSubCalls(label_of, lambda call: SubFailure(away.code, away.detail, error=away))
    with pytest.raises(LanguageModelUnavailableError) as raised:
        strategy(corpus_of(document(RECORDS)), calls).answer("Prices, all told?")
    assert raised.value is away


def test_a_cancelled_run_ends() -> None:
    corpus = corpus_of(document(RECORDS))
    calls = RuleSubCalls(label_of)
    made = ExhaustiveStrategy(corpus, Operators(corpus, calls, cancelled=lambda: True), calls, "scripted")
    with pytest.raises(RunCancelledError):
        made.answer(f"{PREAMBLE} Question: How many records have the label 'animal'?")


def test_filling_in_a_plan_can_be_cancelled() -> None:
    corpus = corpus_of(document(RECORDS))
    calls = RuleSubCalls(label_of)
    layout = look(corpus)
    made = ExhaustiveStrategy(corpus, Operators(corpus, calls), calls, "scripted", layout=layout)
    with pytest.raises(RunCancelledError):
        next(made.stream("What is the sum of all that was paid?", cancelled=lambda: True))
    assert calls.calls == []


def test_looking_at_the_documents_can_be_cancelled() -> None:
    events = strategy(corpus_of(document(RECORDS)), RuleSubCalls(label_of)).stream(
        "Which user has the most records?", cancelled=lambda: True
    )
    with pytest.raises(RunCancelledError):
        next(events)


def test_reading_the_rows_can_be_cancelled() -> None:
    corpus = corpus_of(document(RECORDS))
    layout = look(corpus)
    plan = plan_by_rules("Which user has the most records?", layout)
    assert plan is not None
    with pytest.raises(RunCancelledError):
        finish(execute(plan, corpus, None, records=layout.records, cancelled=lambda: True))


@pytest.mark.parametrize("text", ["", "\n\n"])
def test_a_corpus_without_text_is_refused_in_words(text: str) -> None:
    corpus = corpus_of(text)
    with pytest.raises(NotExhaustiveError):
        strategy(corpus, RuleSubCalls(label_of)).answer("Beasts, in total?")
