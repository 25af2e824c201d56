"""Open a PDF, repairing it if necessary."""

import io
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from ingest.parsing.errors import DamagedDocumentError, EncryptedDocumentError
from ingest.parsing.page_limit import check_page_limit
from ingest.parsing.pdf.constants import FILE_TAIL_BYTES, MAX_BOOKMARK_DEPTH, MAX_BOOKMARKS, PDFIUM_PASSWORD_ERRORS
from ingest.storage.remarks import Remark

if TYPE_CHECKING:
    from pypdfium2 import PdfDocument

    from ingest.parsing.pdf.headings import Bookmark

_LOST_PAGE = "Pages tree includes non-dictionary object"  # qpdf's warning about a page that is missing from the file.
SAVE_AGAIN = Remark("hint_pdf_save")


def require_complete_file(path: Path) -> None:
    """Raise `DamagedDocumentError` if a file is truncated, because PDFium would silently omit the missing pages.

    Other bytes may follow the end-of-file marker, because some servers append bytes. Objects after the marker indicate
    a truncated update.
    """
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - FILE_TAIL_BYTES))
        tail = file.read()
    end = max(tail.rfind(b"startxref"), tail.rfind(b"%%EOF"))
    if end < 0 or b" obj" in tail[end:]:
        raise DamagedDocumentError(Remark("pdf_cut_off"), hint=Remark("hint_upload_complete"))


@contextmanager
def open_pdf(path: Path) -> "Iterator[PdfDocument]":
    """Open a file, repairing it if necessary. Raises `EncryptedDocumentError` and `DamagedDocumentError`."""
    from pypdfium2 import PdfDocument, PdfiumError

    try:
        document = PdfDocument(path)
    except PdfiumError as error:
        if error.err_code in PDFIUM_PASSWORD_ERRORS:
            raise EncryptedDocumentError(
                Remark("pdf_encrypted"),
                hint=Remark("hint_pdf_password"),
            ) from error
        document = _repair_pdf(path)
    try:
        _load_form_fields(document)
        yield document
    finally:
        document.close()


@contextmanager
def open_repaired_pdf(path: Path, *, page_count: int) -> "Iterator[PdfDocument]":
    """Open a repaired copy of a file. Raises `DamagedDocumentError` if it has fewer than `page_count` pages."""
    document = _repair_pdf(path)
    try:
        if len(document) < page_count:
            raise DamagedDocumentError(
                Remark("pdf_pages_lost", lost=page_count - len(document), pages=page_count), hint=SAVE_AGAIN
            )
        _load_form_fields(document)
        yield document
    finally:
        document.close()


def _load_form_fields(document: "PdfDocument") -> None:
    """Make the values of form fields readable.

    This runs no scripts, because this build of PDFium has no script engine.
    """
    from pypdfium2 import PdfiumError

    with suppress(PdfiumError):
        document.init_forms()


def _repair_pdf(path: Path) -> "PdfDocument":
    """Rebuild a file in memory with qpdf.

    Raises `DamagedDocumentError` if pages cannot be recovered, so that no document is silently incomplete.
    """
    import pikepdf
    from pypdfium2 import PdfDocument, PdfiumError

    rebuilt = io.BytesIO()
    try:
        with pikepdf.open(path, suppress_warnings=True) as damaged:
            found = len(damaged.pages)
            lost = sum(_LOST_PAGE in str(warning) for warning in damaged.get_warnings())
            # guard: pdf-lost-pages
            if lost or not found:
                raise DamagedDocumentError(Remark("pdf_damaged_pages", lost=lost, pages=found + lost), hint=SAVE_AGAIN)
            # guard: pages-of-repaired-counted-first
            check_page_limit(found)
            damaged.save(rebuilt)
        return PdfDocument(rebuilt)
    except (pikepdf.PdfError, PdfiumError, AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise DamagedDocumentError(Remark("pdf_damaged"), hint=SAVE_AGAIN) from error


def get_document_title(document: "PdfDocument") -> str | None:
    """Return the title in a PDF's metadata, or None if it is missing, "untitled", without letters, or the author's.

    Programs that are given neither title nor author write the same placeholder, such as "(anonymous)", for both.
    """
    try:
        title = str(document.get_metadata_value("Title"))
        author = str(document.get_metadata_value("Author"))
    except UnicodeDecodeError:
        return None
    # Requiring a title's words in the text loses good ones: 12 of 44 public files, such as 6 of 20 filings.
    is_title = any(map(str.isalpha, title)) and title.strip().casefold() not in ("untitled", author.strip().casefold())
    return title if is_title else None


def list_bookmarks(document: "PdfDocument") -> "list[Bookmark]":
    """List the outline entries that lead to a page."""
    from pypdfium2 import PdfiumError

    from ingest.parsing.pdf.headings import Bookmark

    found = []
    try:
        for entry in islice(document.get_toc(max_depth=MAX_BOOKMARK_DEPTH), MAX_BOOKMARKS):
            target = entry.get_dest()
            page = target.get_index() if target else None
            if page is not None:
                found.append(Bookmark(entry.get_title(), entry.level + 1, page + 1))
    except (PdfiumError, UnicodeDecodeError):
        return found
    return found


def list_embedded_files(document: "PdfDocument") -> list[str]:
    """List the names of the files embedded in a PDF."""
    from pypdfium2 import PdfiumError

    names = []
    for number in range(min(document.count_attachments(), 1_000)):
        try:
            names.append(document.get_attachment(number).get_name() or "unnamed")
        except (PdfiumError, UnicodeDecodeError):
            names.append("unnamed")
    return names
