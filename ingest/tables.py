"""Record tables: the rows that a document's own format has, typed, each with its span in the normalized text.

A table is kept beside its version's text as one Parquet file, so that no reader holds all of its rows. Each row has a
number, from 1, which leads from anything computed over rows back to their spans and so to what a citation quotes.
"""

import itertools
import json
import tempfile
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from functools import lru_cache
from pathlib import Path, PurePath
from typing import Any

from ingest.blobs import Blobs
from ingest.checked_blobs import CheckedBlobs
from ingest.digests import Digest, DigestRecords, file_of
from ingest.errors import ContentChangedError

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
    def is_listed(self) -> bool:
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
class Row:
    """A row by its number, from 1, with its half-open span of code points in the normalized text.

    Values are as their columns are typed: `str`, `int`, `Decimal` (`float` past 18 digits), `date`, `datetime` (UTC
    where a zone was given), `bool`; None for an empty cell. The cells' own words stand in the span.
    """

    number: int
    start: int
    end: int
    values: tuple[object, ...]


def named_tables(tables: Iterable[ParsedTable], document: str) -> list[ParsedTable]:
    """Return a document's tables, each with its own name; a nameless one is named after the document's file."""
    named: list[ParsedTable] = []
    taken: set[str] = set()
    for table in tables:
        base = table.name or PurePath(document).stem or "table"
        name = next(name for count in itertools.count(1) if (name := _numbered(base, count)).casefold() not in taken)
        taken.add(name.casefold())
        named.append(replace(table, name=name))
    return named


def _numbered(name: str, count: int) -> str:
    return name if count == 1 else f"{name} {count}"


