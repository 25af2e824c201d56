import pytest

from rlm.candidates import Candidate
from rlm.likeliest import rank
from rlm.strategies import never
from rlm.subcalls.port import SubCall
from tests.fakes.passages import passage
from tests.fakes.weighed_subcalls import WeighedSubCalls

QUESTION = "Which boat has a nun?"
NUN, LYNX, RAIN = "The Falcon carries a nun.", "The Curlew carries a lynx.", "It rained all day."


def by_nun(call: SubCall, text: str, continuation: str) -> float:
    return -10.0 if NUN in text else -16.0 if LYNX in text else -30.0


def of(sentence: str, score: float) -> Candidate:
    return Candidate(passage(sentence), 0, len(sentence), score)


def test_sentences_are_ranked_by_likelihood_alone() -> None:
    calls = WeighedSubCalls(by_nun)
    ranking = rank(QUESTION, [of(RAIN, 0.3), of(LYNX, 0.2), of(NUN, 0.1)], calls, never)
    assert [each.text for each in ranking.sentences] == [NUN, LYNX, RAIN]
    assert ranking.usage.calls == 1
    assert calls.calls[0].contexts[0].continuations == (QUESTION,)
    assert ranking.lead == 6.0


def test_or_by_nearness_too_and_half_as_much() -> None:
    calls = WeighedSubCalls(by_nun)
    ranking = rank(QUESTION, [of(RAIN, 0.3), of(LYNX, 0.2), of(NUN, 0.1)], calls, never, nearness=True)
    assert [each.text for each in ranking.sentences] == [NUN, LYNX, RAIN]
    calls = WeighedSubCalls(lambda call, text, continuation: -1.0)
    ranking = rank(QUESTION, [of(RAIN, 0.1), of(LYNX, 0.3), of(NUN, 0.1)], calls, never, nearness=True)
    assert [each.text for each in ranking.sentences] == [LYNX, RAIN, NUN]
    assert ranking.lead == pytest.approx(0.5 * 3 / 2**0.5, abs=0.01)


def test_a_model_that_does_not_tell_ranks_nothing() -> None:
    ranking = rank(QUESTION, [of(NUN, 0.1)], WeighedSubCalls(by_nun, fails=lambda call: True), never)
    assert (ranking.sentences, ranking.usage.prompt_tokens) == ((), 5)
    assert rank(QUESTION, [of(NUN, 0.1)], WeighedSubCalls(by_nun), never).lead == 0.0, "one sentence leads nobody"
