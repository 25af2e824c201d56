"""PDF is parsed page by page."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ingest.errors import DamagedDocumentError, EncryptedDocumentError, NoTextError
from ingest.layout import Layout, page_places
from ingest.normalize import normalize_pages, normalize_title
from ingest.parsing.types import ParsedDocument

if TYPE_CHECKING:
    from pypdfium2 import PdfDocument, PdfPage

PDF_PARSER = "pdf-2"

_TAIL_BYTES = 65_536
_PASSWORD_ERRORS = frozenset({4, 5})  # FPDF_ERR_PASSWORD, FPDF_ERR_SECURITY
# PDFium writes this control character in place of the line's end where a line divides a word.
_DIVISION = "\x02"
_divided_word = re.compile(rf"(\w+){_DIVISION}(\w+)")
_word = re.compile(r"\w+")


def parse_pdf(path: Path) -> ParsedDocument:
    """Read the text inside the pages' boxes, with the offset of each page.

    Raises `EncryptedDocumentError`, `DamagedDocumentError` (also when a single page cannot be read: a part is not
    passed off as the whole) and `NoTextError`.
    """
    _require_end(path)
    title, raw_pages = _read(path)
    text, pages = normalize_pages(_join_divided_words(raw_pages))
    if not text:
        pages_without = "1 page and it holds no text" if len(pages) == 1 else f"{len(pages)} pages and none holds text"
        raise NoTextError(f"The PDF has {pages_without}.")
    return ParsedDocument(text, title, PDF_PARSER, layout=Layout(places=page_places(pages)))


def _require_end(path: Path) -> None:
    """Raise for a truncated file, since PDFium silently leaves out its missing pages.

    Other bytes may follow the end mark, as servers append some, but no objects: those are of an update that was cut.
    """
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - _TAIL_BYTES))
        tail = file.read()
    end = max(tail.rfind(b"startxref"), tail.rfind(b"%%EOF"))
    if end < 0 or b" obj" in tail[end:]:
        raise DamagedDocumentError("The PDF is cut off: its end is missing.", hint="Upload the complete file.")


def _read(path: Path) -> tuple[str | None, list[str]]:
    """Read the title and the raw text of each page; one page is open at a time."""
    from pypdfium2 import PdfDocument, PdfiumError  # only here: importing this module loads no parser

    try:
        document = PdfDocument(path)
    except PdfiumError as error:
        if error.err_code in _PASSWORD_ERRORS:
            raise EncryptedDocumentError("The PDF is encrypted and asks for a password.") from error
        raise DamagedDocumentError("The PDF cannot be opened: it is damaged or incomplete.") from error
    with document:
        count = len(document)
        if count == 0:
            raise DamagedDocumentError("The PDF has no pages.")
        pages: list[str] = []
        for index in range(count):
            try:
                pages.append(_page_text(document[index]))
            except PdfiumError as error:
                raise DamagedDocumentError(f"Page {index + 1} of {count} of the PDF cannot be read.") from error
        return _title(document), pages


def _page_text(page: "PdfPage") -> str:
    text_page = page.get_textpage()
    try:
        return str(text_page.get_text_bounded())
    finally:
        text_page.close()
        page.close()


def _title(document: "PdfDocument") -> str | None:
    try:
        return normalize_title(document.get_metadata_value("Title"))
    except UnicodeDecodeError:
        return None


def _join_divided_words(pages: list[str]) -> Iterator[str]:
    """Join words divided at a line's end where the document has the whole word elsewhere.

    "exam-ple" is one word and "well-known" two; only the rest of the document can tell. Without such evidence the
    hyphen and the line's end stay.
    """
    words: set[str] = set()
    if any(_DIVISION in page for page in pages):
        words = {word.casefold() for page in pages for word in _word.findall(page)}

    def join(found: re.Match[str]) -> str:
        whole = found[1] + found[2]
        return whole if whole.casefold() in words else f"{found[1]}-\n{found[2]}"

    for page in pages:
        yield _divided_word.sub(join, page) if _DIVISION in page else page
