"""Render pages as images for a viewer. This runs in the document's confined process."""

from pathlib import Path
from typing import TYPE_CHECKING

from ingest.parsing.ocr.images import IMAGE_TYPES, load_image_page
from ingest.storage.errors import PageNotFoundError

if TYPE_CHECKING:
    from PIL.Image import Image

PAGE_IMAGE_FILE = "page.png"
MAX_WIDTH = 2_000
# Maximum number of pixels in a rendered page. It limits the size of pages that are much taller than wide.
_MAX_PIXELS = 8_000_000
_PDF = "application/pdf"


def can_render_pages(media_type: str) -> bool:
    """Return whether pages of a media type can be rendered: PDF pages and images look the same everywhere."""
    return media_type == _PDF or media_type in IMAGE_TYPES


def render_page_image(path: Path, media_type: str, page_number: int, width: int) -> None:
    """Render a page, counted from 1, to a PNG file in the current folder. Very tall pages are made narrower.

    Raises `PageNotFoundError` or a `ParseError`.
    """
    picture = _render_pdf_page(path, page_number, width) if media_type == _PDF else load_image_page(path, page_number)
    picture.thumbnail((width, max(1, _MAX_PIXELS // width)))
    picture.save(PAGE_IMAGE_FILE, "PNG")


def _render_pdf_page(path: Path, page_number: int, width: int) -> "Image":
    from ingest.parsing.pdf.opening import open_pdf

    with open_pdf(path) as document:
        if not 1 <= page_number <= len(document):
            raise PageNotFoundError(f"The document has no page {page_number}: its last page is {len(document)}.")
        page = document[page_number - 1]
        wide, high = (max(1.0, side) for side in page.get_size())
        scale = min(width / wide, (_MAX_PIXELS / (wide * high)) ** 0.5)
        drawn: Image = page.render(scale=scale).to_pil()
        return drawn
