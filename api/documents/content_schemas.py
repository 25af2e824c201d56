"""Outlines, positions and tables of documents on the wire: what a text holds, and where that stands in its file."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal, Self

from pydantic import Field

from api.http.wire import Wire
from ingest.storage.tables.types import ColumnType, RecordRow, RecordTable
from ingest.storage.texts.layout import Layout
from rlm.answers import convert_to_json


class BoxOut(Wire):
    """A rectangle on page or slide `page`, in fractions of its width and height from the top left corner."""

    page: int
    left: float
    top: float
    right: float
    bottom: float


class CellOut(Wire):
    """A cell of sheet number `sheet`, by row and column from 1; a column of 0 stands for the whole row."""

    sheet: int
    row: int
    column: int


class PositionsOut(Wire):
    """Where a span of a version's text stands in its file, in reading order; words on one line are one box.

    Both lists are empty where the format has no positions. `next_start` is where to go on, null at the end of the span.
    """

    version: str
    place: str
    boxes: list[BoxOut]
    cells: list[CellOut]
    next_start: int | None


class OutlineEntryOut(Wire):
    """A heading with all that stands below it, a page, slide or sheet, or a table: `start` to before `end` of the text.

    `level` is a heading's. `page` and `place` say where it begins. `header_end` is where a table's header ends, and
    `table` its number among the document's record tables, if its rows are records.
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
    """A page of a text's outline in reading order; `next_cursor` is null on the last one."""

    version: str
    entries: list[OutlineEntryOut]
    next_cursor: str | None


def build_outline(layout: Layout, characters: int, tables: Iterable[RecordTable]) -> list[OutlineEntryOut]:
    """Return the headings, places and tables of a text in reading order; what holds more comes first."""
    entries = [
        *_iter_headings(layout, characters),
        *_iter_places(layout, characters),
        *_iter_tables(layout, list(tables)),
    ]
    return sorted(entries, key=lambda each: (each.start, -each.end))


def _iter_headings(layout: Layout, characters: int) -> Iterator[OutlineEntryOut]:
    ends = [characters] * len(layout.headings)
    open_: list[int] = []
    for number, heading in enumerate(layout.headings):
        while open_ and layout.headings[open_[-1]].level >= heading.level:
            ends[open_.pop()] = heading.start
        open_.append(number)
    for heading, end in zip(layout.headings, ends, strict=True):
        if heading.title:
            at = _locate(layout, heading.start)
            yield OutlineEntryOut(
                kind="heading", title=heading.title, start=heading.start, end=end, level=heading.level, **at
            )


def _iter_places(layout: Layout, characters: int) -> Iterator[OutlineEntryOut]:
    ends = [*(place.start for place in layout.places[1:]), characters]
    for place, end in zip(layout.places, ends, strict=False):
        yield OutlineEntryOut(
            kind=place.kind.value,
            title=place.name or place.label,
            start=place.start,
            end=end,
            page=place.number,
            place=place.label,
        )


def _iter_tables(layout: Layout, records: Sequence[RecordTable]) -> Iterator[OutlineEntryOut]:
    for span in layout.tables:
        # The span of a record table may begin with the line that names it.
        record = next((each for each in records if each.start <= span.start and span.end <= each.end), None)
        yield OutlineEntryOut(
            kind="table",
            title=record.name if record else "",
            start=span.start,
            end=span.end,
            header_end=span.header_end,
            table=record.index if record else None,
            **_locate(layout, span.start),
        )


def _locate(layout: Layout, offset: int) -> dict[str, Any]:
    place = layout.find_place(offset)
    return {"page": place.number if place else None, "place": place.label if place else ""}


class ColumnOut(Wire):
    """A column; `unit` is the sign (€, %) that stands at its numbers and is in no value."""

    name: str
    type: ColumnType
    unit: str


class TableOut(Wire):
    """A table whose rows are records, by its number from 0; its span holds its header and all rows."""

    table: int = Field(validation_alias="index")
    name: str
    columns: list[ColumnOut]
    rows: int
    start: int
    end: int
    place: str

    @classmethod
    def from_table(cls, table: RecordTable, place: str) -> Self:
        return cls.from_records(table, place=place)


class TablePage(Wire):
    """A page of a document's tables in reading order; `next_cursor` is null on the last one."""

    version: str
    tables: list[TableOut]
    next_cursor: str | None


class RecordOut(Wire):
    """A row by its number from 1, its span of the text, and its values by column; dates are ISO texts."""

    row: int = Field(validation_alias="number")
    start: int
    end: int
    values: dict[str, Any]

    @classmethod
    def from_row(cls, row: RecordRow, names: Sequence[str], wanted: Iterable[str]) -> Self:
        values = dict(zip(names, convert_to_json(row.values), strict=True))
        return cls.from_records(row, values={name: values[name] for name in wanted})


class RecordPage(Wire):
    """A page of a table's rows, `total` in all; `next_cursor` is null on the last one."""

    version: str
    rows: list[RecordOut]
    total: int
    next_cursor: str | None
