"""The answerability score on questions with and without what answers them."""

from collections.abc import Collection, Sequence

import pytest

from retrieval.passages import Passage
from rlm.answerability import THRESHOLD
from rlm.evaluation.answerability import OPERATING_POINTS, AskedTwice, ask_twice, discrimination
from rlm.strategies import Retriever
from tests.fakes.passages import passage

TEXTS = {
    "whale": passage("The blue whale has a heart of four hundred pounds.", cosine=0.7),
    "ship": passage("The Pequod sailed from Nantucket.", cosine=0.2),
}
QUESTIONS = {"1": "How heavy is the heart of the blue whale?", "2": "Is this judged?"}


def retriever(removed: Collection[str] = ()) -> Retriever:
    def retrieve(question: str) -> Sequence[Passage]:
        return [text for name, text in TEXTS.items() if name not in removed]

    return retrieve


def test_each_question_that_is_answered_is_asked_with_and_without_what_answers_it() -> None:
    (asked,) = ask_twice(QUESTIONS, {"1": {"whale"}, "2": ()}, retriever(), retriever)
    assert asked.question == "1"
    assert asked.answerable > THRESHOLD > asked.unanswerable


def test_where_nothing_is_left_to_be_found_the_score_is_nought() -> None:
    (asked,) = ask_twice(QUESTIONS, {"1": {"whale", "ship"}}, retriever(), retriever)
    assert asked.unanswerable == 0.0


def test_the_area_and_the_shares_under_each_threshold_are_told() -> None:
    asked = [AskedTwice("1", 1.4, 0.2), AskedTwice("2", 1.0, 0.5), AskedTwice("3", 1.2, 1.15), AskedTwice("4", 0.1, 0)]
    found = discrimination(asked)
    assert found.auc.mean == pytest.approx(12 / 16)
    assert found.auc.low <= found.auc.mean <= found.auc.high
    assert {point.decides for point in found.points} == set(OPERATING_POINTS)
    shares = {point.threshold: (point.answerable_under, point.unanswerable_under) for point in found.points}
    assert shares[THRESHOLD] == (0.5, 0.75)
