import pytest

from rlm.chains.wholes import saying_all
from rlm.strategies import never
from rlm.subcalls.port import SubCall
from tests.fakes.weighed_subcalls import WeighedSubCalls

STATUES = "Which bridge has a woman with crown and a person asking for alms?"
SAID = {"a woman with crown": "queen", "a person asking for alms?": "beggar"}
BOTH, QUEEN, BEGGAR = "A queen and a beggar.", "A queen and a swan.", "A swan and a beggar."
OTHERS = ["It rained.", "The hay was wet.", "A swan flew."]


def by_parts(call: SubCall, text: str, continuation: str) -> float:
    return -sum(4.0 if word in text else 8.0 for phrase, word in SAID.items() if phrase in continuation)


def test_a_sentence_must_say_every_part() -> None:
    calls = WeighedSubCalls(by_parts)
    found, usage = saying_all(STATUES, [QUEEN, BOTH, BEGGAR], OTHERS, calls, never)
    assert found == [False, True, False]
    assert usage.calls == 1
    leads = {context.lead + context.continuations[0] for context in calls.calls[0].contexts}
    assert leads == {STATUES}


def test_without_one_that_says_all_none_does() -> None:
    found, _ = saying_all(STATUES, [QUEEN, BEGGAR], OTHERS, WeighedSubCalls(by_parts), never)
    assert found == [False, False]


@pytest.mark.parametrize(
    ("said", "best", "usual", "expected"),
    [
        (-16.0, -10.0, -20.0, True),  # far from the best, but likelier than usual
        (-19.0, -10.0, -20.0, False),
        (-19.0, -17.5, -20.0, True),  # no likelier than usual, but nearly the best there is
        (-3.5, -0.5, -3.5, True),  # likely after anything
        (-4.5, -0.5, -4.5, False),
    ],
)
def test_a_part_is_said_where_it_is_likelier_than_usual_or_nowhere_more_likely_or_likely_anyway(
    said: float, best: float, usual: float, expected: bool
) -> None:
    values = {QUEEN: said, BOTH: best}

    def told(call: SubCall, text: str, continuation: str) -> float:
        return next((value for sentence, value in values.items() if sentence in text), usual)

    found, _ = saying_all("Which bridge has a queen?", [QUEEN, BOTH], OTHERS, WeighedSubCalls(told), never)
    assert found == [expected, True]


def test_nothing_is_said_of_one_part_nor_by_a_model_that_does_not_tell() -> None:
    calls = WeighedSubCalls(by_parts)
    assert saying_all("Who is Ahab?", [QUEEN], OTHERS, calls, never)[0] is None
    assert saying_all(STATUES, [QUEEN], [], calls, never)[0] is None
    assert calls.calls == []
    found, usage = saying_all(STATUES, [QUEEN], OTHERS, WeighedSubCalls(by_parts, fails=lambda _: True), never)
    assert (found, usage.prompt_tokens) == (None, 5)
