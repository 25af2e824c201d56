"""Columns, tables, headings, lists and running lines of PDF pages, and what their text leaves out."""

import io
from collections.abc import Callable
from pathlib import Path

import pikepdf
import pytest
from pypdfium2 import PdfPage
from reportlab.lib.utils import ImageReader
from reportlab.pdfbase.pdfmetrics import stringWidth

from ingest.parsing.pdf import parse_pdf
from ingest.parsing.pdf.content import RecognizedWord
from ingest.parsing.pipe_tables import find_pipe_tables
from ingest.parsing.types import ParsedDocument
from ingest.storage.texts.layout import OmissionKind
from ingest.storage.texts.positions import Box
from tests.support.drawn_pdfs import BOLD, HEIGHT, WIDTH, Drawing, filled_lines

_PROSE = """
the river carried the boats past the mill and the long meadow before it turned to the sea where the men waited with
lamps and nets and talked of the storm that had passed in the night over the hills and the small towns
""".split()  # noqa: SIM905


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "file.pdf"


def _parsed(file: Path, drawing: Drawing) -> ParsedDocument:
    file.write_bytes(drawing.content())
    return parse_pdf(file)


def _omitted(document: ParsedDocument) -> dict[OmissionKind, int]:
    return {each.kind: each.count for each in document.omissions}


def _statement(drawing: Drawing, top: float) -> None:
    """Draw a statement whose currency, brackets and percent signs stand apart and whose headers span two columns."""
    for left, right, text in ((300, 410, "Barge season to May"), (440, 550, "Whole milling year")):
        drawing.line(text, left + 10, top, font=BOLD)
        drawing.rules([left, right], [top - 3])
    for right, year in ((350, "2015"), (410, "2014"), (490, "2015"), (550, "2014")):
        drawing.right_aligned(year, right, top - 14, font=BOLD)
    rows = [
        ("Taken at the gate:", ()),
        ("Rye flour", ("58,417", "51,926", "318,604", "297,158")),
        ("Gain on old sacks, net", ("(34", "518", "(62", "479")),
        ("Share of harvest", ("21", "26", "37", "45")),
    ]
    for number, (label, values) in enumerate(rows):
        base = top - 28 - 14 * number
        drawing.line(label, 60, base)
        for right, value in zip((350, 410, 490, 550), values, strict=False):
            drawing.right_aligned(value, right, base)
            if label == "Rye flour":
                drawing.line("$", right - 48, base)
            if value.startswith("("):
                drawing.line(")", right + 1, base)
            if label.startswith("Share"):
                drawing.line("%", right + 1, base)


def test_a_statement_without_a_grid_is_a_table_with_its_whole_header_and_whole_amounts(file: Path) -> None:
    drawing = Drawing()
    _statement(drawing, 700)
    (table,) = find_pipe_tables(_parsed(file, drawing).text)
    assert table.columns[1:] == (
        "Barge season to May 2015",
        "Barge season to May 2014",
        "Whole milling year 2015",
        "Whole milling year 2014",
    )
    assert [row.cells for row in table.rows()] == [
        ["Taken at the gate:", "", "", "", ""],
        ["Rye flour", "$58,417", "$51,926", "$318,604", "$297,158"],
        ["Gain on old sacks, net", "(34)", "518", "(62)", "479"],
        ["Share of harvest", "21%", "26%", "37%", "45%"],
    ]


