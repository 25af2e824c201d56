"""Records too long for one call: they are read whole, part by part, and judged by what was noted."""

import json

import pytest

from rlm.llm.budgets import Usage
from rlm.llm.port import SubCall, SubFailure, SubReply
from rlm.operators.operators import Operators, run_operator
from rlm.operators.packing import PackLimits
from tests.fakes.rule_subcalls import RuleSubCalls
from tests.support.kinds_of_lines import LABELS, corpus_and_records, kind

SMALL = PackLimits(10, 500)


class NoteTaking(RuleSubCalls):
    """Notes down the sentences of a part that name `word`, and answers yes to records that do so themselves."""

    def __init__(self, word: str) -> None:
        super().__init__(lambda text: "yes" if word in text else "no")
        self.word = word
        self.parts: list[str] = []

    def _result(self, call: SubCall) -> SubReply | SubFailure:
        if "consecutive parts" not in call.prompt:
            return super()._result(call)
        lines = call.prompt.split("BEGIN records", 1)[1].split("\n")[1:]
        parts = [line.partition(". ")[2] for line in lines[: lines.index("")] if line[0].isdigit()]
        self.parts += parts
        noted = {str(at): self.word if self.word in part else "" for at, part in enumerate(parts, start=1)}
        return SubReply(json.dumps(noted), Usage(1, 100, 10))


@pytest.mark.parametrize("before", [10, 4_000, 9_000])
def test_what_stands_anywhere_in_a_long_record_decides(before: int) -> None:
    corpus, records = corpus_and_records(["short", f"{'word ' * (before // 5)} leak {'word ' * 200}", "word " * 900])
    calls = NoteTaking("leak")
    found = run_operator(Operators(corpus, calls, limits=SMALL).filter(records, "Does it report a leak?"))
    assert found.labels == ["no", "yes", "no"]
    assert found.coverage.is_complete
    assert found.coverage.tokens_read == found.coverage.tokens_in_scope


def test_the_parts_of_a_long_record_hold_all_of_its_text() -> None:
    words = [f"w{number}" for number in range(2_000)]
    corpus, records = corpus_and_records([" ".join(words)])
    calls = NoteTaking("leak")
    run_operator(Operators(corpus, calls, limits=SMALL).filter(records, "Does it report a leak?"))
    assert max(map(len, calls.parts)) <= SMALL.record_chars
    seen = {word for part in calls.parts for word in part.split()}
    assert seen >= set(words)


def test_packs_stay_within_their_tokens() -> None:
    corpus, records = corpus_and_records([f"cat {n} " + "x" * 1_000 for n in range(6)])
    calls = RuleSubCalls(kind)
    found = run_operator(Operators(corpus, calls, limits=SMALL).classify(records, LABELS))
    assert max(len(call.prompt) for call in calls.calls) < 500 * 5
    assert set(found.labels) == {"animal"}


def test_a_part_without_notes_leaves_its_record_without_a_label_and_no_other() -> None:
    corpus, records = corpus_and_records(["leak", "word " * 900])

    class Failing(NoteTaking):
        def _result(self, call: SubCall) -> SubReply | SubFailure:
            if "word word" in call.prompt:
                return SubFailure("language_model_unavailable", "away")
            return super()._result(call)

    found = run_operator(Operators(corpus, Failing("leak"), limits=SMALL).filter(records, "Does it report a leak?"))
    assert found.labels == ["yes", None]
    assert found.refused == {"language_model_unavailable": 1}
    assert found.coverage.units_failed == 1


def test_both_records_of_a_long_pair_are_read_whole() -> None:
    corpus, records = corpus_and_records([f"{'word ' * 600} leak", f"{'word ' * 600}", f"{'other ' * 600} leak"])
    calls = NoteTaking("leak")
    calls.rule = lambda text: "yes" if text.count("leak") == 2 else "no"
    pairs = [(records[0], records[1]), (records[0], records[2])]
    found = run_operator(Operators(corpus, calls, limits=SMALL).judge_pairs(pairs, "Do both report a leak?"))
    assert found.held == [False, True]
