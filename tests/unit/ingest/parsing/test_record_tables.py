"""Tables as they are found in normalized text: every row at its span."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.parsing.tables import FoundTable
from ingest.storage.texts.normalize import normalize
from tests.support.record_tables import found_in

_words = st.text("ab é\"'\n,;\t|", max_size=8).map(lambda text: normalize(text).strip())


def _only(text: str, media_type: str = "text/plain") -> FoundTable:
    (table,) = found_in(text, media_type)
    return table


def _cells(table: FoundTable) -> list[list[str]]:
    return [list(row.cells) for row in table.rows()]


def _texts(text: str, table: FoundTable) -> list[str]:
    return [text[row.start : row.end] for row in table.rows()]


def _require_order(table: FoundTable) -> None:
    at = table.start
    for row in table.rows():
        assert at <= row.start < row.end <= table.end
        at = row.end


@given(st.lists(st.tuples(_words, _words, _words), min_size=1, max_size=6), st.sampled_from(",;\t|"))
def test_a_delimited_rows_span_reads_back_to_the_row(rows: list[tuple[str, str, str]], delimiter: str) -> None:
    file = io.StringIO()
    others = {ord(other): "." for other in ",;\t|" if other != delimiter}
    rows = [tuple(cell.translate(others) for cell in row) for row in rows]  # type: ignore[misc]
    csv.writer(file, delimiter=delimiter).writerows([("first", "second", "third"), *rows])
    text = normalize(file.getvalue())
    wanted = [list(row) for row in rows if any(row)]
    if not wanted:
        return
    table = _only(text, "text/csv")
    assert table.columns == ("first", "second", "third")
    assert _cells(table) == wanted
    _require_order(table)
    for words, row in zip(_texts(text, table), wanted, strict=True):
        (again,) = csv.reader(io.StringIO(words, newline=""), delimiter=delimiter)
        assert [cell.strip() for cell in again + [""] * (3 - len(again))] == row


def test_reading_a_short_text_leaves_others_of_the_process_their_long_cells() -> None:
    before = csv.field_size_limit()
    assert _cells(_only("name,age\nAnn,7\nBob,9\n", "text/csv")) == [["Ann", "7"], ["Bob", "9"]]
    assert csv.field_size_limit() == before


@given(st.lists(st.tuples(_words, _words), min_size=1, max_size=5))
def test_a_pipe_tables_span_reads_back_to_the_row(rows: list[tuple[str, str]]) -> None:
    rows = [(" ".join(one.split()), " ".join(other.split())) for one, other in rows]
    lines = [f"| {one.replace('|', '&')} | {other.replace('|', '&')} |" for one, other in rows]
    text = normalize("\n".join(["# Prices", "", "| item | note |", "| --- | :-: |", *lines, "", "The end."]))
    wanted = [[one.replace("|", "&"), other.replace("|", "&")] for one, other in rows if one or other]
    if not wanted:
        return
    table = _only(text, "text/markdown")
    assert (table.name, table.columns, _cells(table)) == ("Prices", ("item", "note"), wanted)
    assert _texts(text, table) == [line for line, row in zip(lines, rows, strict=True) if any(row)]
    _require_order(table)


def test_quoted_line_ends_belong_to_their_row() -> None:
    text = 'id,note\n1,"one\ntwo, ""three"""\n2,four'
    table = _only(text)
    assert _cells(table) == [["1", 'one\ntwo, "three"'], ["2", "four"]]
    assert _texts(text, table) == ['1,"one\ntwo, ""three"""', "2,four"]


def test_short_rows_are_filled_up_and_long_ones_have_columns_without_a_name() -> None:
    table = _only("id,name\n1\n2,Ann,extra\n3,Bob", "text/csv")
    assert table.columns == ("id", "name", "column_3")
    assert _cells(table) == [["1", "", ""], ["2", "Ann", "extra"], ["3", "Bob", ""]]


def test_a_preamble_is_no_row_and_no_heading() -> None:
    text = "Report of May\n\nid,name,sum\n1,Ann,5\n2,Bob,6\n3,Cid,7"
    table = _only(text, "text/csv")
    assert table.columns == ("id", "name", "sum")
    assert text[table.start : table.end].startswith("id,name")


def test_a_file_without_a_heading_loses_no_row() -> None:
    table = _only("1,Ann,5\n2,Bob,6\n3,Cid,7")
    assert table.columns == ("column_1", "column_2", "column_3")
    assert len(_cells(table)) == 3


def test_columns_of_one_name_and_of_none_are_told_apart() -> None:
    table = _only("Name,name,,_row\nAnn,B,1,2\nCid,D,3,4", "text/csv")
    assert table.columns == ("Name", "name_2", "column_3", "_row_2")


def test_years_in_a_row_are_headings_and_one_year_is_a_value() -> None:
    assert _only("country,2019,2020,2021\nFrance,1,2,3\nSpain,4,5,6").columns == ("country", "2019", "2020", "2021")
    assert _only("Ann,1984\nBob,1990\nCid,1991").columns == ("column_1", "column_2")


def test_decimal_commas_do_not_make_columns() -> None:
    table = _only("name;price;weight\na;1,50;2,5\nb;2,75;3,5")
    assert table.columns == ("name", "price", "weight")


def test_a_quotation_mark_that_nothing_closes_costs_only_its_own_row() -> None:
    table = _only('id,size\n1,"5 inch\n2,6 inch\n3,7 inch', "text/csv")
    assert _cells(table) == [["1", '"5 inch'], ["2", "6 inch"], ["3", "7 inch"]]


@pytest.mark.parametrize(
    "text",
    [
        "one line",
        "Dear Ann, thank you.\n\nIt rains, and rains, and rains.\nBest, Bob",
        "| a | b |\n\n| 1 | 2 |",
        "```\n| a | b |\n| - | - |\n| 1 | 2 |\n```",
    ],
)
def test_what_holds_no_records_has_no_table(text: str) -> None:
    assert not [row for table in found_in(text) for row in table.rows()]


def test_each_pipe_table_is_one_of_its_own() -> None:
    text = "# One\n\na | b\n--|--\n1 | 2\n\n## Two\n\n| c | d |\n|---|---|\n| x \\| y | `z` |\n| 5 |\n# Three"
    tables = found_in(text, "text/markdown")
    assert [table.name for table in tables] == ["One", "Two"]
    assert _cells(tables[1]) == [["x | y", "`z`"], ["5", ""]]


def test_a_tables_rows_can_be_read_again() -> None:
    table = _only("id,name\n1,Ann\n2,Bob")
    assert _cells(table) == _cells(table)
