"""Work on records that nobody wants any more."""

import pytest

from rlm.errors import RunCancelledError
from rlm.operators.operators import Operators, run_operator
from tests.fakes.rule_subcalls import RuleSubCalls
from tests.support.kinds_of_lines import LABELS, LIMITS, Signalling, corpus_and_records, kind, lines


def test_work_can_be_cancelled() -> None:
    corpus, records = corpus_and_records(lines(20))
    with pytest.raises(RunCancelledError):
        run_operator(
            Operators(corpus, RuleSubCalls(kind), cancelled=lambda: True).classify(records, ["animal", "plant"])
        )


@pytest.mark.parametrize("at", [128, 200, 200 + 128], ids=["the sample", "training", "the others"])
def test_work_that_no_model_does_can_be_cancelled(at: int) -> None:
    corpus, records = corpus_and_records([f"{text} {n}" for n, text in enumerate(lines(1_500))])
    embedder = Signalling(at)
    operators = Operators(corpus, RuleSubCalls(kind), embedder, cascade_limits=LIMITS, cancelled=embedder.cancelled)
    with pytest.raises(RunCancelledError):
        run_operator(operators.classify(records, LABELS))
    assert sum(embedder.portions) == at


def test_reading_the_records_can_be_cancelled() -> None:
    corpus, records = corpus_and_records(lines(5))
    calls = RuleSubCalls(lambda text: "yes")
    with pytest.raises(RunCancelledError):
        run_operator(Operators(corpus, calls, cancelled=lambda: True).judge_pairs([(records[0], records[1])], "Both?"))
