import pytest

from rlm.corpus.records import SplitBy, Splitting
from rlm.operators.aggregate import Always, Amount
from rlm.operators.table import Condition, Op
from rlm.plan.plan import (
    Aggregation,
    Compare,
    Count,
    CountGroups,
    Key,
    Listing,
    Measure,
    Pairs,
    Plan,
    Rank,
    Required,
    Than,
    columns_named,
)


def on(column: str) -> tuple[Condition, ...]:
    return (Condition(column, Op.IS, ("x",)),)


MOST = Required(all_of=(Amount(on("a"), Than.MORE, others=on("b"), than_every_other="c"),))
ALL = Required(any_of=(Always(on("d"), on("e")),))


@pytest.mark.parametrize(
    ("answer", "named"),
    [
        (Count(), ""),
        (Count(on("a")), "a"),
        (Rank(Key("k"), on("a")), "ka"),
        (Compare(on("a"), on("b"), ("one", "other"), on("c")), "abc"),
        (CountGroups(Key("k"), MOST, on("w")), "kwabc"),
        (Pairs(Key("k"), MOST), "kabc"),
        (Pairs(Key("k"), MOST, ALL), "kabcde"),
        (Listing(on("a")), "a"),
        (Listing(on("a"), "l"), "al"),
        (Measure("m", "sum", on("a")), "ma"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_column_that_a_plan_looks_at_is_named(answer: Aggregation, named: str) -> None:
    splitting = Splitting(SplitBy.LINE)
    assert columns_named(Plan(splitting, answer)) == frozenset(named)
    assert columns_named(Plan(splitting, answer, where=on("z"), text_column="t")) == frozenset(named) | {"z"}
