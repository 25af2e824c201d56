"""Against counting by brute force."""

from collections import Counter
from itertools import combinations, islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlm.corpus.handles import Handle
from rlm.operators.aggregate import (
    Always,
    Amount,
    Key,
    Required,
    Than,
    Unit,
    compare,
    count,
    group,
    groups_that,
    join,
    numbers,
    pairs_that,
    ranked,
    sizes,
)
from rlm.operators.table import Condition, Op, Row

NOWHERE = Handle("d", "v", 0, 0)
VALUES = st.fixed_dictionaries(
    {},
    optional={
        "user": st.sampled_from(["1", "2", "3", "10"]),
        "label": st.sampled_from(["a", "b", "c"]),
        "date": st.sampled_from(["Jan 05, 2022", "2022-02-01", "02/11/2022", "someday"]),
    },
)
ROWS = st.lists(VALUES.map(lambda values: Row(NOWHERE, values)), max_size=40)
IS_A = Condition("label", Op.IS, ("A",))
IS_B = Condition("label", Op.IS, ("b",))


@given(ROWS)
def test_counts_are_those_of_counting_one_by_one(rows: list[Row]) -> None:
    assert count(rows) == len(rows)
    assert count(rows, [IS_A]) == sum(row.values.get("label") == "a" for row in rows)
    assert sizes(rows, Key("user")) == Counter(row.values["user"] for row in rows if "user" in row.values)
    assert sum(map(len, group(rows, Key("user")).values())) == sum("user" in row.values for row in rows)


@given(ROWS)
def test_months_are_read_however_they_are_written(rows: list[Row]) -> None:
    found = sizes(rows, Key("date", Unit.MONTH))
    dates = [row.values.get("date") for row in rows]
    assert found["2022-01"] == dates.count("Jan 05, 2022")
    assert found["2022-02"] == dates.count("2022-02-01") + dates.count("02/11/2022")
    assert found.total() == sum(each is not None and each != "someday" for each in dates)


@given(st.dictionaries(st.text("abc", min_size=1, max_size=3), st.integers(0, 5)), st.integers(1, 4), st.booleans())
def test_a_rank_has_all_groups_of_its_size(counts: dict[str, int], rank: int, least: bool) -> None:
    found = ranked(counts, rank, least=least)
    levels = sorted({size for size in counts.values() if size}, reverse=not least)
    if rank > len(levels):
        assert found is None
    else:
        assert found is not None
        assert found.count == levels[rank - 1]
        assert set(found.names) == {name for name, size in counts.items() if size == found.count}


@given(ROWS, st.integers(0, 4), st.sampled_from(list(Than)))
def test_groups_and_pairs_are_those_of_trying_them_all(rows: list[Row], number: int, than: Than) -> None:
    one = Required(all_of=(Amount((IS_A,), than, number),))
    other = Required(any_of=(Amount((IS_B,), Than.AT_LEAST, 1), Amount((), Than.EXACTLY, 2)))
    by_user = group(rows, Key("user"))

    def labels(user: str) -> Counter[str | None]:
        return Counter(row.values.get("label") for row in by_user[user])

    ones = {user for user in by_user if than.holds(labels(user)["a"], number)}
    others = {user for user in by_user if labels(user)["b"] >= 1 or labels(user).total() == 2}
    order = sorted(by_user, key=int)
    assert groups_that(rows, Key("user"), one) == [user for user in order if user in ones]
    for second, expected in (
        (None, list(combinations([user for user in order if user in ones], 2))),
        (
            other,
            [
                (low, high)
                for low, high in combinations(order, 2)
                if (low in ones and high in others) or (low in others and high in ones)
            ],
        ),
    ):
        count, pairs = pairs_that(rows, Key("user"), one, second)
        assert (count, list(pairs)) == (len(expected), expected)


def test_pairs_of_very_many_groups_are_counted_and_the_first_are_there_at_once() -> None:
    rows = [Row(NOWHERE, {"user": str(number)}) for number in range(100_000)]
    always = Required(all_of=(Amount((), Than.AT_LEAST, 1),))
    count, pairs = pairs_that(rows, Key("user"), always)
    assert count == 4_999_950_000
    assert list(islice(pairs, 2)) == [("0", "1"), ("0", "2")]
    late = Required(all_of=(Amount((Condition("user", Op.AT_LEAST, ("99990",)),), Than.AT_LEAST, 1),))
    count, pairs = pairs_that(rows, Key("user"), late, always)
    assert count == 10 * 99_990 + 45
    assert next(pairs) == ("0", "99990")


@given(ROWS)
def test_what_must_always_hold_is_true_of_nothing(rows: list[Row]) -> None:
    late = Always((IS_A,), (Condition("date", Op.AFTER, ("2022-01-31",)),))
    of_a = [row for row in rows if row.values.get("label") == "a"]
    expected = all(row.values.get("date") in ("2022-02-01", "02/11/2022") for row in of_a)
    assert late.holds(rows) == expected


@given(ROWS)
def test_a_value_may_have_to_outnumber_every_other(rows: list[Row]) -> None:
    leads = Amount((IS_A,), Than.MORE, than_every_other="label")
    counts = sizes(rows, Key("label"))
    assert leads.holds(rows) == (counts["a"] > max(counts["b"], counts["c"]))


@pytest.mark.parametrize("than", [Than.FEWER, Than.AT_MOST, Than.AT_LEAST, Than.EXACTLY])
def test_a_value_is_compared_with_the_largest_other_only_to_outnumber_it(than: Than) -> None:
    with pytest.raises(ValueError, match="compare with each other value"):
        Amount((IS_A,), than, than_every_other="label")


@given(st.lists(st.integers(0, 3) | st.none()), st.lists(st.integers(0, 3) | st.none()))
def test_a_join_has_every_pair_with_equal_keys_and_no_other(left: list[int | None], right: list[int | None]) -> None:
    found = list(join(left, right, left_key=lambda each: each, right_key=lambda each: each))
    assert found == [(a, b) for a in left for b in right if a == b and a is not None]


def test_comparisons_and_numbers() -> None:
    assert [compare(2, 1), compare(1, 2), compare(1, 1)] == ["more", "less", "same"]
    rows = [Row(NOWHERE, {"price": price}) for price in ("$1,250.50", "3", "none", "")]
    assert numbers(rows, "price") == [1250.5, 3.0]
