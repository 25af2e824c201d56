"""Parse plain text and Markdown. The text of a Markdown document is its source."""

import re
from pathlib import Path

from ingest.parsing.charsets import HEAD_BYTES, decode_text, has_binary_content, looks_like_text, repair_mojibake
from ingest.parsing.errors import DamagedDocumentError, NoTextError
from ingest.parsing.types import ParsedDocument
from ingest.storage.remarks import Remark
from ingest.storage.texts.layout import Omission, OmissionKind, build_markdown_layout, extract_heading_title
from ingest.storage.texts.normalize import count_invisible_characters, normalize, normalize_title

TEXT_PARSER = "text-5"
MARKDOWN_PARSER = "markdown-5"
NO_TEXT_HINT = Remark("hint_saved_completely")
PICTURE_HINT = Remark("hint_picture_text")

_front_matter = re.compile(r"---\n(?P<fields>.*?)^(?:---|\.\.\.)$", re.DOTALL | re.MULTILINE)
_title_field = re.compile(r"^title:[ \t]*(?P<title>\S.*)$", re.MULTILINE | re.IGNORECASE)
_fence_or_heading = re.compile(
    r"^ {0,3}(?:(?P<fence>`{3,}|~{3,})|#[ \t]+(?P<atx>\S[^\n]*)|(?P<setext>[^\s#>][^\n]*+)\n {0,3}=+$)", re.MULTILINE
)
# Matches the title among the header fields at the start of a text, in the format of message headers (RFC 822, 3.1).
_leading_title = re.compile(
    r"(?:[!-9;-~]+:[ \t].*\n(?:[ \t]+\S.*\n)*)*?title:[ \t]+(?P<title>\S.*)$", re.MULTILINE | re.IGNORECASE
)


def parse_text(path: Path) -> ParsedDocument:
    """Parse plain text. Raises `DamagedDocumentError` if the file is not text, and `NoTextError` if it is empty."""
    return parse_unstructured_text(path, TEXT_PARSER)


def parse_unstructured_text(path: Path, parser: str) -> ParsedDocument:
    """Parse text without structure. `parser` is the parser to name in the result. Raises like `parse_text`."""
    text, omissions = read_normalized_text(path, keep_mojibake=parser != TEXT_PARSER)
    title = normalize_title(find_leading_title(text)) if parser == TEXT_PARSER else None
    return ParsedDocument(text, title, parser, omissions=omissions)


def parse_markdown(path: Path) -> ParsedDocument:
    """Parse Markdown, keeping its source.

    The title is taken from the front matter, the header fields, or the first heading of level one.
    """
    text, omissions = read_normalized_text(path)
    title = normalize_title(_find_front_matter_title(text) or find_leading_title(text) or find_first_heading(text))
    layout = build_markdown_layout(text)
    return ParsedDocument(text, title, MARKDOWN_PARSER, layout=layout, omissions=omissions)


def read_text_bytes(path: Path) -> bytes:
    """Read a text file. Raises `DamagedDocumentError` if not all of it is text."""
    content = path.read_bytes()
    if not looks_like_text(content[:HEAD_BYTES]):
        from ingest.parsing.sniff import (
            describe_unreadable_content,
        )  # Imported here because loading its signatures is slow.

        raise DamagedDocumentError(
            Remark("content_is_no_text", what=describe_unreadable_content(content[:HEAD_BYTES]) or "")
        )
    if has_binary_content(content):
        raise DamagedDocumentError(Remark("file_binary_later"))
    return content


def read_normalized_text(path: Path, *, keep_mojibake: bool = False) -> tuple[str, tuple[Omission, ...]]:
    """Return the normalized text of a file, and omissions for the characters that normalizing removed.

    Text that another program decoded in the wrong character set is repaired. `keep_mojibake` prevents that for source
    code, which may contain such text on purpose. Raises the same errors as `read_text_bytes`, and `NoTextError`.
    """
    raw = decode_text(read_text_bytes(path))
    raw = raw if keep_mojibake else repair_mojibake(raw)
    text = normalize(raw)
    if not text.strip():
        raise NoTextError(Remark("no_text_file"), hint=NO_TEXT_HINT)
    return text, build_invisible_omissions(raw)


def build_invisible_omissions(raw_text: str) -> tuple[Omission, ...]:
    """Return an omission that counts the invisible characters in a text, if there are any. Normalizing removes them."""
    count = count_invisible_characters(raw_text)
    return (Omission(OmissionKind.INVISIBLE_CHARACTER, count),) if count else ()


def _find_front_matter_title(text: str) -> str | None:
    fields = _front_matter.match(text)
    title = _title_field.search(fields["fields"]) if fields else None
    return title["title"].strip().strip("\"'") if title else None


def find_leading_title(text: str) -> str | None:
    """Return the title in the header fields at the start of a text, such as `Title: Emma`."""
    found = _leading_title.match(text, 0, HEAD_BYTES)
    return found["title"] if found else None


def find_first_heading(text: str) -> str | None:
    """Return the title of the first level-one Markdown heading outside code."""
    fence = ""
    for found in _fence_or_heading.finditer(text):
        mark = found["fence"]
        if mark and not fence:
            fence = mark
        elif mark:
            fence = "" if mark.startswith(fence) else fence
        elif not fence:
            return extract_heading_title(found["atx"] or found["setext"], 1)
    return None
