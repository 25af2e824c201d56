from tests.benchmark.tasks.corpus import GoldSpan
from tests.benchmark.tasks.evidence import precision, recall

GOLD = (GoldSpan("a.txt", 100, 200), GoldSpan("b.txt", 0, 50))


def test_a_gold_span_is_covered_by_half() -> None:
    assert recall(GOLD, [GoldSpan("a.txt", 150, 400)]) == 0.5
    assert recall(GOLD, [GoldSpan("a.txt", 151, 400)]) == 0.0
    assert recall(GOLD, [GoldSpan("a.txt", 90, 210), GoldSpan("b.txt", 0, 50)]) == 1.0


def test_the_same_place_in_another_document_covers_nothing() -> None:
    assert recall(GOLD, [GoldSpan("b.txt", 100, 200)]) == 0.0
    assert precision(GOLD, [GoldSpan("b.txt", 100, 200)]) == 0.0


def test_citations_are_precise_when_they_touch_gold() -> None:
    assert precision(GOLD, [GoldSpan("a.txt", 190, 260), GoldSpan("a.txt", 200, 260)]) == 0.5


def test_citing_a_whole_document_is_not_precise() -> None:
    assert precision(GOLD, [GoldSpan("a.txt", 0, 50_000)]) == 0.0


def test_without_gold_or_citations_there_is_nothing_to_measure() -> None:
    assert recall((), [GoldSpan("a.txt", 0, 5)]) is None
    assert precision((), [GoldSpan("a.txt", 0, 5)]) is None
    assert precision(GOLD, ()) is None
    assert recall(GOLD, ()) == 0.0
