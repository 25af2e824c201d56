"""Yes and no by likelihoods: what is asked, and what is made of what is told."""

import pytest

from retrieval.embedding import HashingEmbedder
from rlm.corpus.records import SplitBy, Splitting, split
from rlm.operators.judged import JudgedBy
from rlm.operators.operators import Operators, finish
from rlm.operators.packing import PackLimits
from rlm.operators.verdicts import VerdictsWeighed
from rlm.subcalls.port import SubCall
from tests.fakes.rule_subcalls import RuleSubCalls
from tests.fakes.weighed_subcalls import WeighedSubCalls
from tests.support.corpora import corpus_of


class Measured(HashingEmbedder):
    """Says that it is the encoder that verdicts are measured with."""

    def __init__(self, dimension: int) -> None:
        super().__init__(dimension)
        self.fingerprint = "all-MiniLM-L6-v2"


ASKED = "Is this one of the messages that mention a leak?"
TEXTS = [f"Message {n}: the {'pipe is leaking' if n % 4 == 0 else 'lamp is dark'} in hall {n}." for n in range(40)]
CORPUS = corpus_of("\n".join(TEXTS), markdown=False)
RECORDS = split(CORPUS, Splitting(SplitBy.LINE)).handles


def test_each_record_is_asked_about_after_a_text_that_says_nothing() -> None:
    task = VerdictsWeighed(ASKED)
    call = task.call(["a leak", ""])
    assert call.prompt.startswith(ASKED)
    assert [context.text for context in call.contexts] == ["Text: -", "Text: a leak", "Text: -"]
    assert {(context.lead, context.continuations) for context in call.contexts} == {("Answer:", (" yes", " no"))}
    assert task.read({"1": [-3.0, -1.0], "2": [-1.0, -2.0], "3": [-3.0, -1.0]}, 1) == 3.0
    assert task.read({"1": [-3.0, -1.0], "2": [-1.0, -2.0], "3": [-3.0, -1.0]}, 2) == 0.0


@pytest.mark.parametrize("values", [{}, {"2": [-1.0, -2.0]}, {"1": [-1.0, -2.0]}, {"1": [-1.0], "2": [-1.0, -2.0]}])
def test_a_reply_with_a_number_missing_says_nothing_of_the_record(values: dict[str, object]) -> None:
    assert VerdictsWeighed(ASKED).read(values, 1) is None


def told(favourite: float, leaking: float) -> WeighedSubCalls:
    """A model that likes "no" by `favourite`, and "yes" by `leaking` more where something leaks, or less elsewhere."""

    def likelihood(_: SubCall, text: str, answer: str) -> float:
        if answer == " no":
            return favourite
        return 0.0 if text.endswith("-") else leaking if "leaking" in text else -leaking

    return WeighedSubCalls(likelihood)


@pytest.mark.parametrize("favourite", [-20.0, 0.0, 20.0])
def test_what_a_model_says_whatever_it_reads_is_taken_off(favourite: float) -> None:
    calls = told(favourite, 40.0)
    operators = Operators(CORPUS, calls, Measured(64), limits=PackLimits(10, 500), weigh=True)
    found = finish(operators.filter(RECORDS, ASKED, subject="a leak"))
    assert list(found.labels) == ["yes" if "leaking" in text else "no" for text in TEXTS]
    assert set(found.judged_by) == {JudgedBy.MODEL}
    assert found.usage.calls == len(calls.calls) == 4


@pytest.mark.parametrize(("leaking", "label"), [(40.0, "yes"), (-40.0, "no")])
def test_all_records_may_be_meant_and_none(leaking: float, label: str) -> None:
    records = [handle for handle, text in zip(RECORDS, TEXTS, strict=True) if "leaking" in text]
    operators = Operators(CORPUS, told(0.0, leaking), Measured(64), weigh=True)
    assert set(finish(operators.filter(records, ASKED)).labels) == {label}


def test_a_record_near_to_what_is_asked_for_needs_less_of_a_yes() -> None:
    corpus = corpus_of("a leak\nan oak", markdown=False)
    records = split(corpus, Splitting(SplitBy.LINE)).handles
    operators = Operators(corpus, told(0.0, 0.0), Measured(64), weigh=True)
    assert list(finish(operators.filter(records, ASKED, subject="a leak")).labels) == ["yes", "no"]


def test_records_of_a_call_that_failed_are_told_and_the_others_judged() -> None:
    calls = WeighedSubCalls(
        lambda call, text, answer: 0.0,
        fails=lambda call: any("hall 7." in context.text for context in call.contexts),
    )
    operators = Operators(CORPUS, calls, Measured(64), limits=PackLimits(10, 500), weigh=True)
    found = finish(operators.filter(RECORDS, ASKED))
    assert [at for at, label in enumerate(found.labels) if label is None] == list(range(10))
    assert not found.coverage.complete


def test_what_something_is_not_is_asked_in_words() -> None:
    calls = RuleSubCalls(lambda text: "no" if "leaking" in text else "yes")
    operators = Operators(CORPUS, calls, Measured(64), weigh=True)
    found = finish(operators.filter(RECORDS, "Is this one of the messages that don't mention a leak?"))
    assert found.counts() == {"yes": 30, "no": 10}
    assert not any(call.contexts for call in calls.calls)


def test_beside_another_encoder_yes_and_no_are_asked_for() -> None:
    calls = RuleSubCalls(lambda text: "yes" if "leaking" in text else "no")
    found = finish(Operators(CORPUS, calls, HashingEmbedder(64), weigh=True).filter(RECORDS, ASKED))
    assert found.counts() == {"yes": 10, "no": 30}
    assert not any(call.contexts for call in calls.calls)
