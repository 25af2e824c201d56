"""Whole questions of which a classifier judges most records: how far off the answer may be."""

from retrieval.embedding import HashingEmbedder
from rlm.answers import Answer, AnswerStatus
from rlm.exhaustive import ExhaustiveStrategy
from rlm.operators.cascade import CascadeLimits
from rlm.operators.operators import Operators
from rlm.subcalls.port import SubCall
from tests.fakes.rule_subcalls import RuleSubCalls
from tests.support.corpora import corpus_of
from tests.support.labelled_records import PREAMBLE, by_label, document, label_of
from tests.support.whole_questions import MANY, first_line


def inferring(question: str) -> Answer:
    """The answer with a classifier that learns from 200 records."""
    corpus, calls = corpus_of(document(MANY)), RuleSubCalls(label_of)
    limits = CascadeLimits(read_all=100, sample=200, target=0.9)
    operators = Operators(corpus, calls, HashingEmbedder(), cascade_limits=limits)
    made = ExhaustiveStrategy(corpus, operators, calls, "scripted")
    return made.answer(f"{PREAMBLE} Question: {question}")


def test_a_count_of_labels_that_a_classifier_gave_states_its_error() -> None:
    answer = inferring("How many records have the label 'plant'?")
    assert answer.coverage is not None
    assert answer.coverage.slices_inferred > 500
    assert answer.coverage.complete
    assert answer.status is AnswerStatus.ANSWERED
    assert answer.result is not None
    interval = answer.result.interval
    assert interval is not None
    assert interval.low <= by_label(MANY)["plant"] <= interval.high
    assert 0 < interval.high - interval.low < 300
    assert f"({interval.low:g} to {interval.high:g} at 95 %)" in answer.text
    assert any("agreed with the model on" in reason for reason in answer.reasons)
    assert "labelled by a classifier" in answer.text


def test_a_large_part_has_the_labels_of_the_whole_and_its_share_of_their_error() -> None:
    corpus, calls = corpus_of(document(MANY)), RuleSubCalls(label_of)
    limits = CascadeLimits(read_all=100, sample=200, target=0.9)
    kept: list[SubCall] = []
    operators = Operators(
        corpus,
        calls,
        HashingEmbedder(),
        cascade_limits=limits,
        are_kept=lambda asked: all(call in kept for call in asked),
    )
    made = ExhaustiveStrategy(corpus, operators, calls, "scripted")

    def ask(question: str) -> tuple[Answer, int]:
        kept[:] = calls.calls
        answer = made.answer(f"{PREAMBLE} Question: {question}")
        return answer, sum(call not in kept for call in calls.calls)

    whole, _ = ask("How many records have the label 'plant'?")
    day = sorted(record.when for record in MANY)[len(MANY) // 2]
    part, new = ask(f"How many records after {day:%Y-%m-%d} have the label 'plant'?")
    rest, more = ask(f"How many records until {day:%Y-%m-%d} have the label 'plant'?")
    assert (new, more) == (0, 0)
    assert whole.result is not None
    assert part.result is not None
    counts = [int(first_line(each)) for each in (whole, part, rest)]
    assert abs(counts[0] - counts[1] - counts[2]) <= 1
    expected = by_label([record for record in MANY if record.when > day])["plant"]
    interval = part.result.interval
    assert interval is not None
    assert whole.result.interval is not None
    assert interval.low <= expected <= interval.high
    assert 0 < interval.high - interval.low < whole.result.interval.high - whole.result.interval.low
    user = MANY[0].user
    few = [record for record in MANY if record.user == user and record.when > day]
    assert len(few) <= 100
    one, new = ask(f"How many records of user {user} after {day:%Y-%m-%d} have the label 'plant'?")
    assert first_line(one) == str(by_label(few)["plant"])
    assert one.result is not None
    assert one.result.interval is None
    assert new > 0


def test_so_does_a_ranking_and_a_comparison() -> None:
    ranked = inferring("Which of the labels is the most common?")
    assert ranked.result is not None
    assert ranked.result.value == "animal"
    assert ranked.result.interval is not None
    assert "at 95 %" in ranked.text
    compared = inferring("Is label 'animal' more common, less common or as common as label 'plant'?")
    assert compared.text.count("at 95 %") == 2
    assert "A classifier gave" in compared.text


def test_pairs_by_labels_that_a_classifier_gave_say_so() -> None:
    answer = inferring(
        "List all pairs of two different users where both users have at least 40 records with the label 'animal'."
    )
    assert answer.result is not None
    assert answer.result.kind == "pairs"
    assert "of such labels were not the model's" in answer.text
