"""Headers of several lines in tables of PDF pages that have no grid: which columns each of their cells stands over."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from reportlab.pdfbase.pdfmetrics import stringWidth

from ingest.parsing.pdf import parse_pdf
from ingest.parsing.pipe_tables import find_pipe_tables
from tests.support.drawn_pdfs import PLAIN, Drawing

Span = tuple[float, float]

FOUR: Sequence[Span] = ((200, 280), (290, 370), (380, 460), (470, 550))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "file.pdf"


def _columns(file: Path, drawing: Drawing) -> tuple[str, ...]:
    file.write_bytes(drawing.content())
    (table,) = find_pipe_tables(parse_pdf(file).text)
    return table.columns[1:]


def _over(drawing: Drawing, text: str, spans: Sequence[Span], base: float) -> None:
    """Draw a text in the middle over some columns."""
    middle = (spans[0][0] + spans[-1][1]) / 2
    drawing.line(text, middle - stringWidth(text, PLAIN, 10.0) / 2, base)


def _ruled(drawing: Drawing, spans: Sequence[Span], base: float) -> None:
    for left, right in spans:
        drawing.canvas.line(left, base - 3, right, base - 3)


def _body(drawing: Drawing, spans: Sequence[Span], top: float) -> None:
    for number, label in enumerate(("Grain", "Flour", "Bran")):
        base = top - 14 * number
        drawing.line(label, 60, base)
        for column, (left, right) in enumerate(spans):
            if number == 0:
                drawing.line("$", left + 2, base)
            drawing.right_aligned(f"{number + 1},{column}10", right - 4, base)


@pytest.mark.parametrize("ruled", [True, False])
def test_lines_centred_over_several_columns_name_each_of_them(file: Path, ruled: bool) -> None:
    drawing = Drawing()
    _over(drawing, "Spring", FOUR[:2], 700)
    _over(drawing, "Autumn", FOUR[2:], 700)
    for span, name in zip(FOUR, ("North", "South", "North", "South"), strict=True):
        _over(drawing, name, [span], 686)
    _over(drawing, "(in bags)", FOUR, 672)
    if ruled:
        _ruled(drawing, FOUR, 700)
        _ruled(drawing, FOUR, 686)
    _body(drawing, FOUR, 656)
    assert _columns(file, drawing) == (
        "Spring North (in bags)",
        "Spring South (in bags)",
        "Autumn North (in bags)",
        "Autumn South (in bags)",
    )


def test_a_date_in_three_lines_is_one_name_below_the_period_over_it(file: Path) -> None:
    drawing = Drawing()
    _over(drawing, "Grain Stored Until", FOUR, 700)
    _ruled(drawing, FOUR, 700)
    lines = (("February", "February", "$", "%"), ("17,", "18,", "Growth", "Growth"), ("2012", "2011", "", ""))
    for number, line in enumerate(lines, start=1):
        for span, text in zip(FOUR, line, strict=True):
            if text:
                _over(drawing, text, [span], 702 - 12 * number)
    _ruled(drawing, FOUR, 666)
    _body(drawing, FOUR, 650)
    assert _columns(file, drawing) == (
        "Grain Stored Until February 17, 2012",
        "Grain Stored Until February 18, 2011",
        "Grain Stored Until $ Growth",
        "Grain Stored Until % Growth",
    )


def test_a_line_that_rules_part_from_names_of_columns_names_them_all_though_it_fits_over_one(file: Path) -> None:
    drawing = Drawing()
    _over(drawing, "Year 7", FOUR[:3], 700)
    _ruled(drawing, FOUR[:3], 700)
    for span, name in zip(FOUR[:3], ("Bought", "Milled", "Sold"), strict=True):
        _over(drawing, name, [span], 684)
    _ruled(drawing, FOUR[:3], 684)
    _body(drawing, FOUR[:3], 668)
    assert _columns(file, drawing) == ("Year 7 Bought", "Year 7 Milled", "Year 7 Sold")


def test_the_first_line_of_a_name_is_that_of_its_column_alone(file: Path) -> None:
    drawing = Drawing()
    _over(drawing, "Estimated", [FOUR[1]], 700)
    for span, name in zip(FOUR[:3], ("Cost", "value", "Sold"), strict=True):
        _over(drawing, name, [span], 688)
    _ruled(drawing, FOUR[:3], 688)
    _body(drawing, FOUR[:3], 672)
    assert _columns(file, drawing) == ("Cost", "Estimated value", "Sold")


def test_a_rule_says_which_columns_a_line_stands_over(file: Path) -> None:
    """Its middle is that of all four columns too."""
    drawing = Drawing()
    _over(drawing, "Sold in town", FOUR[1:3], 700)
    drawing.canvas.line(FOUR[1][0], 697, FOUR[2][1], 697)
    for span, name in zip(FOUR, ("Bought", "Flour", "Bran", "Left"), strict=True):
        _over(drawing, name, [span], 684)
    _body(drawing, FOUR, 668)
    assert _columns(file, drawing) == ("Bought", "Sold in town Flour", "Sold in town Bran", "Left")


def test_lines_at_the_right_of_columns_are_not_taken_for_centred(file: Path) -> None:
    """The first one's middle is nearly that of three columns, and the second's that of the fourth."""
    spans = ((200, 260), (270, 330), (340, 400), (410, 470))
    drawing = Drawing()
    drawing.right_aligned("Harvest in Barrels", 330, 700)
    drawing.right_aligned("Half Sacks", 470, 700)
    for (_, right), year in zip(spans, ("2018", "2017", "2018", "2017"), strict=True):
        drawing.right_aligned(year, right, 686)
    _ruled(drawing, spans, 686)
    for number, label in enumerate(("Grain", "Flour", "Bran")):
        drawing.line(label, 60, 670 - 14 * number)
        for _, right in spans:
            drawing.right_aligned(f"{number + 1},000", right, 670 - 14 * number)
    assert _columns(file, drawing)[2:] == ("2018", "Half Sacks 2017")


def test_a_single_row_of_figures_has_the_columns_of_the_line_above_it(file: Path) -> None:
    drawing = Drawing()
    _over(drawing, "Book worth of the store", FOUR[:2], 700)
    _over(drawing, "Moisture loss taken off", FOUR[2:], 700)
    for span, date in zip(FOUR, ("Feb 3, 2016", "Nov 28, 2015", "Feb 3, 2016", "Nov 28, 2015"), strict=True):
        _over(drawing, date, [span], 686)
    drawing.line("Grain", 60, 670)
    for (left, right), value in zip(FOUR, ("(17,482)", "(19,356)", "524", "(638)"), strict=True):
        drawing.line("$", left + 2, 670)
        drawing.right_aligned(value, right - 4, 670)
    file.write_bytes(drawing.content())
    text = parse_pdf(file).text
    assert "| Grain | $(17,482) | $(19,356) | $524 | $(638) |" in text
    (table,) = find_pipe_tables(text)
    assert table.columns[2] == "Book worth of the store Nov 28, 2015"


def test_a_label_wider_than_the_header_does_not_end_the_table(file: Path) -> None:
    drawing = Drawing()
    spans = ((400, 460), (480, 540))
    for number, line in enumerate((("May", "June"), ("30,", "30,"), ("2023", "2023"))):
        for span, text in zip(spans, line, strict=True):
            _over(drawing, text, [span], 700 - 12 * number)
    drawing.line("All that the mill has taken in the whole quarter:", 60, 660)
    _body(drawing, spans, 646)
    assert _columns(file, drawing) == ("May 30, 2023", "June 30, 2023")


def test_a_line_of_text_stretched_to_the_edge_is_no_row_of_the_table_below_it(file: Path) -> None:
    drawing = Drawing()
    sentence = "The following table says what came of each of the several markets that we now serve:"
    words = sentence.split()
    blank = (490 - sum(stringWidth(word, PLAIN, 10.0) for word in words)) / (len(words) - 1)
    left = 60.0
    for word in words:
        left = drawing.line(word, left, 714) + blank
    for span, year in zip(FOUR, ("2021", "2022", "2023", "2024"), strict=True):
        _over(drawing, year, [span], 700)
    _body(drawing, FOUR, 686)
    file.write_bytes(drawing.content())
    assert parse_pdf(file).text.startswith(sentence + "\n")