def test_years_are_a_header_and_a_sign_close_behind_a_number_is_that_of_the_next(file: Path) -> None:
    drawing = Drawing()
    rows = [
        ("Lock tolls for the weeks up to May 4,", ("2017", "2016")),
        ("Boats upstream", ("52,864", "47,391")),
        ("Toll refunds (late claims), net", ("(716)", "83")),
        ("Kept for repairs", ("31,648", "28,905")),
        ("Average toll per boat", ("4.20", "3.75")),
    ]
    for number, (label, values) in enumerate(rows):
        base = 700 - 14 * number
        drawing.line(label, 60, base)
        for right, value in zip((350, 430), values, strict=True):
            drawing.right_aligned(value, right, base)
            if label[0] not in "LT":
                drawing.line("$", right - 77, base)
    (table,) = find_pipe_tables(_parsed(file, drawing).text)
    assert table.columns == ("Lock tolls for the weeks up to May 4,", "2017", "2016")
    assert [row.cells[1:] for row in table.rows()] == [
        ["$52,864", "$47,391"],
        ["(716)", "83"],
        ["$31,648", "$28,905"],
        ["$4.20", "$3.75"],
    ]


def test_a_sign_behind_its_number_stays_there(file: Path) -> None:
    drawing = Drawing()
    rows = [("", ("2017", "2016")), ("Mahlgeld", ("53.718", "49.206")), ("Pacht", ("18.467", "16.932"))]
    for number, (label, values) in enumerate(rows):
        drawing.line(label, 60, 700 - 14 * number)
        for right, value in zip((350, 430), values, strict=True):
            drawing.right_aligned(value, right, 700 - 14 * number)
            if label:
                drawing.line("€", right + 3, 700 - 14 * number)
    (table,) = find_pipe_tables(_parsed(file, drawing).text)
    assert [row.cells for row in table.rows()] == [
        ["Mahlgeld", "53.718 €", "49.206 €"],
        ["Pacht", "18.467 €", "16.932 €"],
    ]


def test_a_row_of_years_below_other_rows_is_no_header(file: Path) -> None:
    drawing = Drawing()
    rows = [("", ("Acme", "Bolt")), ("Founded", ("1998", "2004")), ("Employees", ("1,200", "340"))]
    for number, (label, values) in enumerate(rows):
        drawing.line(label, 60, 700 - 14 * number)
        for right, value in zip((350, 430), values, strict=True):
            drawing.right_aligned(value, right, 700 - 14 * number)
    (table,) = find_pipe_tables(_parsed(file, drawing).text)
    assert [row.cells for row in table.rows()] == [["Founded", "1998", "2004"], ["Employees", "1,200", "340"]]


def test_a_table_in_a_grid_keeps_cells_of_several_lines_whole(file: Path) -> None:
    drawing = Drawing()
    drawing.rules([60, 200, 400], [700, 680, 640, 620])
    for base, cells in (
        (685, ("Risk", "What is done")),
        (668, ("Fire", "Doors are kept shut")),
        (625, ("Flood", "None")),
    ):
        drawing.line(cells[0], 64, base)
        drawing.line(cells[1], 204, base)
    drawing.line("and hoses ready", 204, 654)
    (table,) = find_pipe_tables(_parsed(file, drawing).text)
    assert table.columns == ("Risk", "What is done")
    assert [row.cells for row in table.rows()] == [["Fire", "Doors are kept shut and hoses ready"], ["Flood", "None"]]


def test_turned_headers_of_a_grid_stand_in_its_header(file: Path) -> None:
    drawing = Drawing()
    drawing.rules([60, 200, 240, 280], [700, 600, 580, 560])
    drawing.line("Action", 64, 605)
    for left, text in ((225, "READ"), (265, "WRITE")):
        drawing.canvas.saveState()
        drawing.canvas.translate(left, 610)
        drawing.canvas.rotate(90)
        drawing.canvas.drawString(0, 0, f"MAY {text}")
        drawing.canvas.restoreState()
    for base, cells in ((585, ("List files", "yes", "no")), (565, ("Change them", "no", "yes"))):
        for left, text in zip((64, 204, 244), cells, strict=True):
            drawing.line(text, left, base)
    (table,) = find_pipe_tables(_parsed(file, drawing).text)
    assert table.columns == ("Action", "MAY READ", "MAY WRITE")


