"""Pages and slides are counted before any of them is read, in whatever way a file was opened."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from ingest.parsing.errors import ParserLimitError
from ingest.parsing.isolation.settings import ParserSettings
from ingest.parsing.ocr import parse_image
from ingest.parsing.ocr.allowance import set_picture_allowance
from ingest.parsing.office.odp import parse_odp
from ingest.parsing.office.pptx import parse_pptx
from ingest.parsing.page_limit import set_page_limit
from ingest.parsing.pdf import parse_pdf
from tests.support.office_files import odf, pptx, shape
from tests.support.pdf_files import pdf, pdf_of_references


@pytest.fixture(autouse=True)
def limited() -> Iterator[None]:
    set_page_limit(3)
    yield
    set_page_limit(20_000)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "file"


def test_as_many_pages_as_the_limit_are_read_and_one_more_is_refused(file: Path) -> None:
    file.write_bytes(pdf([["One."], ["Two."], ["Three."]]))
    assert len(parse_pdf(file).layout.places) == 3
    file.write_bytes(pdf([["One."], ["Two."], ["Three."], ["Four."]]))
    with pytest.raises(ParserLimitError, match="has 4 pages; the limit is 3") as raised:
        parse_pdf(file)
    assert "LEADLINE_MAX_PAGES" in raised.value.hint


def test_pages_of_a_file_that_is_repaired_are_counted_too(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def save(*_: object) -> None:
        raise AssertionError("a repaired file was written before its pages were counted")

    monkeypatch.setattr("pikepdf.Pdf.save", save)
    file.write_bytes(pdf_of_references(5_000).replace(b"%PDF", b"%XDF"))  # PDFium opens it only after a repair
    with pytest.raises(ParserLimitError, match="has 5,000 pages"):
        parse_pdf(file)


def test_slides_are_counted_as_pages_are(file: Path) -> None:
    file.write_bytes(pptx([shape(f"Slide {number}.") for number in range(4)]))
    with pytest.raises(ParserLimitError, match="has 4 slides; the limit is 3"):
        parse_pptx(file)
    file.write_bytes(odf("presentation", '<draw:page draw:name="p"/>' * 4))
    with pytest.raises(ParserLimitError, match="has 4 slides; the limit is 3"):
        parse_odp(file)


def test_pages_of_a_tiff_are_counted_as_those_of_a_pdf_are(file: Path) -> None:
    pytest.importorskip("rapidocr")
    first, *others = (Image.new("L", (8, 8), 255) for _ in range(4))
    first.save(file, "TIFF", save_all=True, append_images=others)
    set_picture_allowance(4)
    with pytest.raises(ParserLimitError, match="has 4 pages; the limit is 3"):
        parse_image(file)


def test_the_limit_is_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ParserSettings().parser_limits.pages == 20_000
    monkeypatch.setenv("LEADLINE_MAX_PAGES", "7")
    assert ParserSettings().parser_limits.pages == 7
