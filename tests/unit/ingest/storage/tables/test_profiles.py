"""Profiles of columns against counting in plain Python."""

from collections import Counter
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingest.storage.tables import parquet
from ingest.storage.tables.profiles import (
    MAX_COUNTED_VALUES,
    MAX_LISTED_VALUES,
    MAX_VALUE_CHARS,
    choose_sample_rows,
    compute_column_profile,
    merge_profiles,
)
from ingest.storage.tables.types import ColumnProfile, ColumnType
from tests.support.record_tables import parsed_from

_CELLS = st.sampled_from(["", "open", "Open", "O'Hara", "n/a", "x" * 90, "x" * 90 + "y", "two words"])


def _column(cells: list[str], header: str = "name") -> ColumnProfile:
    (table,) = parsed_from(
        "id," + header + "\n" + "".join(f"{at},{cell}\n" for at, cell in enumerate(cells)), "text/csv"
    )
    assert table.profile is not None
    return table.profile.columns[1]


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(_CELLS, min_size=2, max_size=60).filter(any), st.booleans())
def test_values_and_empty_cells_are_counted_as_python_counts_them(
    monkeypatch: pytest.MonkeyPatch, cells: list[str], by_engine: bool
) -> None:
    monkeypatch.setattr(parquet, "_MAX_ROWS_IN_MEMORY", 0 if by_engine else 500)
    found = _column(cells)
    counts = Counter(cell for cell in cells if cell)
    assert (found.type, found.empty, found.distinct) == (ColumnType.TEXT, cells.count(""), len(counts))
    assert found == compute_column_profile([cell or None for cell in cells], ColumnType.TEXT)
    assert sum(found.values.values()) == len(cells) - found.empty
    assert all(len(value) <= MAX_VALUE_CHARS for value in found.values)
    assert found.longest == max(map(len, counts))


def test_numbers_and_dates_have_bounds_by_their_size_and_not_their_spelling() -> None:
    numbers = _column([f"{at}.5" for at in (9, 10, 100, -3)])
    assert (numbers.smallest, numbers.largest) == ("-3.5", "100.5")
    days = _column([str(date(2024, 1, 1) + timedelta(days=at)) for at in range(500)])
    assert (days.type, days.smallest, days.largest, days.distinct) == (ColumnType.DATE, "2024-01-01", "2025-05-14", 500)
    assert compute_column_profile([Decimal(9), None, Decimal(10)], ColumnType.NUMBER).largest == "10"


def test_of_many_values_the_commonest_and_the_rarest_are_kept_and_of_too_many_none() -> None:
    many = _column([f"v{at % 300}" for at in range(350)])
    assert (many.distinct, len(many.values), many.has_all_values) == (300, MAX_LISTED_VALUES, False)
    counts = list(many.values.values())
    assert counts == sorted(counts, reverse=True)
    assert (counts[0], counts[-1]) == (2, 1)
    too_many = _column([f"v{at}" for at in range(MAX_COUNTED_VALUES + 1)])
    assert (too_many.distinct, too_many.values, too_many.is_exact) == (MAX_COUNTED_VALUES + 1, {}, True)


def test_in_long_tables_different_values_are_estimated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "_MAX_EXACT_ROWS", 100)
    monkeypatch.setattr(parquet, "_MAX_ROWS_IN_MEMORY", 0)
    few, many = _column(["a", "b"] * 1_000), _column([f"v{at}" for at in range(2_000)])
    assert (few.values, few.is_exact, few.has_all_values) == ({"a": 1_000, "b": 1_000}, True, True)
    assert not many.is_exact
    assert many.distinct is not None
    assert 1_500 < many.distinct <= 2_000


def test_profiles_of_parts_are_merged_as_if_they_were_one_table() -> None:
    one, other = ["3", "10", "", "3"], ["7", "3", "", ""]
    whole = merge_profiles([_column(one), _column(other)], ColumnType.INTEGER)
    assert whole == _column(one + other)
    unlike = merge_profiles([_column(one), _column(["7", "x"])], ColumnType.TEXT)
    assert (unlike.values, unlike.smallest, unlike.distinct) == ({"3": 2, "10": 1, "7": 1, "x": 1}, None, 4)
    long = merge_profiles([_column([f"v{at}" for at in range(99)]), _column(["w", "w"])], ColumnType.TEXT)
    assert (long.distinct, long.has_all_values) == (None, False)


@pytest.mark.parametrize(("count", "rows"), [(0, []), (1, [1]), (3, [1, 2, 3]), (40, [1, 2, 20, 40])])
def test_rows_shown_reach_from_the_first_to_the_last(count: int, rows: list[int]) -> None:
    assert choose_sample_rows(count) == rows


def test_a_profile_takes_no_more_than_some_columns_and_cuts_cells(tmp_path: Path) -> None:
    names = ",".join(f"c{at}" for at in range(70))
    (table,) = parsed_from(f"{names}\n" + "".join(",".join([f"{row} {'w' * 200}"] * 70) + "\n" for row in range(3)))
    assert table.profile is not None
    assert len(table.profile.columns) == len(table.profile.rows[1]) == 60
    assert all(cell and len(cell) == 80 and cell.endswith("…") for cell in table.profile.rows[3])
