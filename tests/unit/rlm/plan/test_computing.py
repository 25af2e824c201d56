"""Answers over labels that a classifier gave: what is said of how far they hold."""

import pytest

from rlm.answers import Coverage, Interval
from rlm.corpus.handles import Handle
from rlm.corpus.records import SplitBy, Splitting
from rlm.operators.aggregate import Amount
from rlm.operators.judged import Classification, Doubt, JudgedBy
from rlm.operators.labels import label_set
from rlm.operators.table import LABEL, Condition, Op, Row
from rlm.plan.computing import Computed, compute
from rlm.plan.executor import Executed
from rlm.plan.plan import (
    MATCHES,
    Aggregation,
    Classify,
    Compare,
    Count,
    CountGroups,
    Filter,
    Key,
    Listing,
    Measure,
    Pairs,
    Plan,
    Rank,
    Required,
    Than,
)

# Of 100 records, 50 are a, 30 are b and 20 are c; of each label, half are Ann's.
NAMES = "a" * 50 + "b" * 30 + "c" * 20
DOUBT = Doubt(0.95, None, {"a": -2.0, "b": 1.0, "c": 1.0}, {"a": 4.0, "b": 3.0, "c": 2.0})
STATEMENT = "A classifier gave 60 of the 100 labels that this rests on; in its sample, 5.0% of such labels were not"


def classified(names: str, doubt: Doubt) -> Classification:
    handles = [Handle("d", "v", at, at + 1) for at in range(len(names))]
    inferred = 60 if doubt.half_width else 0
    judged_by = [JudgedBy.CLASSIFIER] * inferred + [JudgedBy.MODEL] * (len(names) - inferred)
    coverage = Coverage(100, 100 - inferred, 100, 100 - inferred, slices_inferred=inferred)
    labels = [None if name == "-" else name for name in names]
    return Classification(handles, labels, judged_by, coverage, doubt)


def computed(answer: Aggregation, doubt: Doubt = DOUBT, names: str = NAMES) -> Computed:
    found = classified(names, doubt)
    rows = [
        Row(handle, {"user": "Ann" if at % 2 else "Bob"} | ({} if label is None else {LABEL: label, MATCHES: "yes"}))
        for at, (handle, label) in enumerate(zip(found.records, found.labels, strict=True))
    ]
    steps = (Classify(label_set(["a", "b", "c"])), Filter("?"))
    both = {LABEL: found, MATCHES: classified("y" * 100, Doubt())}
    return compute(
        Plan(Splitting(SplitBy.LINE), answer, steps), Executed(rows, found.coverage, 0, 0, classifications=both)
    )


def label(op: Op, *names: str) -> tuple[Condition, ...]:
    return (Condition(LABEL, op, names),)


ANN = (Condition("user", Op.IS, ("Ann",)),)
YES = (Condition(MATCHES, Op.IS, ("yes",)),)
HALF = 0.5**0.5


@pytest.mark.parametrize(
    ("where", "value", "interval"),
    [
        (label(Op.IS, "a"), 48, Interval(44, 52)),
        (label(Op.IS_NOT, "a"), 52, Interval(48, 56)),
        (label(Op.IN, "a", "b"), 79, Interval(72, 86)),
        (label(Op.IN, "a", "b", "c"), 100, Interval(91, 100)),
        ((*label(Op.IN, "b", "c"), *ANN), 26, Interval(round(26 - 5 * HALF, 1), round(26 + 5 * HALF, 1))),
        (ANN, 50, None),
    ],
    ids=["is", "is not", "in", "all", "a part", "no label"],
)
def test_a_count_of_labels_has_its_range(where: tuple[Condition, ...], value: int, interval: Interval | None) -> None:
    found = computed(Count(where))
    assert (found.result.value, found.result.interval) == (value, interval)
    assert STATEMENT not in found.sentence


