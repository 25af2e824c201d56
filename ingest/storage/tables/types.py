"""Record tables: the rows that a document's own format has, typed, each with its span in the normalized text.

A table is kept beside its version's text as one Parquet file, so that no reader holds all of its rows. Each row has a
number, from 1, which leads from anything computed over rows back to their spans and so to what a citation quotes.
"""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import PurePath

ROW_NUMBER = "_row"


class ColumnType(StrEnum):
    """The narrowest type of all non-empty cells of a column; `TEXT` if they have nothing narrower in common."""

    TEXT = "text"
    INTEGER = "integer"
    NUMBER = "number"
    DATE = "date"
    TIMESTAMP = "timestamp"
    BOOLEAN = "boolean"


@dataclass(frozen=True)
class Column:
    """A column by its unique name. `unit` is the sign (€, %) that stands at its numbers and is in no value."""

    name: str
    type: ColumnType
    unit: str = ""


@dataclass(frozen=True)
class ColumnProfile:
    """The cells of a column: how many are empty, and how many different values the others have.

    `values` are the commonest and the rarest with their counts, if there are no more than some hundreds; `smallest` and
    `largest` belong to numbers and dates, `longest` (in characters) to texts. Values are written as SQL does, and cut
    visibly.
    `is_exact` is false where `distinct` is an estimate; it is None where nobody counted.
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
        """True if `values` are all that there are."""
        return self.is_exact and len(self.values) == self.distinct


@dataclass(frozen=True)
class TableProfile:
    """The profiles of a table's first columns, and some of its rows by number: cut texts, None for an empty cell."""

    columns: tuple[ColumnProfile, ...] = ()
    rows: Mapping[int, Sequence[str | None]] = field(default_factory=dict)


@dataclass(frozen=True)
class RecordTable:
    """The facts about a table known without reading its rows; the span holds the heading and all rows."""

    index: int
    name: str
    columns: tuple[Column, ...]
    rows: int
    start: int
    end: int


@dataclass(frozen=True)
class ParsedTable:
    """A table as parsing found it, before it has its place among a version's.

    `parquet` is the file of its rows. A table that comes without a profile gets one when it is first asked for.
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
    """A row by its number, from 1, with its half-open span of code points in the normalized text.

    Values are as their columns are typed: `str`, `int`, `Decimal` (`float` past 18 digits), `date`, `datetime` (UTC
    where a zone was given), `bool`; None for an empty cell. The cells' own words stand in the span.
    """

    number: int
    start: int
    end: int
    values: tuple[object, ...]


EML_MEDIA_TYPE = "message/rfc822"
MSG_MEDIA_TYPE = "application/vnd.ms-outlook"

# The columns of what a file states beside its text, by media type.
MAIL_SENDER = Column("mail_sender", ColumnType.TEXT)
MAIL_SENDER_ADDRESS = Column("mail_sender_address", ColumnType.TEXT)
MAIL_RECIPIENTS = Column("mail_recipients", ColumnType.TEXT)
MAIL_DATE = Column("mail_date", ColumnType.TIMESTAMP)  # as it is written, in whatever zone
MAIL_DATE_UTC = Column("mail_date_utc", ColumnType.TIMESTAMP)
MAIL_SUBJECT = Column("mail_subject", ColumnType.TEXT)
MAIL_COLUMNS = (MAIL_SENDER, MAIL_SENDER_ADDRESS, MAIL_RECIPIENTS, MAIL_DATE, MAIL_DATE_UTC, MAIL_SUBJECT)

PROPERTY_COLUMNS: Mapping[str, tuple[Column, ...]] = {EML_MEDIA_TYPE: MAIL_COLUMNS, MSG_MEDIA_TYPE: MAIL_COLUMNS}


def name_tables(tables: Iterable[ParsedTable], document: str) -> list[ParsedTable]:
    """Return a document's tables, each with its own name; a nameless one is named after the document's file."""
    named: list[ParsedTable] = []
    taken: set[str] = set()
    for table in tables:
        base = table.name or PurePath(document).stem or "table"
        name = next(name for count in itertools.count(1) if (name := _number_name(base, count)).casefold() not in taken)
        taken.add(name.casefold())
        named.append(replace(table, name=name))
    return named


def _number_name(name: str, count: int) -> str:
    return name if count == 1 else f"{name} {count}"
