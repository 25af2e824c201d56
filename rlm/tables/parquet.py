"""Parquet files for queries over several tables as one, and over rows that only have numbers; written by DuckDB."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb

from ingest.tables import Column, ColumnType

_TYPES = {
    ColumnType.TEXT: "VARCHAR",
    ColumnType.INTEGER: "HUGEINT",
    ColumnType.NUMBER: "DECIMAL(38, 10)",
    ColumnType.DATE: "DATE",
    ColumnType.TIMESTAMP: "TIMESTAMP",
    ColumnType.BOOLEAN: "BOOLEAN",
}


@dataclass(frozen=True)
class Source:
    """The file of one table, its columns, and what is said of all its rows in columns after those."""

    file: Path
    columns: tuple[str, ...]
    origin: tuple[str, ...]


def write_rows(sources: Sequence[Source], columns: Sequence[Column], target: Path) -> None:
    """Write the rows of several files into one, numbered through; columns get the names and types of `columns`."""
    with _engine() as engine:
        selects, before = [], 0
        for source in sources:
            selects.append(
                f"SELECT _row + {before} AS _row, _start, _end, {_columns(source, columns)} FROM {_file(source.file)}"
            )
            (count,) = engine.execute(f"SELECT count(*) FROM {_file(source.file)}").fetchone() or (0,)
            before += count
        engine.execute(f"COPY ({' UNION ALL '.join(selects)}) TO {_literal(str(target))} (FORMAT parquet)")


def write_numbers(rows: int, target: Path) -> None:
    """Write a file of rows that have a number, from 1 to `rows`, and nothing else."""
    numbers = f"SELECT range + 1 AS _row, 0 AS _start, 0 AS _end FROM range({rows})"
    with _engine() as engine:
        engine.execute(f"COPY ({numbers}) TO {_literal(str(target))} (FORMAT parquet)")


def _columns(source: Source, columns: Sequence[Column]) -> str:
    values = [*map(_identifier, source.columns), *map(_literal, source.origin)]
    return ", ".join(
        f"CAST({value} AS {_TYPES[column.type]}) AS {_identifier(column.name)}"
        for value, column in zip(values, columns, strict=True)
    )


def _file(path: Path) -> str:
    return f"read_parquet({_literal(str(path))})"


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


@contextmanager
def _engine() -> Iterator[duckdb.DuckDBPyConnection]:
    """One thread, so that rows keep their order."""
    engine = duckdb.connect(":memory:", config={"threads": 1, "python_enable_replacements": False})
    try:
        yield engine
    finally:
        engine.close()
