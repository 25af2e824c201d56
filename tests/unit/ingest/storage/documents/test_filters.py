from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.storage.documents.filters import (
    MAX_CONDITIONS,
    MAX_VALUES,
    AnyOf,
    Condition,
    build_value_key,
    iter_attribute_values,
    parse_conditions,
)
from ingest.storage.errors import FilterError


@pytest.mark.parametrize(
    "filters",
    [
        {"year": {"above": 3}},
        {"year": {}},
        {"year": {"gte": "soon"}},
        {"year": {"gte": True}},
        {"year": {"gte": None}},
        {"year": None},
        {"year": []},
        {"year": [[1]]},
        {"year": {"in": {"gte": 3}}},
        {"year": list(range(MAX_VALUES + 1))},
        {"year": list(range(MAX_VALUES // 2 + 1)), "month": {"not": list(range(MAX_VALUES // 2))}},
        {str(number): 1 for number in range(MAX_CONDITIONS + 1)},
    ],
)
def test_what_is_no_condition_or_too_much_is_refused_with_the_next_step(filters: dict[str, Any]) -> None:
    with pytest.raises(FilterError) as caught:
        parse_conditions(filters)
    assert caught.value.hint


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["", "Calloway", "1815-12-23", "\ud800"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["gte", "lt", "in", "not"]), inner),
    max_leaves=4,
)


@given(st.dictionaries(st.sampled_from(["year", "tags"]), JSON, max_size=2))
def test_any_json_is_a_condition_or_is_refused(filters: dict[str, Any]) -> None:
    try:
        wanted = parse_conditions(filters)
    except FilterError:
        return
    assert [each.attribute for each in wanted if isinstance(each, Condition)] == list(filters)


@given(st.one_of(st.text(max_size=80), st.integers(), st.floats(allow_nan=False), st.booleans()))
def test_values_have_one_key_if_they_are_equal_and_of_one_kind(value: str | float) -> None:
    same = float(value) if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**53 else value
    assert build_value_key(same) == build_value_key(value)
    assert len(build_value_key(value)) <= 60
    assert build_value_key(value) != build_value_key(not value if isinstance(value, bool) else f"{value}!")


def test_a_list_is_indexed_by_its_different_members_with_numbers_and_dates() -> None:
    found = list(iter_attribute_values({"tags": ["a", "a", 3, "1970-01-02", True], "x" * 300: 1}))
    assert [(each.number, each.instant) for each in found] == [
        (None, None),
        (3.0, None),
        (None, 86_400.0),
        (None, None),
        (1.0, None),
    ]
    assert {len(each.name) <= 200 for each in found} == {True}


def test_alternatives_and_conjunctions_are_parsed_and_bounded() -> None:
    (either,) = parse_conditions(
        {"$any": [{"year": 1815, "draft": False}, {"$all": [{"author": "Calloway"}, {"year": 1816}]}]}
    )
    assert isinstance(either, AnyOf)
    assert [[each.attribute for each in some if isinstance(each, Condition)] for some in either.alternatives] == [
        ["year", "draft"],
        ["author", "year"],
    ]
    nested: dict[str, object] = {"year": 1815}
    for _ in range(6):
        nested = {"$any": [nested]}
    refused: list[dict[str, Any]] = [{"$any": []}, {"$any": "x"}, {"$any": [{}]}, {"$all": [1]}, nested]
    for wrong in [*refused, {"$any": [{"a": 1}] * 21}]:
        with pytest.raises(FilterError):
            parse_conditions(wrong)


def test_conditions_on_cards_are_told_apart_from_metadata_and_compare_first_days() -> None:
    found = parse_conditions({"kind": "a", "$card": {"kind": ["a", "b"], "periods": {"gte": "2023-Q2", "lt": 2024}}})
    assert found == (
        Condition("kind", one_of=("s:a",)),
        Condition("kind", one_of=("s:a", "s:b"), of_card=True),
        Condition("periods", bounds=(("gte", 1680307200.0, True), ("lt", 2024.0, False)), of_card=True),
    )


@pytest.mark.parametrize(
    "card", [{}, [], "contract", {"title": "a"}, {"outline": "a"}, {"kind": {"gt": 1}}, {"dates": {"gt": "soon"}}]
)
def test_conditions_that_cards_cannot_have_are_refused_with_the_next_step(card: object) -> None:
    with pytest.raises(FilterError) as refused:
        parse_conditions({"$card": card})
    assert refused.value.hint
