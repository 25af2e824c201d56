"""Noun phrases whose beginning a model left out."""

import pytest

from rlm.phrases import whole_phrase

BEQUEST = "In the will of Hugo Stanhope, the eldest nephew receives a bronze sundial and nothing else."


@pytest.mark.parametrize(
    ("answer", "quoted", "whole"),
    [
        pytest.param("sundial", BEQUEST, "a bronze sundial", id="an-adjective"),
        pytest.param("Sundial.", BEQUEST, "a bronze sundial", id="otherwise-typed"),
        pytest.param("violin bow", "He pawned a left-handed violin bow.", "a left-handed violin bow", id="a-hyphen"),
        pytest.param("foot", "She favours her left foot.", "her left foot", id="a-possessive"),
        pytest.param("bowl", "Once (the smaller bowl) it was two.", "the smaller bowl", id="in-brackets"),
    ],
)
def test_what_was_left_out_is_put_back(answer: str, quoted: str, whole: str) -> None:
    assert whole_phrase(answer, quoted) == whole


@pytest.mark.parametrize(
    ("answer", "quoted"),
    [
        pytest.param("a bronze sundial", BEQUEST, id="whole-already"),
        pytest.param("bronze sundial", BEQUEST, id="without-its-article"),
        pytest.param("porridge", "Before sunrise the cook eats porridge.", id="a-verb-between"),
        pytest.param("porridge", "She eats plain porridge.", id="no-article"),
        pytest.param("Holbein", "It is by the painter Holbein.", id="a-name"),
        pytest.param("44", "He is the last of the remaining 44.", id="a-number"),
        pytest.param("days", "It took the 40 days.", id="a-count"),
        pytest.param("sundials", BEQUEST, id="not-there"),
        pytest.param("", BEQUEST, id="nothing"),
    ],
)
def test_all_else_stays_as_it_is(answer: str, quoted: str) -> None:
    assert whole_phrase(answer, quoted) == answer
