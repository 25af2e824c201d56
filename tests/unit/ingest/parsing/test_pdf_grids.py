"""Tables in drawn grids whose rules do not separate all rows or columns."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from ingest.parsing.pdf import parse_pdf
from ingest.parsing.pipe_tables import find_pipe_tables
from tests.support.drawn_pdfs import Drawing

Lines = Sequence[Sequence[str]]


def _read_rows(file: Path, drawing: Drawing) -> list[list[str]]:
    """Return the rows of the only table, starting with its header."""
    file.write_bytes(drawing.content())
    (table,) = find_pipe_tables(parse_pdf(file).text)
    return [list(table.columns), *(list(row.cells) for row in table.rows())]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "file.pdf"


def _draw_frame(xs: Sequence[float], header: Sequence[str], lines: Lines) -> Drawing:
    """Draw a header, and below it lines that only upright rules separate."""
    drawing = Drawing()
    drawing.rules(xs, [700, 684, 680 - 14 * len(lines)])
    for number, cells in enumerate([header, *lines]):
        for x, cell in zip(xs[:-1], cells, strict=True):
            if cell:
                drawing.line(cell, x + 4, 688 - 14 * number)
    return drawing


def test_each_label_beside_text_that_runs_on_starts_a_row(file: Path) -> None:
    words = "The mill grinds the grain of all the farms along the river and sells"
    lines = [
        ("flour", words),
        ("", "it in the town."),
        ("foundations", words),
        ("", "them for a sum."),
        ("oats", "None."),
    ]
    drawing = _draw_frame([60, 130, 500], ("Ware", "Use"), lines)
    assert _read_rows(file, drawing) == [
        ["Ware", "Use"],
        ["flour", f"{words} it in the town."],
        ["foundations", f"{words} them for a sum."],
        ["oats", "None."],
    ]


def test_a_label_of_several_lines_beside_text_that_runs_on_is_one_row(file: Path) -> None:
    lines = [
        ("Grain of the", "It is ground"),
        ("northern farms", "and stored,"),
        ("", "then sold"),
        ("and oats", "in town."),
    ]
    drawing = _draw_frame([60, 140, 300], ("Ware", "Use"), lines)
    assert _read_rows(file, drawing) == [
        ["Ware", "Use"],
        ["Grain of the northern farms and oats", "It is ground and stored, then sold in town."],
    ]


def test_lines_of_three_columns_of_words_are_rows(file: Path) -> None:
    lines = [("alpha", "A", "first"), ("beta", "B", "second"), ("gamma", "C", "third")]
    drawing = _draw_frame([60, 200, 300, 450], ("Letter", "Sign", "Place"), lines)
    assert _read_rows(file, drawing) == [["Letter", "Sign", "Place"], *map(list, lines)]


def test_two_addresses_beside_each_other_are_one_row(file: Path) -> None:
    lines = [("Grain House", "River Mill"), ("2 Long Street", "7 Water Lane"), ("Harwich", "Dover")]
    drawing = _draw_frame([60, 260, 460], ("Seller", "Buyer"), lines)
    assert _read_rows(file, drawing)[1:] == [["Grain House 2 Long Street Harwich", "River Mill 7 Water Lane Dover"]]


def test_several_columns_of_values_between_two_rules_are_told_apart(file: Path) -> None:
    drawing = Drawing()
    drawing.rules([60, 260, 400], [700, 684, 640])
    rows = [("Year", "Bushels", "Price", "Paid"), ("Oats", "12", "3.10", "37.20"), ("Rye", "40", "2.00", "80.00")]
    rows.append(("Wheat", "7", "4.50", "31.50"))
    for number, cells in enumerate(rows):
        for x, cell in zip((64, 200, 264, 340), cells, strict=True):
            drawing.line(cell, x, 688 - 14 * number)
    assert _read_rows(file, drawing) == [list(row) for row in rows]


def test_wide_gaps_between_words_of_a_cell_separate_no_columns(file: Path) -> None:
    drawing = Drawing()
    rows = [("Oak", "beam", "12"), ("Elm", "plank", "40"), ("Ash", "board", "7")]
    drawing.rules([60, 260, 400], [700, 684, 670, 656, 642])
    drawing.line("Timber", 64, 688)
    drawing.line("Pieces", 264, 688)
    for number, cells in enumerate(rows, 1):
        for x, cell in zip((64, 160, 264), cells, strict=True):
            drawing.line(cell, x, 688 - 14 * number)
    assert _read_rows(file, drawing)[1:] == [[f"{wood} {shape}", count] for wood, shape, count in rows]


def test_a_longer_rule_that_touches_a_grid_adds_no_columns(file: Path) -> None:
    drawing = Drawing()
    lines = [
        ("Oats", "How many bushels there are."),
        ("", "Where they lie."),
        ("", "Who brought them."),
        ("", "Who took them."),
        ("Rye", "None."),
    ]
    ys = [700, 684, 670, 656, 642, 628, 614]
    for x in (60, 200, 400):
        drawing.canvas.line(x, ys[0], x, ys[-1])
    for y in ys:
        drawing.canvas.line(200 if y in (670, 656, 642) else 60, y, 400, y)
    drawing.canvas.line(50, 702, 410, 702)
    for number, cells in enumerate([("Ware", "Questions"), *lines]):
        for x, cell in zip((64, 204), cells, strict=True):
            if cell:
                drawing.line(cell, x, 688 - 14 * number)
    assert _read_rows(file, drawing) == [["Ware", "Questions"], *map(list, lines)]


def test_words_below_a_value_are_the_title_of_the_rows_below(file: Path) -> None:
    drawing = Drawing()
    rows = [("", "2022", "2023"), ("Oats", "112", "130"), ("Rye", "40", "38"), ("", "Mills", ""), ("Oats", "3", "4")]
    for number, (label, *values) in enumerate(rows):
        drawing.line(label, 60, 700 - 14 * number)
        for right, value in zip((250, 330), values, strict=True):
            if value:
                drawing.right_aligned(value, right, 700 - 14 * number)
    assert ["Rye", "40", "38"] in _read_rows(file, drawing)