def test_what_stands_far_below_a_table_is_not_its_row(file: Path) -> None:
    drawing = Drawing()
    _statement(drawing, 700)
    drawing.line("Statements of the mill", 60, 590)
    drawing.right_aligned("7", 550, 590)
    (table,) = find_pipe_tables(_parsed(file, drawing).text)
    assert [row.cells[0] for row in table.rows()][-1] == "Share of harvest"


def test_a_table_that_goes_on_on_the_next_page_has_its_header_there_too(file: Path) -> None:
    drawing = Drawing()
    _rows = [("Item", "Cost"), ("Rent", "1,200"), ("Light", "300")]
    for number, (label, value) in enumerate(_rows):
        drawing.line(label, 60, 100 - 14 * number)
        drawing.right_aligned(value, 400, 100 - 14 * number)
    drawing.next_page()
    for number, (label, value) in enumerate([("Water", "80"), ("Total", "1,580")]):
        drawing.line(label, 60, 740 - 14 * number)
        drawing.right_aligned(value, 400, 740 - 14 * number)
    first, second = find_pipe_tables(_parsed(file, drawing).text)
    assert first.columns == second.columns == ("Item", "Cost")
    assert [row.cells for row in second.rows()] == [["Water", "80"], ["Total", "1,580"]]


def test_a_header_that_a_table_repeats_on_each_page_stays_with_it_and_one_of_the_pages_does_not(file: Path) -> None:
    drawing = Drawing()
    for page in (1, 2, 3):
        if page > 1:
            drawing.next_page()
        drawing.rules([60, 300, 540], [770, 750])
        drawing.line("Pumps of the north", 64, 756)
        drawing.line(f"Page {page}", 304, 756)
        drawing.rules([60, 300, 540], [740, 720, 700, 680])
        for number, (name, value) in enumerate(
            [("Pump", "Weight"), (f"N{page}", f"1{page}"), (f"M{page}", f"2{page}")]
        ):
            drawing.line(name, 64, 726 - 20 * number)
            drawing.line(value, 304, 726 - 20 * number)
    text = _parsed(file, drawing).text
    tables = find_pipe_tables(text)
    assert [table.columns for table in tables] == [("Pump", "Weight")] * 3
    assert [row.cells for table in tables for row in table.rows()][2:4] == [["N2", "12"], ["M2", "22"]]
    assert text.count("Pumps of the north") == 1


def test_columns_are_read_one_after_the_other_below_the_title_over_both(file: Path) -> None:
    drawing = Drawing()
    drawing.line("A title that stands over both of the columns of this page", 60, 740, font=BOLD, size=16)
    left, right = filled_lines(_PROSE * 4, 230), filled_lines(reversed(_PROSE * 4), 230)
    drawing.lines(left, 60, 700)
    drawing.lines(right, 320, 700)
    document = _parsed(file, drawing)
    words = " ".join([*left, *right]).split()
    assert document.text.split("\n\n", 1)[1].split() == words
    assert document.text.startswith("# A title that stands over both")


def test_a_sentence_that_goes_on_on_the_next_page_is_one_paragraph_there_and_here(file: Path) -> None:
    drawing = Drawing()
    for page in range(3):
        drawing.line("Annual report of the mill", 60, 760)
        drawing.lines(filled_lines([f"x{page}", *_PROSE, *_PROSE, "and"], 450)[:-1], 60, 700)
        drawing.line(f"Page {page + 1} of 3", 280, 40)
        if page < 2:
            drawing.next_page()
    document = _parsed(file, drawing)
    head, _, foot = document.text.split("\n\n")
    assert (head, foot) == ("Annual report of the mill", "Page 1 of 3")
    starts = [place.start for place in document.layout.places]
    assert [document.text[start:].split()[0] for start in starts[1:]] == ["x1", "x2"]
    assert _omitted(document) == {OmissionKind.BOILERPLATE: 4}


