from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval.errors import QueryError
from retrieval.filters import MAX_CONDITIONS, MAX_VALUES, conditions, match

EMMA = {"year": 1815, "author": "Austen", "tags": ["novel", "comedy"], "read": True, "published": "1815-12-23"}


@pytest.mark.parametrize(
    ("filters", "matches"),
    [
        ({}, True),
        ({"author": "Austen"}, True),
        ({"author": "Melville"}, False),
        ({"author": ["Melville", "Austen"]}, True),
        ({"author": {"in": ["Melville"]}}, False),
        ({"author": {"not": "Melville"}}, True),
        ({"author": {"not": ["Austen", "Melville"]}}, False),
        ({"tags": "comedy"}, True),
        ({"tags": {"not": "novel"}}, False),
        ({"year": 1815}, True),
        ({"year": 1815.0}, True),
        ({"year": {"gte": 1815, "lt": 1816}}, True),
        ({"year": {"gt": 1815}}, False),
        ({"year": {"lte": 1814}}, False),
        ({"published": {"gte": "1815-12-23", "lt": "1815-12-24T00:00:00Z"}}, True),
        ({"published": {"lt": "1815-12-23"}}, False),
        ({"year": "1815"}, False),
        ({"year": {"gte": "1800-01-01"}}, False),
        ({"author": {"gte": 0}}, False),
        ({"read": True}, True),
        ({"read": 1}, False),
        ({"read": {"gte": 0}}, False),
        ({"absent": "x"}, False),
        ({"absent": {"gte": 0}}, False),
        ({"absent": {"not": "x"}}, True),
        ({"author": "Austen", "year": 1816}, False),
    ],
)
def test_a_document_matches_when_every_condition_holds(filters: dict[str, Any], matches: bool) -> None:
    assert match(EMMA, conditions(filters)) is matches


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
        {str(number): 1 for number in range(MAX_CONDITIONS + 1)},
    ],
)
def test_what_is_no_condition_is_refused_with_the_next_step(filters: dict[str, Any]) -> None:
    with pytest.raises(QueryError) as caught:
        conditions(filters)
    assert caught.value.hint


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["", "Austen", "1815-12-23"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["gte", "lt", "in", "not"]), inner),
    max_leaves=4,
)


@given(st.dictionaries(st.sampled_from(sorted(EMMA)), JSON, max_size=3))
def test_any_json_is_a_condition_or_is_refused(filters: dict[str, Any]) -> None:
    try:
        wanted = conditions(filters)
    except QueryError:
        return
    assert match(EMMA, wanted) in (True, False)
