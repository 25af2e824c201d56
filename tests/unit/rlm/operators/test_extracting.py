"""Values that are taken out of records, whatever room their replies need."""

import pytest

from rlm.llm.budgets import Usage
from rlm.llm.port import SubCall, SubFailure, SubReply
from rlm.operators.operators import Operators, run_operator
from tests.fakes.rule_subcalls import RuleSubCalls
from tests.support.kinds_of_lines import corpus_and_records, kind


def test_values_are_taken_out_and_wrong_types_are_refused() -> None:
    corpus, records = corpus_and_records(["cat 3", "dog 4", "owl none"])
    calls = RuleSubCalls(lambda text: {"age": {"3": 3, "4": "four"}.get(text[-1])})
    working = Operators(corpus, calls).extract(records, "How old is it?", {"age": {"type": "integer"}})
    found = run_operator(working)
    assert list(found.values) == [{"age": 3}, None, {"age": None}]
    assert found.refused == {"language_model_output": 1}


class Limited(RuleSubCalls):
    """A model whose replies are cut at the room they have; what was cut is asked for once more with twice the room."""

    most_tokens = 1_024

    def _result(self, call: SubCall) -> SubReply | SubFailure:
        result = super()._result(call)
        room = max(call.max_tokens, min(2 * call.max_tokens, self.most_tokens))
        if isinstance(result, SubReply) and result.usage.completion_tokens > room:
            return SubFailure("language_model_output", "The reply was cut off.", Usage(2, 0, room))
        return result


SUMMARY = {"summary": {"type": "string"}}


@pytest.mark.parametrize("tokens", [60, 120, 300, 900])
def test_values_may_be_longer_than_was_thought(tokens: int) -> None:
    texts = [f"cat {n}" for n in range(25)]
    corpus, records = corpus_and_records(texts)
    calls = Limited(lambda text: {"summary": text.ljust(3 * tokens, "x")})
    found = run_operator(Operators(corpus, calls).extract(records, "Sum it up.", SUMMARY))
    assert [each and str(each["summary"]).rstrip("x") for each in found.values] == texts
    assert max(call.max_tokens for call in calls.calls) <= Limited.most_tokens


def test_values_that_fit_nowhere_are_refused() -> None:
    corpus, records = corpus_and_records(["cat 1", "dog 2", "owl 3"])
    calls = Limited(lambda text: {"summary": "x" * (6_000 if "dog" in text else 30)})
    found = run_operator(Operators(corpus, calls).extract(records, "Sum it up.", SUMMARY))
    assert [each is None for each in found.values] == [False, True, False]
    assert found.refused == {"language_model_output": 1}
    assert calls.records()[-3:] == ["cat 1", "dog 2", "owl 3"]


@pytest.mark.parametrize("properties", [{}, {"age": {"type": "date"}}])
def test_an_extraction_says_what_it_wants(properties: dict[str, dict[str, object]]) -> None:
    corpus, records = corpus_and_records(["x"])
    with pytest.raises(ValueError, match="propert"):
        run_operator(Operators(corpus, RuleSubCalls(kind)).extract(records, "?", properties))