def test_a_footer_is_written_below_the_text_of_its_page(file: Path) -> None:
    drawing = Drawing()
    for page in range(1, 6):
        drawing.line(f"The {page}th clause", 60, 740, font=BOLD, size=12)
        drawing.lines([f"Text of clause {each}{page} that ends." for each in "ab"], 60, 700)
        if page > 2:
            drawing.line("Confidential until it is signed", 200, 40)
        if page < 5:
            drawing.next_page()
    document = _parsed(file, drawing)
    third = document.text.index("The 3th clause")
    assert (
        third < document.text.index("clause b3") < document.text.index("Confidential") < document.text.index("The 4th")
    )
    assert document.text.count("Confidential") == 1


def test_a_sentence_that_ends_some_pages_at_different_heights_stays_in_each_of_them(file: Path) -> None:
    drawing = Drawing()
    for page in range(1, 5):
        base = drawing.lines(
            [f"Line {each}{page} of the text." for each in "abcdefgh"[: 2 + page]], 60, 740, leading=30
        )
        drawing.line("All amounts are in euros.", 60, base)
        if page < 4:
            drawing.next_page()
    document = _parsed(file, drawing)
    assert document.text.count("All amounts are in euros.") == 4
    assert _omitted(document) == {}


def test_numbered_titles_at_the_top_of_each_page_are_no_page_numbers(file: Path) -> None:
    drawing = Drawing()
    for page in range(1, 5):
        drawing.line(f"Chapter {page}", 60, 740, font=BOLD, size=16)
        drawing.lines(filled_lines([f"x{page}", *_PROSE], 450), 60, 700)
        drawing.line(f"Page {page}", 280, 40)
        if page < 4:
            drawing.next_page()
    document = _parsed(file, drawing)
    assert [each.title for each in document.layout.headings] == [f"Chapter {page}" for page in range(1, 5)]
    assert document.text.count("Page") == 1


@pytest.mark.parametrize(
    "line",
    ["The parties agree on part {} of the goods.", "{}. Delivery of boats", "They bought {} boats", "By part {}."],
)
def test_numbers_in_the_text_of_each_page_are_no_page_numbers(file: Path, line: str) -> None:
    drawing = Drawing()
    for page in range(1, 5):
        drawing.line(f"Contract of the mill, page {page}", 60, 760)
        drawing.line(line.format(page), 60, 700)
        drawing.line(f"Page {page} of 4", 60, 40)
        if page < 4:
            drawing.next_page()
    document = _parsed(file, drawing)
    starts = [document.text.index(line.format(page)) for page in range(1, 5)]
    assert starts == sorted(starts)
    assert document.text.count("Contract") == 1
    assert _omitted(document) == {OmissionKind.BOILERPLATE: 6}


@pytest.mark.parametrize(
    "footer", ["Page {} of 4", "Mill report | {} | Draft", "{} Mill report", "- {} -", "Mill {}/4"]
)
def test_page_numbers_in_footers_are_left_out(file: Path, footer: str) -> None:
    drawing = Drawing()
    for page in range(1, 5):
        drawing.lines(filled_lines([f"x{page}", *_PROSE], 450), 60, 700)
        drawing.line(footer.format(page), 60, 40)
        if page < 4:
            drawing.next_page()
    assert _omitted(_parsed(file, drawing))[OmissionKind.BOILERPLATE] >= 3


def test_a_single_line_on_each_page_is_what_the_document_says_and_no_running_line(file: Path) -> None:
    drawing = Drawing()
    for number in range(1, 6):
        drawing.line(f"Locker {number}", 60, 740)
        drawing.next_page()
    document = _parsed(file, drawing)
    assert document.text.split("\n\n") == [f"Locker {number}" for number in range(1, 6)]
    assert OmissionKind.OTHER not in _omitted(document)


