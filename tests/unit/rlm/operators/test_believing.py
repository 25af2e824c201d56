"""How far a model's labels are believed: a classifier, a second reading, likelihoods."""

import random

from retrieval.embedding import HashingEmbedder
from rlm.llm.port import SubCall
from rlm.operators.cascade import EVERY_RECORD
from rlm.operators.judged import JudgedBy
from rlm.operators.operators import Operators, finish
from tests.fakes.rule_subcalls import RuleSubCalls
from tests.fakes.weighed_subcalls import WeighedSubCalls
from tests.support.kinds_of_lines import (
    LIMITS,
    corpus_and_records,
    fits,
    kind,
    lines,
)


def test_a_cascade_reads_a_part_and_is_right_about_the_rest() -> None:
    texts = [f"{text} {n}" for n, text in enumerate(lines(1_500))]
    corpus, records = corpus_and_records(texts)
    calls = RuleSubCalls(kind)
    operators = Operators(corpus, calls, HashingEmbedder(), cascade_limits=LIMITS)
    found = finish(operators.classify(records, ["animal", "plant"]))
    right = sum(label == kind(text) for label, text in zip(found.labels, texts, strict=True))
    assert right / len(texts) > 0.95
    assert found.coverage.slices_inferred > 500
    assert found.coverage.complete
    assert found.doubt.agreement >= LIMITS.target
    counted, interval = found.estimate("animal")
    truth = sum(kind(text) == "animal" for text in texts)
    assert interval is not None
    assert interval.low <= truth <= interval.high
    assert abs(counted - truth) < 0.05 * len(texts)


def test_where_no_classifier_can_tell_the_model_reads_everything() -> None:
    source = random.Random(5)
    texts = [f"{source.getrandbits(64):x}" for _ in range(600)]
    corpus, records = corpus_and_records(texts)

    def parity(text: str) -> str:
        return "even" if int(text, 16) % 2 else "odd"

    operators = Operators(corpus, RuleSubCalls(parity), HashingEmbedder(), cascade_limits=LIMITS)
    found = finish(operators.classify(records, ["even", "odd"]))
    assert list(found.labels) == [parity(text) for text in texts]
    assert found.coverage.slices_inferred == 0


def test_a_second_look_mends_the_single_mistakes_of_a_first_reading() -> None:
    texts = [f"{text} {n}" for n, text in enumerate(lines(400))]
    slips = {text for n, text in enumerate(texts) if n % 8 == 0}

    class Slipping(RuleSubCalls):
        def _result(self, call: SubCall):  # type: ignore[no-untyped-def]
            turned = call.prompt.index("- plant") < call.prompt.index("- animal")
            self.rule = lambda text: kind(text) if turned or text not in slips else _other(kind(text))
            return super()._result(call)

    corpus, records = corpus_and_records(texts)
    operators = Operators(corpus, Slipping(kind), HashingEmbedder())
    found = finish(operators.classify(records, ["animal", "plant"]))
    right = sum(label == kind(text) for label, text in zip(found.labels, texts, strict=True))
    assert right / len(texts) > 0.97  # the first reading alone: 0.875


def _other(label: str) -> str:
    return "plant" if label == "animal" else "animal"


def test_a_model_that_agrees_with_itself_reads_the_rest_once() -> None:
    texts = [f"{text} {n}" for n, text in enumerate(lines(700))]
    corpus, records = corpus_and_records(texts)
    calls = RuleSubCalls(kind)
    found = finish(Operators(corpus, calls, HashingEmbedder()).classify(records, ["animal", "plant"]))
    assert list(found.labels) == [kind(text) for text in texts]
    assert len(calls.records()) == 700 + 200
    assert found.doubt.steadiness == 1.0


def test_a_model_that_wavers_reads_everything_twice() -> None:
    texts = [f"{text} {n}" for n, text in enumerate(lines(700))]

    class Wavering(RuleSubCalls):
        def _result(self, call: SubCall):  # type: ignore[no-untyped-def]
            turned = call.prompt.index("- plant") < call.prompt.index("- animal")
            self.rule = lambda text: _other(kind(text)) if turned and text.endswith("7") else kind(text)
            return super()._result(call)

    corpus, records = corpus_and_records(texts)
    calls = Wavering(kind)
    finish(Operators(corpus, calls).classify(records, ["animal", "plant"]))
    assert len(calls.records()) == 2 * 700


def test_every_record_is_read_where_that_is_asked_for() -> None:
    texts = [f"{text} {n}" for n, text in enumerate(lines(1_500))]
    corpus, records = corpus_and_records(texts)
    operators = Operators(corpus, RuleSubCalls(kind), HashingEmbedder(), cascade_limits=EVERY_RECORD)
    found = finish(operators.classify(records, ["animal", "plant"]))
    assert list(found.labels) == [kind(text) for text in texts]
    assert set(found.judged_by) == {JudgedBy.MODEL}
    assert found.estimate("animal") == (sum(kind(text) == "animal" for text in texts), None)


def test_labels_of_a_model_that_tells_likelihoods_are_weighed_and_nothing_is_read() -> None:
    texts = [f"{line} of row {number}" for number, line in enumerate(lines(60))]
    corpus, records = corpus_and_records(texts)

    def told(call: SubCall, text: str, answer: str) -> float:
        favourite = 5.0 if answer.strip() == "plant" else 0.0
        return favourite + fits(call, text, answer)

    calls = WeighedSubCalls(told)
    operators = Operators(corpus, calls, HashingEmbedder(64), weigh=True)
    found = finish(operators.classify(records, ["animal", "plant"]))
    assert list(found.labels) == [kind(text) for text in texts]
    assert {call.purpose for call in calls.calls} == {"classify"}
    assert found.usage.calls == len(calls.calls) == 12
    assert found.doubt.steadiness is None


def test_records_whose_likelihoods_are_refused_are_told_and_the_others_labelled() -> None:
    texts = [f"{line} of row {number}" for number, line in enumerate(lines(60))]
    corpus, records = corpus_and_records(texts)
    calls = WeighedSubCalls(
        fits,
        fails=lambda call: any(context.text.endswith("of row 7") for context in call.contexts),
    )
    found = finish(Operators(corpus, calls, HashingEmbedder(64), weigh=True).classify(records, ["animal", "plant"]))
    assert [at for at, label in enumerate(found.labels) if label is None] == list(range(10))
    assert list(found.labels[10:]) == [kind(text) for text in texts[10:]]
    assert not found.coverage.complete


def test_few_records_or_yes_and_no_are_read_and_not_weighed() -> None:
    texts = lines(12)
    corpus, records = corpus_and_records(texts)
    calls = RuleSubCalls(kind)
    found = finish(Operators(corpus, calls, HashingEmbedder(64), weigh=True).classify(records, ["animal", "plant"]))
    assert list(found.labels) == [kind(text) for text in texts]
    assert not any(call.contexts for call in calls.calls)
