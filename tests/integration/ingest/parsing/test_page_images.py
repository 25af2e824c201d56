"""Pages as pictures: drawn by the confined process, no larger than asked for."""

import io
from pathlib import Path

import pytest
from PIL import Image

from ingest.parsing.errors import DamagedDocumentError
from ingest.parsing.isolation.sandbox import ParserSandbox
from ingest.storage.errors import PageNotFoundError
from tests.support.pdf_files import pdf


def drawn(path: Path, media_type: str, page: int = 1, width: int = 300) -> Image.Image:
    with ParserSandbox() as parser:
        return Image.open(io.BytesIO(parser.render_page(path, media_type, page, width, name=path.name)))


def test_the_pages_of_an_image_are_drawn_as_they_are_shown(tmp_path: Path) -> None:
    held = Image.Exif()
    held[0x0112] = 6  # to be turned by a quarter to the right
    Image.new("RGB", (400, 200), "blue").save(tmp_path / "a.jpg", exif=held)
    assert drawn(tmp_path / "a.jpg", "image/jpeg", width=100).size == (100, 200)
    frames = [Image.new("RGB", (600, 300), colour) for colour in ("red", "lime")]
    frames[0].save(tmp_path / "a.tif", save_all=True, append_images=frames[1:])
    second = drawn(tmp_path / "a.tif", "image/tiff", page=2)
    assert (second.size, second.getpixel((9, 9))) == ((300, 150), (0, 255, 0))


def test_a_very_high_page_is_drawn_with_fewer_pixels_than_its_width_asks_for(tmp_path: Path) -> None:
    Image.new("RGB", (50, 20_000), "white").save(tmp_path / "a.png")
    high = drawn(tmp_path / "a.png", "image/png", width=2_000)
    assert high.width * high.height <= 8_000_000
    assert high.format == "PNG"


def test_a_page_that_there_is_not_is_named_with_how_many_there_are(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(pdf([["One."], ["Two."]]))
    assert drawn(tmp_path / "a.pdf", "application/pdf", page=2).width == 300
    with pytest.raises(PageNotFoundError, match=r"no page 3: its last page is 2\."):
        drawn(tmp_path / "a.pdf", "application/pdf", page=3)
    Image.new("RGB", (50, 50)).save(tmp_path / "a.gif")
    with pytest.raises(PageNotFoundError, match=r"no page 2: its last page is 1\."):
        drawn(tmp_path / "a.gif", "image/gif", page=2)


def test_a_damaged_file_gives_no_picture(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(50))
    with pytest.raises(DamagedDocumentError):
        drawn(tmp_path / "a.png", "image/png")
