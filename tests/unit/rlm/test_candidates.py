from rlm.candidates import distinct_sentences, nearest
from tests.fakes.passages import passage


def test_a_sentence_that_leans_on_the_one_before_is_shown_with_it() -> None:
    shown = [passage("Ann built the mill. She died in 1852. It rained.")]
    sentences = distinct_sentences(shown)
    found = nearest("When did she die?", sentences, shown, lambda _, texts: [float("died" in t) for t in texts], 1)
    assert [each.text for each in found] == ["Ann built the mill. She died in 1852."]


def test_the_same_sentence_counts_once() -> None:
    assert len(distinct_sentences([passage("Same."), passage("Same.")])) == 1
