"""HTML is read as the reader of a page would write it down: main content, headings, lists, tables, code."""

import re
from pathlib import Path

from ingest.parsing.charsets import decode
from ingest.parsing.text import NO_TEXT_HINT, PICTURE_HINT, read_text_bytes
from ingest.parsing.types import ParsedDocument
from ingest.parsing.writer import DocumentWriter

HTML_PARSER = "html-5"

_CHARSET_WITHIN = 4096
_charset = re.compile(
    rb"<(?:meta|\?xml)\b[^>]{0,1000}?(?:charset|encoding)\s*=\s*[\"']?\s*(?P<label>[\w.:-]{1,40})", re.IGNORECASE
)


def parse_html(path: Path) -> ParsedDocument:
    """Parse a page; its title is its `<title>`, or else its first heading of level one.

    Raises `DamagedDocumentError`, `ParserLimitError` for absurdly deep nesting, and `NoTextError`.
    """
    from ingest.parsing.html_blocks import write_html  # only here: importing this module loads no parser

    writer = DocumentWriter()
    title = write_html(writer, decode_html(read_text_bytes(path)))
    return writer.finish(
        HTML_PARSER,
        title if title and title.strip() else writer.first_heading,
        nothing="The page holds no text, only markup.",
        hint=NO_TEXT_HINT,
        picture_hint=PICTURE_HINT,
    )


def decode_html(content: bytes) -> str:
    """Decode a page in the character set that it declares, as far as it is in that."""
    declared = _charset.search(content[:_CHARSET_WITHIN])
    return decode(content, declared["label"].decode("ascii") if declared else None)
