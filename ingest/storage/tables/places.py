"""Where a span of a version's text stands in its file, in words that a reader of the file understands."""

from dataclasses import dataclass
from typing import Protocol

from ingest.storage.errors import ContentChangedError
from ingest.storage.tables.types import RecordTable
from ingest.storage.texts.layout import Place, PlaceKind
from ingest.storage.texts.texts import Texts

MAX_HEADER_CHARS = 2_000


@dataclass(frozen=True)
class Location:
    """A span's place: the number of the page, slide or sheet it starts on, and words (`page 12`, `sheet Costs, row 4`).

    None and no words where the format has no places.
    """

    page: int | None = None
    words: str = ""


class TableRows(Protocol):
    """The record tables of a version, and the rows that stand in a span."""

    def tables(self, version_id: str) -> tuple[RecordTable, ...]: ...

    def rows_within(self, version_id: str, index: int, start: int, end: int) -> tuple[int, int] | None: ...


class Places:
    """Names places in files, and finds the header of the table in whose rows a span begins."""

    def __init__(self, texts: Texts, tables: TableRows | None = None) -> None:
        self._texts = texts
        self._tables = tables

    def locate(self, version_id: str, start: int, end: int) -> Location:
        """Return where a span stands; nowhere if the version was deleted meanwhile, or what says so was changed."""
        try:
            layout = self._texts.map(version_id).layout
            first, last = layout.place_at(start), layout.place_at(max(start, end - 1))
            if first is None:
                return Location(None, self._rows_alone(version_id, start, end))
            words = _span_words(first, last or first)
            if first.kind is PlaceKind.SHEET and first == last:
                words = ", ".join(filter(None, (words, self._rows_of_sheet(version_id, start, end))))
            return Location(first.number, words)
        except (KeyError, ContentChangedError):
            return Location()

    def table_header(self, version_id: str, start: int) -> str:
        """Return the header of the table in whose rows a code point stands, cut if it is long; empty if in none."""
        try:
            span = self._texts.map(version_id).layout.header_above(start)
            return self._texts.read(version_id, *span)[:MAX_HEADER_CHARS] if span else ""
        except (KeyError, ContentChangedError):
            return ""

    def _rows_of_sheet(self, version_id: str, start: int, end: int) -> str:
        cells = self._texts.positions(version_id).cells(start, end)
        return _row_words(cells[0].row, cells[-1].row) if cells else self._records(version_id, start, end)[1]

    def _rows_alone(self, version_id: str, start: int, end: int) -> str:
        """Name rows in a text without places, as the file counts them if it has cells.

        If the whole file is one table, such as a CSV, no table is named, and lines above its rows are no hindrance.
        """
        tables = self._tables.tables(version_id) if self._tables is not None else ()
        table, rows = self._records(version_id, start, end)
        cells = self._texts.positions(version_id).cells(start, end)
        if cells and (table is not None or len(tables) == 1):
            rows = _row_words(cells[0].row, cells[-1].row)
        return f"table {table.name}, {rows}" if table is not None and rows and len(tables) > 1 else rows

    def _records(self, version_id: str, start: int, end: int) -> tuple[RecordTable | None, str]:
        """Return the record table that a span lies in, and its rows in words."""
        for table in self._tables.tables(version_id) if self._tables is not None else ():
            if table.start <= start and end <= table.end:
                rows = self._tables.rows_within(version_id, table.index, start, end) if self._tables else None
                return table, _row_words(*rows) if rows else ""
        return None, ""


def _span_words(first: Place, last: Place) -> str:
    if first == last:
        return first.label
    if first.kind is last.kind and not (first.name or last.name):
        return f"{first.kind}s {first.number} to {last.number}"
    return f"{first.label} to {last.label}"


def _row_words(first: int, last: int) -> str:
    return f"row {first}" if first == last else f"rows {first} to {last}"
