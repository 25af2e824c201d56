"""Plain text, Markdown and delimited text are parsed; Markdown and tables stay source."""

import re
from pathlib import Path

from ingest.errors import DamagedDocumentError, NoTextError
from ingest.normalize import normalize, normalize_title
from ingest.parsing.charsets import HEAD_BYTES, decode, looks_like_text, turns_binary
from ingest.parsing.types import ParsedDocument

TEXT_PARSER = "text-2"
DELIMITED_PARSER = "delimited-1"
MARKDOWN_PARSER = "markdown-2"
NO_TEXT_HINT = "Check that the file was saved completely, and upload it again."

_front_matter = re.compile(r"---\n(?P<fields>.*?)^(?:---|\.\.\.)$", re.DOTALL | re.MULTILINE)
_title_field = re.compile(r"^title:[ \t]*(?P<title>\S.*)$", re.MULTILINE | re.IGNORECASE)
_fence_or_heading = re.compile(
    r"^ {0,3}(?:(?P<fence>`{3,}|~{3,})|#[ \t]+(?P<atx>\S[^\n]*)|(?P<setext>[^\s#>][^\n]*+)\n {0,3}=+$)", re.MULTILINE
)
_closing_marks = re.compile(r"[ \t]+#+$")


def parse_text(path: Path) -> ParsedDocument:
    """Parse plain text. Raises `DamagedDocumentError` for a file that is not text after all, and `NoTextError`."""
    return ParsedDocument(_normalized(path), (), None, TEXT_PARSER)


def parse_delimited(path: Path) -> ParsedDocument:
    """CSV or TSV, as its source."""
    return ParsedDocument(_normalized(path), (), None, DELIMITED_PARSER)


def parse_markdown(path: Path) -> ParsedDocument:
    """Parse Markdown to its source; the title is in its front matter, or else its first heading of level one."""
    text = _normalized(path)
    return ParsedDocument(text, (), normalize_title(_front_matter_title(text) or first_heading(text)), MARKDOWN_PARSER)


def read_text_bytes(path: Path) -> bytes:
    """Read a file that is text to its end. Raises `DamagedDocumentError` for one that is not."""
    content = path.read_bytes()
    if not looks_like_text(content[:HEAD_BYTES]):
        from ingest.parsing.sniff import unreadable_kind  # only here: the tables of signatures take time to load

        raise DamagedDocumentError(f"The content looks like {unreadable_kind(content[:HEAD_BYTES])}, not text.")
    if turns_binary(content):
        raise DamagedDocumentError("The file begins as text and goes on as binary data.")
    return content


def _normalized(path: Path) -> str:
    text = normalize(decode(read_text_bytes(path)))
    if not text.strip():
        raise NoTextError("The file holds no text, only blanks.", hint=NO_TEXT_HINT)
    return text


def _front_matter_title(text: str) -> str | None:
    fields = _front_matter.match(text)
    title = _title_field.search(fields["fields"]) if fields else None
    return title["title"].strip().strip("\"'") if title else None


def first_heading(text: str) -> str | None:
    """Find the text of the first Markdown heading of level one outside code."""
    fence = ""
    for found in _fence_or_heading.finditer(text):
        mark = found["fence"]
        if mark and not fence:
            fence = mark
        elif mark:
            fence = "" if mark.startswith(fence) else fence
        elif not fence:
            return _closing_marks.sub("", found["atx"] or found["setext"])
    return None