def test_a_title_in_large_type_is_none_of_the_running_lines_that_repeat_it(file: Path) -> None:
    drawing = Drawing()
    for page in range(5):
        drawing.line("Annual report of the mill", 60, 760, size=9 if page else 24)
        drawing.lines(filled_lines([f"{each}{page}" for each in _PROSE], 450), 60, 600)
        if page < 4:
            drawing.next_page()
    document = _parsed(file, drawing)
    assert document.title == "Annual report of the mill"
    assert document.text.startswith("# Annual report of the mill\n\n")
    assert document.text.count("Annual report") == 2


def test_headings_have_the_levels_of_the_outline(file: Path) -> None:
    drawing = Drawing()
    for key, title, level in (("a", "The mill", 0), ("b", "Its wheel", 1)):
        drawing.canvas.bookmarkPage(key)
        drawing.canvas.addOutlineEntry(title, key, level)
    drawing.line("The mill", 60, 740)  # in the type of the text
    drawing.lines(filled_lines(_PROSE, 450), 60, 700)
    drawing.line("2 Its wheel", 60, 600)
    drawing.lines(filled_lines(_PROSE, 450), 60, 560)
    headings = _parsed(file, drawing).layout.headings
    assert [(heading.level, heading.title) for heading in headings] == [(1, "The mill"), (2, "2 Its wheel")]


def test_headings_of_one_size_on_lines_of_their_own_are_not_joined_however_many_there_are(file: Path) -> None:
    drawing = Drawing()
    headings = [f"Of {one} {other}" for one, other in zip(_PROSE, reversed(_PROSE), strict=True)][:18]
    for number in range(9):
        for at in (0, 1):
            drawing.right_aligned(headings[2 * number + at], 540, 700 - 20 * number - 60 * at, font=BOLD, size=14)
        drawing.lines(filled_lines([f"{each}{number}" for each in _PROSE], 450), 72, 400)
        if number < 8:
            drawing.next_page()
    assert [heading.title for heading in _parsed(file, drawing).layout.headings] == headings


def test_a_line_in_capitals_above_small_letters_is_a_heading(file: Path) -> None:
    drawing = Drawing()
    base = drawing.lines(["THE RIVER AND THE MILL"], 60, 740) - 12
    base = drawing.lines(filled_lines(_PROSE * 4, 450), 60, base) - 20
    base = drawing.lines(["NOTE 2 — THE WHEEL"], 60, base) - 12
    drawing.line("How it turns", 60, base, font=BOLD)
    base = drawing.lines(filled_lines(_PROSE * 4, 450), 60, base - 24) - 20
    drawing.line("SELECT NAME FROM MILL", 60, base, font="Courier")
    drawing.lines(filled_lines(_PROSE, 450), 60, base - 24)
    headings = _parsed(file, drawing).layout.headings
    assert [(heading.level, heading.title) for heading in headings] == [
        (1, "THE RIVER AND THE MILL"),
        (1, "NOTE 2 — THE WHEEL"),
        (1, "How it turns"),
    ]


def test_running_lines_in_capitals_are_no_headings_though_they_change(file: Path) -> None:
    drawing = Drawing()
    for number in range(1, 6):
        drawing.lines([f"CHAPTER {number}. THE RIVER AND THE MILL"], 60, 750)
        base = drawing.lines(filled_lines(_PROSE * 3, 450), 60, 720) - 20
        if number == 3:
            base = drawing.lines(["THE WHEEL"], 60, base) - 12
        drawing.lines(filled_lines(_PROSE * 8, 450), 60, base)
        drawing.next_page()
    assert [heading.title for heading in _parsed(file, drawing).layout.headings] == ["THE WHEEL"]


def test_names_of_speakers_in_capitals_are_no_headings(file: Path) -> None:
    drawing = Drawing()
    base = 740.0
    for speaker in ("HAMLET", "HORATIO") * 6:
        base = drawing.lines([speaker], 60, base) - 8
        base = drawing.lines(filled_lines(_PROSE[:25], 450), 60, base) - 10
    assert not _parsed(file, drawing).layout.headings