def test_missing_labels_may_be_any() -> None:
    names = NAMES[:-4] + "----"
    assert computed(Count(label(Op.IS_NOT, "a")), Doubt(), names).result.interval == Interval(46, 50)


@pytest.mark.parametrize(
    "answer",
    [
        Count((*label(Op.IS, "a"), *YES)),
        Count(label(Op.CONTAINS, "a")),
        Compare(label(Op.IS, "a"), label(Op.IS, "b"), ("a", "b")),
        CountGroups(Key("user"), Required(all_of=(Amount(label(Op.IS, "a"), Than.AT_LEAST, 3),))),
        Pairs(Key("user"), Required(all_of=(Amount(label(Op.IS, "a"), Than.AT_LEAST, 3),))),
        Listing((), LABEL),
        Listing(label(Op.IS, "a"), "user"),
        Rank(Key(LABEL), YES),
    ],
    ids=lambda answer: type(answer).__name__,
)
def test_what_has_no_range_says_what_it_rests_on(answer: Aggregation) -> None:
    found = computed(answer)
    assert found.result.interval is None
    assert STATEMENT in found.sentence
    assert "classifier" not in computed(answer, Doubt()).sentence


def test_what_rests_on_no_label_says_nothing_of_them() -> None:
    assert "classifier" not in computed(Rank(Key("user"))).sentence


def test_a_ranking_says_how_far_its_count_holds_and_what_else_it_may_be() -> None:
    first = computed(Rank(Key(LABEL)))
    assert first.result.interval == Interval(44, 52)
    assert "a with 48 records (44 to 52 at 95 %)." in first.sentence
    assert "may also be" not in first.sentence
    wide = Doubt(0.9, None, {}, {"a": 12.0, "b": 12.0, "c": 1.0})
    assert "Within that error it may also be b." in computed(Rank(Key(LABEL)), wide).sentence
    assert computed(Rank(Key(LABEL)), Doubt()).result.interval is None


def test_what_a_classifier_mistook_may_change_who_leads() -> None:
    """53 of 100 were called a; by the sample, about 8 of them are b."""
    doubt = Doubt(0.9, None, {"a": -8.0, "b": 8.0}, {"a": 2.0, "b": 2.0})
    names = "a" * 53 + "b" * 47
    ranked = computed(Rank(Key(LABEL)), doubt, names)
    assert (ranked.result.value, ranked.result.interval, ranked.result.table) == (
        "b",
        Interval(53, 57),
        {"b": 55, "a": 45},
    )
    assert "b with 55 records (53 to 57 at 95 %)." in ranked.sentence
    compared = computed(Compare(label(Op.IS, "a"), label(Op.IS, "b"), ("a", "b")), doubt, names)
    assert compared.said == "less common than"
    assert compared.sentence.startswith("a: 45 records (43 to 47 at 95 %); b: 55 records")


def test_two_parts_of_a_label_are_compared_as_they_were_counted() -> None:
    """Ann has 26 of 50, Bob 24; corrected for the label's mistakes both round to the same."""
    doubt = Doubt(0.9, None, {"a": -30.0, "b": 30.0}, {"a": 2.0, "b": 2.0})
    names = "a" * 48 + "baba" + "b" * 48
    bob = (Condition("user", Op.IS, ("Bob",)),)
    found = computed(Compare((*label(Op.IS, "a"), *ANN), (*label(Op.IS, "a"), *bob), ("Ann", "Bob")), doubt, names)
    assert found.said == "more common than"
    assert found.result.table == {"Ann": 10, "Bob": 10}
    assert "it may be the other way round" in found.sentence


