"""What was judged before, and is not judged again."""

from collections.abc import Collection, Mapping, Sequence

import pytest

from ingest.catalog.replies import StoredReply
from retrieval.embedding import Embedded, HashingEmbedder
from rlm.operators.cascade import CascadeLimits
from rlm.operators.inference import Inferences
from rlm.operators.operators import Operators, finish
from rlm.operators.packing import PackLimits
from rlm.subcalls.cache import MemoryReplyCache
from rlm.subcalls.kept import NotKeptError
from tests.fakes.rule_subcalls import RuleSubCalls
from tests.support.kinds_of_lines import LABELS, LENGTH, LIMITS, corpus_and_records, kind, lines


def test_equal_questions_are_equal_calls_so_that_a_cache_can_answer_them() -> None:
    corpus, records = corpus_and_records(lines(300))
    first, second = RuleSubCalls(kind), RuleSubCalls(kind)
    for calls in (first, second):
        finish(Operators(corpus, calls, HashingEmbedder()).classify(records, ["animal", "plant"]))
    assert first.calls == second.calls


def test_operators_of_kept_replies_send_nothing_and_say_what_was_found_before() -> None:
    corpus, records = corpus_and_records(lines(57))
    calls = RuleSubCalls(kind)
    made = Operators(corpus, calls, are_kept=lambda asked: all(call in calls.calls for call in asked))
    kept = made.of_kept(len(records), 2)
    assert kept is not None
    with pytest.raises(NotKeptError):
        finish(kept.classify(records, LABELS))
    assert calls.calls == []
    found = finish(made.classify(records, LABELS))
    assert finish(kept.classify(records, LABELS)).labels == found.labels
    with pytest.raises(NotKeptError):
        finish(kept.classify(records[1:], LABELS))


def test_nothing_is_kept_without_a_cache_or_where_a_classifier_would_judge() -> None:
    corpus, records = corpus_and_records(lines(5))
    limits = CascadeLimits(read_all=4)
    assert Operators(corpus, RuleSubCalls(kind)).of_kept(len(records), 2) is None
    cascading = Operators(corpus, RuleSubCalls(kind), cascade_limits=limits, are_kept=lambda _: True)
    assert cascading.of_kept(1_000, 4) is None
    assert cascading.of_kept(1_000, 5) is not None
    many = Operators(corpus, RuleSubCalls(kind), cascade_limits=CascadeLimits(), are_kept=lambda _: True)
    assert many.of_kept(1_000, 100) is None
    assert many.of_kept(1_000, 101) is not None


def test_a_part_of_what_was_found_is_covered_and_cut_as_if_it_alone_had_been_asked_about() -> None:
    corpus, records = corpus_and_records(["a cat", "an oak " + "x" * 2_993, "a heron", "a fern"])
    places = [1, 3]
    some = [records[place] for place in places]
    labelling = Operators(corpus, RuleSubCalls(kind), limits=PackLimits(10, 500))
    part, alone = (
        finish(labelling.classify(records, LABELS)).part(corpus, places),
        finish(labelling.classify(some, LABELS)),
    )
    assert (part.records, part.labels, part.judged_by) == (alone.records, alone.labels, alone.judged_by)
    assert (part.cut, part.coverage, part.counts()) == (alone.cut, alone.coverage, alone.counts())
    assert part.cut == {0: 0.5}
    taking = Operators(corpus, RuleSubCalls(lambda text: {"length": len(text)}), limits=PackLimits(10, 500))
    taken = finish(taking.extract(records, "How long?", LENGTH)).part(corpus, places)
    alone_taken = finish(taking.extract(some, "How long?", LENGTH))
    assert (taken.records, taken.values) == (alone_taken.records, alone_taken.values)
    assert (taken.cut, taken.coverage) == (alone_taken.cut, alone_taken.coverage)


def test_records_that_a_classifier_judged_are_not_embedded_again() -> None:
    texts = [f"{text} {n}" for n, text in enumerate(lines(1_500))]
    corpus, records = corpus_and_records(texts)
    cache = MemoryReplyCache()
    embedded: list[int] = []
    found = []

    class Counting(HashingEmbedder):
        def documents(self, texts: Sequence[str], *, in_background: bool = False) -> Embedded:
            embedded.append(len(texts))
            return super().documents(texts)

    def classified(tenant_id: str, encoder: str = "words"):  # type: ignore[no-untyped-def]
        embedded.clear()
        inferences = Inferences(cache, tenant_id, encoder)
        operators = Operators(corpus, RuleSubCalls(kind), Counting(), cascade_limits=LIMITS, inferences=inferences)
        found.append(finish(operators.classify(records, ["animal", "plant"])))
        return sum(embedded)

    first = classified("ann")
    again = classified("ann")
    assert found[0] == found[1]
    inferred = found[0].coverage.slices_inferred
    assert inferred > 500
    assert again <= first - inferred
    assert classified("bob") == first  # another tenant's are not seen
    assert classified("ann", "other words") == first


def test_kept_labels_that_cannot_be_read_are_made_again() -> None:
    class Broken(MemoryReplyCache):
        def get(self, tenant_id: str, keys: Collection[str]) -> Mapping[str, StoredReply]:
            return {key: StoredReply(key, "not what was written", 0, 0, 0) for key in keys}

        def put(self, tenant_id: str, replies: Sequence[StoredReply]) -> None:
            raise OSError("full")

    texts = [f"{text} {n}" for n, text in enumerate(lines(1_500))]
    corpus, records = corpus_and_records(texts)
    found = [
        finish(
            Operators(
                corpus, RuleSubCalls(kind), HashingEmbedder(), cascade_limits=LIMITS, inferences=inferences
            ).classify(records, ["animal", "plant"])
        )
        for inferences in (Inferences(), Inferences(Broken(), "ann", "words"))
    ]
    assert found[0] == found[1]
