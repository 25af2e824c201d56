"""Describes where in a file a span of its text is, in terms used by readers of the file."""

from dataclasses import dataclass
from typing import Protocol

from ingest.storage.errors import ContentChangedError
from ingest.storage.tables.types import RecordTable
from ingest.storage.texts.layout import Place, PlaceKind
from ingest.storage.texts.texts import Texts

MAX_HEADER_CHARS = 2_000


@dataclass(frozen=True)
class Location:
    """The location of a span: the number of the page, slide or sheet where it starts, and a description.

    `words` is the description, for example `page 12` or `sheet Costs, row 4`. If the format has no pages, slides or
    sheets, `page` is None.
    """

    page: int | None = None
    words: str = ""


class TableReader(Protocol):
    """Reads a version's record tables and the rows within a span."""

    def load_tables(self, version_id: str) -> tuple[RecordTable, ...]: ...

    def find_row_range(self, version_id: str, index: int, start: int, end: int) -> tuple[int, int] | None: ...


class SpanLocator:
    """Describes the locations of spans, and finds the header of the table in which a span begins."""

    def __init__(self, texts: Texts, tables: TableReader | None = None) -> None:
        self._texts = texts
        self._tables = tables

    def locate_span(self, version_id: str, start: int, end: int) -> Location:
        """Return the location of a span. It is empty if the version was deleted or its layout was tampered with."""
        try:
            layout = self._texts.load_map(version_id).layout
            first, last = layout.find_place(start), layout.find_place(max(start, end - 1))
            if first is None:
                return Location(None, self._format_rows_without_sheet(version_id, start, end))
            words = _format_place_range(first, last or first)
            if first.kind is PlaceKind.SHEET and first == last:
                words = ", ".join(filter(None, (words, self._format_sheet_rows(version_id, start, end))))
            return Location(first.number, words)
        except (KeyError, ContentChangedError):
            return Location()

    def load_table_header(self, version_id: str, start: int) -> str:
        """Load the header of the table whose rows contain a code point, truncated if it is long.

        Returns an empty string if no table does.
        """
        try:
            span = self._texts.load_map(version_id).layout.find_table_header(start)
            return self._texts.read(version_id, *span)[:MAX_HEADER_CHARS] if span else ""
        except (KeyError, ContentChangedError):
            return ""

    def _format_sheet_rows(self, version_id: str, start: int, end: int) -> str:
        cells = self._texts.load_positions(version_id).list_cells(start, end)
        return (
            _format_row_range(cells[0].row, cells[-1].row)
            if cells
            else self._find_record_table(version_id, start, end)[1]
        )

    def _format_rows_without_sheet(self, version_id: str, start: int, end: int) -> str:
        """Describe the rows of a span in a text without pages, slides or sheets.

        If the file has cells, rows are numbered as in the file. If the file has only one table, as in CSV, the table is
        not named, and lines above its rows are ignored.
        """
        tables = self._tables.load_tables(version_id) if self._tables is not None else ()
        table, rows = self._find_record_table(version_id, start, end)
        cells = self._texts.load_positions(version_id).list_cells(start, end)
        if cells and (table is not None or len(tables) == 1):
            rows = _format_row_range(cells[0].row, cells[-1].row)
        return f"table {table.name}, {rows}" if table is not None and rows and len(tables) > 1 else rows

    def _find_record_table(self, version_id: str, start: int, end: int) -> tuple[RecordTable | None, str]:
        """Return the record table that contains a span, or None, and a description of its rows in the span."""
        for table in self._tables.load_tables(version_id) if self._tables is not None else ():
            if table.start <= start and end <= table.end:
                rows = self._tables.find_row_range(version_id, table.index, start, end) if self._tables else None
                return table, _format_row_range(*rows) if rows else ""
        return None, ""


def _format_place_range(first: Place, last: Place) -> str:
    if first == last:
        return first.label
    if first.kind is last.kind and not (first.name or last.name):
        return f"{first.kind}s {first.number} to {last.number}"
    return f"{first.label} to {last.label}"


def _format_row_range(first: int, last: int) -> str:
    return f"row {first}" if first == last else f"rows {first} to {last}"
