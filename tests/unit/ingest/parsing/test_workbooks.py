"""Workbooks as they are parsed: each cell at its place, each table with its header, what is left out said."""

import io
import re
import struct
import zipfile
from collections.abc import Callable
from datetime import date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import openpyxl
import pytest
import xlsxwriter
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openpyxl.comments import Comment

from ingest.parsing.containers import XLSX, detect_container_type
from ingest.parsing.errors import DamagedDocumentError, EncryptedDocumentError, NoTextError, ParserLimitError
from ingest.parsing.registry import find_document_tables
from ingest.parsing.sheets import blocks, parse_workbook, workbook
from ingest.parsing.sheets.values import format_value
from ingest.parsing.sheets.xlsx import read_xlsx_metadata
from ingest.parsing.tables import FoundTable
from ingest.parsing.types import ParsedDocument
from ingest.storage.errors import LeadlineError
from ingest.storage.texts.layout import OmissionKind
from ingest.storage.texts.positions import SheetCell
from tests.support.workbooks import WRITERS, Sheet, written, xlsb, xlsb_number, xlsb_shared_string, xlsx
from tests.support.zip_files import unzipped, zipped

COSTS: Sheet = [
    ["Item", "Paid on", "Cost", "Done"],
    ["Rent", date(2024, 1, 31), 1200.5, True],
    ["Ink", date(2024, 2, 29), 7, False],
]


def _parsed(folder: Path, content: bytes) -> ParsedDocument:
    return parse_workbook(written(folder, content))


def _made(make: Callable[[xlsxwriter.Workbook], object]) -> bytes:
    content = io.BytesIO()
    with xlsxwriter.Workbook(content, {"in_memory": True}) as book:
        make(book)
    return content.getvalue()


def _tables(document: ParsedDocument) -> list[FoundTable]:
    return list(find_document_tables(document, XLSX))


def _rows(table: FoundTable) -> list[list[str]]:
    return [list(row.cells) for row in table.rows()]


def _omissions(document: ParsedDocument) -> dict[OmissionKind, int]:
    return {each.kind: each.count for each in document.omissions}


@pytest.mark.parametrize("suffix", WRITERS)
def test_sheets_are_places_and_their_tables_have_names_columns_and_rows(tmp_path: Path, suffix: str) -> None:
    document = _parsed(
        tmp_path, WRITERS[suffix]({"Costs": COSTS, "Empty": [], "People": [["Name", "Age"], ["Ann", 7]]})
    )
    assert [place.label for place in document.layout.places] == ["sheet Costs", "sheet Empty", "sheet People"]
    costs, people = _tables(document)
    assert (costs.name, people.name) == ("Costs", "People")
    assert costs.columns == ("Item", "Paid on", "Cost", "Done")
    assert _rows(costs) == [["Rent", "2024-01-31", "1200.5", "TRUE"], ["Ink", "2024-02-29", "7", "FALSE"]]
    assert _rows(people) == [["Ann", "7"]]


_VALUES = (
    st.text("ab |é#\\", min_size=1, max_size=6).filter(lambda text: bool(text.strip()))
    | st.integers(-(10**12), 10**12)
    | st.floats(-1e6, 1e6).map(lambda value: round(value, 4))
    | st.dates(date(1950, 1, 1), date(2100, 1, 1))
    | st.booleans()
    | st.none()
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.lists(st.lists(st.lists(_VALUES, max_size=5), max_size=6), min_size=1, max_size=3),
    st.sampled_from(sorted(WRITERS)),
)
def test_a_cells_code_points_map_back_to_its_sheet_row_and_column(
    tmp_path: Path, sheets: list[list[list[Any]]], suffix: str
) -> None:
    named = {f"S{number}": rows for number, rows in enumerate(sheets, start=1)}
    wanted = {
        (sheet, row, column): " ".join(format_value(value).split())
        for sheet, rows in enumerate(sheets, start=1)
        for row, cells in enumerate(rows, start=1)
        for column, value in enumerate(cells, start=1)
        if value is not None
    }
    try:
        document = _parsed(tmp_path, WRITERS[suffix](named))
    except NoTextError:
        assert not wanted
        return
    text = document.text
    found = {
        (at.place, at.row, at.column): text[start:end]
        for start, end, at in document.positions.iter_positions_within(0, len(text))
        if isinstance(at, SheetCell)
    }
    # As in a paragraph, or in a table.
    shown = {at: (" ".join(said.split()), said.replace("\\|", "|")) for at, said in found.items()}
    for at, forms in shown.items():  # a header's cell may be joined of several rows
        assert any(form.endswith(wanted[at]) for form in forms)
    for (place, row, column), said in wanted.items():
        same = [form for at, forms in shown.items() if (at[0], at[2]) == (place, column) for form in forms]
        assert (place, row, column) in found or any(said in form for form in same)


