"""How far a classifier's labels are believed beside a model's."""

import random

from retrieval.encoders.port import HashingEmbedder
from rlm.operators.cascade import EVERY_RECORD
from rlm.operators.judged import JudgementSource
from rlm.operators.operators import Operators, run_operator
from tests.fakes.rule_subcalls import RuleSubCalls
from tests.support.kinds_of_lines import (
    LABELS,
    LIMITS,
    corpus_and_records,
    kind,
    lines,
)


def test_a_cascade_reads_a_part_and_is_right_about_the_rest() -> None:
    texts = [f"{text} {n}" for n, text in enumerate(lines(1_500))]
    corpus, records = corpus_and_records(texts)
    calls = RuleSubCalls(kind)
    operators = Operators(corpus, calls, HashingEmbedder(), cascade_limits=LIMITS)
    found = run_operator(operators.classify(records, ["animal", "plant"]))
    right = sum(label == kind(text) for label, text in zip(found.labels, texts, strict=True))
    assert right / len(texts) > 0.95
    assert found.coverage.units_inferred > 500
    assert found.coverage.is_complete
    assert found.doubt.agreement >= LIMITS.target
    interval = found.compute_interval([at for at, label in enumerate(found.labels) if label == "animal"])
    truth = sum(kind(text) == "animal" for text in texts)
    assert interval is not None
    assert interval.low <= truth <= interval.high
    assert interval.high - interval.low < 0.1 * len(texts)


def test_the_interval_of_a_part_is_narrower_than_that_of_the_whole() -> None:
    texts = [f"{text} {n}" for n, text in enumerate(lines(1_500))]
    corpus, records = corpus_and_records(texts)
    operators = Operators(corpus, RuleSubCalls(kind), HashingEmbedder(), cascade_limits=LIMITS)
    found = run_operator(operators.classify(records, LABELS))
    animals = [at for at, label in enumerate(found.labels) if label == "animal"]
    whole, part = found.compute_interval(animals), found.compute_interval(animals[::4])
    assert whole is not None
    assert part is not None
    assert part.high - part.low < whole.high - whole.low
    assert part.low <= len(animals[::4]) <= part.high


def test_where_no_classifier_can_tell_the_model_reads_everything() -> None:
    source = random.Random(5)
    texts = [f"{source.getrandbits(64):x}" for _ in range(600)]
    corpus, records = corpus_and_records(texts)

    def parity(text: str) -> str:
        return "even" if int(text, 16) % 2 else "odd"

    operators = Operators(corpus, RuleSubCalls(parity), HashingEmbedder(), cascade_limits=LIMITS)
    found = run_operator(operators.classify(records, ["even", "odd"]))
    assert list(found.labels) == [parity(text) for text in texts]
    assert found.coverage.units_inferred == 0


def test_every_record_is_read_where_that_is_asked_for() -> None:
    texts = [f"{text} {n}" for n, text in enumerate(lines(1_500))]
    corpus, records = corpus_and_records(texts)
    operators = Operators(corpus, RuleSubCalls(kind), HashingEmbedder(), cascade_limits=EVERY_RECORD)
    found = run_operator(operators.classify(records, ["animal", "plant"]))
    assert list(found.labels) == [kind(text) for text in texts]
    assert set(found.judged_by) == {JudgementSource.MODEL}
    assert found.compute_interval(range(len(texts))) is None
