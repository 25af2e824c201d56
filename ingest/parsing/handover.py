"""A parsed document passes from the child to its parent in files of a folder, which the parent does not trust.

The text and what is known of it are two files; `ingest.parsing.table_files` has those of its record tables.
"""

import json
from pathlib import Path

from ingest.errors import ParserLimitError
from ingest.parsing.plain_files import read_plain_file
from ingest.parsing.table_files import TablesError, read_tables
from ingest.parsing.types import ParsedDocument

TEXT_FILE = "text"
RECORD_FILE = "document.json"

_RECORD_BYTES = 64_000_000  # a page's offset takes ten bytes


class HandoverError(ValueError):
    """The files are not what `write_document` writes."""


def write_document(document: ParsedDocument, folder: Path, max_text_bytes: int) -> None:
    """Write a document. Raises `ParserLimitError` when its text in UTF-8 is longer than `max_text_bytes`."""
    content = document.text.encode("utf-8")
    if len(content) > max_text_bytes:
        raise too_much_text(max_text_bytes)
    record = {"title": document.title, "pages": document.pages, "parser": document.parser}
    (folder / TEXT_FILE).write_bytes(content)
    (folder / RECORD_FILE).write_text(json.dumps(record), encoding="utf-8")


def read_document(folder: Path, max_text_bytes: int) -> ParsedDocument:
    """Read a document: no more than the limits, and nothing but its files. Raises `HandoverError`."""
    try:
        text = read_plain_file(folder / TEXT_FILE, max_text_bytes).decode("utf-8")
        record = json.loads(read_plain_file(folder / RECORD_FILE, _RECORD_BYTES))
        title, pages, parser = record["title"], tuple(record["pages"]), record["parser"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise HandoverError("The files cannot be read.") from error
    if not (title is None or isinstance(title, str)) or not isinstance(parser, str):
        raise HandoverError("The record is of another shape.")
    if not all(type(page) is int for page in pages) or list(pages) != sorted(pages):
        raise HandoverError("The pages are not offsets in order.")
    if pages and not 0 <= pages[0] <= pages[-1] <= len(text):
        raise HandoverError("A page starts outside the text.")
    try:
        tables = read_tables(folder, characters=len(text))
    except TablesError as error:
        raise HandoverError("The record tables are of another shape.") from error
    return ParsedDocument(text, pages, title, parser, tables)


def too_much_text(max_text_bytes: int) -> ParserLimitError:
    """Make the error of a document whose text exceeds the limit, for child and parent."""
    return ParserLimitError(f"The document gives more than {max_text_bytes:,} bytes of text.")
