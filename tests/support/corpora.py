"""Corpora in memory, made of texts alone."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from ingest.chunking import chunk_text
from ingest.parquet import rows_to_parquet
from ingest.tables import Column, ColumnType, ParsedTable, RecordTables
from ingest.texts import Texts
from rlm.corpus.corpus import Corpus, CorpusDocument, estimated_tokens
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
        texts.save(version, text, title=title, pages=(), chunks=chunk_text(text, markdown=markdown))
        handle = Handle(f"doc-{number}", version, 0, len(text))
        made.append(CorpusDocument(handle, title, f"{number}.md", "default", estimated_tokens(len(text))))
    return Corpus(made, texts, tables=tables)


CITIES = 'city,people,founded\nOslo,709037,1048-01-01\nBergen,291940,1070-01-01\n"Two\nNames",12,\n'


def tables_of_cities(version: str) -> RecordTables:
    """The record table of `CITIES`, kept for a version."""
    cells = ["Oslo,709037,1048-01-01", "Bergen,291940,1070-01-01", '"Two\nNames",12,']
    starts = [CITIES.index(each) for each in cells]
    rows = "".join(
        f"{number},{start},{start + len(each)},{each}\n"
        for number, (start, each) in enumerate(zip(starts, cells, strict=True), start=1)
    )
    types = [("city", ColumnType.TEXT, "VARCHAR"), ("people", ColumnType.INTEGER, "BIGINT")]
    types.append(("founded", ColumnType.DATE, "DATE"))
    with tempfile.NamedTemporaryFile("w", suffix=".csv") as file:
        file.write(rows)
        file.flush()
        parquet = rows_to_parquet(
            Path(file.name), [(name, kind) for name, _, kind in types], count=len(cells), start=0, end=len(CITIES)
        )
    columns = tuple(Column(name, kind) for name, kind, _ in types)
    made = RecordTables(MemoryBlobs())
    made.save(version, [ParsedTable("cities", columns, len(cells), 0, len(CITIES), parquet)])
    return made
