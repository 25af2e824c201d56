"""Text in images and scanned pages: recognized by the real models, whichever way up it is."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw, ImageFont
from reportlab.lib.pagesizes import A4
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas

from ingest.parsing.errors import DamagedDocumentError, NoTextError, ParserLimitError, UnsupportedTypeError
from ingest.parsing.isolation.sandbox import ParserSandbox
from ingest.parsing.ocr import allowance, images, parse_image, parse_pdf_with_scans, scans
from ingest.parsing.registry import FORMATS
from ingest.parsing.sniff import sniff_file_type, sniff_media_type
from ingest.parsing.types import DEFAULT_LIMITS, ParserLimits
from ingest.storage.texts.layout import OmissionKind
from ingest.storage.texts.positions import Box
from tests.support.pdf_files import pdf

LINES = ("The lighthouse keeper", "wrote 1871 in her book", "before the storm came")
SIZE = (520, 200)


def drawn(*lines: str, size: tuple[int, int] = SIZE) -> Image.Image:
    image = Image.new("RGB", size, "white")
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(size=32)
    for number, line in enumerate(lines):
        pen.text((40, 30 + 45 * number), line, fill="black", font=font)
    return image


def kept(image: Image.Image, path: Path, **how: Any) -> Path:  # noqa: ANN401 - options of a format
    image.save(path, **how)
    return path


@pytest.fixture
def pages() -> Iterator[None]:
    """Let this process read pictures."""
    allowance.set_picture_allowance(DEFAULT_LIMITS.ocr_pages)
    yield
    allowance._allowance.pages = None


@pytest.mark.usefixtures("pages")
@pytest.mark.parametrize("turn", range(4))
def test_text_is_read_whichever_way_up_it_is_and_its_boxes_are_those_of_the_picture_as_it_is(
    tmp_path: Path, turn: int
) -> None:
    image = drawn(*LINES)
    for _ in range(turn):
        image = image.transpose(Image.Transpose.ROTATE_90)
    document = parse_image(kept(image, tmp_path / "a.png"))
    assert document.text.split() == " ".join(LINES).split()
    start = document.text.index("1871")
    (box,) = document.positions.list_boxes(start, start + 4)
    # The word stands at 130 to 200 of 520 from the left, and at 75 to 110 of 200 from the top, before it is turned.
    upright = {
        0: (box.left, box.top, box.right, box.bottom),
        1: (1 - box.bottom, box.left, 1 - box.top, box.right),
        2: (1 - box.right, 1 - box.bottom, 1 - box.left, 1 - box.top),
        3: (box.top, 1 - box.right, box.bottom, 1 - box.left),
    }[turn]
    assert upright == pytest.approx((0.26, 0.39, 0.39, 0.55), abs=0.06)


@pytest.mark.usefixtures("pages")
def test_a_photograph_is_read_as_its_camera_says_it_was_held(tmp_path: Path) -> None:
    held = Image.Exif()
    held[0x0112] = 6  # to be turned by a quarter to the right when it is shown
    path = kept(drawn(*LINES).transpose(Image.Transpose.ROTATE_90), tmp_path / "a.jpg", exif=held, quality=90)
    document = parse_image(path)
    assert document.text.split() == " ".join(LINES).split()
    first = document.positions.list_boxes(0, 3)[0]
    assert first.left < 0.2
    assert first.top < 0.3


@pytest.mark.usefixtures("pages")
@pytest.mark.parametrize(
    ("kind", "how"),
    [("PNG", {}), ("JPEG", {"quality": 90}), ("TIFF", {}), ("WEBP", {"quality": 90}), ("BMP", {}), ("GIF", {})],
)
def test_each_kind_of_image_is_known_by_its_bytes_and_read(tmp_path: Path, kind: str, how: dict[str, Any]) -> None:
    path = kept(drawn(LINES[0], size=(460, 100)), tmp_path / "picture", format=kind, **how)
    with path.open("rb") as file:
        media_type = sniff_file_type(file, "picture", None)
    assert media_type == f"image/{kind.lower()}"
    document = parse_image(path)
    assert (document.text.strip(), document.parser) == (LINES[0], FORMATS[media_type].fingerprint)


@pytest.mark.usefixtures("pages")
def test_letters_on_a_transparent_ground_are_read_as_on_white(tmp_path: Path) -> None:
    image = Image.new("RGBA", (460, 100), (0, 0, 0, 0))
    ImageDraw.Draw(image).text((40, 30), LINES[0], fill=(0, 0, 0, 255), font=ImageFont.load_default(size=32))
    assert parse_image(kept(image, tmp_path / "a.png")).text.strip() == LINES[0]


def test_pages_of_an_image_after_those_that_are_allowed_are_left_out_and_counted(tmp_path: Path) -> None:
    first, *more = (drawn(line, size=(460, 100)) for line in LINES)
    path = kept(first, tmp_path / "a.tif", save_all=True, append_images=more)
    with ParserSandbox(ParserLimits(ocr_pages=2)) as parser:
        document = parser.parse(path, "image/tiff", name="a.tif")
    assert [part.strip("# \n") for part in document.text.split("\n\n")] == list(LINES[:2])
    assert [place.label for place in document.layout.places] == ["page 1", "page 2", "page 3"]
    left_out = {each.detail: each.count for each in document.omissions if each.kind is OmissionKind.OTHER}
    assert left_out == {"pages beyond the limit in LEADLINE_OCR_PAGES": 1}


def test_no_more_pictures_may_be_read_than_are_allowed(pages: None) -> None:
    allowance.set_picture_allowance(1)
    assert [allowance.use_allowed_picture() for _ in range(3)] == [True, False, False]
    assert allowance.count_skipped_pictures() == 2


def scanned(*images: Image.Image) -> bytes:
    """A PDF whose pages are these pictures, and a page of text after them."""
    from pypdfium2 import PdfDocument

    file = io.BytesIO()
    images[0].save(file, "PDF", save_all=True, append_images=images[1:])
    with PdfDocument(file.getvalue()) as whole, PdfDocument(pdf([["The last page is text."]])) as text:
        whole.import_pages(text)
        made = io.BytesIO()
        whole.save(made)
    return made.getvalue()


def test_scanned_pages_are_read_in_the_confined_process_and_stand_on_their_page(tmp_path: Path) -> None:
    path = tmp_path / "a.pdf"
    path.write_bytes(scanned(drawn(LINES[0]), drawn(LINES[1])))
    with ParserSandbox() as parser:
        document = parser.parse(path, "application/pdf", name="a.pdf")
    assert [part.strip("# \n") for part in document.text.split("\n\n")] == [*LINES[:2], "The last page is text."]
    start = document.text.index("1871")
    assert document.layout.find_place(start) == document.layout.places[1]
    ((_, _, at),) = document.positions.iter_positions_within(start, start + 4)
    assert isinstance(at, Box)
    assert at.place == 2
    assert OmissionKind.PAGE_WITHOUT_TEXT not in {each.kind for each in document.omissions}


def test_a_page_whose_only_text_is_in_a_small_picture_is_read(tmp_path: Path) -> None:
    canvas = Canvas(str(tmp_path / "a.pdf"), pagesize=A4)
    canvas.drawImage(ImageReader(drawn(*LINES)), 60, 500, 260, 100)
    canvas.showPage()
    canvas.drawImage(ImageReader(Image.new("RGB", (80, 20), "navy")), 60, 760, 80, 20)
    canvas.showPage()
    canvas.save()
    with ParserSandbox() as parser:
        document = parser.parse(tmp_path / "a.pdf", "application/pdf", name="a.pdf")
    assert document.text.split() == " ".join(LINES).split()
    found = {each.kind: (each.count, each.detail) for each in document.omissions}
    assert found == {OmissionKind.PAGE_WITHOUT_TEXT: (1, "page 2"), OmissionKind.IMAGE: (1, "")}


def test_a_scan_in_which_no_text_is_recognized_is_not_sent_away_to_be_recognized(tmp_path: Path) -> None:
    path = tmp_path / "a.pdf"
    Image.new("RGB", (400, 600), "white").save(path, "PDF")
    with ParserSandbox() as parser, pytest.raises(NoTextError) as failed:
        parser.parse(path, "application/pdf", name="a.pdf")
    assert "No text was recognized in the pictures of the document" in failed.value.hint


def test_without_the_extra_a_pdf_names_its_scanned_pages_and_a_scan_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scans, "is_ocr_installed", lambda: False)
    path = tmp_path / "a.pdf"
    path.write_bytes(scanned(drawn(LINES[0]), drawn(LINES[1])))
    found = {each.kind: (each.count, each.detail) for each in parse_pdf_with_scans(path).omissions}
    assert found[OmissionKind.PAGE_WITHOUT_TEXT] == (2, "pages 1 to 2")
    drawn(LINES[0]).save(path, "PDF")
    with pytest.raises(NoTextError) as refused:
        parse_pdf_with_scans(path)
    assert "leadline[ocr]" in refused.value.hint


def test_without_the_extra_an_image_is_refused_and_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = kept(drawn(LINES[0]), tmp_path / "a.png")
    monkeypatch.setattr("ingest.parsing.sniff.is_ocr_installed", lambda: False)
    with pytest.raises(UnsupportedTypeError, match="a PNG image") as refused:
        sniff_media_type(path.read_bytes(), "a.png", None)
    assert "leadline[ocr]" in refused.value.hint
    monkeypatch.setattr(images, "is_ocr_installed", lambda: False)
    with pytest.raises(UnsupportedTypeError) as again:
        parse_image(path)
    assert "leadline[ocr]" in again.value.hint


@pytest.mark.usefixtures("pages")
def test_an_image_without_text_fails_and_says_what_would_help(tmp_path: Path) -> None:
    with pytest.raises(NoTextError) as failed:
        parse_image(kept(Image.new("RGB", (200, 200), "white"), tmp_path / "a.png"))
    assert "larger or sharper" in failed.value.hint


@pytest.mark.usefixtures("pages")
@pytest.mark.parametrize("kind", ["png", "jpg", "tif", "webp", "bmp", "gif"])
def test_a_damaged_image_fails_as_damaged(tmp_path: Path, kind: str) -> None:
    path = kept(drawn(*LINES), tmp_path / f"a.{kind}")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises((DamagedDocumentError, NoTextError)) as failed:
        parse_image(path)
    assert failed.value.hint


@pytest.mark.usefixtures("pages")
def test_a_picture_of_too_many_pixels_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    path = kept(Image.new("1", (20_000, 6_000), 1), tmp_path / "a.png")
    assert path.stat().st_size < 100_000
    with pytest.raises(ParserLimitError, match="120,000,000 pixels"):
        parse_image(path)


def test_a_process_that_may_read_no_pictures_asks_for_it(tmp_path: Path) -> None:
    with pytest.raises(allowance.RecognitionNeededError):
        parse_image(kept(drawn(LINES[0]), tmp_path / "a.png"))
