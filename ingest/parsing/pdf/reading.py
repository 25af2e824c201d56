"""Read pages one at a time: drawings, words, annotations, and OCR text if the page is a scan."""

from collections.abc import Callable, Sequence
from typing import Protocol

from pypdfium2 import PdfDocument, PdfiumError, PdfPage

from ingest.parsing.pdf.annotations import read_annotations
from ingest.parsing.pdf.characters import get_page_frame, read_words
from ingest.parsing.pdf.constants import (
    MIN_PICTURE_SIDE,
    RECOGNIZED_LARGER_RATIO,
    RECOGNIZED_TYPE_RATIO,
    SCAN_PAGE_SHARE,
)
from ingest.parsing.pdf.content import PageContent, RecognizedWord, Word, compute_median
from ingest.parsing.pdf.drawings import DrawingReader
from ingest.storage.remarks import Remark

OcrPage = Callable[[PdfPage, int], Sequence[RecognizedWord]]


class PageError(Exception):
    """Raised if a page cannot be read."""

    def __init__(self, page_number: int, page_count: int) -> None:
        super().__init__(Remark("page_unreadable", page=page_number, pages=page_count))
        self.pages = page_count


class PageSource(Protocol):
    """A source of a document's pages. `count` is the number of pages."""

    count: int

    def read_page(self, page_number: int) -> PageContent:
        """Read the page with this number, counted from 1. Raises `PageError` if it cannot be read."""


class PageReader:
    """Reads the pages of an open document. Each page is closed before the next one is read."""

    def __init__(self, document: PdfDocument, ocr_page: OcrPage | None) -> None:
        self._document = document
        self._ocr_page = ocr_page
        self.count = len(document)

    def read_page(self, page_number: int) -> PageContent:
        """Read the page with this number, counted from 1. Raises `PageError` if it cannot be read."""
        try:
            page = self._document[page_number - 1]
            try:
                return self._read_page_content(page, page_number)
            finally:
                page.close()
        except PdfiumError as error:
            raise PageError(page_number, self.count) from error

    def _read_page_content(self, page: PdfPage, page_number: int) -> PageContent:
        content = PageContent(page_number, *get_page_frame(page).size)
        DrawingReader(page, content).read_drawings()
        scanned = content.image_share >= SCAN_PAGE_SHARE
        read_words(page, content, keep_invisible=scanned)
        read_annotations(self._document, page, content)
        if not content.words and self._ocr_page is not None and _has_room_for_text(content):
            recognized = self._ocr_page(page, page_number)
            # In logos, the OCR models often recognize a single "0" or "一", which is not text.
            if scanned or any(len(word.text) > 1 for word in recognized):
                content.words = convert_recognized_words(recognized, content)
            # The image whose text was recognized does not count as an omission.
            content.images -= bool(content.words and content.images)
        return content


def _has_room_for_text(content: PageContent) -> bool:
    """Return whether the bounding box of the page's images is large enough for a line of text."""
    if content.image_box is None:
        return False
    left, bottom, right, top = content.image_box
    return min(right - left, top - bottom) >= MIN_PICTURE_SIDE


def convert_recognized_words(recognized_words: Sequence[RecognizedWord], content: PageContent) -> list[Word]:
    """Convert recognized words to words of the page. The font size is derived from the height of their lines.

    A line without ascenders and descenders is only about half as high. Therefore only lines that are more than one and
    a half times as high as usual count as larger text.
    """
    highs = [_compute_line_height(word, content) for word in recognized_words]
    usual = compute_median(highs, 1.0)
    return [
        _convert_recognized_word(word, content, high if high > RECOGNIZED_LARGER_RATIO * usual else usual)
        for word, high in zip(recognized_words, highs, strict=True)
    ]


def _compute_line_height(word: RecognizedWord, content: PageContent) -> float:
    box = word.box
    return (box.bottom - box.top) * content.height if word.turn % 2 == 0 else (box.right - box.left) * content.width


def _convert_recognized_word(word: RecognizedWord, content: PageContent, line_height: float) -> Word:
    box = word.box
    left, right = box.left * content.width, box.right * content.width
    top, bottom = box.top * content.height, box.bottom * content.height
    size = round(RECOGNIZED_TYPE_RATIO * line_height)  # Rounded to points, because line heights are not exact.
    return Word(word.text, left, top, right, bottom, float(max(1, size)), False, word.turn, box)