def test_two_rows_of_header_are_joined_and_merged_cells_repeated(tmp_path: Path) -> None:
    def make(book: xlsxwriter.Workbook) -> None:
        sheet = book.add_worksheet("Sales")
        sheet.write(0, 0, "Sales of the north")
        sheet.merge_range(1, 0, 2, 0, "Region")
        sheet.merge_range(1, 1, 1, 2, 2023)
        sheet.merge_range(1, 3, 1, 4, 2024)
        sheet.write_row(2, 1, ["Q1", "Q2", "Q1", "Q2"])
        sheet.merge_range(3, 0, 4, 0, "North")
        sheet.write_row(3, 1, [1, 2, 3, 4])
        sheet.write_row(4, 1, [5, 6, 7, 8])

    document = _parsed(tmp_path, _made(make))
    (table,) = _tables(document)
    assert table.name == "Sales of the north"
    assert table.columns == ("Region", "2023 Q1", "2023 Q2", "2024 Q1", "2024 Q2")
    assert _rows(table) == [["North", "1", "2", "3", "4"], ["North", "5", "6", "7", "8"]]


def test_merged_cells_alone_make_no_rows_and_columns(tmp_path: Path) -> None:
    def make(book: xlsxwriter.Workbook) -> None:
        sheet = book.add_worksheet("Fleet")
        for row, (name, home) in enumerate([("Ship", "Home"), ("Essex", "Nantucket"), ("Pequod", "Nantucket")]):
            sheet.merge_range(2 * row, 0, 2 * row + 1, 2, name)
            sheet.merge_range(2 * row, 3, 2 * row + 1, 4, home)

    document = _parsed(tmp_path, _made(make))
    table = "| Ship | Home |\n| --- | --- |\n| Essex | Nantucket |\n| Pequod | Nantucket |"
    assert document.text == f"# Fleet\n\n{table}"


def test_cells_that_merged_ones_are_repeated_in_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def make(book: xlsxwriter.Workbook) -> None:
        sheet = book.add_worksheet("S")
        sheet.write_row(0, 0, ["a", "b"])
        for row in range(1, 41, 2):
            sheet.merge_range(row, 0, row + 1, 1, "x")

    monkeypatch.setattr(blocks, "_MAX_FILLED_CELLS", 12)
    assert _parsed(tmp_path, _made(make)).text.count("x") <= 20 + 12


def test_tables_are_parted_at_blank_rows_and_columns(tmp_path: Path) -> None:
    rows: Sheet = [
        ["Stock", None, None, None, None],
        [None] * 5,
        ["Part", "Count", None, "City", "Staff"],
        ["Bolt", 5, None, "Oslo", 3],
        ["Nut", 6, None, "Rome", 4],
        [None] * 5,
        ["A note that ends the sheet.", None, None, None, None],
    ]
    document = _parsed(tmp_path, xlsx({"S": rows}))
    assert [(table.name, table.columns, len(_rows(table))) for table in _tables(document)] == [
        ("Stock", ("Part", "Count"), 2),
        ("S", ("City", "Staff"), 2),
    ]
    assert document.text.endswith("\n\nA note that ends the sheet.")


