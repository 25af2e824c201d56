"""HTML is read as the reader of a page would write it down: main content, headings, lists, tables, code."""

from pathlib import Path

from ingest.parsing.text import NO_TEXT_HINT, PICTURE_HINT, read_text_bytes
from ingest.parsing.types import ParsedDocument
from ingest.parsing.writer import DocumentWriter

HTML_PARSER = "html-5"


def parse_html(path: Path) -> ParsedDocument:
    """Parse a page; its title is its `<title>`, or else its first heading of level one.

    Raises `DamagedDocumentError`, `ParserLimitError` for absurdly deep nesting, and `NoTextError`.
    """
    from ingest.parsing.html_blocks import write_html  # only here: importing this module loads no parser
    from ingest.parsing.html_tree import decode_html

    writer = DocumentWriter()
    title = write_html(writer, decode_html(read_text_bytes(path)))
    return writer.finish(
        HTML_PARSER,
        title if title and title.strip() else writer.first_heading,
        nothing="The page holds no text, only markup.",
        hint=NO_TEXT_HINT,
        picture_hint=PICTURE_HINT,
    )
