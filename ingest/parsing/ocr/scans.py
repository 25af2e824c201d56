"""Read scanned pages of PDFs: render each page as displayed, and recognize its text."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ingest.parsing.errors import NoTextError
from ingest.parsing.ocr.allowance import count_skipped_pictures, use_allowed_picture
from ingest.parsing.ocr.recognizer import INSTALL_HINT, OCR_PARSER, is_ocr_installed
from ingest.parsing.pdf import PDF_PARSER, parse_pdf
from ingest.parsing.types import ParsedDocument
from ingest.storage.remarks import Remark
from ingest.storage.texts.layout import Omission, OmissionKind, build_omission

if TYPE_CHECKING:
    from pypdfium2 import PdfPage

    from ingest.parsing.pdf.content import RecognizedWord

_RENDER_DPI = 200
_NO_TEXT_HINT = Remark("hint_scan_again")
# Maximum side length of a rendered page. Pages larger than paper sizes are rendered at a lower resolution.
_MAX_SIDE_PIXELS = 4_000


def get_pdf_fingerprint() -> str:
    """Return the fingerprint of the PDF parser, which includes OCR if it is installed."""
    return f"{PDF_PARSER}+{OCR_PARSER}" if is_ocr_installed() else PDF_PARSER


def parse_pdf_with_scans(path: Path) -> ParsedDocument:
    """Parse a PDF. If OCR is installed, recognize the text of scanned pages.

    Raises the same errors as `parse_pdf`, and `RecognitionNeededError` at the first scanned page if this process has no
    OCR allowance.
    """
    if not is_ocr_installed():
        try:
            return parse_pdf(path)
        except NoTextError as error:
            raise NoTextError(error.detail, hint=f"If the document is a scan: {INSTALL_HINT}") from error
    reader = _ScanReader()
    try:
        document = parse_pdf(path, ocr_page=reader)
    except NoTextError as error:
        raise NoTextError(error.detail, hint=_NO_TEXT_HINT if reader.has_recognized_pages else None) from error
    return replace(document, parser=get_pdf_fingerprint(), omissions=(*document.omissions, *_list_omissions()))


class _ScanReader:
    """Reads scanned pages. A page may be requested twice but is recognized only once."""

    def __init__(self) -> None:
        self._known: dict[int, Sequence[RecognizedWord]] = {}

    @property
    def has_recognized_pages(self) -> bool:
        """True if any page was read, even if it had no text."""
        return bool(self._known)

    def __call__(self, page: "PdfPage", number: int) -> "Sequence[RecognizedWord]":
        """Return the words of a page, or no words if the OCR allowance is used up.

        Raises `RecognitionNeededError` if this process has no OCR allowance.
        """
        if number not in self._known:
            self._known[number] = _recognize_page(page, number) if use_allowed_picture() else ()
        return self._known[number]


def _recognize_page(page: "PdfPage", page_number: int) -> "Sequence[RecognizedWord]":
    from ingest.parsing.ocr.words import recognize_words  # Imported here because it loads the models.

    scale = min(_RENDER_DPI / 72, _MAX_SIDE_PIXELS / max(1.0, *page.get_size()))
    bitmap = page.render(scale=scale, rev_byteorder=True)
    try:
        return recognize_words(bitmap.to_numpy()[:, :, :3], page_number)
    finally:
        bitmap.close()


def _list_omissions() -> tuple[Omission, ...]:
    count = count_skipped_pictures()
    return (build_omission(OmissionKind.OTHER, count, [Remark("omitted_scanned_pages")]),) if count else ()