def test_blocks_that_touch_at_a_corner_are_parted(tmp_path: Path) -> None:
    rows: Sheet = [["a", "b", None, None], [1, 2, None, None], [None, None, "c", "d"], [None, None, 3, 4]]
    found = _tables(_parsed(tmp_path, xlsx({"S": rows})))
    assert [(table.columns, _rows(table)) for table in found] == [
        (("a", "b"), [["1", "2"]]),
        (("c", "d"), [["3", "4"]]),
    ]


def test_space_between_columns_does_not_part_numbers_from_their_labels(tmp_path: Path) -> None:
    rows: Sheet = [["Line", None, 2023, None, 2022], ["Sales", None, 5, None, 4], ["Costs", None, 3, None, 2]]
    (table,) = _tables(_parsed(tmp_path, xlsx({"S": rows})))
    assert (table.columns, _rows(table)[0]) == (("Line", "2023", "2022"), ["Sales", "5", "4"])


def test_a_table_without_a_header_has_the_columns_letters(tmp_path: Path) -> None:
    (table,) = _tables(_parsed(tmp_path, xlsx({"S": [[None, None], [None, 1, "x"], [None, 2, "y"]]})))
    assert (table.columns, _rows(table)) == (("B", "C"), [["1", "x"], ["2", "y"]])


def test_units_of_number_formats_stand_with_the_numbers(tmp_path: Path) -> None:
    def make(book: xlsxwriter.Workbook) -> None:
        sheet = book.add_worksheet("S")
        sheet.write_row(0, 0, ["Share", "Price", "Plain", "At"])
        formats = [book.add_format({"num_format": code}) for code in ("0.0%", "[$€-407] #,##0.00", '0" % of"')]
        for row, value in enumerate((0.125, -0.07), start=1):
            for column, each in enumerate(formats):
                sheet.write_number(row, column, value, each)
            moment = datetime(2024, 3, row, 10 * (row - 1), 30 * (row - 1))
            sheet.write_datetime(row, 3, moment, book.add_format({"num_format": "yyyy-mm-dd hh:mm"}))

    (table,) = _tables(_parsed(tmp_path, _made(make)))
    assert _rows(table) == [
        ["12.5%", "€0.125", "0.125", "2024-03-01 00:00:00"],
        ["-7%", "-€0.07", "-0.07", "2024-03-02 10:30:00"],
    ]


def test_numbers_that_a_format_fills_up_with_zeros_are_names(tmp_path: Path) -> None:
    def make(book: xlsxwriter.Workbook) -> None:
        sheet, zeros = book.add_worksheet("S"), book.add_format({"num_format": "00000"})
        sheet.write_row(0, 0, ["Post code", "Count"])
        for row, (code, count) in enumerate(((2134, 5), (99501, 7), (-42, 1), (0.5, 2)), start=1):
            sheet.write_number(row, 0, code, zeros)
            sheet.write_number(row, 1, count)

    (table,) = _tables(_parsed(tmp_path, _made(make)))
    assert _rows(table) == [["02134", "5"], ["99501", "7"], ["-00042", "1"], ["0.5", "2"]]


def test_a_row_of_units_belongs_to_the_header(tmp_path: Path) -> None:
    content = xlsx({"S": [["Ship", "Weight"], ["(name)", "(t)"], ["Essex", 238], ["Acushnet", 359]]})
    (table,) = _tables(_parsed(tmp_path, content))
    assert table.columns == ("Ship (name)", "Weight (t)")
    assert _rows(table) == [["Essex", "238"], ["Acushnet", "359"]]
    (table,) = _tables(_parsed(tmp_path, xlsx({"S": [["Income", "Tax", "Share"], ["€", "€", "%"], [17500, 436, 2.5]]})))
    assert table.columns == ("Income €", "Tax €", "Share %")
    (table,) = _tables(_parsed(tmp_path, xlsx({"S": [["Loss", "Gain"], ["(12)", "(3)"], [4, 5]]})))
    assert _rows(table) == [["(12)", "(3)"], ["4", "5"]]