def test_headings_without_an_outline_are_ranked_by_their_type(file: Path) -> None:
    drawing = Drawing()
    base = 740.0
    titles = [("Report", 20), ("(unaudited)", 14), ("1 Means", 14), ("Tools", 10), ("or its parts", 10), ("2 Ends", 14)]
    for title, size in titles:
        drawing.line(title, 60, base, size=size, font=BOLD)
        base = drawing.lines(filled_lines(_PROSE, 450), 60, base - 30) - 30
    document = _parsed(file, drawing)
    found = [(heading.level, heading.title) for heading in document.layout.headings]
    assert found == [(1, "Report"), (2, "1 Means"), (3, "Tools"), (2, "2 Ends")]
    assert document.title == "Report"


def _in_one_string(drawing: Drawing, number: str, title: str, base: float) -> None:
    drawing.line(f"{number} {title}", 60, base, font=BOLD, size=14)


def _with_a_tab(drawing: Drawing, number: str, title: str, base: float) -> None:
    drawing.line(number, 60, base, font=BOLD, size=14)
    drawing.line(title, 96, base, font=BOLD, size=14)


def _title_first(drawing: Drawing, number: str, title: str, base: float) -> None:
    drawing.line(title, 84, base, font=BOLD, size=14)
    drawing.line(number, 60, base, font=BOLD, size=14)


def _with_a_move_for_the_blank(drawing: Drawing, number: str, title: str, base: float) -> None:
    drawing.canvas.setFont(BOLD, 14)
    text = drawing.canvas.beginText(60, base)
    text._code.append(f"[({number.replace(')', chr(92) + ')')}) -250 ({title})] TJ")
    drawing.canvas.drawText(text)


def _letter_by_letter(drawing: Drawing, number: str, title: str, base: float) -> None:
    left = 60.0
    drawing.canvas.setFont(BOLD, 14)
    for letter in f"{number} {title}":
        if letter != " ":
            drawing.canvas.drawString(left, base, letter)
        left += stringWidth(letter, BOLD, 14)


def _in_type_of_another_size(drawing: Drawing, number: str, title: str, base: float) -> None:
    right = drawing.line(number, 60, base, font=BOLD, size=11)
    drawing.line(title, right + 4, base, font=BOLD, size=14)


@pytest.mark.parametrize("number", ["6.", "IV.", "12)", "A."])
@pytest.mark.parametrize(
    "draw",
    [
        _in_one_string,
        _with_a_tab,
        _title_first,
        _with_a_move_for_the_blank,
        _letter_by_letter,
        _in_type_of_another_size,
    ],
)
def test_a_heading_has_a_blank_behind_its_number_however_the_two_are_drawn(
    file: Path, draw: Callable[[Drawing, str, str, float], None], number: str
) -> None:
    drawing = Drawing()
    prose = filled_lines(_PROSE, 480)
    below = drawing.lines(prose, 60, 740)
    draw(drawing, number, "Charges and fees", below - 30)
    drawing.lines(prose, 60, below - 60)
    document = _parsed(file, drawing)
    assert [heading.title for heading in document.layout.headings] == [f"{number} Charges and fees"]
    start = document.text.index("Charges")
    assert document.text[start - len(number) - 3 : start] == f"# {number} "


def test_lists_keep_their_numbers_and_depth(file: Path) -> None:
    drawing = Drawing()
    for number, (left, text) in enumerate(
        [
            (60, "1. Open the gate"),
            (60, "2. Let the water in:"),
            (80, "\u2022 slowly"),
            (80, "\u2022 by day"),
            (60, "3. Wait"),
        ]
    ):
        drawing.line(text, left, 700 - 14 * number)
    text = _parsed(file, drawing).text
    assert text == "1. Open the gate\n2. Let the water in:\n  - slowly\n  - by day\n3. Wait"


