"""Wire models for outlines, positions and tables of documents."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal, Self

from pydantic import Field

from api.http.wire import Wire
from ingest.storage.tables.types import ColumnType, RecordRow, RecordTable
from ingest.storage.texts.layout import Layout
from rlm.answers import convert_to_json_value


class BoxOut(Wire):
    """A bounding box on a page or slide, as fractions of its width and height measured from the top left corner."""

    page: int
    left: float
    top: float
    right: float
    bottom: float


class CellOut(Wire):
    """A cell in sheet number `sheet`. Rows and columns count from 1; column 0 means the whole row."""

    sheet: int
    row: int
    column: int


class PositionsOut(Wire):
    """The positions of a text span in the file, in reading order. The words of a line share one box.

    Both lists are empty if the format has no positions. `next_start` is the `start` to send for the next page of
    positions, or null at the end of the span.
    """

    version: str
    place: str
    boxes: list[BoxOut]
    cells: list[CellOut]
    next_start: int | None


class OutlineEntryOut(Wire):
    """An entry of the outline: a heading with its section, a page, slide or sheet, or a table.

    The entry's span goes from `start` up to but excluding `end` of the text. Only headings have a `level`. `page` and
    `place` give the position of the entry's start. `header_end` is the end of a table's header. `table` is a table's
    number among the document's record tables, or null if the entry is not a record table.
    """

    kind: Literal["heading", "page", "slide", "sheet", "table"]
    title: str
    start: int
    end: int
    page: int | None
    place: str
    level: int | None = None
    header_end: int | None = None
    table: int | None = None


class OutlinePage(Wire):
    """A page of a document's outline in reading order; `next_cursor` is null on the last page."""

    version: str
    entries: list[OutlineEntryOut]
    next_cursor: str | None


def build_outline(layout: Layout, text_length: int, tables: Iterable[RecordTable]) -> list[OutlineEntryOut]:
    """Return the headings, pages, slides, sheets and tables of a text in reading order, outer entries first.

    A page without text comes before the page that starts at the same offset.
    """
    entries = [
        *_iter_heading_entries(layout, text_length),
        *_iter_page_entries(layout, text_length),
        *_iter_table_entries(layout, list(tables)),
    ]
    return sorted(entries, key=lambda each: (each.start, each.end > each.start, -each.end))


def _iter_heading_entries(layout: Layout, text_length: int) -> Iterator[OutlineEntryOut]:
    ends = [text_length] * len(layout.headings)
    open_: list[int] = []
    for number, heading in enumerate(layout.headings):
        while open_ and layout.headings[open_[-1]].level >= heading.level:
            ends[open_.pop()] = heading.start
        open_.append(number)
    for heading, end in zip(layout.headings, ends, strict=True):
        if heading.title:
            at = _locate_offset(layout, heading.start)
            yield OutlineEntryOut(
                kind="heading", title=heading.title, start=heading.start, end=end, level=heading.level, **at
            )


def _iter_page_entries(layout: Layout, text_length: int) -> Iterator[OutlineEntryOut]:
    ends = [*(place.start for place in layout.places[1:]), text_length]
    for place, end in zip(layout.places, ends, strict=False):
        yield OutlineEntryOut(
            kind=place.kind.value,
            title=place.name or place.label,
            start=place.start,
            end=end,
            page=place.number,
            place=place.label,
        )


def _iter_table_entries(layout: Layout, record_tables: Sequence[RecordTable]) -> Iterator[OutlineEntryOut]:
    for span in layout.tables:
        # The span of a record table may include a title line above it.
        record = next((each for each in record_tables if each.start <= span.start and span.end <= each.end), None)
        yield OutlineEntryOut(
            kind="table",
            title=record.name if record else "",
            start=span.start,
            end=span.end,
            header_end=span.header_end,
            table=record.index if record else None,
            **_locate_offset(layout, span.start),
        )


def _locate_offset(layout: Layout, offset: int) -> dict[str, Any]:
    place = layout.find_place(offset)
    return {"page": place.number if place else None, "place": place.label if place else ""}


class ColumnOut(Wire):
    """A column of a table. `unit` is the symbol (€, %) next to the column's numbers; values do not include it."""

    name: str
    type: ColumnType
    unit: str


class TableOut(Wire):
    """A record table with its number, which counts from 0. The table's span includes the header and all rows."""

    table: int = Field(validation_alias="index")
    name: str
    columns: list[ColumnOut]
    rows: int
    start: int
    end: int
    place: str

    @classmethod
    def from_table(cls, table: RecordTable, location: str) -> Self:
        return cls.from_records(table, place=location)


class TablePage(Wire):
    """A page of a document's tables in reading order; `next_cursor` is null on the last page."""

    version: str
    tables: list[TableOut]
    next_cursor: str | None


class RecordOut(Wire):
    """A table row with its number (from 1), its span in the text, and its values keyed by column.

    `file_row` is the number of the row in the file or sheet, which also has a header; it is null if the format has no
    rows. Dates are ISO strings.
    """

    row: int = Field(validation_alias="number")
    file_row: int | None = None
    start: int
    end: int
    values: dict[str, Any]

    @classmethod
    def from_row(
        cls, row: RecordRow, column_names: Sequence[str], selected_columns: Iterable[str], file_row: int | None
    ) -> Self:
        values = dict(zip(column_names, convert_to_json_value(row.values), strict=True))
        return cls.from_records(row, values={name: values[name] for name in selected_columns}, file_row=file_row)


class RecordPage(Wire):
    """A page of a table's rows. `total` counts all rows; `next_cursor` is null on the last page."""

    version: str
    rows: list[RecordOut]
    total: int
    next_cursor: str | None
