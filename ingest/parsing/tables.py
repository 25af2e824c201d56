"""A record table as its reader finds it in normalized text: how its rows are read, and its columns' names.

The readers of each format (`delimited`, `json_rows`, `pipe_tables`) walk the text itself, so that every row comes with
its span in it. A table's rows can be read any number of times and are never held together.
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
    """A row's span and its cells, as many as the table has columns; an empty cell is an empty string."""

    start: int
    end: int
    cells: Sequence[str]


@dataclass(frozen=True)
class FoundTable:
    """A table and how to read its rows, from the first, as often as they are needed. The name may be empty.

    Its header is the span from `start` to `header_end`, which are the same for a table without one.
    """

    name: str
    columns: tuple[str, ...]
    start: int
    end: int
    header_end: int
    rows: Callable[[], Iterator[TableRow]]


def build_table_spans(found: Iterable[FoundTable]) -> tuple[TableSpan, ...]:
    """Return tables as a text's tree has them."""
    return tuple(TableSpan(table.start, table.header_end, table.end, table.name) for table in found)


def build_unique_names(names: Sequence[str], width: int) -> tuple[str, ...]:
    """Names for `width` columns, no two alike but for case; those that have none get their number."""
    taken = {reserved.casefold() for reserved in _RESERVED}
    unique: list[str] = []
    for number in range(1, width + 1):
        given = " ".join(names[number - 1].split())[:MAX_NAME_CHARS] if number <= len(names) else ""
        name = base = given or f"column_{number}"
        count = 1
        while name.casefold() in taken:
            count += 1
            name = f"{base}_{count}"
        taken.add(name.casefold())
        unique.append(name)
    return tuple(unique)
