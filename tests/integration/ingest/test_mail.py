"""Pictures in messages, whose words the real models recognize."""

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from ingest.layout import OmissionKind
from ingest.parsing.mail import unpack_eml
from ingest.parsing.ocr.allowance import _allowance, allow
from ingest.parsing.types import EntryRoom, ParsedDocument
from tests.support.containers import message


def parse(folder: Path, content: bytes) -> ParsedDocument:
    path = folder / "mail.eml"
    path.write_bytes(content)
    return unpack_eml(path, folder, EntryRoom())


def _picture(width: int, height: int, text: str = "") -> bytes:
    image = Image.new("RGB", (width, height), "white")
    if text:
        ImageDraw.Draw(image).text((40, 40), text, fill="black", font_size=40)
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def readable() -> Iterator[None]:
    """Let this process read pictures."""
    allow(10)
    yield
    _allowance.pages = None


@pytest.mark.usefixtures("readable")
def test_a_picture_with_words_is_a_document_and_others_are_only_listed(tmp_path: Path) -> None:
    pictures = {"page.png": _picture(900, 500, "The flood comes at six"), "sea.png": _picture(900, 500)}
    document = parse(tmp_path, message(attachments={**pictures, "dot.png": _picture(20, 20)}))
    assert [each.path for each in document.entries] == ["page.png"]
    assert "sea.png" in document.text
    assert "a picture without text" in document.text
    assert [(each.kind, each.count) for each in document.omissions] == [(OmissionKind.IMAGE, 2)]