def test_a_part_in_which_no_label_was_found_may_have_some_too() -> None:
    """All of Bob's 25 records were called b, by a classifier that takes some a for b."""
    doubt = Doubt(0.9, None, {}, {"a": 8.0, "b": 8.0})
    names = "".join("b" if at % 4 == 0 else "a" for at in range(100))
    rows_of_bob = (Condition("user", Op.IS, ("Bob",)),)
    found = computed(
        Compare((*label(Op.IS, "a"), *rows_of_bob), (*label(Op.IS, "a"), *ANN), ("Bob", "Ann")), doubt, names
    )
    assert "Bob: 25 records" in found.sentence
    none = "".join("b" if at % 2 == 0 else "a" for at in range(100))
    found = computed(Count((*label(Op.IS, "a"), *rows_of_bob)), doubt, none)
    assert (found.result.value, found.result.interval) == (0, Interval(0, round(8 * HALF, 1)))


def test_a_label_that_occurs_is_ranked_however_little_is_left_of_it() -> None:
    doubt = Doubt(0.9, None, {"c": -30.0, "a": 30.0}, {"a": 2.0, "b": 2.0, "c": 2.0})
    least = computed(Rank(Key(LABEL), (), least=True), doubt)
    assert least.result.value == "c"


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (("1,234,567.89",), "1,234,567.89"),
        (("12345678", "1"), "12,345,679"),
        (("2.5", "0.25"), "2.75"),
        (("3.14159265",), "3.14159"),
        (("0.00012",), "0.00012"),
        (("100",), "100"),
        (("5", "-5"), "0"),
    ],
)
def test_a_sum_is_said_with_all_its_digits(values: tuple[str, ...], said: str) -> None:
    rows = [Row(Handle("d", "v", at, at + 1), {"price": value}) for at, value in enumerate(values)]
    plan = Plan(Splitting(SplitBy.LINE), Measure("price", "sum"))
    assert compute(plan, Executed(rows, Coverage(1, 1, 1, 1), 0, 0)).said == said


def test_a_part_of_exact_labels_is_counted_as_it_is() -> None:
    ann = Compare((*label(Op.IS, "a"), *ANN), label(Op.IS, "a"), ("Ann", "all"))
    assert computed(ann, Doubt()).result.table == {"Ann": 25, "all": 50}


def test_a_ranking_of_groups_by_a_label_says_so_too() -> None:
    found = computed(Rank(Key("user"), label(Op.IS, "a")))
    assert found.result.interval is not None
    assert "Ann and Bob with 24 records" in found.sentence


def test_a_comparison_says_how_far_its_counts_hold() -> None:
    sides = (label(Op.IS, "a"), label(Op.IS, "b"))
    found = computed(Compare(*sides, ("A", "B"))).sentence
    assert found.startswith("A: 48 records (44 to 52 at 95 %); B: 31 records (28 to 34 at 95 %). A classifier")
    wide = Doubt(0.9, None, {}, {"a": 12.0, "b": 12.0})
    assert "it may be the other way round" in computed(Compare(*sides, ("A", "B")), wide).sentence
    assert computed(Compare(*sides, ("A", "B")), Doubt()).sentence == "A: 50 records; B: 30 records."


def test_a_list_says_how_many_there_may_be() -> None:
    found = computed(Listing(label(Op.IS, "a")))
    assert (found.result.value, found.result.interval) == (48, Interval(44, 52))
    assert found.sentence.startswith("48 of 100 records")


def test_of_more_pairs_than_can_be_listed_the_first_are_and_how_many_there_are_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("rlm.plan.computing.MAX_PAIRS", 4)
    rows = [Row(Handle("d", "v", at, at + 1), {"user": str(at)}) for at in range(5)]
    plan = Plan(Splitting(SplitBy.LINE), Pairs(Key("user"), Required(all_of=(Amount((), Than.AT_LEAST, 1),))))
    found = compute(plan, Executed(rows, Coverage(5, 5, 1, 1), 0, 0))
    assert found.result.value == [["0", "1"], ["0", "2"], ["0", "3"], ["0", "4"]]
    assert found.sentence == "10 pairs by user. Only the first 4 are listed: ask about fewer records for the others."
