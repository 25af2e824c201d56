"""Reads pages one at a time: what is drawn, its words, its annotations, and by OCR what is only a picture."""

from collections.abc import Callable, Sequence

from pypdfium2 import PdfDocument, PdfiumError, PdfPage

from ingest.parsing.pdf.annotations import read_annotations
from ingest.parsing.pdf.characters import Fonts, page_frame, read_words
from ingest.parsing.pdf.content import PageContent, RecognizedWord, Word
from ingest.parsing.pdf.drawings import DrawingReader

OcrPage = Callable[[PdfPage, int], Sequence[RecognizedWord]]

_SCAN = 0.5  # of the page: a picture that covers more is the page itself
_TYPE_OF_LINE = 0.8  # of a recognized word's height


class PageError(Exception):
    """A page cannot be read."""

    def __init__(self, number: int, pages: int) -> None:
        super().__init__(f"Page {number} of {pages} of the PDF cannot be read.")
        self.pages = pages


class PageReader:
    """Reads the pages of an open document; each is closed before the next is read."""

    def __init__(self, document: PdfDocument, ocr_page: OcrPage | None) -> None:
        self._document = document
        self._ocr_page = ocr_page
        self._fonts = Fonts()
        self.count = len(document)

    def read(self, number: int) -> PageContent:
        """Read a page, counted from 1. Raises `PageError`."""
        try:
            page = self._document[number - 1]
            try:
                return self._read(page, number)
            finally:
                page.close()
        except PdfiumError as error:
            raise PageError(number, self.count) from error

    def _read(self, page: PdfPage, number: int) -> PageContent:
        content = PageContent(number, *page_frame(page).size)
        DrawingReader(page, content).read()
        scanned = content.image_share >= _SCAN
        read_words(page, content, self._fonts, keep_invisible=scanned)
        read_annotations(self._document, page, content)
        if scanned and not content.words and self._ocr_page is not None:
            content.words = [_recognized(word, content) for word in self._ocr_page(page, number)]
        return content


def _recognized(word: RecognizedWord, content: PageContent) -> Word:
    box = word.box
    left, right = box.left * content.width, box.right * content.width
    top, bottom = box.top * content.height, box.bottom * content.height
    size = round(_TYPE_OF_LINE * (bottom - top))  # whole points: the height of a line is not exact
    return Word(word.text, left, top, right, bottom, float(max(1, size)), False, 0, box)