def test_a_few_words_over_a_header_are_part_of_it(tmp_path: Path) -> None:
    rows: Sheet = [
        [None, "Data", None, None, None],
        ["Car", "Sold", "Used", "New", "Lost"],
        ["A", 1, 2, 3, 4],
        ["B", 5, 6, 7, 8],
    ]
    (table,) = _tables(_parsed(tmp_path, xlsx({"S": rows})))
    assert table.columns == ("Car", "Data Sold", "Used", "New", "Lost")
    assert _rows(table) == [["A", "1", "2", "3", "4"], ["B", "5", "6", "7", "8"]]


def test_notes_over_a_header_are_lines(tmp_path: Path) -> None:
    notes: Sheet = [["For the office", "", "", ""], ["", "of the mill", "", "see page 2"], ["paid", "", "in full", ""]]
    document = _parsed(tmp_path, xlsx({"Costs": [*notes, *COSTS]}))
    (table,) = _tables(document)
    assert list(table.columns) == COSTS[0]
    assert len(_rows(table)) == 2
    assert "of the mill\nsee page 2\npaid" in document.text
    levels: Sheet = [["", "Plan", "", ""], *COSTS]
    (table,) = _tables(_parsed(tmp_path, xlsx({"Costs": levels})))
    assert list(table.columns) == ["Item", "Plan Paid on", "Cost", "Done"]


def test_two_titles_across_a_sheet_are_lines(tmp_path: Path) -> None:
    def make(book: xlsxwriter.Workbook) -> None:
        sheet = book.add_worksheet("S")
        sheet.merge_range(0, 0, 0, 2, "Stores")
        sheet.merge_range(1, 0, 1, 2, "as of May")
        sheet.write_row(3, 0, ["Ship", "Flour", "Bread"])
        sheet.write_row(4, 0, ["Essex", 3, 4])

    document = _parsed(tmp_path, _made(make))
    assert document.text.startswith("# S\n\nStores\n\nas of May\n\n| Ship |")
    assert len(document.layout.tables) == 1


def test_a_title_across_a_sheet_names_the_table_below_a_blank_row(tmp_path: Path) -> None:
    def make(book: xlsxwriter.Workbook) -> None:
        sheet = book.add_worksheet("S")
        sheet.merge_range(0, 0, 0, 2, "Stores")
        sheet.write_row(2, 0, ["Ship", "Flour", "Bread"])
        sheet.write_row(3, 0, ["Essex", 3, 4])

    (table,) = _tables(_parsed(tmp_path, _made(make)))
    assert (table.name, table.columns) == ("Stores", ("Ship", "Flour", "Bread"))


def test_what_is_hidden_is_said_and_hidden_sheets_are_left_out(tmp_path: Path) -> None:
    def make(book: xlsxwriter.Workbook) -> None:
        sheet, hidden = book.add_worksheet("Shown"), book.add_worksheet("Lists")
        for row, cells in enumerate((["a", "b", "c"], [1, 2, 3], [4, 5, 6])):
            sheet.write_row(row, 0, cells)
        sheet.set_row(1, None, None, {"hidden": True})
        sheet.set_column(2, 2, None, None, {"hidden": True})
        hidden.write(0, 0, "secret")
        hidden.hide()

    document = _parsed(tmp_path, _made(make))
    assert "secret" not in document.text
    assert _rows(_tables(document)[0]) == [["1", "2", "3"], ["4", "5", "6"]]
    (said,) = document.omissions
    assert (said.kind, said.count) == (OmissionKind.HIDDEN, 3)
    assert "hidden sheets, left out: Lists" in said.detail
    assert "hidden rows of sheet Shown, kept" in said.detail


