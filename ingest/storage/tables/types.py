"""Record tables: typed rows from a document's file, each with its span in the normalized text.

A table is stored next to its version's text as one Parquet file, so that no reader holds all rows in memory. Row
numbers are counted from 1. They allow any result computed from rows to be traced back to the rows' spans, and thus to
the text that a citation quotes.
"""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import PurePath

ROW_NUMBER = "_row"


class ColumnType(StrEnum):
    """The type of a column: the narrowest type that fits all non-empty cells, or `TEXT` if no other type fits."""

    TEXT = "text"
    INTEGER = "integer"
    NUMBER = "number"
    DATE = "date"
    TIMESTAMP = "timestamp"
    BOOLEAN = "boolean"


@dataclass(frozen=True)
class Column:
    """A column with a unique name.

    `unit` is the unit or currency symbol (€, %) that the numbers have in the file but not in the table.
    """

    name: str
    type: ColumnType
    unit: str = ""


@dataclass(frozen=True)
class ColumnProfile:
    """The profile of a column: the number of empty cells, and the number of distinct values in the other cells.

    `values` maps the most common and the rarest values to their counts. It is empty if there are too many distinct
    values. `smallest` and `largest` are set for numbers and dates, and `longest` (in characters) for strings. Values
    are formatted as in SQL; long ones are truncated with an ellipsis. If `is_exact` is false, `distinct` is an
    estimate. If `distinct` is None, distinct values were not counted.
    """

    type: ColumnType
    empty: int
    distinct: int | None
    values: Mapping[str, int] = field(default_factory=dict)
    smallest: str | None = None
    largest: str | None = None
    longest: int = 0
    is_exact: bool = True

    @property
    def has_all_values(self) -> bool:
        """True if `values` contains all distinct values."""
        return self.is_exact and len(self.values) == self.distinct


@dataclass(frozen=True)
class TableProfile:
    """The profiles of a table's first columns, and sample rows keyed by row number.

    The cells of sample rows are truncated strings, or None if they are empty.
    """

    columns: tuple[ColumnProfile, ...] = ()
    rows: Mapping[int, Sequence[str | None]] = field(default_factory=dict)


@dataclass(frozen=True)
class RecordTable:
    """Metadata of a table, which can be loaded without reading its rows. The span covers the heading and all rows."""

    index: int
    name: str
    columns: tuple[Column, ...]
    rows: int
    start: int
    end: int


@dataclass(frozen=True)
class ParsedTable:
    """A table produced by a parser, before it gets an index among its version's tables.

    `parquet` is the content of a Parquet file with its rows. A missing profile is computed when it is first requested.
    """

    name: str
    columns: tuple[Column, ...]
    rows: int
    start: int
    end: int
    parquet: bytes
    profile: TableProfile | None = None


@dataclass(frozen=True)
class RecordRow:
    """A row with its number, counted from 1, and its half-open span of code points in the normalized text.

    Values have their column's type: `str`, `int`, `Decimal` (`float` beyond 18 digits), `date`, `datetime` (UTC if a
    time zone was given), `bool`, or None for an empty cell. The span contains the original text of the cells.
    """

    number: int
    start: int
    end: int
    values: tuple[object, ...]


EML_MEDIA_TYPE = "message/rfc822"
MSG_MEDIA_TYPE = "application/vnd.ms-outlook"

# Columns for file properties, by media type.
MAIL_SENDER = Column("mail_sender", ColumnType.TEXT)
MAIL_SENDER_ADDRESS = Column("mail_sender_address", ColumnType.TEXT)
MAIL_RECIPIENTS = Column("mail_recipients", ColumnType.TEXT)
MAIL_DATE = Column("mail_date", ColumnType.TIMESTAMP)  # The message's date in its original form, in any time zone.
MAIL_DATE_UTC = Column("mail_date_utc", ColumnType.TIMESTAMP)
MAIL_SUBJECT = Column("mail_subject", ColumnType.TEXT)
MAIL_COLUMNS = (MAIL_SENDER, MAIL_SENDER_ADDRESS, MAIL_RECIPIENTS, MAIL_DATE, MAIL_DATE_UTC, MAIL_SUBJECT)

PROPERTY_COLUMNS: Mapping[str, tuple[Column, ...]] = {EML_MEDIA_TYPE: MAIL_COLUMNS, MSG_MEDIA_TYPE: MAIL_COLUMNS}


def assign_table_names(tables: Iterable[ParsedTable], document_name: str) -> list[ParsedTable]:
    """Give a document's tables unique names. A table without a name is named after the document's file."""
    named: list[ParsedTable] = []
    taken: set[str] = set()
    for table in tables:
        base = table.name or PurePath(document_name).stem or "table"
        name = next(
            name for count in itertools.count(1) if (name := _append_number(base, count)).casefold() not in taken
        )
        taken.add(name.casefold())
        named.append(replace(table, name=name))
    return named


def _append_number(name: str, count: int) -> str:
    return name if count == 1 else f"{name} {count}"
