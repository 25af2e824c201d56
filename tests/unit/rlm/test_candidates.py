from rlm.candidates import candidates
from tests.fakes.passages import passage


def test_a_sentence_that_leans_on_the_one_before_is_shown_with_it() -> None:
    text = "Ann built the mill. She died in 1852. It rained."
    found = candidates("When did she die?", [passage(text)], lambda _, texts: [float("died" in t) for t in texts], 1)
    assert [each.text for each in found] == ["Ann built the mill. She died in 1852."]
    twice = candidates("?", [passage("Same."), passage("Same.")], lambda _, texts: [0.0] * len(texts), 5)
    assert len(twice) == 1
