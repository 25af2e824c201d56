"""Delimited files as they are parsed: each cell at its place, whatever the dialect."""

import csv
import io
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingest.parsing import delimited
from ingest.parsing.delimited import parse_delimited
from ingest.parsing.types import ParsedDocument
from ingest.storage.texts.positions import SheetCell

_WORDS = st.text("ab é\"'\n,;\t|", max_size=8)


def _parsed(folder: Path, content: str | bytes) -> ParsedDocument:
    path = folder / "file.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return parse_delimited(path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(_WORDS, min_size=3, max_size=3), min_size=1, max_size=6), st.sampled_from(",;\t|"))
def test_a_cells_code_points_map_back_to_its_row_and_column(
    tmp_path: Path, rows: list[list[str]], delimiter: str
) -> None:
    others = {ord(other): "." for other in ",;\t|" if other != delimiter}
    rows = [["first", "second", "third"], *([cell.translate(others).strip() for cell in row] for row in rows)]
    file = io.StringIO()
    csv.writer(file, delimiter=delimiter).writerows(rows)
    document = _parsed(tmp_path, file.getvalue())
    found = {
        (at.row, at.column): document.text[start:end].replace('""', '"').strip()
        for start, end, at in document.positions.iter_positions_within(0, len(document.text))
        if isinstance(at, SheetCell) and document.text[start:end].strip()
    }
    # Normalizing the whole takes blanks at line ends out of cells that are several lines.
    wanted = {
        (row, column): "\n".join(line.rstrip() for line in cell.split("\n"))
        for row, cells in enumerate(rows, start=1)
        for column, cell in enumerate(cells, start=1)
        if cell
    }
    assert {at: " ".join(cell.split()) for at, cell in found.items()} == {
        at: " ".join(cell.split()) for at, cell in wanted.items()
    }


def test_a_file_of_very_many_cells_has_the_places_of_its_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delimited, "_MAX_POSITIONED_CELLS", 5)
    document = _parsed(tmp_path, 'id,note\n1,"one\ntwo"\n\n2,three\n')
    assert [
        (document.text[start:end], at)
        for start, end, at in document.positions.iter_positions_within(0, len(document.text))
    ] == [
        ("id,note", SheetCell(1, 1, 0)),
        ('1,"one\ntwo"', SheetCell(1, 2, 0)),
        ("2,three", SheetCell(1, 4, 0)),
    ]


def test_cells_with_a_quotation_mark_inside_are_found_whole(tmp_path: Path) -> None:
    document = _parsed(tmp_path, 'size,part\n5" pipe,"big"ger\n6, "x, y" \n')
    cells = [
        document.text[start:end] for start, end, _ in document.positions.iter_positions_within(0, len(document.text))
    ]
    assert cells == ["size", "part", '5" pipe', '"big"ger', "6", "x, y"]


def test_numbers_over_columns_of_words_are_a_heading(tmp_path: Path) -> None:
    (table,) = _parsed(tmp_path, '1,2,3\na,",",c\na,b,c\n').found
    assert (table.columns, len(list(table.rows()))) == (("1", "2", "3"), 2)
    (table,) = _parsed(tmp_path, "1,2,3\na,5,c\na,b,c\n").found
    assert (table.columns[0], len(list(table.rows()))) == ("column_1", 3)


def test_a_header_that_names_no_rows_is_one(tmp_path: Path) -> None:
    """R's `write.table` leaves out the name of the column of row names."""
    document = _parsed(tmp_path, "mpg\tcyl\nMazda RX4\t21.0\t6\nDatsun 710\t22.8\t4\n")
    (table,) = document.found
    assert table.columns == ("column_1", "mpg", "cyl")
    assert [list(row.cells) for row in table.rows()] == [["Mazda RX4", "21.0", "6"], ["Datsun 710", "22.8", "4"]]
    assert document.text[table.start : table.header_end] == "mpg\tcyl"
    titled = _parsed(tmp_path, "Cars, all\nname,mpg,cyl\nMazda RX4,21.0,6\nDatsun 710,22.8,4\n")
    assert titled.found[0].columns == ("name", "mpg", "cyl")


def test_groups_over_a_header_are_part_of_its_names(tmp_path: Path) -> None:
    document = _parsed(tmp_path, ",Crows,,Mosquitoes,\nTime,Alive,Dead,Alive,Dead\n0,1,0,30,0\n1,0.9,0.1,29,1\n")
    (table,) = document.found
    assert table.columns == ("Time", "Crows Alive", "Crows Dead", "Mosquitoes Alive", "Mosquitoes Dead")
    assert [list(row.cells)[:2] for row in table.rows()] == [["0", "1"], ["1", "0.9"]]
    assert document.text[table.start : table.header_end].count("\n") == 1
    words = _parsed(tmp_path, "a,b,b\nc,d,e\nf,g,h\n")  # nothing tells a second header from a row
    assert len(list(words.found[0].rows())) == 3


def test_the_table_stands_in_the_tree_with_its_header(tmp_path: Path) -> None:
    document = _parsed(tmp_path, "Report\n\nname,value\na,1\nb,2\n")
    (table,) = document.layout.tables
    assert document.text[table.start : table.header_end] == "name,value"
    assert document.text[table.start : table.end] == "name,value\na,1\nb,2"
