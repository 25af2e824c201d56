"""Corpora in memory, made of texts alone."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from ingest.chunking import chunk_text
from ingest.storage.tables.parquet import convert_rows_to_parquet
from ingest.storage.tables.store import RecordTables
from ingest.storage.tables.types import Column, ColumnType, ParsedTable
from ingest.storage.texts.layout import Layout, build_markdown_layout
from ingest.storage.texts.texts import Texts
from rlm.corpus.corpus import Corpus, CorpusDocument, estimate_tokens_from_length
from rlm.corpus.handles import Handle
from tests.fakes.memory_blobs import MemoryBlobs


def corpus_of(
    *documents: str,
    blobs: MemoryBlobs | None = None,
    markdown: bool = True,
    titles: Sequence[str] = (),
    tables: RecordTables | None = None,
) -> Corpus:
    """A document for each text, `doc-1`, `doc-2` and so on, chunked as at ingest; called `Title 1` without `titles`."""
    texts = Texts(blobs or MemoryBlobs())
    made = []
    for number, text in enumerate(documents, start=1):
        version = f"v{number}"
        title = titles[number - 1] if titles else f"Title {number}"
        layout = build_markdown_layout(text) if markdown else Layout()
        texts.save(version, text, title=title, chunks=chunk_text(text, layout), layout=layout)
        handle = Handle(f"doc-{number}", version, 0, len(text))
        made.append(CorpusDocument(handle, title, f"{number}.md", "default", estimate_tokens_from_length(len(text))))
    return Corpus(made, texts, tables=tables)


CITIES = 'city,people,founded\nOslo,709037,1048-01-01\nBergen,291940,1070-01-01\n"Two\nNames",12,\n'


def tables_of(
    version: str, text: str, rows: Sequence[str], columns: Mapping[str, ColumnType], *, start: int = 0
) -> RecordTables:
    """A version's record table, which begins at `start`, with rows of CSV as they stand in its text."""
    kinds = {ColumnType.TEXT: "VARCHAR", ColumnType.INTEGER: "BIGINT", ColumnType.DATE: "DATE"}
    starts = [text.index(row) for row in rows]
    lines = (f"{n},{at},{at + len(row)},{row}\n" for n, (at, row) in enumerate(zip(starts, rows, strict=True), start=1))
    with tempfile.NamedTemporaryFile("w", suffix=".csv") as file:
        file.write("".join(lines))
        file.flush()
        typed = [(name, kinds[kind]) for name, kind in columns.items()]
        parquet = convert_rows_to_parquet(Path(file.name), typed, row_count=len(rows), start=start, end=len(text))
    table = ParsedTable(
        "table", tuple(Column(name, kind) for name, kind in columns.items()), len(rows), start, len(text), parquet
    )
    made = RecordTables(MemoryBlobs())
    made.save(version, [table])
    return made


def tables_of_cities(version: str) -> RecordTables:
    """The record table of `CITIES`, kept for a version."""
    rows = ["Oslo,709037,1048-01-01", "Bergen,291940,1070-01-01", '"Two\nNames",12,']
    columns = {"city": ColumnType.TEXT, "people": ColumnType.INTEGER, "founded": ColumnType.DATE}
    return tables_of(version, CITIES, rows, columns)
