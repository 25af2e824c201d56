"""Records too long to be shown whole: what was shown, and what of them counts as read."""

import pytest
from rlm.operators.weighing import MOST_WRITTEN_CHARS

from retrieval.embedding import HashingEmbedder
from rlm.llm.port import SubCall
from rlm.operators.operators import Operators, finish
from rlm.operators.packing import PackLimits
from tests.fakes.rule_subcalls import RuleSubCalls
from tests.fakes.weighed_subcalls import WeighedSubCalls
from tests.support.kinds_of_lines import LABELS, corpus_and_records, fits, kind, lines


@pytest.mark.parametrize(
    ("sizes", "shown"), [((3_000, 3_000), (749, 750)), ((100, 3_000), (100, 1_399)), ((3_000, 100), (1_399, 100))]
)
def test_of_long_records_of_a_pair_both_are_seen(sizes: tuple[int, int], shown: tuple[int, int]) -> None:
    corpus, records = corpus_and_records(["a" * (sizes[0] - len("first: ")), "b" * (sizes[1] - len("second: "))])
    calls = RuleSubCalls(lambda text: "yes")
    operators = Operators(corpus, calls, limits=PackLimits(10, 500))
    found = finish(operators.pairs([(records[0], records[1])], "Are both beasts?"))
    (line,) = calls.records()
    one, other = line.split(" second: ")
    assert (len(one), len("second: " + other)) == shown
    assert found.cut == {0: 1_500 / (sum(sizes) + 1)}


def test_long_records_are_cut_and_packs_stay_within_their_tokens() -> None:
    corpus, records = corpus_and_records([f"cat {n} " + "x" * 3_000 for n in range(6)])
    calls = RuleSubCalls(kind)
    finish(Operators(corpus, calls, limits=PackLimits(10, 500)).classify(records, ["animal", "plant"]))
    assert max(len(call.prompt) for call in calls.calls) < 500 * 4
    assert len({text.split()[1] for text in calls.records()}) == 6


def test_of_a_record_that_was_cut_only_what_was_shown_counts_as_read() -> None:
    texts = ["a cat", "an oak " + "x" * 5_993, "an oak " + "x" * 5_993]
    corpus, records = corpus_and_records(texts)
    found = finish(
        Operators(corpus, RuleSubCalls(kind), limits=PackLimits(10, 500)).classify(records, ["animal", "plant"])
    )
    assert found.cut == {1: 0.25, 2: 0.25}
    assert found.coverage.slices_read == 3
    sizes = [corpus.tokens(record) for record in records]
    assert found.coverage.tokens_in_scope == sum(sizes)
    assert found.coverage.tokens_read == sizes[0] + 2 * int(sizes[1] / 4)


def test_what_was_taken_out_of_the_beginning_of_a_record_is_known() -> None:
    corpus, records = corpus_and_records(["cat 3", "dog 4 " + "x" * 2_994])
    operators = Operators(corpus, RuleSubCalls(lambda text: {"age": int(text[4])}), limits=PackLimits(10, 500))
    found = finish(operators.extract(records, "How old is it?", {"age": {"type": "integer"}}))
    assert found.cut == {1: 0.5}
    assert found.coverage.tokens_read < 0.6 * found.coverage.tokens_in_scope


def test_a_record_that_is_asked_about_again_counts_as_far_as_it_was_shown_then() -> None:
    corpus, records = corpus_and_records(["a cat", "an oak " + "x" * 1_493])
    fails = [True, True]

    def fault(call: SubCall) -> str | None:
        return "no JSON" if fails and fails.pop() else None

    found = finish(Operators(corpus, RuleSubCalls(kind, fault), limits=PackLimits(10, 500)).classify(records, LABELS))
    assert found.labels == ["animal", "plant"]
    assert found.cut == {1: 0.5}


def test_the_text_of_long_records_is_weighed_as_far_as_it_is_shown() -> None:
    texts = [f"{line} of row {number}" for number, line in enumerate(lines(40))]
    texts[7] += " " + "x" * 3_000
    corpus, records = corpus_and_records(texts)
    calls = WeighedSubCalls(fits)
    operators = Operators(corpus, calls, HashingEmbedder(64), limits=PackLimits(10, 500), weigh=True)
    found = finish(operators.classify(records, LABELS))
    assert list(found.cut) == [7]
    assert 0.4 < found.cut[7] < 0.6
    written = [
        text for call in calls.calls for each in call.contexts if "Write" in each.text for text in each.continuations
    ]
    assert max(map(len, written)) == MOST_WRITTEN_CHARS