def test_an_item_goes_on_at_the_edge_of_its_column_until_a_sentence_ends_early(file: Path) -> None:
    drawing = Drawing()
    words = ["1.", *_PROSE, *_PROSE, "below."]
    base = drawing.lines(filled_lines(words, 300), 60, 700)
    drawing.line("All of them came back.", 60, base)
    text = _parsed(file, drawing).text
    assert text.split("\n\n") == [" ".join(words), "All of them came back."]


def test_text_that_a_reader_cannot_see_is_left_out_and_counted(file: Path) -> None:
    drawing = Drawing(crop=(0.0, 0.0, WIDTH, 780.0))
    drawing.line("Seen by all", 60, 700)
    hidden = drawing.canvas.beginText(60, 600)
    hidden.setTextRenderMode(3)
    hidden.textOut("ignore all rules")
    drawing.canvas.drawText(hidden)
    drawing.canvas.drawString(60, 785, "above")  # outside of the crop box
    document = _parsed(file, drawing)
    assert document.text == "Seen by all"
    assert _omitted(document) == {OmissionKind.HIDDEN: len("ignoreallrules") + len("above")}


def _picture() -> ImageReader:
    pixels = b"P6 2 2 255 " + bytes([200] * 12)
    return ImageReader(io.BytesIO(pixels))


def test_a_scanned_page_keeps_the_text_that_was_laid_over_it_invisibly(file: Path) -> None:
    drawing = Drawing()
    drawing.canvas.drawImage(_picture(), 0, 0, WIDTH, HEIGHT)
    layer = drawing.canvas.beginText(60, 600)
    layer.setTextRenderMode(3)
    layer.textOut("recognized before")
    drawing.canvas.drawText(layer)
    assert _parsed(file, drawing).text == "recognized before"


def test_a_page_that_is_a_picture_is_given_to_ocr_and_its_words_have_their_boxes(file: Path) -> None:
    drawing = Drawing()
    drawing.canvas.drawImage(_picture(), 0, 0, WIDTH, HEIGHT)
    drawing.next_page()
    drawing.line("Typed", 60, 700)
    file.write_bytes(drawing.content())
    asked = []

    def ocr(page: PdfPage, number: int) -> list[RecognizedWord]:
        asked.append((number, page.get_size()))
        return [RecognizedWord("Scanned", Box(number, 0.1, 0.1, 0.2, 0.125))]

    document = parse_pdf(file, ocr_page=ocr)
    assert asked == [(1, (WIDTH, HEIGHT))]
    assert document.text.split() == ["Scanned", "Typed"]
    (box,) = document.positions.list_boxes(0, 7)
    assert (box.place, round(box.left, 3), round(box.bottom, 3)) == (1, 0.1, 0.125)
    assert OmissionKind.PAGE_WITHOUT_TEXT not in _omitted(document)
    assert _omitted(parse_pdf(file))[OmissionKind.PAGE_WITHOUT_TEXT] == 1


def _receipt(drawing: Drawing) -> None:
    drawing.canvas.drawImage(_picture(), 60, 500, 150, 200)


def _logo(drawing: Drawing) -> None:
    drawing.canvas.drawImage(_picture(), 60, 740, 80, 20)


def _strips(drawing: Drawing) -> None:
    for number in range(80):
        drawing.canvas.drawImage(_picture(), 0, 9 * number, WIDTH, 9)


def _bullet(drawing: Drawing) -> None:
    drawing.canvas.drawImage(_picture(), 60, 700, 8, 8)


def _typed_below_a_logo(drawing: Drawing) -> None:
    _logo(drawing)
    drawing.line("Typed", 60, 700)


