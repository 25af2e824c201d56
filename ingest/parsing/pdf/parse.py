"""Parse a PDF. Pages are processed in windows, so that memory use does not grow with the number of pages."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ingest.parsing.errors import DamagedDocumentError
from ingest.parsing.page_limit import check_page_limit
from ingest.parsing.pdf.opening import SAVE_AGAIN, open_pdf, open_repaired_pdf, require_complete_file
from ingest.parsing.types import ParsedDocument
from ingest.storage.remarks import Remark

if TYPE_CHECKING:
    from pypdfium2 import PdfDocument, PdfPage

    from ingest.parsing.pdf.content import RecognizedWord

    OcrPage = Callable[[PdfPage, int], Sequence[RecognizedWord]]

PDF_PARSER = "pdf-15"


def parse_pdf(path: Path, *, ocr_page: "OcrPage | None" = None) -> ParsedDocument:
    """Parse the visible text in reading order, with headings, lists, tables and the bounding box of each word.

    A page with images and no text is passed to `ocr_page` together with its number. Without `ocr_page`, it counts as a
    page without text. Raises `EncryptedDocumentError`, `NoTextError`, `ParserLimitError` if there are too many pages,
    and `DamagedDocumentError` if the file, or any single page, cannot be read even after a repair with qpdf.
    """
    require_complete_file(path)
    from ingest.parsing.pdf.reading import PageError  # Imported lazily, so that importing this module loads no parser.

    try:
        with open_pdf(path) as document:
            return _parse_document(document, ocr_page)
    except PageError as error:
        try:
            with open_repaired_pdf(path, page_count=error.pages) as document:
                return _parse_document(document, ocr_page)
        except (PageError, DamagedDocumentError) as again:
            raise DamagedDocumentError(error.args[0], hint=SAVE_AGAIN) from again


def _parse_document(document: "PdfDocument", ocr_page: "OcrPage | None") -> ParsedDocument:
    from ingest.parsing.pdf.pages import PagesParser
    from ingest.parsing.pdf.reading import PageReader

    if len(document) == 0:
        raise DamagedDocumentError(Remark("pdf_no_pages"))
    # guard: pages-counted-first
    check_page_limit(len(document))
    return PagesParser(document, PageReader(document, ocr_page)).parse_pages(PDF_PARSER)