def test_formulas_without_a_value_and_errors_are_empty_and_counted(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    for row in (["n", "twice"], [1, "=A2*2"], [2, "=A3*2"]):
        sheet.append(row)
    sheet["B4"] = "#REF!"
    sheet["A4"] = 3
    content = io.BytesIO()
    book.save(content)
    document = _parsed(tmp_path, content.getvalue())
    assert _rows(_tables(document)[0]) == [["1", ""], ["2", ""], ["3", ""]]
    (said,) = document.omissions
    assert (said.kind, said.count) == (OmissionKind.FORMULA, 3)
    assert "B2, B3" in said.detail


def test_errors_of_ods_are_empty_whoever_wrote_them_and_durations_are_hours(tmp_path: Path) -> None:
    cells = {
        "Excel": 'table:formula="of:=#N/A" office:value-type="float" office:value="0"><text:p>#N/A',
        "LibreOffice": 'office:value-type="string" office:string-value="" calcext:value-type="error"><text:p>Err:502',
        "hours": 'office:value-type="time" office:time-value="PT30H05M09S"><text:p>30:05',
        "owed": 'office:value-type="time" office:time-value="-PT30H05M09S"><text:p>-30:05',
    }
    parts = unzipped(WRITERS[".ods"]({"S": [["by", "n"], *([name, f"?{name}"] for name in cells)]}))
    content = parts["content.xml"].decode()
    for name, cell in cells.items():
        content = re.sub(rf"<table:table-cell [^>]*><text:p>\?{name}", f"<table:table-cell {cell}", content)
    document = _parsed(tmp_path, zipped({**parts, "content.xml": content}))
    rows = _rows(_tables(document)[0])
    assert rows == [["Excel", ""], ["LibreOffice", ""], ["hours", "30:05:09"], ["owed", "-30:05:09"]]
    assert _omissions(document) == {OmissionKind.FORMULA: 2}


def test_a_number_that_is_none_is_an_error(tmp_path: Path) -> None:
    content = WRITERS[".xls"]({"S": [["n", "m"], [1, 1 / 3]]})
    stored = struct.pack("<d", 1 / 3)
    assert content.count(stored) == 1
    document = _parsed(tmp_path, content.replace(stored, struct.pack("<d", float("nan"))))
    assert _rows(_tables(document)[0]) == [["1", ""]]
    assert _omissions(document) == {OmissionKind.FORMULA: 1}


def test_an_empty_text_is_a_formulas_value(tmp_path: Path) -> None:
    def make(book: xlsxwriter.Workbook) -> None:
        sheet = book.add_worksheet("S")
        sheet.write_row(0, 0, ["n", "note"])
        sheet.write_number(1, 0, 5)
        sheet.write_formula(1, 1, '=IF(A2>9,"big","")', None, "")

    content, typed = io.BytesIO(_made(make)), io.BytesIO()
    with zipfile.ZipFile(content) as old, zipfile.ZipFile(typed, "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name).replace(b'<c r="B2">', b'<c r="B2" t="str">'))
    assert _omissions(_parsed(tmp_path, content.getvalue())) == {OmissionKind.FORMULA: 1}
    assert _omissions(_parsed(tmp_path, typed.getvalue())) == {}


def test_comments_stand_below_their_sheet(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.append(["n", "m"])
    sheet.append([1, 2])
    sheet["B2"].comment = Comment("Why two?", "Ann")
    content = io.BytesIO()
    book.save(content)
    document = _parsed(tmp_path, content.getvalue())
    start = document.text.index("Why two?")
    assert document.text.endswith("- Comment on B2: Why two?")
    assert document.positions.list_cells(start, start + 3) == [SheetCell(1, 2, 2)]


def test_text_boxes_stand_below_the_tables_of_their_sheet_at_the_cell_that_they_cover(tmp_path: Path) -> None:
    def make(book: xlsxwriter.Workbook) -> None:
        costs, plan = book.add_worksheet("Costs"), book.add_worksheet("Plan")
        for number, row in enumerate([["Item", "Cost"], ["Rent", 1200], ["Ink", 7]]):
            costs.write_row(number, 0, row)
        costs.insert_textbox("D8", "Second: ask the harbour.")
        costs.insert_textbox("D3", "All costs are estimates.\nSee the plan.")
        plan.insert_textbox("B2", "The plan has a box and no cell.")

    document = _parsed(tmp_path, _made(make))
    costs, _, plan = document.text.partition("# Plan")
    assert costs.endswith("| Ink | 7 |\n\nAll costs are estimates.\nSee the plan.\n\nSecond: ask the harbour.\n\n")
    assert plan.strip() == "The plan has a box and no cell."
    start = document.text.index("All costs")
    assert [at for _, _, at in document.positions.iter_positions_within(start, start + 3)] == [SheetCell(1, 3, 4)]
    start = document.text.index("The plan")
    assert [at for _, _, at in document.positions.iter_positions_within(start, start + 3)] == [SheetCell(2, 2, 2)]


_SHAPE = (
    '<xdr:sp><xdr:nvSpPr><xdr:cNvPr id="2" name="a"{hidden}/><xdr:cNvSpPr/></xdr:nvSpPr><xdr:spPr/>'
    "<xdr:txBody><a:bodyPr/><a:p><a:r><a:t>{text}</a:t></a:r></a:p></xdr:txBody></xdr:sp>"
)
_HIDDEN = ' hidden="1"'


@pytest.mark.parametrize(
    ("shapes", "read"),
    [
        (_SHAPE.format(hidden=_HIDDEN, text="Secret"), False),
        (f"<xdr:grpSp>{_SHAPE.format(hidden='', text='Secret')}</xdr:grpSp>", True),
        (
            f'<xdr:grpSp><xdr:nvGrpSpPr><xdr:cNvPr id="1" name="g" hidden="1"/></xdr:nvGrpSpPr>'
            f"{_SHAPE.format(hidden='', text='Secret')}</xdr:grpSp>",
            False,
        ),
    ],
    ids=["hidden", "in a group", "in a hidden group"],
)
def test_a_text_box_that_is_hidden_is_left_out_and_counted(tmp_path: Path, shapes: str, read: bool) -> None:
    def make(book: xlsxwriter.Workbook) -> None:
        sheet = book.add_worksheet("Costs")
        sheet.write("A1", "Rent")
        sheet.insert_textbox("D3", "Secret")

    parts = unzipped(_made(make))
    drawing = parts["xl/drawings/drawing1.xml"].decode()
    changed = re.sub(r"<xdr:sp .*</xdr:sp>", shapes, drawing, flags=re.DOTALL)
    assert changed != drawing
    document = _parsed(tmp_path, zipped({**parts, "xl/drawings/drawing1.xml": changed}))
    assert ("Secret" in document.text) == read
    hidden = [each.detail for each in document.omissions if each.kind is OmissionKind.HIDDEN]
    assert hidden == ([] if read else ["hidden text boxes of sheet Costs, left out"])


def test_text_boxes_on_a_sheet_of_ods_are_read_and_hidden_ones_counted(tmp_path: Path) -> None:
    parts = unzipped(WRITERS[".ods"]({"Costs": COSTS}))
    boxes = "".join(
        f"<draw:frame{display}><draw:text-box><text:p>{words}</text:p><text:p>See the plan.</text:p></draw:text-box>"
        "</draw:frame>"
        for display, words in (("", "All are estimates."), (' draw:display="none"', "Secret"))
    )
    content = parts["content.xml"].decode()
    changed = re.sub(r"(<table:table [^>]*>)", rf"\1<table:shapes>{boxes}</table:shapes>", content, count=1)
    assert changed != content
    document = _parsed(tmp_path, zipped({**parts, "content.xml": changed}))
    assert document.text.endswith("\n\nAll are estimates.\nSee the plan.")
    assert "Rent" in document.text
    hidden = [each.detail for each in document.omissions if each.kind is OmissionKind.HIDDEN]
    assert hidden == ["hidden text boxes of sheet Costs, left out"]


def test_charts_pictures_and_macros_are_counted(tmp_path: Path) -> None:
    def make(book: xlsxwriter.Workbook) -> None:
        sheet = book.add_worksheet("S")
        sheet.write_column(0, 0, ["n", 1, 2])
        chart = book.add_chart({"type": "line"})
        chart.add_series({"values": "=S!$A$2:$A$3"})
        sheet.insert_chart("C1", chart)

    content = io.BytesIO(_made(make))
    with zipfile.ZipFile(content, "a") as archive:
        archive.writestr("xl/vbaProject.bin", b"macro")
        archive.writestr("xl/media/image1.png", b"picture")
    counted = _omissions(_parsed(tmp_path, content.getvalue()))
    assert counted == {OmissionKind.EMBEDDED_OBJECT: 1, OmissionKind.MACRO: 1, OmissionKind.IMAGE: 1}


def test_cells_past_the_placed_ones_have_the_place_of_their_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workbook, "_MAX_POSITIONED_CELLS", 4)
    document = _parsed(tmp_path, xlsx({"S": [["n", "m"], *([n, n] for n in range(4))]}))
    at = document.text.index("| 3 | 3 |")
    assert document.positions.list_cells(at, at + 9) == [SheetCell(1, 5, 0)]
    assert document.positions.list_cells(0, at) == [
        *(SheetCell(1, row, column) for row in (1, 2, 3) for column in (1, 2)),
        SheetCell(1, 4, 0),
    ]


def test_a_long_table_is_one_whatever_its_later_rows_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workbook, "_HEAD_ROWS", 3)
    rows: Sheet = [["n", "word"], [1, None], [2, None], [3, "late"], [4, None]]
    (table,) = _tables(_parsed(tmp_path, xlsx({"S": rows})))
    assert (table.columns, _rows(table)[2]) == (("n", "word"), ["3", "late"])


def test_columns_past_the_most_are_counted(tmp_path: Path) -> None:
    document = _parsed(tmp_path, xlsx({"S": [[f"c{n}" for n in range(1_003)], [*range(1_003)]]}))
    assert len(_tables(document)[0].columns) == 1_000
    assert _omissions(document) == {OmissionKind.OTHER: 3}


def test_a_workbook_of_hidden_or_empty_sheets_holds_no_values(tmp_path: Path) -> None:
    with pytest.raises(NoTextError):
        _parsed(tmp_path, xlsx({"S": []}))


@pytest.mark.parametrize("suffix", WRITERS)
def test_a_truncated_workbook_is_a_typed_error(tmp_path: Path, suffix: str) -> None:
    content = WRITERS[suffix]({"Costs": COSTS})
    for share in (0.3, 0.6, 0.9):
        with pytest.raises(LeadlineError) as raised:
            _parsed(tmp_path, content[: int(len(content) * share)])
        assert isinstance(raised.value, DamagedDocumentError)
        assert raised.value.hint


def test_a_workbook_whose_xml_is_laid_out_for_people_is_read_as_any_other(tmp_path: Path) -> None:
    content = WRITERS[".ods"]({"Costs": COSTS})
    with zipfile.ZipFile(io.BytesIO(content)) as old:
        parts = {name: old.read(name) for name in old.namelist()}
    parts["content.xml"] = re.sub(rb">(?=<(?!/?text:))", b">\n  ", parts["content.xml"])
    laid_out = io.BytesIO()
    with zipfile.ZipFile(laid_out, "w") as new:
        for name, part in parts.items():
            new.writestr(name, part)
    assert laid_out.getvalue() != content
    assert _parsed(tmp_path, laid_out.getvalue()).text == _parsed(tmp_path, content).text


def test_workbooks_with_a_password_say_so(tmp_path: Path) -> None:
    content = io.BytesIO(WRITERS[".ods"]({"S": COSTS}))
    with zipfile.ZipFile(content) as old:
        parts = {name: old.read(name) for name in old.namelist()}
    parts["content.xml"] = bytes(range(256)) * 8
    parts["META-INF/manifest.xml"] = parts["META-INF/manifest.xml"].replace(
        b"</manifest:manifest>",
        b'<manifest:file-entry manifest:full-path="content.xml"><manifest:encryption-data/></manifest:file-entry>'
        b"</manifest:manifest>",
    )
    encrypted = io.BytesIO()
    with zipfile.ZipFile(encrypted, "w") as new:
        for name, part in parts.items():
            new.writestr(name, part)
    with pytest.raises(EncryptedDocumentError) as raised:
        _parsed(tmp_path, encrypted.getvalue())
    assert "password" in raised.value.detail
    record = b"\x2f\x00\x06\x00\x01" + bytes(5)  # FILEPASS of BIFF8, where a plain workbook has its next record
    plain = WRITERS[".xls"]({"S": COSTS})
    at = plain.index(b"\x09\x08\x10\x00") + 20
    with pytest.raises(EncryptedDocumentError):
        _parsed(tmp_path, plain[:at] + record + plain[at + len(record) :])


def test_the_main_part_of_a_workbook_may_have_any_name(tmp_path: Path) -> None:
    content = io.BytesIO(xlsx({"S": [["n"], [1]]}))
    moved = io.BytesIO()
    with zipfile.ZipFile(content) as old, zipfile.ZipFile(moved, "w") as new:
        for name in old.namelist():
            part = old.read(name).replace(b"xl/workbook.xml", b"xl/book.xml")
            new.writestr(name.replace("workbook.xml", "book.xml"), part)
    with zipfile.ZipFile(moved) as archive:
        assert list(read_xlsx_metadata(archive).sheets) == ["S"]


def test_parts_of_a_workbook_may_be_spelled_in_other_capitals(tmp_path: Path) -> None:
    parts = {name.lower(): part for name, part in unzipped(xlsx({"S": [["n", "share"], [1, 2]]})).items()}
    content = zipped(parts)
    assert detect_container_type(io.BytesIO(content)) == XLSX
    assert _rows(_tables(_parsed(tmp_path, content))[0]) == [["1", "2"]]
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert list(read_xlsx_metadata(archive).sheets) == ["S"]


def test_durations_and_long_numbers_are_written_as_a_sheet_shows_them() -> None:
    assert format_value(timedelta(hours=30, minutes=5)) == "30:05:00"
    assert [format_value(value) for value in (5.0, 0.1 + 0.2, 1e20, -0.5, 123456789012345.0)] == [
        "5",
        "0.3",
        "1e+20",
        "-0.5",
        "123456789012345",
    ]


def test_a_binary_workbook_on_which_calamine_panics_is_damaged_and_says_what_to_do(tmp_path: Path) -> None:
    sound = xlsb(xlsb_number(0, 3.5))
    assert "3.5" in _parsed(tmp_path, sound).text
    with pytest.raises(DamagedDocumentError, match="The workbook cannot be read") as failed:
        _parsed(tmp_path, xlsb(xlsb_shared_string(0, 99)))
    assert "save it again" in failed.value.hint


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, MemoryError])
def test_nothing_else_that_ends_a_parser_is_taken_for_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    def opened(path: Path) -> None:
        raise error

    monkeypatch.setattr(workbook, "_open_workbook", opened)
    with pytest.raises(error):
        _parsed(tmp_path, xlsx({"Costs": COSTS}))


def test_a_cell_far_from_the_others_is_named_and_one_that_is_only_coloured_does_no_harm(tmp_path: Path) -> None:
    def make(book: xlsxwriter.Workbook, *, stray: bool) -> None:
        sheet = book.add_worksheet("Costs")
        sheet.write("B2", "Rent")
        if stray:
            sheet.write("ZZ900000", " ")
        else:
            sheet.write_blank("ZZ900000", None, book.add_format({"bg_color": "yellow"}))

    assert "Rent" in _parsed(tmp_path, _made(partial(make, stray=False))).text
    with pytest.raises(ParserLimitError, match="Costs extends from B2 to ZZ900000: 630,899,299 cells") as failed:
        read_xlsx_metadata(zipfile.ZipFile(written(tmp_path, _made(partial(make, stray=True)))))
    assert "ZZ900000" in failed.value.hint
