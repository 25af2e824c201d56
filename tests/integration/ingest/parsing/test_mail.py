"""Messages in the confined process, and pictures in them, whose words the real models recognize."""

import io
import sys
from collections.abc import Iterator
from email.mime.application import MIMEApplication
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from ingest.parsing.isolation.sandbox import ParserSandbox
from ingest.parsing.mail import unpack_eml
from ingest.parsing.ocr.allowance import _allowance, set_picture_allowance
from ingest.parsing.types import EntryLimits, EntryReceiver, Isolation, ParsedDocument
from ingest.storage.tables.types import EML_MEDIA_TYPE
from ingest.storage.texts.layout import OmissionKind
from tests.support.containers import message

# Starts the parser's child on a machine whose table of media types is the file at the end of the command.
_WITH_SYSTEM_TYPES = """
import mimetypes, sys
from ingest.parsing.isolation.child import main
mimetypes.knownfiles.append(sys.argv.pop())
main()
"""


def parse(folder: Path, content: bytes) -> ParsedDocument:
    path = folder / "mail.eml"
    path.write_bytes(content)
    return unpack_eml(path, folder, EntryLimits())


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
    set_picture_allowance(10)
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


def _page_with_a_nameless_part(kind: str) -> bytes:
    """Return a web page as a browser saves it: in one file, whose other parts have addresses and no names."""
    page = MIMEMultipart("related")
    page["From"], page["Subject"] = "<Saved by Blink>", "Tides"
    page["Date"], page["Snapshot-Content-Location"] = "Sat, 28 Nov 2026 10:00:00 +0000", "https://example.org/tides"
    page.attach(MIMEText("<h1>Tides</h1><p>The flood comes at six.</p>", "html"))
    part = MIMEApplication(b"%PDF-1.4 the almanac", kind)
    part["Content-Location"] = "https://example.org/almanac"
    page.attach(part)
    return page.as_bytes()


@pytest.mark.parametrize(("kind", "suffix"), [("pdf", ".pdf"), ("vnd.leadline-tide", "")])
def test_a_nameless_attachment_is_named_by_pythons_own_table_of_media_types_and_not_by_the_machines(
    tmp_path: Path, kind: str, suffix: str
) -> None:
    table = tmp_path / "mime.types"
    table.write_text("application/pdf acrobat\napplication/vnd.leadline-tide tide\n")
    entries: list[str] = []
    command = (sys.executable, "-I", "-c", _WITH_SYSTEM_TYPES, str(table))
    with ParserSandbox(command=command, scratch_folder=tmp_path, isolation=Isolation.REQUIRE) as parser:
        path = tmp_path / "tides.mht"
        path.write_bytes(_page_with_a_nameless_part(kind))
        document = parser.parse(
            path,
            EML_MEDIA_TYPE,
            name=path.name,
            entry_receiver=EntryReceiver(EntryLimits(), lambda entry, file: entries.append(entry.path)),
        )
    assert "The flood comes at six." in document.text
    assert entries == [f"attachment 1{suffix}"]
