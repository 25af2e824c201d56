"""Parse the visible content of HTML pages: headings, paragraphs, lists, tables and code."""

from pathlib import Path

from ingest.parsing.text import NO_TEXT_HINT, PICTURE_HINT, read_text_bytes
from ingest.parsing.types import ParsedDocument
from ingest.parsing.writer import DocumentWriter
from ingest.storage.remarks import Remark

HTML_PARSER = "html-5"


def parse_html(path: Path) -> ParsedDocument:
    """Parse a page. Its title is the `<title>`, or else the first heading of level one.

    Raises `DamagedDocumentError`, `ParserLimitError` if elements are nested extremely deeply, or `NoTextError`.
    """
    from ingest.parsing.html_blocks import write_html  # Imported here so that this module loads no parser.
    from ingest.parsing.html_tree import decode_html

    writer = DocumentWriter()
    title = write_html(writer, decode_html(read_text_bytes(path)))
    return writer.finish(
        HTML_PARSER,
        title if title and title.strip() else writer.first_heading,
        empty_message=Remark("no_text_page"),
        hint=NO_TEXT_HINT,
        picture_hint=PICTURE_HINT,
    )
