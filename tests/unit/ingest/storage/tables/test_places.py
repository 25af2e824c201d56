"""A span's place is said in the words of its file: pages, slides, sheets with rows, or rows alone."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.parsing.delimited import parse_delimited
from ingest.parsing.types import ParsedDocument
from ingest.parsing.writer import DocumentWriter, Piece
from ingest.storage.tables.places import Location, SpanLocator
from ingest.storage.tables.store import RecordTables
from ingest.storage.tables.types import ColumnType
from ingest.storage.texts.layout import Layout, Omission, OmissionKind, PlaceKind, TableSpan
from ingest.storage.texts.positions import SheetCell
from ingest.storage.texts.texts import Texts, VersionText
from tests.fakes.memory_blobs import MemoryBlobs
from tests.support.corpora import CITIES, tables_of, tables_of_cities


def saved(document: ParsedDocument, tables: RecordTables | None = None) -> SpanLocator:
    texts = Texts(MemoryBlobs())
    texts.save_all([VersionText("v", document.text, None, (), document.layout, document.positions)])
    return SpanLocator(texts, tables)


def written(kind: PlaceKind, *texts: str) -> ParsedDocument:
    writer = DocumentWriter()
    for text in texts:
        writer.start_place(kind)
        writer.write_paragraph(text)
    return writer.finish("test", empty_message="Nothing.")


def located(places: SpanLocator, document: ParsedDocument, words: str) -> Location:
    start = document.text.index(words)
    return places.locate_span("v", start, start + len(words))


@pytest.mark.parametrize("kind", [PlaceKind.PAGE, PlaceKind.SLIDE])
def test_a_span_names_the_page_or_slide_it_stands_on_and_the_last_one_it_reaches(kind: PlaceKind) -> None:
    document = written(kind, "The ship sailed", "and the whale", "was gone.")
    places = saved(document)
    assert located(places, document, "whale") == Location(2, f"{kind} 2")
    assert located(places, document, "The ship sailed") == Location(1, f"{kind} 1")
    assert located(places, document, "whale\n\nwas") == Location(2, f"{kind}s 2 to 3")


def sheets() -> ParsedDocument:
    writer = DocumentWriter()
    for place, name in enumerate(("Costs", "Income"), start=1):
        writer.start_place(PlaceKind.SHEET, name)
        writer.write_table(
            [Piece(f"{name} {row} {column}", SheetCell(place, row, column)) for column in (1, 2)] for row in (3, 4, 7)
        )
    return writer.finish("test", empty_message="Nothing.")


def test_a_span_of_a_sheet_names_its_rows_as_the_sheet_counts_them() -> None:
    document = sheets()
    places = saved(document)
    assert located(places, document, "Costs 7 2") == Location(1, "sheet Costs, row 7")
    assert located(places, document, "Income 4 1") == Location(2, "sheet Income, row 4")
    start, end = document.text.index("Income 3"), len(document.text)
    assert places.locate_span("v", start, end) == Location(2, "sheet Income, rows 3 to 7")
    assert places.locate_span("v", 0, len(document.text)) == Location(1, "sheet Costs to sheet Income")


def test_a_span_of_a_file_that_is_one_table_names_its_rows_alone() -> None:
    document = ParsedDocument(CITIES, None, "test")
    places = saved(document, tables_of_cities("v"))
    assert located(places, document, "709037") == Location(None, "row 1")
    assert located(places, document, "Names") == Location(None, "row 3")
    assert located(places, document, "Oslo,709037,1048-01-01\nBergen") == Location(None, "rows 1 to 2")
    assert located(places, document, "city,people") == Location(None, "")


def test_rows_of_a_csv_are_named_as_the_file_counts_them_also_below_lines_that_are_no_rows(tmp_path: Path) -> None:
    file = tmp_path / "staff.csv"
    file.write_text("Staff of the harbour\n\nname,desk\nAnn,4\nBob,7\n", "utf-8")
    document = parse_delimited(file)
    rows = {"name": ColumnType.TEXT, "desk": ColumnType.INTEGER}
    places = saved(
        document, tables_of("v", document.text, ["Ann,4", "Bob,7"], rows, start=document.text.index("name,"))
    )
    assert located(places, document, document.text[: document.text.index("\nBob")]) == Location(None, "rows 3 to 4")
    assert located(places, document, "Bob,7") == Location(None, "row 5")
    assert located(places, document, "Staff of the harbour") == Location(None, "")


def test_a_span_outside_of_tables_and_places_has_no_place() -> None:
    document = ParsedDocument("The ship sailed.", None, "test")
    assert located(saved(document), document, "ship") == Location(None, "")
    assert SpanLocator(Texts(MemoryBlobs()), RecordTables(MemoryBlobs())).locate_span("gone", 0, 4) == Location(
        None, ""
    )


@given(st.lists(st.integers(1, 9), min_size=1, max_size=12), st.data())
def test_rows_within_a_span_are_those_that_share_a_code_point_with_it(widths: list[int], data: st.DataObject) -> None:
    rows = [f"{number:x}" * width for number, width in enumerate(widths, start=1)]
    text = "\n".join(rows)
    table = tables_of("v", text, rows, {"name": ColumnType.TEXT}) if len(set(rows)) == len(rows) else None
    if table is None:
        return
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    touched = [
        number
        for number, row in enumerate(rows, start=1)
        if (at := sum(len(each) + 1 for each in rows[: number - 1])) < end and start < at + len(row)
    ]
    found = table.find_row_range("v", 0, start, end)
    if touched:
        assert found == (touched[0], touched[-1])
    elif start < end:
        assert found is None


def test_the_header_of_a_table_is_found_from_its_rows_and_from_nowhere_else() -> None:
    text = "Before.\n\n| a | b |\n| --- | --- |\n| 1 | 2 |\n\nAfter."
    table = TableSpan(text.index("| a"), text.index("\n| 1"), text.index("\n\nAfter"))
    places = saved(ParsedDocument(text, None, "test", layout=Layout(tables=(table,))))
    assert places.load_table_header("v", text.index("1 |")) == "| a | b |\n| --- | --- |"
    assert [places.load_table_header("v", text.index(words)) for words in ("Before", "| a", "After")] == ["", "", ""]


@pytest.mark.parametrize("kind", OmissionKind)
def test_each_kind_of_omission_is_said_in_words(kind: OmissionKind) -> None:
    one, several = Omission(kind, 1).words, Omission(kind, 1_200, "pages 3, 7 to 9").words
    assert re.fullmatch(r"1 [a-z ]+", one)
    assert re.fullmatch(r"1,200 [a-z ]+ \(pages 3, 7 to 9\)", several)
