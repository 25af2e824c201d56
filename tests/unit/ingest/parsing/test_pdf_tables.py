"""Tables of PDF pages without a grid, what only looks like one, and tables whose cells are coloured."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from ingest.parsing.pdf import parse_pdf
from ingest.parsing.pdf.content import Rule, merge_rules
from ingest.parsing.pipe_tables import find_pipe_tables
from tests.support.drawn_pdfs import BOLD, Drawing

Rows = Sequence[Sequence[str]]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "file.pdf"


def _text(file: Path, drawing: Drawing) -> str:
    file.write_bytes(drawing.content())
    return parse_pdf(file).text


def _draw(drawing: Drawing, rows: Rows, xs: Sequence[float], top: float, step: float = 14) -> None:
    for number, row in enumerate(rows):
        for x, cell in zip(xs, row, strict=True):
            if cell:
                drawing.line(cell, x, top - step * number)


def _written(rows: Rows) -> str:
    lines = [f"| {' | '.join(row)} |".replace("|  |", "| |").replace("|  |", "| |") for row in rows]
    return "\n".join([lines[0], "|" + " --- |" * len(rows[0]), *lines[1:]])


def test_rules_of_two_figures_at_one_height_stay_apart() -> None:
    table, chart = Rule(True, 78.6, 19, 196), Rule(True, 78.4, 260, 961)
    assert merge_rules([table, Rule(True, 79.0, 19.1, 196.2), chart]) == [chart, Rule(True, 78.6, 19, 196.2)]


def test_a_table_of_contents_without_dots_is_lines_and_no_table(file: Path) -> None:
    drawing = Drawing()
    drawing.line("Contents", 60, 740, font=BOLD, size=16)
    lines = [("1. Pumps", "iv"), ("2. Valves and seals", "2"), ("2.1 Their care", "2"), ("3. Motors", "17")]
    for number, (title, page) in enumerate([*lines, ("Index", "104")]):
        drawing.line(title, 60, 700 - 16 * number)
        drawing.right_aligned(page, 540, 700 - 16 * number)
    text = _text(file, drawing)
    assert "|" not in text
    assert "2.1 Their care 2\n" in text


def test_dots_that_lead_to_the_page_are_left_out_of_a_table_of_contents(file: Path) -> None:
    drawing = Drawing()
    for number, (title, page) in enumerate([("Pumps", "3"), ("Valves", "9")]):
        drawing.line(f"{title} {'. ' * 60}", 60, 700 - 16 * number)
        drawing.right_aligned(page, 540, 700 - 16 * number)
    assert _text(file, drawing) == "Pumps 3\nValves 9"


def test_numbers_that_grow_below_a_header_are_a_table(file: Path) -> None:
    rows = [("Quarter", "Users"), ("First", "10"), ("Second", "20"), ("Third", "30"), ("Fourth", "40")]
    drawing = Drawing()
    _draw(drawing, rows, (60, 300), 700)
    assert _text(file, drawing) == _written(rows)


def test_years_with_a_label_before_them_are_a_header(file: Path) -> None:
    rows = [("Item", "2022", "2023"), ("Sales", "1,200", "1,310"), ("Costs", "900", "880"), ("Tax", "12%", "–")]
    drawing = Drawing()
    _draw(drawing, rows, (60, 300, 400), 700)
    assert _text(file, drawing) == _written(rows)


def test_a_year_in_the_first_row_of_a_table_without_a_header_stays_a_value(file: Path) -> None:
    rows = [("Founded", "1999"), ("Employees", "1,250"), ("Branches", "17")]
    drawing = Drawing()
    _draw(drawing, rows, (60, 300), 700)
    assert "| Founded | 1999 |\n| Employees | 1,250 |" in _text(file, drawing)


def test_rows_of_words_before_the_first_number_are_no_header(file: Path) -> None:
    rows = [
        ("Option", "Default", "Meaning"),
        ("colour", "blue", "Sets the colour of the lamp."),
        ("mode", "auto", "Says who is in charge."),
        ("limit", "250", "Stops the pump after as many strokes."),
    ]
    drawing = Drawing()
    _draw(drawing, rows, (60, 160, 260), 700)
    assert _text(file, drawing) == _written(rows)


def test_columns_that_stand_close_to_each_other_are_told_apart(file: Path) -> None:
    """Their gaps are half an em wide, and no row has one that is wide enough by itself."""
    rows = [
        ("Kind of pump", "Where it stands", "State of it"),
        ("Old river mill", "Upper meadows", "in daily use"),
        ("Long sea pipes", "Lower harbour", "to be mended"),
        ("New hill wheel", "Northern town", "in daily use"),
    ]
    drawing = Drawing()
    second = 65 + max(drawing.line(row[0], 60, 700 - 14 * number) for number, row in enumerate(rows)) - 60
    third = 5 + max(drawing.line(row[1], second, 700 - 14 * number) for number, row in enumerate(rows))
    for number, row in enumerate(rows):
        drawing.line(row[2], third, 700 - 14 * number)
    assert _text(file, drawing) == _written(rows)


def test_a_last_row_and_a_last_line_that_only_fit_the_columns_belong_to_the_table(file: Path) -> None:
    drawing = Drawing()
    rows = [
        ("Name", "Place", "Note"),
        ("Pump", "river", "is old but works well enough"),
        ("Valve", "harbour", "was mended in the spring"),
        ("A longer wheel", "town", "turns as often as the"),
        ("", "", "miller says"),
    ]
    _draw(drawing, rows, (60, 133, 220), 700)
    text = _text(file, drawing)
    assert "| Valve | harbour | was mended in the spring |\n" in text
    assert "| A longer wheel | town | turns as often as the miller says |" in text


def test_a_column_of_names_beside_several_columns_of_words_is_no_text_column(file: Path) -> None:
    kinds = ["final pump north", "older lamp south", "local boat north", "daily gate south", "small bell north"]
    rows = [("Name of it", "Kind", "Part", "Side"), *((f"The {kind}", *kind.split()) for kind in kinds)]
    drawing = Drawing()
    _draw(drawing, rows, (60, 160, 220, 280), 700)
    assert _text(file, drawing) == _written(rows)


def test_lists_beside_each_other_are_read_one_after_the_other(file: Path) -> None:
    drawing = Drawing()
    for x, names in ((60, ("oats", "rye", "wheat", "barley")), (300, ("plough", "scythe", "rake", "cart"))):
        for number, name in enumerate(names):
            drawing.line(f"• {name}", x, 700 - 16 * number)
    text = _text(file, drawing)
    assert "|" not in text
    assert text.index("barley") < text.index("plough")


def test_a_table_whose_cells_all_have_a_colour_keeps_its_empty_cells(file: Path) -> None:
    rows = [("", "Wheat", "Rye"), ("North", "true", ""), ("South", "", "true"), ("West", "", "")]
    drawing = Drawing()
    for number in range(len(rows)):
        for column in range(3):
            drawing.canvas.setFillGray(0.8 if number % 2 else 0.9)
            drawing.canvas.rect(60 + 80 * column, 690 - 20 * number, 80, 20, stroke=0, fill=1)
    drawing.canvas.setFillGray(0)
    _draw(drawing, rows, (66, 146, 226), 696, 20)
    assert _text(file, drawing) == _written(rows)


def test_a_coloured_body_is_not_parted_from_its_header(file: Path) -> None:
    rows = [("", "2022", "2023"), ("Sales", "1,200", "1,310"), ("Costs", "900", "880"), ("Taxes", "30", "41")]
    drawing = Drawing()
    for number in range(1, len(rows)):
        for column in range(3):
            drawing.canvas.setFillGray(0.9)
            drawing.canvas.rect(60 + 80 * column, 690 - 20 * number, 80, 20, stroke=0, fill=1)
    drawing.canvas.setFillGray(0)
    _draw(drawing, rows, (66, 146, 226), 696, 20)
    assert _text(file, drawing) == _written(rows)


def test_what_stands_above_a_header_of_years_is_kept(file: Path) -> None:
    drawing = Drawing()
    drawing.line("Grain promised to the town by its farms stood at these levels (in tons):", 60, 720)
    for x, month, year in ((400, "May 11,", "2014"), (490, "Aug 30,", "2013")):
        drawing.line(month, x, 700)
        drawing.line(year, x, 688)
    drawing.line("Farms whose promise holds though prices should fall:", 60, 672)
    for number, (label, one, other) in enumerate([("Upstream", "68,152", "64,937"), ("Seaward", "27,418", "13,596")]):
        _draw(drawing, [(label, one, other)], (76, 400, 490), 656 - 14 * number)
    text = _text(file, drawing)
    assert text.startswith("Grain promised to the town by its farms stood at these levels (in tons):")
    (table,) = find_pipe_tables(text)
    assert table.columns[1:] == ("May 11, 2014", "Aug 30, 2013")


@pytest.mark.parametrize("mark", ["{}", "[{}]", "[Po{}]"])
def test_notes_and_references_with_their_marks_are_no_table(file: Path, mark: str) -> None:
    drawing = Drawing()
    notes = ["is what the mill earned", "was lent by the town", "lies in the harbour"]
    for number, note in enumerate(notes, start=1):
        drawing.line(mark.format(number), 60, 700 - 14 * number)
        drawing.line(f"The money {note}", 100, 700 - 14 * number)
    assert "|" not in _text(file, drawing)


def test_numbered_formulas_are_no_table(file: Path) -> None:
    drawing = Drawing()
    _draw(drawing, [("E = m c", "(1)"), ("a + b = c", "(2)"), ("H = E", "(3)")], (200, 500), 700)
    assert "|" not in _text(file, drawing)


def test_numbers_beside_numbers_stay_a_table(file: Path) -> None:
    drawing = Drawing()
    _draw(drawing, [("1", "5,200"), ("2", "3,900"), ("3", "4,100")], (60, 200), 700)
    assert "| 2 | 3,900 |" in _text(file, drawing)


def test_a_label_of_two_lines_is_read_line_by_line_beside_a_value_between_them(file: Path) -> None:
    drawing = Drawing()
    for x, name in ((300, "2020"), (400, "2021")):
        drawing.line(name, x, 714)
    rows = [
        ("Changes in fair value of assets", "through comprehensive income", "31", "64"),
        ("Share of income of investments", "under the equity method", "15", "21"),
    ]
    for number, (upper, lower, *values) in enumerate(rows):
        base = 700 - 30 * number
        drawing.line(upper, 60, base)
        drawing.line(lower, 60, base - 11)
        for x, value in zip((300, 400), values, strict=True):
            drawing.line(value, x, base - 5.5, size=10.5)
    table = [["", "2020", "2021"], *([f"{upper} {lower}", *values] for upper, lower, *values in rows)]
    assert _text(file, drawing) == _written(table)
