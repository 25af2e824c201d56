from datetime import date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.parsing.cells import CellType, ColumnTypeDetector, parse_date, parse_timestamp
from ingest.storage.tables.types import ColumnType


def _column(*cells: str, prefer_comma: bool = False) -> CellType:
    typing = ColumnTypeDetector()
    for cell in cells:
        typing.add_cell(cell)
    return typing.get_type(prefer_comma=prefer_comma)


def _read(*cells: str, prefer_comma: bool = False) -> tuple[str, ...]:
    """The type, the unit if there is one, and the cells as the engine reads them."""
    kind = _column(*cells, prefer_comma=prefer_comma)
    return (kind.type.value, *filter(None, [kind.unit]), *(str((kind.canonical or str)(cell)) for cell in cells))


@pytest.mark.parametrize(
    ("cells", "read"),
    [
        (["1", "2,000", "-3"], ("integer", "1", "2000", "-3")),
        (["0.50", "2"], ("number", "0.50", "2")),
        (["€1,240.50", "-€718.39", "0"], ("number", "€", "1240.50", "-718.39", "0")),
        (["(1,234.50)", "5"], ("number", "-1234.50", "5")),
        (["19%", "7.5%"], ("number", "%", "19", "7.5")),
        (["3,5", "1,25"], ("number", "3.5", "1.25")),
        (["1.234,50 €", "2 €"], ("number", "€", "1234.50", "2")),
        (["1e5", "2"], ("number", "1e5", "2")),
    ],
)
def test_numbers_are_read_with_their_signs_and_separators(cells: list[str], read: tuple[str, ...]) -> None:
    assert _read(*cells) == read


@pytest.mark.parametrize(
    "cells",
    [
        ["€5", "$3"],
        ["19%", "0.07"],
        ["007", "1"],
        ["1", "none"],
        ["1,5", "2.5"],
        ["1,23,456"],
        ["9" * 19],
        ["-"],
        ["٣"],
    ],
)
def test_what_is_no_number_in_every_cell_is_text(cells: list[str]) -> None:
    assert _column(*cells).type is ColumnType.TEXT


@pytest.mark.parametrize(
    ("cells", "read"),
    [
        (["3", "-", "…", "5"], ("integer", "3", "None", "None", "5")),
        (["1,000", "–", "−"], ("integer", "1000", "None", "None")),
        ([".", "0.5"], ("number", "None", "0.5")),
        (["2024-01-02", "—"], ("date", "2024-01-02", "None")),
        (["true", "*"], ("boolean", "true", "None")),
        (["yes", "-"], ("text", "yes", "-")),
        (["-", "+"], ("text", "-", "+")),
        (["39.1", "NA", "NaN"], ("number", "39.1", "None", "None")),
        (["€1,240", "NA", "NULL"], ("integer", "€", "1240", "None", "None")),
        (["2024-01-02", "#N/A"], ("date", "2024-01-02", "None")),
        (["BW", "NA", "ZA"], ("text", "BW", "NA", "ZA")),
        (["NA", "null"], ("text", "NA", "null")),
    ],
)
def test_signs_and_words_for_missing_values_are_empty_in_a_column_of_another_type(
    cells: list[str], read: tuple[str, ...]
) -> None:
    assert _read(*cells) == read


def test_a_comma_is_a_decimal_sign_where_the_whole_column_takes_it_so() -> None:
    assert _read("1,234", "5,678") == ("integer", "1234", "5678")
    assert _read("1,234", "12,5") == ("number", "1.234", "12.5")


def test_another_column_can_settle_what_a_point_means() -> None:
    assert _read("1.234", "5.678") == ("number", "1.234", "5.678")
    assert _read("1.234", "5.678", prefer_comma=True) == ("integer", "1234", "5678")
    assert _read("1.25", "5.5", prefer_comma=True) == ("number", "1.25", "5.5")


