"""Storage of document versions' record tables in blobs."""

import json
import tempfile
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

from ingest.storage.blobs.checked import CheckedBlobs
from ingest.storage.blobs.store import Blobs
from ingest.storage.digests import Digest, DigestRecords, parse_file_name
from ingest.storage.errors import ContentChangedError
from ingest.storage.tables.types import (
    Column,
    ColumnProfile,
    ColumnType,
    ParsedTable,
    RecordRow,
    RecordTable,
    TableProfile,
)


class RecordTables:
    """Record tables, stored in blobs by version id.

    Reading raises `ContentChangedError` if a file was changed outside Leadline, and `TextLostError` if it is missing.
    """

    def __init__(self, blobs: Blobs, digests: DigestRecords | None = None) -> None:
        """Open the store. If `digests` is given, all content is verified against its digest when it is read."""
        self._digests = digests
        self._blobs = blobs if digests is None else CheckedBlobs(blobs, digests)
        self._known = lru_cache(maxsize=4096)(self._load_tables)
        self._profiles = lru_cache(maxsize=256)(self._load_profiles)
        self._computed = lru_cache(maxsize=256)(self._compute_profile)
        self._spans = lru_cache(maxsize=8)(self._load_spans)

    def save(self, version_id: str, tables: Iterable[ParsedTable]) -> Mapping[str, Digest]:
        """Store a version's tables durably, and return the digests of the written files, keyed by file key.

        Repeating this is safe. If there are no tables, nothing is written.
        """
        tables = list(tables)
        if not tables:
            return {}
        listed = {_build_list_key(version_id): _dump_tables(tables)}
        # The list of tables is written first, because `delete` relies on the list.
        self._blobs.put_all(listed)
        rows = {_build_rows_key(version_id, index): table.parquet for index, table in enumerate(tables)}
        contents = {_build_profiles_key(version_id): _dump_profiles(tables), **rows}
        self._blobs.put_all(contents)
        self._clear_caches()
        return {key: Digest.from_content(content) for key, content in (listed | contents).items()}

    def select_versions_with_tables(self, version_ids: Collection[str]) -> set[str]:
        """Select the versions that may have tables, without reading files. This includes versions without digests."""
        return (
            set(version_ids)
            if self._digests is None
            else self._digests.select_candidate_versions(_LIST_FILE, version_ids)
        )

    def load_tables(self, version_id: str) -> tuple[RecordTable, ...]:
        """Load a version's tables in reading order, without their rows.

        The result is empty if the file format has no tables, or if the version was ingested before record tables
        existed.
        """
        return self._known(version_id)

    def load_profile(self, version_id: str, index: int) -> TableProfile:
        """Load a table's profile, or compute it if the table was stored without one.

        Raises `KeyError` if the table does not exist.
        """
        profiles = self._profiles(version_id)
        kept = profiles[index] if index < len(profiles) else None
        return kept or self._computed(version_id, index)

    def load_rows(self, version_id: str, index: int, row_numbers: Sequence[int] | range) -> list[RecordRow]:
        """Load the rows with these numbers, in the given order. Numbers without a row are skipped.

        Raises `KeyError` if the table does not exist.
        """
        # This module is imported lazily, so that processes that read no rows do not load DuckDB.
        from ingest.storage.tables.parquet import read_rows

        with tempfile.NamedTemporaryFile(prefix="leadline-table-", suffix=".parquet") as file:
            self.copy_table(version_id, index, Path(file.name))
            found = {
                row[0]: RecordRow(row[0], row[1], row[2], row[3:]) for row in read_rows(Path(file.name), row_numbers)
            }
        return [found[number] for number in row_numbers if number in found]

    def find_row_range(self, version_id: str, index: int, start: int, end: int) -> tuple[int, int] | None:
        """Find the rows that have a code point in `[start, end)`, and return the numbers of the first and the last one.

        Returns None if there are none. Raises `KeyError` if the table does not exist.
        """
        starts, ends = self._spans(version_id, index)
        first, last = bisect_right(ends, start) + 1, bisect_left(starts, end)
        return (first, last) if first <= last else None

    def copy_table(self, version_id: str, index: int, path: Path) -> None:
        """Copy a table's Parquet file, with `_row`, `_start`, `_end` and the columns, to `path`.

        Raises `KeyError` if the table does not exist.
        """
        path.write_bytes(self._blobs.read(_build_rows_key(version_id, index)))

    def list_table_keys(self, version_id: str) -> list[str]:
        """List the keys of a version's table files. Empty if the version has no tables."""
        try:
            count = len(json.loads(self._blobs.read(_build_list_key(version_id))))
        except KeyError:
            return []
        rows = [_build_rows_key(version_id, index) for index in range(count)]
        return [_build_list_key(version_id), _build_profiles_key(version_id), *rows]

    def delete(self, version_id: str) -> int:
        """Delete a version's tables and return the number of bytes freed."""
        try:
            count = len(json.loads(self._blobs.read(_build_list_key(version_id))))
        except KeyError:
            return 0
        # A list that was tampered with must not prevent the other files from being deleted.
        except (ContentChangedError, ValueError, TypeError):
            count = 0
        freed, index = 0, 0
        while (size := self._blobs.delete(_build_rows_key(version_id, index))) or index < count:
            freed, index = freed + size, index + 1
        freed += self._blobs.delete(_build_profiles_key(version_id))
        freed += self._blobs.delete(_build_list_key(version_id))
        self._clear_caches()
        return freed

    def _clear_caches(self) -> None:
        for cache in (self._known, self._profiles, self._computed, self._spans):
            cache.cache_clear()

    def _load_profiles(self, version_id: str) -> Sequence[TableProfile | None]:
        try:
            return [
                each and _parse_profile(each) for each in json.loads(self._blobs.read(_build_profiles_key(version_id)))
            ]
        except KeyError:
            return ()

    def _compute_profile(self, version_id: str, index: int) -> TableProfile:
        from ingest.storage.tables.parquet import (
            compute_profile,
        )  # Imported lazily for the same reason as in `load_rows`.

        with tempfile.NamedTemporaryFile(prefix="leadline-table-", suffix=".parquet") as file:
            self.copy_table(version_id, index, Path(file.name))
            table = self.load_tables(version_id)[index]
            return compute_profile(Path(file.name), table.columns, table.rows)

    def _load_spans(self, version_id: str, index: int) -> tuple[Sequence[int], Sequence[int]]:
        from ingest.storage.tables.parquet import read_spans  # Imported lazily for the same reason as in `load_rows`.

        with tempfile.NamedTemporaryFile(prefix="leadline-table-", suffix=".parquet") as file:
            self.copy_table(version_id, index, Path(file.name))
            starts, ends = read_spans(Path(file.name))
        return array("Q", starts), array("Q", ends)

    def _load_tables(self, version_id: str) -> tuple[RecordTable, ...]:
        try:
            listed = json.loads(self._blobs.read(_build_list_key(version_id)))
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


def _dump_tables(tables: Sequence[ParsedTable]) -> bytes:
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


def _parse_profile(raw: Mapping[str, Any]) -> TableProfile:
    columns = tuple(ColumnProfile(**{**each, "type": ColumnType(each["type"])}) for each in raw["columns"])
    return TableProfile(columns, {int(number): cells for number, cells in raw["rows"].items()})


def _build_list_key(version_id: str) -> str:
    return f"tables/{version_id[:2]}/{version_id}.json"


_LIST_FILE = parse_file_name(_build_list_key(""))


def _build_rows_key(version_id: str, index: int) -> str:
    return f"tables/{version_id[:2]}/{version_id}.{index}.parquet"


def _build_profiles_key(version_id: str) -> str:
    return f"tables/{version_id[:2]}/{version_id}.profiles.json"
