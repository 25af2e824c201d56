"""The formats: one row each. A parser module loads its library when it is first called, so importing this is cheap."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ingest.errors import UnsupportedTypeError
from ingest.parsing.html import HTML_PARSER, parse_html
from ingest.parsing.pdf import PDF_PARSER, parse_pdf
from ingest.parsing.text import MARKDOWN_PARSER, TEXT_PARSER, parse_markdown, parse_text
from ingest.parsing.types import ParsedDocument

ParserFunction = Callable[[Path], ParsedDocument]


@dataclass(frozen=True)
class Format:
    """The parser of a media type. The fingerprint changes whenever the same bytes may give another text."""

    parse: ParserFunction
    fingerprint: str


FORMATS: dict[str, Format] = {
    "text/plain": Format(parse_text, TEXT_PARSER),
    "text/markdown": Format(parse_markdown, MARKDOWN_PARSER),
    "text/html": Format(parse_html, HTML_PARSER),
    "application/pdf": Format(parse_pdf, PDF_PARSER),
}


def parser_for(media_type: str) -> ParserFunction:
    """Look up the parser of a media type. Raises `UnsupportedTypeError`."""
    if media_type not in FORMATS:
        raise UnsupportedTypeError(f"Leadline has no parser for {media_type}.")
    return FORMATS[media_type].parse
