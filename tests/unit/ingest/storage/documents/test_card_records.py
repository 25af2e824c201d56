"""The layers of a card, and the changes that people make to it."""

from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.storage.documents.cards.records import (
    CardField,
    CardFields,
    CardLayer,
    iter_card_values,
    merge_change,
    merge_layers,
    parse_period_start,
)
from ingest.storage.errors import InputError, MetadataError


def test_each_field_comes_from_the_most_trusted_layer_that_knows_it() -> None:
    fields, origins = merge_layers(
        {
            CardLayer.SOURCE: CardFields(kind="pdf", version="1", periods=("2020",)),
            CardLayer.RULES: CardFields(kind="lease", subjects=("Acme",), periods=("2021",)),
            CardLayer.MODEL: CardFields(kind="commercial lease", periods=("2022",)),
            CardLayer.PERSON: CardFields(periods=()),
        }
    )
    assert fields == CardFields(kind="commercial lease", version="1", subjects=("Acme",), periods=())
    assert origins == {
        CardField.KIND: CardLayer.MODEL,
        CardField.SUBJECTS: CardLayer.RULES,
        CardField.PERIODS: CardLayer.PERSON,
        CardField.VERSION: CardLayer.SOURCE,
    }


def test_a_change_sets_and_removes_a_persons_values_and_leaves_others() -> None:
    edited = merge_change(CardFields(), {"kind": "Lease", "dates": ["2023-04-01", "2023-04-01"]})
    assert edited == CardFields(kind="lease", dates=("2023-04-01",))
    assert merge_change(edited, {"kind": None, "version": "2"}) == CardFields(dates=("2023-04-01",), version="2")
    assert merge_change(edited, {"dates": []}) == CardFields(kind="lease", dates=())


@pytest.mark.parametrize(
    "change",
    [
        {"owner": "Ann"},
        {"kind": 3},
        {"kind": ["lease"]},
        {"kind": "x" * 201},
        {"title": ""},
        {"subjects": "Acme"},
        {"subjects": [""]},
        {"subjects": ["x" * 201]},
        {"subjects": [str(number) for number in range(13)]},
        {"periods": ["Q2 2023"]},
        {"periods": ["2023-Q5"]},
        {"periods": ["0000"]},
        {"dates": ["2023-02-30"]},
        {"dates": ["20230201"]},
    ],
)
def test_a_change_that_is_not_valid_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(MetadataError):
        merge_change(CardFields(), change)


def test_text_that_databases_cannot_store_is_refused() -> None:
    with pytest.raises(InputError):
        merge_change(CardFields(), {"subjects": ["a\0b"]})


@pytest.mark.parametrize(
    ("period", "first"),
    [
        ("2023", date(2023, 1, 1)),
        ("2023-H2", date(2023, 7, 1)),
        ("2023-Q4", date(2023, 10, 1)),
        ("2023-04", date(2023, 4, 1)),
        ("2023-13", None),
        ("23", None),
        ("٢٠٢٣", None),
    ],
)
def test_the_first_day_of_a_period(period: str, first: date | None) -> None:
    assert parse_period_start(period) == first


def test_values_for_filters_have_the_year_and_the_first_day_of_times() -> None:
    fields = CardFields(title="T", kind="", subjects=("A", "A"), periods=("2023-Q2",), dates=("2022-12-31",))
    values = [(each.name, each.value, each.number, each.instant) for each in iter_card_values(fields)]
    assert values == [
        ("subjects", "A", None, None),
        ("periods", "2023-Q2", 2023.0, date(2023, 4, 1)),
        ("dates", "2022-12-31", 2022.0, date(2022, 12, 31)),
    ]


LISTS = st.none() | st.lists(st.text(max_size=9), max_size=3).map(tuple)
STRINGS = st.none() | st.text(max_size=9)


@given(st.builds(CardFields, title=STRINGS, kind=STRINGS, subjects=LISTS, version=STRINGS, outline=LISTS))
def test_fields_are_the_same_after_they_were_stored(fields: CardFields) -> None:
    assert CardFields.from_json({**fields.to_json(), "of a later release": 1}) == fields
