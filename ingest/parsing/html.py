"""HTML is parsed to the Markdown that a reader of the page would write down."""

import re
from pathlib import Path

from ingest.errors import NoTextError
from ingest.layout import markdown_layout
from ingest.normalize import normalize, normalize_title
from ingest.parsing.charsets import decode
from ingest.parsing.text import NO_TEXT_HINT, first_heading, invisible_in, read_text_bytes
from ingest.parsing.types import ParsedDocument

HTML_PARSER = "html-3"

_CHARSET_WITHIN = 4096
_charset = re.compile(
    rb"<(?:meta|\?xml)\b[^>]{0,1000}?(?:charset|encoding)\s*=\s*[\"']?\s*(?P<label>[\w.:-]{1,40})", re.IGNORECASE
)


def parse_html(path: Path) -> ParsedDocument:
    """Parse a page; its title is its `<title>`, or else its first heading of level one.

    Raises `DamagedDocumentError`, `ParserLimitError` for absurdly deep nesting, and `NoTextError`.
    """
    from ingest.parsing.html_markdown import markdown_of  # only here: importing this module loads no parser

    content = read_text_bytes(path)
    declared = _charset.search(content[:_CHARSET_WITHIN])
    title, markdown = markdown_of(decode(content, declared["label"].decode("ascii") if declared else None))
    text = normalize(markdown)
    if not text.strip():
        raise NoTextError("The page holds no text, only markup.", hint=NO_TEXT_HINT)
    title = normalize_title(title) or first_heading(text)
    layout = markdown_layout(text)
    return ParsedDocument(text, title, HTML_PARSER, layout=layout, omissions=invisible_in(markdown))
