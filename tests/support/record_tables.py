"""Record tables as ingest makes them, from a text: found, typed, handed over and turned into Parquet."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from ingest.parsing.registry import find_document_tables, get_parser
from ingest.parsing.table_files import read_tables, write_tables
from ingest.parsing.tables import FoundTable
from ingest.storage.tables.types import ParsedTable


def found_in(text: str, media_type: str = "text/plain") -> Sequence[FoundTable]:
    """The tables of a normalized text."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "file")
        path.write_text(text, encoding="utf-8")
        return find_document_tables(get_parser(media_type)(path), media_type)


def parsed_from(text: str, media_type: str = "text/plain") -> tuple[ParsedTable, ...]:
    """The same, typed and with their rows in Parquet."""
    with tempfile.TemporaryDirectory() as folder:
        write_tables(found_in(text, media_type), Path(folder), is_past_deadline=lambda: False)
        return read_tables(Path(folder), text_length=len(text))