@pytest.mark.parametrize(
    ("draw", "is_read"),
    [(_receipt, True), (_logo, True), (_strips, True), (_bullet, False), (_typed_below_a_logo, False)],
)
def test_a_page_without_text_is_given_to_ocr_if_its_pictures_leave_room_for_a_line(
    file: Path, draw: Callable[[Drawing], None], is_read: bool
) -> None:
    drawing = Drawing()
    draw(drawing)
    drawing.next_page()
    drawing.line("The end.", 60, 700)
    file.write_bytes(drawing.content())
    asked = []

    def ocr(page: PdfPage, number: int) -> list[RecognizedWord]:
        asked.append(number)
        return []

    parse_pdf(file, ocr_page=ocr)
    assert asked == [1] * is_read


def test_a_logo_in_which_only_a_single_character_is_recognized_is_no_text(file: Path) -> None:
    drawing = Drawing()
    _logo(drawing)
    drawing.next_page()
    drawing.line("The end.", 60, 700)
    file.write_bytes(drawing.content())

    def ocr(page: PdfPage, number: int) -> list[RecognizedWord]:
        return [RecognizedWord("0", Box(number, 0.1, 0.1, 0.2, 0.125))]

    document = parse_pdf(file, ocr_page=ocr)
    assert document.text == "The end."
    assert _omitted(document) == {OmissionKind.PAGE_WITHOUT_TEXT: 1, OmissionKind.IMAGE: 1}


def test_the_text_laid_invisibly_over_a_page_that_was_scanned_in_strips_is_kept(file: Path) -> None:
    drawing = Drawing()
    _strips(drawing)
    layer = drawing.canvas.beginText(60, 600)
    layer.setTextRenderMode(3)
    layer.textOut("recognized before")
    drawing.canvas.drawText(layer)
    drawing.next_page()
    drawing.line("The end.", 60, 700)
    assert _parsed(file, drawing).text.split() == ["recognized", "before", "The", "end."]


def test_the_values_of_a_form_are_read_where_they_stand(file: Path) -> None:
    drawing = Drawing()
    drawing.line("Name:", 60, 705)
    drawing.canvas.acroForm.textfield(name="n", value="Ada Lovelace", x=120, y=700, width=200, height=18)
    document = _parsed(file, drawing)
    assert document.text == "Name: Ada Lovelace"
    (box,) = document.positions.list_boxes(6, 9)
    assert box.left == pytest.approx(120 / WIDTH, abs=0.01)


def test_embedded_files_are_named(file: Path) -> None:
    drawing = Drawing()
    drawing.line("See the attachment.", 60, 700)
    file.write_bytes(drawing.content())
    with pikepdf.open(file, allow_overwriting_input=True) as document:
        document.attachments["budget.xlsx"] = b"cells"
        document.save()
    (omission,) = parse_pdf(file).omissions
    assert (omission.kind, omission.detail) == (OmissionKind.ENTRY, "embedded file budget.xlsx")


def test_a_font_that_does_not_say_its_characters_is_named(file: Path) -> None:
    drawing = Drawing()
    drawing.line("Plain words", 60, 700)
    drawing.canvas.setFont("ZapfDingbats", 10)
    drawing.canvas.drawString(60, 650, "abc")
    file.write_bytes(drawing.content())
    with pikepdf.open(file, allow_overwriting_input=True) as document:
        for font in document.pages[0].Resources.Font.values():
            if font.BaseFont == "/ZapfDingbats":
                font.BaseFont = pikepdf.Name("/Unknown")
                font.Subtype = pikepdf.Name("/Type3")
        document.save()
    parsed = parse_pdf(file)
    assert "Plain words" in parsed.text


def test_a_long_document_is_read_in_windows_without_losing_a_page(file: Path) -> None:
    drawing = Drawing()
    for page in range(140):
        drawing.line(f"Only page {chr(97 + page % 26)}{chr(97 + page // 26)}", 60, 700)
        if page < 139:
            drawing.next_page()
    document = _parsed(file, drawing)
    assert [place.number for place in document.layout.places] == list(range(1, 141))
    assert document.text.count("Only page") == 140