def test_sums_of_money_are_exact_as_long_as_eighteen_digits_hold_them() -> None:
    assert _column("12.30", "1.005").stored == "DECIMAL(18,3)"
    assert _column("12345678901234567.12").stored == "DOUBLE"


def test_an_order_of_day_and_month_is_taken_from_the_column_and_never_guessed() -> None:
    assert _column("03/04/2024", "05/06/2024").type is ColumnType.TEXT
    assert _read("03/04/2024", "13/04/2024") == ("date", "2024-04-03", "2024-04-13")
    assert _read("03/04/2024", "04/13/2024") == ("date", "2024-03-04", "2024-04-13")
    assert _column("13/04/2024", "04/13/2024").type is ColumnType.TEXT


def test_dates_that_cannot_be_read_otherwise_may_stand_in_one_column() -> None:
    read = _read("2024-01-02", "3 March 2024", "Mar 3, 2024", "2024/02/29")
    assert read == ("date", "2024-01-02", "2024-03-03", "2024-03-03", "2024-02-29")
    assert _column("2024-02-30").type is ColumnType.TEXT


def test_timestamps_with_zones_are_in_utc_and_do_not_mix_with_others() -> None:
    assert _read("2024-07-15T21:46:36") == ("timestamp", "2024-07-15 21:46:36")
    read = _read("2024-07-15T21:46:36Z", "2024-07-15 21:46:36+02:00")
    assert read == ("timestamp", "2024-07-15 21:46:36", "2024-07-15 19:46:36")
    assert _column("2024-07-15T21:46:36Z", "2024-07-15 21:46:36").type is ColumnType.TEXT
    assert parse_timestamp("12/25/2024 12:05 AM", True) == datetime(2024, 12, 25, 0, 5)


def test_only_true_and_false_are_booleans() -> None:
    assert _read("true", "FALSE") == ("boolean", "true", "false")
    assert _column("yes", "no").type is ColumnType.TEXT


def test_a_column_without_cells_is_text() -> None:
    assert _column().type is ColumnType.TEXT


def test_a_long_cell_ends_the_search_at_once() -> None:
    assert _column("5", "(" + " " * 1_000_000 + "x").type is ColumnType.TEXT


def test_dates_of_other_calendars_are_none() -> None:
    assert parse_date("0000-01-01", None) is None
    assert parse_date("31 Apr 2024", None) is None
    assert parse_date("1st of May 2024", None) is None
    assert parse_date("1st May 2024", None) == date(2024, 5, 1)


_WRITTEN = st.sampled_from(
    ["0", "7", "-7", "012", "1,234", "1.234", "12.50", "-0.5", "5%", "$3", "€2", "99999999999999999999", "1e5"]
) | st.sampled_from(["", "-", "NA", "x", "true", "2024-01-02", "03/04/2024", "2024-01-02 10:30"])


@given(st.lists(st.lists(_WRITTEN, max_size=4), max_size=5), st.booleans())
def test_cells_seen_together_make_the_type_of_cells_seen_one_by_one(
    batches: list[list[str]], prefer_comma: bool
) -> None:
    together, single = ColumnTypeDetector(), ColumnTypeDetector()
    for batch in batches:
        together.add_cells(batch)
        for cell in filter(None, batch):
            single.add_cell(cell)
    one, other = together.get_type(prefer_comma=prefer_comma), single.get_type(prefer_comma=prefer_comma)
    assert (one.type, one.stored, one.unit) == (other.type, other.stored, other.unit)
    for cell in (cell for batch in batches for cell in batch if cell):
        if one.type is not ColumnType.TEXT:
            assert (one.canonical or str)(cell) == (other.canonical or str)(cell)


def test_a_column_that_is_written_as_the_engine_reads_it_is_left_alone() -> None:
    for cells in (["1", "-20"], ["0.5", "12.50"], ["2024-01-02", "2024-12-31"], ["word", "5"]):
        assert _column(*cells).canonical is None
    for cells in (["1,000", "2"], ["5%"], ["2 May 2024"], ["1 000.5"]):
        assert _column(*cells).canonical is not None