class RecordTables:
    """Record tables by version id, in blobs.

    A read raises `ContentChangedError` for a file that somebody changed, and `TextLostError` for one that is missing.
    """

    def __init__(self, blobs: Blobs, digests: DigestRecords | None = None) -> None:
        """With `digests` whatever is read is compared with them."""
        self._digests = digests
        self._blobs = blobs if digests is None else CheckedBlobs(blobs, digests)
        self._known = lru_cache(maxsize=4096)(self._load)
        self._profiles = lru_cache(maxsize=256)(self._load_profiles)
        self._computed = lru_cache(maxsize=256)(self._compute_profile)
        self._spans = lru_cache(maxsize=8)(self._load_spans)

    def save(self, version_id: str, tables: Iterable[ParsedTable]) -> Mapping[str, Digest]:
        """Store tables durably before returning; saving the same again changes nothing, and saving none writes nothing.

        Return the digests of their files by their keys.
        """
        tables = list(tables)
        if not tables:
            return {}
        listed = {_list_key(version_id): _dump(tables)}
        # First, because it says what there is to delete.
        self._blobs.put_all(listed)
        rows = {_rows_key(version_id, index): table.parquet for index, table in enumerate(tables)}
        contents = {_profiles_key(version_id): _dump_profiles(tables), **rows}
        self._blobs.put_all(contents)
        self._forget()
        return {key: Digest.of(content) for key, content in (listed | contents).items()}

    def may_have_tables(self, version_ids: Collection[str]) -> set[str]:
        """Select the versions that have tables, without reading a file of each; a version without digests may."""
        return set(version_ids) if self._digests is None else self._digests.may_have(_LIST, version_ids)

    def tables(self, version_id: str) -> tuple[RecordTable, ...]:
        """Return a version's tables in reading order; none if the format has none, or is older than record tables."""
        return self._known(version_id)

    def profile(self, version_id: str, index: int) -> TableProfile:
        """Return a table's profile; that of a table which was kept without is computed.

        Raises `KeyError` for a table that there is not.
        """
        profiles = self._profiles(version_id)
        kept = profiles[index] if index < len(profiles) else None
        return kept or self._computed(version_id, index)

    def rows(self, version_id: str, index: int, numbers: Sequence[int] | range) -> list[Row]:
        """Return the rows with these numbers, in their order; there is none for a number that no row has.

        Raises `KeyError` for a table that there is not.
        """
        from ingest.parquet import read_rows  # only here: whoever reads no rows loads no engine

        with tempfile.NamedTemporaryFile(prefix="leadline-table-", suffix=".parquet") as file:
            self.copy_to(version_id, index, Path(file.name))
            found = {row[0]: Row(row[0], row[1], row[2], row[3:]) for row in read_rows(Path(file.name), numbers)}
        return [found[number] for number in numbers if number in found]

    def rows_within(self, version_id: str, index: int, start: int, end: int) -> tuple[int, int] | None:
        """Return the numbers of the first and the last row of a table that have a code point in `[start, end)`.

        Raises `KeyError` for a table that there is not.
        """
        starts, ends = self._spans(version_id, index)
        first, last = bisect_right(ends, start) + 1, bisect_left(starts, end)
        return (first, last) if first <= last else None

    def copy_to(self, version_id: str, index: int, path: Path) -> None:
        """Write a table's Parquet file: `_row`, `_start`, `_end` and the columns. Raises `KeyError` where it is not."""
        path.write_bytes(self._blobs.read(_rows_key(version_id, index)))

    def keys(self, version_id: str) -> list[str]:
        """Return the keys of a version's tables, none for a version without."""
        try:
            count = len(json.loads(self._blobs.read(_list_key(version_id))))
        except KeyError:
            return []
        rows = [_rows_key(version_id, index) for index in range(count)]
        return [_list_key(version_id), _profiles_key(version_id), *rows]

    def delete(self, version_id: str) -> int:
        """Delete the tables of a version; returns the bytes freed."""
        try:
            count = len(json.loads(self._blobs.read(_list_key(version_id))))
        except KeyError:
            return 0
        except (ContentChangedError, ValueError, TypeError):  # a list that was changed must not keep the rest here
            count = 0
        freed, index = 0, 0
        while (size := self._blobs.delete(_rows_key(version_id, index))) or index < count:
            freed, index = freed + size, index + 1
        freed += self._blobs.delete(_profiles_key(version_id))
        freed += self._blobs.delete(_list_key(version_id))
        self._forget()
        return freed

    def _forget(self) -> None:
        for cache in (self._known, self._profiles, self._computed, self._spans):
            cache.cache_clear()

    def _load_profiles(self, version_id: str) -> Sequence[TableProfile | None]:
        try:
            return [each and _profile(each) for each in json.loads(self._blobs.read(_profiles_key(version_id)))]
        except KeyError:
            return ()

    def _compute_profile(self, version_id: str, index: int) -> TableProfile:
        from ingest.parquet import read_profile  # only here, as above

        with tempfile.NamedTemporaryFile(prefix="leadline-table-", suffix=".parquet") as file:
            self.copy_to(version_id, index, Path(file.name))
            table = self.tables(version_id)[index]
            return read_profile(Path(file.name), table.columns, table.rows)

    def _load_spans(self, version_id: str, index: int) -> tuple[Sequence[int], Sequence[int]]:
        from ingest.parquet import read_spans  # only here, as above

        with tempfile.NamedTemporaryFile(prefix="leadline-table-", suffix=".parquet") as file:
            self.copy_to(version_id, index, Path(file.name))
            starts, ends = read_spans(Path(file.name))
        return array("Q", starts), array("Q", ends)

    def _load(self, version_id: str) -> tuple[RecordTable, ...]:
        try:
            listed = json.loads(self._blobs.read(_list_key(version_id)))
        except KeyError:
            return ()
        return tuple(
            RecordTable(
                index=index,
                name=each["name"],
                columns=tuple(Column(name, ColumnType(kind), unit) for name, kind, unit in each["columns"]),
                rows=each["rows"],
                start=each["start"],
                end=each["end"],
            )
            for index, each in enumerate(listed)
        )


def _dump(tables: Sequence[ParsedTable]) -> bytes:
    listed = [
        {
            "name": table.name,
            "columns": [(column.name, column.type, column.unit) for column in table.columns],
            "rows": table.rows,
            "start": table.start,
            "end": table.end,
        }
        for table in tables
    ]
    return json.dumps(listed, separators=(",", ":")).encode()


def _dump_profiles(tables: Sequence[ParsedTable]) -> bytes:
    listed = [table.profile and asdict(table.profile) for table in tables]
    return json.dumps(listed, separators=(",", ":")).encode()


def _profile(listed: Mapping[str, Any]) -> TableProfile:
    columns = tuple(ColumnProfile(**{**each, "type": ColumnType(each["type"])}) for each in listed["columns"])
    return TableProfile(columns, {int(number): cells for number, cells in listed["rows"].items()})


def _list_key(version_id: str) -> str:
    return f"tables/{version_id[:2]}/{version_id}.json"


_LIST = file_of(_list_key(""))


def _rows_key(version_id: str, index: int) -> str:
    return f"tables/{version_id[:2]}/{version_id}.{index}.parquet"


def _profiles_key(version_id: str) -> str:
    return f"tables/{version_id[:2]}/{version_id}.profiles.json"
