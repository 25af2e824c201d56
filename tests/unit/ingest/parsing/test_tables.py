"""Record tables from the parser's child to their place in blobs, and back."""

import json
from datetime import date
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest

from ingest.parsing import table_files
from ingest.parsing.table_files import LIST_FILE, TablesError, read_tables, write_tables
from ingest.storage.blobs.store import DirectoryBlobs
from ingest.storage.tables.store import RecordTables
from ingest.storage.tables.types import (
    Column,
    ColumnProfile,
    ColumnType,
    ParsedTable,
    RecordRow,
    TableProfile,
    assign_table_names,
)
from tests.support.record_tables import found_in, parsed_from

VERSION = "0a1b2c3d"
TEXT = 'id,paid on,sum,note\n1,2024-01-02,"€1,200.50","one\ntwo"\n2,,€3.25,\n3,2024-02-29,€0.05,three'


@pytest.fixture
def blobs(tmp_path: Path) -> DirectoryBlobs:
    return DirectoryBlobs(tmp_path / "blobs")


@pytest.fixture
def tables(blobs: DirectoryBlobs) -> RecordTables:
    tables = RecordTables(blobs)
    tables.save(VERSION, assign_table_names(parsed_from(TEXT), "payments.csv"))
    return tables


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What the parser's child leaves of `TEXT`."""
    write_tables(found_in(TEXT), tmp_path, is_past_deadline=lambda: False)
    return tmp_path


def test_a_table_is_known_without_its_rows(tables: RecordTables) -> None:
    (table,) = tables.load_tables(VERSION)
    assert (table.index, table.name, table.rows) == (0, "payments", 3)
    assert (table.start, table.end) == (0, len(TEXT))
    assert table.columns == (
        Column("id", ColumnType.INTEGER),
        Column("paid on", ColumnType.DATE),
        Column("sum", ColumnType.NUMBER, "€"),
        Column("note", ColumnType.TEXT),
    )


def test_rows_are_typed_and_keep_their_spans(tables: RecordTables) -> None:
    rows = tables.load_rows(VERSION, 0, [3, 1, 9])
    assert [row.values for row in rows] == [
        (3, date(2024, 2, 29), Decimal("0.05"), "three"),
        (1, date(2024, 1, 2), Decimal("1200.50"), "one\ntwo"),
    ]
    assert [TEXT[row.start : row.end] for row in rows] == [
        "3,2024-02-29,€0.05,three",
        '1,2024-01-02,"€1,200.50","one\ntwo"',
    ]
    assert tables.load_rows(VERSION, 0, range(2, 3)) == [RecordRow(2, 55, 64, (2, None, Decimal("3.25"), None))]
    assert tables.load_rows(VERSION, 0, range(1, 100, 2)) == [rows[1], rows[0]]


def test_punctuation_for_what_is_not_known_is_null_and_stays_in_the_text(tables: RecordTables) -> None:
    text = "id,rain,note\n1,3.5,-\n2,…,-\n3,-,dry\n"
    tables.save("ab", assign_table_names(parsed_from(text), "rain.csv"))
    rows = tables.load_rows("ab", 0, [1, 2, 3])
    assert [row.values for row in rows] == [(1, Decimal("3.5"), "-"), (2, None, "-"), (3, None, "dry")]
    assert text[rows[1].start : rows[1].end] == "2,…,-"


def test_the_file_for_queries_has_the_rows_numbers(tables: RecordTables, tmp_path: Path) -> None:
    tables.copy_table(VERSION, 0, tmp_path / "rows.parquet")
    with duckdb.connect() as engine:
        found = engine.execute(f"SELECT max(_row), sum(sum) FROM '{tmp_path}/rows.parquet'").fetchall()
    assert found == [(3, Decimal("1203.80"))]


def test_a_table_is_kept_with_what_its_columns_hold(tables: RecordTables, blobs: DirectoryBlobs) -> None:
    wanted = TableProfile(
        (
            ColumnProfile(ColumnType.INTEGER, 0, 3, {"1": 1, "2": 1, "3": 1}, "1", "3"),
            ColumnProfile(ColumnType.DATE, 1, 2, {"2024-01-02": 1, "2024-02-29": 1}, "2024-01-02", "2024-02-29"),
            ColumnProfile(ColumnType.NUMBER, 0, 3, {"0.05": 1, "1200.50": 1, "3.25": 1}, "0.05", "1200.50"),
            ColumnProfile(ColumnType.TEXT, 1, 2, {"one\ntwo": 1, "three": 1}, longest=7),
        ),
        {
            1: ["1", "2024-01-02", "1200.50", "one\ntwo"],
            2: ["2", None, "3.25", None],
            3: ["3", "2024-02-29", "0.05", "three"],
        },
    )
    assert tables.load_profile(VERSION, 0) == wanted
    with pytest.raises(KeyError):
        tables.load_profile("ffff", 0)
    (key,) = (key for key in blobs.iter_keys("tables") if "profiles" in key)
    blobs.delete(key)  # as it is of a table that was kept before there were profiles
    assert RecordTables(blobs).load_profile(VERSION, 0) == wanted


