"""Pass a parsed document from the child to the parent, as files in a folder that the parent does not trust.

The text and its metadata record are separate files. `ingest.parsing.table_files` handles the files of record tables.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import astuple
from pathlib import Path
from typing import Any

from ingest.parsing.entries import clean_path
from ingest.parsing.errors import ParserLimitError
from ingest.parsing.isolation.plain_files import read_regular_file
from ingest.parsing.properties import parse_properties
from ingest.parsing.registry import FORMATS
from ingest.parsing.table_files import TablesError, read_tables
from ingest.parsing.types import FoundEntry, ParsedDocument
from ingest.storage.errors import InputError
from ingest.storage.inbound import check_text
from ingest.storage.remarks import Remark
from ingest.storage.texts.layout import (
    Layout,
    LayoutError,
    Omission,
    dump_layout,
    dump_omissions,
    parse_layout,
    parse_omissions,
)
from ingest.storage.texts.positions import Positions, PositionsError

# The error code of a document's process if the document needs OCR but the process is not allowed to use OCR.
RECOGNITION_NEEDED = "recognition_needed"
TEXT_FILE = "text"
RECORD_FILE = "document.json"
POSITIONS_FILE = "positions"
ENTRIES_FILE = "entries.json"

_MAX_RECORD_BYTES = 64_000_000
_MAX_POSITIONS_BYTES = 256_000_000
_MAX_ENTRIES_BYTES = 64_000_000
_MAX_PATH_CHARS = 500


_entry_file = re.compile(r"entry-\d{1,6}")


class HandoverError(ValueError):
    """The files were not written by `write_document`."""


def write_document(document: ParsedDocument, folder: Path, max_text_bytes: int) -> None:
    """Write a document. Raises `ParserLimitError` if its UTF-8 text is longer than `max_text_bytes`."""
    content = document.text.encode("utf-8")
    if len(content) > max_text_bytes:
        raise build_text_limit_error(max_text_bytes)
    record = {
        "title": document.title,
        "parser": document.parser,
        "layout": dump_layout(document.layout),
        "omissions": dump_omissions(document.omissions),
        "properties": dict(document.properties),
    }
    (folder / TEXT_FILE).write_bytes(content)
    (folder / RECORD_FILE).write_text(json.dumps(record), encoding="utf-8")
    if document.positions:
        (folder / POSITIONS_FILE).write_bytes(document.positions.to_bytes())
    if document.entries:
        (folder / ENTRIES_FILE).write_text(json.dumps([astuple(each) for each in document.entries]), encoding="utf-8")


def read_document(folder: Path, max_text_bytes: int) -> ParsedDocument:
    """Read a document within the limits, without following links. Raises `HandoverError` if a file is invalid."""
    try:
        text = read_regular_file(folder / TEXT_FILE, max_text_bytes).decode("utf-8")
        record = json.loads(read_regular_file(folder / RECORD_FILE, _MAX_RECORD_BYTES))
        title, parser = record["title"], record["parser"]
        properties = parse_properties(record["properties"])
        layout, omissions = _parse_layout_and_omissions(record, len(text))
        positions = _load_positions(folder / POSITIONS_FILE, len(text))
        entries = tuple(_load_entries(folder / ENTRIES_FILE))
    except (OSError, ValueError, KeyError, TypeError, RecursionError, InputError) as error:
        raise HandoverError("The files of the parsed document cannot be read.") from error
    if not (title is None or isinstance(title, str)) or not isinstance(parser, str):
        raise HandoverError("The title or parser in the record has the wrong type.")
    try:
        tables = read_tables(folder, text_length=len(text))
    except TablesError as error:
        raise HandoverError("The record tables are invalid.") from error
    return ParsedDocument(text, title, parser, tables, layout, positions, omissions, entries, properties=properties)


def _parse_layout_and_omissions(record: dict[str, Any], text_length: int) -> tuple[Layout, tuple[Omission, ...]]:
    try:
        return parse_layout(record["layout"], character_count=text_length), parse_omissions(record["omissions"])
    except LayoutError as error:
        raise HandoverError(str(error)) from error


def _load_positions(path: Path, text_length: int) -> Positions:
    if not path.is_symlink() and not path.exists():
        return Positions()
    try:
        return Positions.from_bytes(read_regular_file(path, _MAX_POSITIONS_BYTES), character_count=text_length)
    except PositionsError as error:
        raise HandoverError(str(error)) from error


def _load_entries(path: Path) -> Iterator[FoundEntry]:
    """Yield the entries. Their file names must be generated ones, and their paths must be clean and unique."""
    if not path.is_symlink() and not path.exists():
        return
    paths: set[str] = set()
    for where, file, media_type, size in json.loads(read_regular_file(path, _MAX_ENTRIES_BYTES)):
        checked = check_text(where, "entry")
        if not 0 < len(checked) <= _MAX_PATH_CHARS or checked in paths or checked != clean_path(checked):
            raise HandoverError("An entry has an invalid or duplicate path.")
        # guard: forged-entry
        if not _entry_file.fullmatch(file) or media_type not in FORMATS or type(size) is not int:
            raise HandoverError("An entry has an invalid file name, media type or size.")
        paths.add(checked)
        yield FoundEntry(checked, file, media_type, size)


def build_text_limit_error(max_text_bytes: int) -> ParserLimitError:
    """Build the error for a document whose text is too long, for the child and the parent."""
    return ParserLimitError(Remark("text_too_long", bytes=max_text_bytes))
