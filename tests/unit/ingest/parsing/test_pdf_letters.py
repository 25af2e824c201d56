"""Words of PDF pages from letters that are drawn in unusual ways."""

from pathlib import Path

import pikepdf
import pytest
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont

from ingest.parsing.errors import NoTextError
from ingest.parsing.pdf import parse_pdf
from ingest.parsing.types import ParsedDocument
from tests.support.drawn_pdfs import PLAIN, Drawing


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "file.pdf"


def _parsed(file: Path, drawing: Drawing) -> ParsedDocument:
    file.write_bytes(drawing.content())
    return parse_pdf(file)


def test_letters_of_a_negative_size_in_a_turned_matrix_stand_upright(file: Path) -> None:
    drawing = Drawing()
    for number, (label, value) in enumerate([("County", "Voters"), ("Adair", "867"), ("Boone", "4936")]):
        for x, word in ((60, label), (200, value)):
            text = drawing.canvas.beginText()
            text.setFont(PLAIN, -10)
            text.setTextTransform(-1, 0, 0, -1, x, 700 - 14 * number)
            text.textOut(word)
            drawing.canvas.drawText(text)
    document = _parsed(file, drawing)
    assert document.text == "| County | Voters |\n| --- | --- |\n| Adair | 867 |\n| Boone | 4936 |"


def test_a_word_that_is_drawn_twice_for_a_bolder_look_is_read_once(file: Path) -> None:
    drawing = Drawing()
    left = drawing.line("Sign here ", 60, 700)
    drawing.line("here", left, 700)
    drawing.line("Sign", 60, 680)
    drawing.line("Sign here here", 60.3, 700)
    assert _parsed(file, drawing).text == "Sign here here\n\nSign"


def test_no_blank_is_read_between_letters_that_are_as_near_as_those_of_a_word(file: Path) -> None:
    drawing = Drawing()
    drawing.canvas.saveState()
    spaced = drawing.canvas.beginText(60, 700)
    spaced.setFont(PLAIN, 10, 12)
    spaced.setCharSpace(3)
    for letters in ("Nort", "h Buon", "a"):
        spaced.textOut(letters)
    drawing.canvas.drawText(spaced)
    drawing.canvas.restoreState()
    end = drawing.line("an area of 9 m", 60, 680)
    drawing.line("2", end, 684, size=6)
    drawing.line(", or less", end + 3.4, 680)
    drawing.line("Found there.", drawing.line("7", 60, 665, size=5), 660)
    assert _parsed(file, drawing).text.split("\n\n") == ["North Buona", "an area of 9 m2, or less", "7 Found there."]


def test_japanese_that_is_written_down_the_page_is_read_from_right_to_left(file: Path) -> None:
    pdfmetrics.registerFont(UnicodeCIDFont("HeiseiMin-W3", isVertical=True))
    drawing = Drawing()
    drawing.canvas.setFont("HeiseiMin-W3", 12)
    for number, line in enumerate(["風景やみんなといっしょに", "いっしょに明滅しながら"]):
        drawing.canvas.drawString(400 - 20 * number, 700, line)
    assert _parsed(file, drawing).text.split() == ["風景やみんなといっしょに", "いっしょに明滅しながら"]


def _with_codes(file: Path, *texts: str) -> ParsedDocument:
    """Parse a page that is set in a font without a table of its characters, whose codes are those of the texts."""
    with pikepdf.new() as document:
        page = document.add_blank_page(page_size=(612, 792))
        descendant = pikepdf.Dictionary(
            Type=pikepdf.Name("/Font"),
            Subtype=pikepdf.Name("/CIDFontType2"),
            BaseFont=pikepdf.Name("/Unmapped"),
            CIDSystemInfo=pikepdf.Dictionary(Registry=b"Adobe", Ordering=b"Identity", Supplement=0),
            DW=600,
        )
        font = pikepdf.Dictionary(
            Type=pikepdf.Name("/Font"),
            Subtype=pikepdf.Name("/Type0"),
            BaseFont=pikepdf.Name("/Unmapped"),
            Encoding=pikepdf.Name("/Identity-H"),
            DescendantFonts=[descendant],
        )
        page.Resources = pikepdf.Dictionary(Font=pikepdf.Dictionary(F1=document.make_indirect(font)))
        shown = b" ".join(b"<%b> Tj T*" % text.encode("utf-16-be").hex().encode() for text in texts)
        page.Contents = document.make_stream(b"BT /F1 10 Tf 14 TL 60 740 Td %b ET" % shown)
        document.save(file)
    return parse_pdf(file)


def test_codes_that_make_text_are_read_as_what_they_are(file: Path) -> None:
    document = _with_codes(file, "Faktura nr 1/2021", "sześć złotych")
    assert document.text == "Faktura nr 1/2021 sześć złotych"
    assert document.omissions == ()


@pytest.mark.parametrize(
    "texts",
    [("\x29\x44\x4e\x57\x58\x55\x44", "\x03\x51\x55\x03\x14"), ("Kcwjiz", "px")],
    ids=["numbers of glyphs", "no blanks"],
)
def test_codes_that_make_no_text_are_not_passed_off_as_it(file: Path, texts: tuple[str, ...]) -> None:
    with pytest.raises(NoTextError):
        _with_codes(file, *texts)
