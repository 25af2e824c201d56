"""Record tables found in normalized text: their column names, and functions that read their rows.

The modules that find tables (`delimited`, `json_documents`, `pipe_tables`) know the span of each row in the text. The
rows of a table can be read any number of times, and are never all in memory.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ingest.storage.tables.types import ROW_NUMBER
from ingest.storage.texts.layout import TableSpan

MAX_COLUMNS = 1_000
MAX_NAME_CHARS = 100
_RESERVED = (ROW_NUMBER, "_start", "_end")


class TableRow(NamedTuple):
    """The span and cells of a row. It has one cell per column; an empty cell is an empty string."""

    start: int
    end: int
    cells: Sequence[str]


@dataclass(frozen=True)
class FoundTable:
    """A table. Its name may be empty.

    Each call to `rows` reads the rows from the beginning. The header extends from `start` to `header_end`, which are
    equal if the table has no header.
    """

    name: str
    columns: tuple[str, ...]
    start: int
    end: int
    header_end: int
    rows: Callable[[], Iterator[TableRow]]


def build_table_spans(tables: Iterable[FoundTable]) -> tuple[TableSpan, ...]:
    """Return the spans of the tables, for the layout of their text."""
    return tuple(TableSpan(table.start, table.header_end, table.end, table.name) for table in tables)


def build_unique_names(names: Sequence[str], column_count: int) -> tuple[str, ...]:
    """Return `column_count` column names that are unique ignoring case. Columns without a name are numbered."""
    taken = {reserved.casefold() for reserved in _RESERVED}
    unique: list[str] = []
    for number in range(1, column_count + 1):
        given = " ".join(names[number - 1].split())[:MAX_NAME_CHARS] if number <= len(names) else ""
        name = base = given or f"column_{number}"
        count = 1
        while name.casefold() in taken:
            count += 1
            name = f"{base}_{count}"
        taken.add(name.casefold())
        unique.append(name)
    return tuple(unique)
