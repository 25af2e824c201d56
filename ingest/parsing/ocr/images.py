"""Parse images like PDF pages: reading order, tables and headings are found in the same way."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ingest.parsing.errors import DamagedDocumentError, NoTextError, ParserLimitError, UnsupportedTypeError
from ingest.parsing.ocr.allowance import count_skipped_pictures, use_allowed_picture
from ingest.parsing.ocr.recognizer import INSTALL_HINT, OCR_PARSER, Picture, is_ocr_installed
from ingest.parsing.page_limit import check_page_limit
from ingest.parsing.pdf import PDF_PARSER
from ingest.parsing.types import ParsedDocument
from ingest.storage.errors import PageNotFoundError
from ingest.storage.remarks import Remark
from ingest.storage.texts.layout import Omission, OmissionKind, build_omission

if TYPE_CHECKING:
    from PIL.Image import Image

    from ingest.parsing.pdf.content import PageContent, RecognizedWord

IMAGE_PARSER = f"image-1+{PDF_PARSER}+{OCR_PARSER}"
IMAGE_TYPES = ("image/png", "image/jpeg", "image/tiff", "image/webp", "image/bmp", "image/gif")
MAX_PIXELS = 100_000_000  # Maximum size of a picture. Each pixel takes three bytes of memory.
_FORMATS = ("PNG", "JPEG", "TIFF", "WEBP", "BMP", "GIF")
_MAX_SIDE_PIXELS = 4_000
_PAGE_POINTS = 842.0  # Length to which the longer side of each page is scaled: the longer side of A4.


def parse_image(path: Path) -> ParsedDocument:
    """Parse an image by recognizing its text. All pages of a TIFF are read, but only the first frame of an animation.

    Raises `DamagedDocumentError`, `ParserLimitError` if the image has too many pixels, `NoTextError`,
    `UnsupportedTypeError` if OCR is not installed, and `RecognitionNeededError` if this process has no OCR allowance.
    """
    if not is_ocr_installed():
        raise UnsupportedTypeError(Remark("image_not_recognized"), hint=INSTALL_HINT)
    use_allowed_picture()
    from pypdfium2 import PdfDocument

    from ingest.parsing.pdf.pages import PagesParser

    with open_image(path) as image:
        pages = _ImagePages(image)
        check_page_limit(pages.count)
        without = PdfDocument.new()  # An image has no bookmarks, title or embedded files.
        try:
            document = PagesParser(without, pages).parse_pages(IMAGE_PARSER)
        except NoTextError as error:
            hint = Remark("hint_image_sharp")
            raise NoTextError(Remark("no_text_image"), hint=hint) from error
        finally:
            without.close()
    return replace(document, omissions=(*document.omissions, *pages.omissions))


class _ImagePages:
    """The pages of an open image, with the same interface as `ingest.parsing.pdf.reading.PageReader`."""

    def __init__(self, image: "Image") -> None:
        self._image = image
        frames = int(getattr(image, "n_frames", 1))
        self.count = frames if image.format == "TIFF" else 1
        self._other_frames = frames - self.count
        self._known: dict[int, tuple[float, float, Sequence[RecognizedWord]]] = {}

    def read_page(self, page_number: int) -> "PageContent":
        """Return the words of a page, counted from 1. A page may be read twice but is recognized only once."""
        from ingest.parsing.pdf.content import PageContent
        from ingest.parsing.pdf.reading import convert_recognized_words

        if page_number not in self._known:
            self._known[page_number] = self._recognize_page(page_number)
        width, height, words = self._known[page_number]
        content = PageContent(page_number, width, height)
        content.words = convert_recognized_words(words, content)
        return content

    def _recognize_page(self, page_number: int) -> "tuple[float, float, Sequence[RecognizedWord]]":
        """Return the width and height of a page in points, and its words."""
        from ingest.parsing.ocr.words import recognize_words

        if page_number > 1 and not use_allowed_picture():
            return _PAGE_POINTS, _PAGE_POINTS, ()
        with _translate_errors():
            self._image.seek(page_number - 1)
            picture = convert_to_picture(self._image)
        height, width = picture.shape[:2]
        points = _PAGE_POINTS / max(height, width)
        return width * points, height * points, recognize_words(picture, page_number)

    @property
    def omissions(self) -> tuple[Omission, ...]:
        found = (
            build_omission(OmissionKind.IMAGE, self._other_frames, [Remark("omitted_frames")]),
            build_omission(OmissionKind.OTHER, count_skipped_pictures(), [Remark("omitted_picture_pages")]),
        )
        return tuple(each for each in found if each.count)


def load_image_page(path: Path, page_number: int) -> "Image":
    """Return a page, counted from 1, as displayed.

    Raises `DamagedDocumentError`, `ParserLimitError` and `PageNotFoundError`.
    """
    from PIL import Image

    with open_image(path) as image:
        count = _ImagePages(image).count
        if not 1 <= page_number <= count:
            raise PageNotFoundError(f"The image has no page {page_number}: its last page is {count}.")
        with _translate_errors():
            image.seek(page_number - 1)
            return Image.fromarray(convert_to_picture(image))


@contextmanager
def open_image(path: Path) -> "Iterator[Image]":
    """Open an image. Raises `DamagedDocumentError` if it cannot be opened."""
    from PIL import Image

    Image.MAX_IMAGE_PIXELS = None  # `convert_to_picture` checks the image's size and raises our own error.
    with _translate_errors():
        image = Image.open(path, formats=_FORMATS)
    with image:
        yield image


@contextmanager
def _translate_errors() -> Iterator[None]:
    """Convert library errors for damaged images to `DamagedDocumentError`."""
    try:
        yield
    except (OSError, SyntaxError, ValueError, EOFError, TypeError, KeyError, IndexError, OverflowError) as error:
        raise DamagedDocumentError(Remark("image_damaged"), hint=Remark("hint_image_again")) from error


def convert_to_picture(image: "Image") -> Picture:
    """Convert a frame to a picture as displayed: rotated as its EXIF data says, on white, and scaled down if large."""
    import numpy as np
    from PIL import Image, ImageOps

    width, height = image.size
    # guard: image-pixels
    if width * height > MAX_PIXELS:
        raise ParserLimitError(
            Remark("image_too_large", pixels=width * height, limit=MAX_PIXELS),
            hint=Remark("hint_image_small"),
        )
    image.draft("RGB", (_MAX_SIDE_PIXELS, _MAX_SIDE_PIXELS))  # Lets the decoder downscale a JPEG while decoding.
    frame: Image.Image = image.copy()
    if frame.mode.startswith("I;16"):
        frame = frame.point(lambda value: value / 256).convert("L")
    frame.thumbnail((_MAX_SIDE_PIXELS, _MAX_SIDE_PIXELS))
    if frame.has_transparency_data:
        white = Image.new("RGBA", frame.size, "white")
        frame = Image.alpha_composite(white, frame.convert("RGBA"))
    return np.asarray(ImageOps.exif_transpose(frame.convert("RGB")))
