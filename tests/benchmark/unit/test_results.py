import pytest

from tests.benchmark.results import Outcome, Row, summarize, wilson
from tests.benchmark.tasks.folder import Form, GoldSpan, Question

GOLD = (GoldSpan("a.txt", 100, 200), GoldSpan("b.txt", 0, 50))
RIGHT = Question("q-1", "dye", "?", Form.TEXT, ("scarlet",), ("scarlet", "mauve"), GOLD)
NOT_THERE = Question("q-2", "unanswerable", "?", Form.TEXT, ())


@pytest.mark.parametrize(
    ("cited", "share", "precision"),
    [
        ([GoldSpan("a.txt", 150, 400)], 0.5, 1.0),
        ([GoldSpan("a.txt", 151, 400)], 0.0, 1.0),
        ([GoldSpan("a.txt", 90, 210), GoldSpan("b.txt", 0, 50)], 1.0, 1.0),
        ([GoldSpan("b.txt", 100, 200)], 0.0, 0.0),
        ([GoldSpan("a.txt", 190, 260), GoldSpan("a.txt", 200, 260)], 0.0, 0.5),
        ([GoldSpan("a.txt", 0, 50_000)], 0.5, 0.0),
        ([], 0.0, None),
        (None, None, None),
    ],
)
def test_citations_cover_gold_by_half_and_point_at_it_if_they_are_short(
    cited: list[GoldSpan] | None, share: float | None, precision: float | None
) -> None:
    row = Row(RIGHT, Outcome("scarlet", cited=cited))
    assert (row.evidence_cited, row.citation_precision) == (share, precision)
    assert Row(NOT_THERE, Outcome("mauve", cited=cited)).evidence_cited is None


def test_an_error_scores_nothing_even_where_silence_would_be_right() -> None:
    assert Row(NOT_THERE, Outcome(declined=True)).score == 1.0
    assert Row(NOT_THERE, Outcome(declined=True, error="timed out")).score == 0.0


def test_sums_tell_exact_answers_and_what_they_cost() -> None:
    rows = [
        Row(RIGHT, Outcome("mauve", calls=3, seconds=4.0, tokens_in_scope=100, tokens_read=50)),
        Row(NOT_THERE, Outcome("They do not say so.", declined=True, calls=1, seconds=2.0)),
    ]
    sums = summarize(rows)
    assert (sums["questions"], sums["exact"], sums["score"], sums["score_unanswerable"]) == (2, 1, 0.5, 1.0)
    assert (sums["calls"], sums["seconds"], sums["coverage"]) == (4, 6.0, 0.5)
    assert summarize([])["score"] is None


def test_wilson_agrees_with_published_values() -> None:
    """Newcombe, Statistics in Medicine 17 (1998), table I: 81 of 263, 0 of 20."""
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)
