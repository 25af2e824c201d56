from decimal import Decimal

import pytest

from rlm.llm.prices import Price
from tests.benchmark.tasks.corpus import Form, GoldSpan, Question
from tests.benchmark.tasks.results import Outcome, judge, summarize

SPAN = GoldSpan("a.txt", 10, 60)
RIGHT = Question("q-1", "needle", "dye", "?", Form.TEXT, ("scarlet",), ("scarlet", "mauve"), (SPAN,))
NOT_THERE = Question("q-2", "needle", "unanswerable", "?", Form.TEXT, ())


def test_a_row_has_scores_costs_and_shares_of_evidence() -> None:
    outcome = Outcome(
        "q-1", "scarlet [1]", read=[SPAN], cited=[GoldSpan("a.txt", 0, 5)], calls=2, prompt_tokens=2_000_000
    )
    row = judge(RIGHT, outcome, Price(Decimal(2), Decimal(8)))
    assert (row.score, row.evidence_read, row.evidence_cited, row.citation_precision) == (1.0, 1.0, 0.0, 0.0)
    assert row.cost_usd == 4.0


def test_an_error_scores_nothing_even_where_silence_would_be_right() -> None:
    assert judge(NOT_THERE, Outcome("q-2", declined=True)).score == 1.0
    assert judge(NOT_THERE, Outcome("q-2", declined=True, error="timed out")).score == 0.0


def test_sums_tell_answerable_from_unanswerable() -> None:
    rows = [
        judge(RIGHT, Outcome("q-1", "mauve", calls=3, seconds=4.0, tokens_in_scope=100, tokens_read=50)),
        judge(NOT_THERE, Outcome("q-2", "They do not say so.", declined=True, calls=1, seconds=2.0)),
    ]
    sums = summarize(rows)
    assert sums["questions"] == 2
    assert (sums["score"], sums["score_answerable"], sums["refused_unanswerable"]) == (0.5, 0.0, 1.0)
    assert (sums["calls"], sums["seconds"], sums["coverage"]) == (4, 6.0, 0.5)
    assert sums["score_low"] < 0.5 < sums["score_high"]
    assert sums["evidence_cited"] is None
    assert sums["cost_usd"] is None
    assert summarize([])["score"] is None


def test_outcomes_of_other_systems_are_read_from_json() -> None:
    raw = {"id": "q-1", "answer": "scarlet", "cited": [{"document": "a.txt", "start": 0, "end": 60}]}
    row = judge(RIGHT, Outcome.from_json(raw))
    assert (row.score, row.evidence_cited, row.evidence_read) == (1.0, 1.0, None)
    with pytest.raises(TypeError):
        Outcome.from_json({"question": "q-1"})