def test_versions_without_tables_have_none(tables: RecordTables, blobs: DirectoryBlobs) -> None:
    tables.save("ffff", [])
    assert tables.load_tables("ffff") == tables.load_tables("older") == ()
    assert tables.delete("ffff") == 0
    with pytest.raises(KeyError):
        tables.load_rows("ffff", 0, [1])


def test_deleting_frees_every_byte_and_leaves_nothing(tables: RecordTables, blobs: DirectoryBlobs) -> None:
    kept = sum(len(blobs.read(key)) for key in blobs.iter_keys("tables"))
    assert tables.delete(VERSION) == kept > 0
    assert list(blobs.iter_keys("tables")) == []
    assert tables.load_tables(VERSION) == ()
    assert tables.delete(VERSION) == 0


def test_saving_twice_leaves_one(tables: RecordTables) -> None:
    before = tables.load_tables(VERSION), tables.load_rows(VERSION, 0, range(1, 4))
    tables.save(VERSION, assign_table_names(parsed_from(TEXT), "payments.csv"))
    assert (tables.load_tables(VERSION), tables.load_rows(VERSION, 0, range(1, 4))) == before


def test_tables_of_one_document_have_different_names() -> None:
    table = ParsedTable("", (), 0, 0, 0, b"")
    named = assign_table_names([table, ParsedTable("Prices", (), 0, 0, 0, b""), table], "list.md")
    assert [each.name for each in named] == ["list", "Prices", "list 2"]


def test_of_too_many_tables_the_longest_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_files, "MAX_TABLES", 30)
    text = "\n".join(f"# T{n}\n\n| a | b |\n|---|---|\n" + "| 1 | 2 |\n" * (1 + n % 7) for n in range(50))
    assert write_tables(found_in(text, "text/markdown"), tmp_path, is_past_deadline=lambda: False) == 20
    kept = read_tables(tmp_path, text_length=len(text))
    assert len(kept) == 30
    assert list(kept) == sorted(kept, key=lambda table: table.start)
    assert sum(table.rows == 7 for table in kept) == sum(n % 7 == 6 for n in range(50))


def test_tables_that_take_too_long_are_left_out_and_not_the_document(tmp_path: Path) -> None:
    assert write_tables(found_in(TEXT), tmp_path, is_past_deadline=lambda: True) == 1
    assert read_tables(tmp_path, text_length=len(TEXT)) == ()


@pytest.mark.parametrize(
    "change",
    [
        {"rows": 2},
        {"end": 10},
        {"end": 10_000},
        {"start": -1},
        {"start": "0"},
        {"name": None},
        {"columns": []},
        {"columns": [["id", "integer", "", "BIGINT"]]},
        {"columns": [["id", "integer", "", "VARCHAR"]] * 4},
        {"columns": [[name, "integer", "", "BIGINT"] for name in "abcd"]},
        {"columns": [[name, "text", "", "VARCHAR); DROP TABLE x; --"] for name in "abcd"]},
        {"columns": [[name, "image", "", "VARCHAR"] for name in "abcd"]},
    ],
)
def test_tables_of_another_shape_are_refused(folder: Path, change: dict[str, object]) -> None:
    (listed,) = json.loads((folder / LIST_FILE).read_text())
    (folder / LIST_FILE).write_text(json.dumps([listed | change]))
    with pytest.raises(TablesError):
        read_tables(folder, text_length=len(TEXT))


@pytest.mark.parametrize(
    "rows",
    [
        "",
        "1,20,55,1,2024-01-02,5,x\n",
        "1,20,55,1,,5,x\n2,50,60,2,,5,x\n3,66,90,3,,5,x\n",  # one begins before the other ends
        "1,20,55,1,,5,x\n3,56,60,2,,5,x\n2,66,90,3,,5,x\n",
        "1,20,55,1,,5,x\n2,56,60,2,,5,x\n3,66,9999,3,,5,x\n",
        "1,20,55,1,not a day,5,x\n2,56,60,2,,5,x\n3,66,90,3,,5,x\n",
        '1,20,55,1,,5,"x\n',
    ],
)
def test_rows_that_are_not_as_announced_are_refused(folder: Path, rows: str) -> None:
    (folder / "table-0.csv").write_text(rows)
    with pytest.raises(TablesError):
        read_tables(folder, text_length=len(TEXT))


@pytest.mark.parametrize("name", [LIST_FILE, "table-0.csv"])
def test_a_link_to_another_file_is_not_followed(folder: Path, name: str) -> None:
    (folder / name).rename(folder / "elsewhere")
    (folder / name).symlink_to(folder / "elsewhere")
    with pytest.raises(TablesError):
        read_tables(folder, text_length=len(TEXT))
