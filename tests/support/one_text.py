"""One text in fifteen formats, made by the libraries that people's programs use."""

import csv
import io
import json
from collections.abc import Callable
from email.message import EmailMessage

import docx
import openpyxl
import pptx
from odfdo import Cell, Document, Header, Paragraph, Row, Table

from tests.support.pdf_files import pdf
from tests.support.zip_files import zipped

TITLE = "Lights of the western coast"
SECTION = "Skerryvore"
FACT = "The keeper of Skerryvore climbs 168 steps to the lamp room."
QUESTION = "How many steps does the keeper of Skerryvore climb?"
_OTHER_SECTION = "Ardnamurchan"
_OTHERS = (
    "Ardnamurchan was built of granite from the Ross of Mull.",
    "Its lamp was first lit in the autumn of 1849.",
)
_TEXT = ((SECTION, (FACT, "Storms keep the relief boat away for weeks.")), (_OTHER_SECTION, _OTHERS))
_LINES = [line for heading, lines in _TEXT for line in (heading, *lines)]


def _markdown() -> bytes:
    parts = [f"# {TITLE}", *(part for heading, lines in _TEXT for part in (f"## {heading}", *lines))]
    return "\n\n".join(parts).encode()


def _html() -> bytes:
    body = "".join(f"<h2>{heading}</h2>" + "".join(f"<p>{line}</p>" for line in lines) for heading, lines in _TEXT)
    return f"<!doctype html><title>{TITLE}</title><main><h1>{TITLE}</h1>{body}</main>".encode()


def _docx() -> bytes:
    document, file = docx.Document(), io.BytesIO()
    document.add_heading(TITLE, 0)
    for heading, lines in _TEXT:
        document.add_heading(heading, 1)
        for line in lines:
            document.add_paragraph(line)
    document.save(file)
    return file.getvalue()


def _pptx() -> bytes:
    deck, file = pptx.Presentation(), io.BytesIO()
    deck.core_properties.title = TITLE
    for heading, lines in _TEXT:
        slide = deck.slides.add_slide(deck.slide_layouts[1])
        slide.shapes.title.text = heading
        slide.placeholders[1].text_frame.text = "\n".join(lines)
    deck.save(file)
    return file.getvalue()


def _odt() -> bytes:
    document, file = Document("text"), io.BytesIO()
    document.body.clear()
    document.body.append(Header(1, TITLE))
    for heading, lines in _TEXT:
        document.body.append(Header(2, heading))
        for line in lines:
            document.body.append(Paragraph(line))
    document.save(file)
    return file.getvalue()


def _odp() -> bytes:
    from odfdo import DrawPage, Frame

    document, file = Document("presentation"), io.BytesIO()
    document.body.clear()
    for number, (heading, lines) in enumerate(_TEXT, start=1):
        page = DrawPage(f"page{number}", name=heading)
        for at, text in enumerate((heading, *lines)):
            frame = Frame.text_frame(text, size=("20cm", "2cm"), position=("2cm", f"{2 + 3 * at}cm"))
            page.append(frame)
        document.body.append(page)
    document.save(file)
    return file.getvalue()


def _rtf() -> bytes:
    return ("{\\rtf1\\ansi\\deff0{\\fonttbl{\\f0 Arial;}}" + "\\par ".join([TITLE, *_LINES]) + "\\par}").encode()


def _epub() -> bytes:
    chapters = {
        f"c{number}.xhtml": f"<html xmlns='http://www.w3.org/1999/xhtml'><body><h1>{heading}</h1>"
        + "".join(f"<p>{line}</p>" for line in lines)
        + "</body></html>"
        for number, (heading, lines) in enumerate(_TEXT, start=1)
    }
    items = "".join(f"<item id='{name}' href='{name}' media-type='application/xhtml+xml'/>" for name in chapters)
    spine = "".join(f"<itemref idref='{name}'/>" for name in chapters)
    package = (
        "<package xmlns='http://www.idpf.org/2007/opf' version='3.0'><metadata xmlns:dc='http://purl.org/dc/elements/1.1/'>"
        f"<dc:title>{TITLE}</dc:title></metadata><manifest>{items}</manifest><spine>{spine}</spine></package>"
    )
    container = (
        "<container xmlns='urn:oasis:names:tc:opendocument:xmlns:container' version='1.0'><rootfiles>"
        "<rootfile full-path='book.opf' media-type='application/oebps-package+xml'/></rootfiles></container>"
    )
    files = {"mimetype": "application/epub+zip", "META-INF/container.xml": container, "book.opf": package, **chapters}
    return zipped(files)


def _eml() -> bytes:
    message = EmailMessage()
    message["Subject"], message["From"], message["To"] = TITLE, "ann@example.org", "bob@example.org"
    message.set_content("\n\n".join(_LINES))
    return message.as_bytes()


def _json() -> bytes:
    return json.dumps(
        {"title": TITLE, "lights": [{"name": name, "text": lines} for name, lines in _TEXT]}, indent=1
    ).encode()


def _rows() -> list[tuple[str, str]]:
    return [("light", "remark"), *((heading, line) for heading, lines in _TEXT for line in lines)]


def _csv() -> bytes:
    file = io.StringIO()
    csv.writer(file).writerows(_rows())
    return file.getvalue().encode()


def _xlsx() -> bytes:
    book, file = openpyxl.Workbook(), io.BytesIO()
    sheet = book.active
    sheet.title = "Lights"
    for row in _rows():
        sheet.append(row)
    book.save(file)
    return file.getvalue()


def _ods() -> bytes:
    document, file = Document("spreadsheet"), io.BytesIO()
    document.body.clear()
    table = Table("Lights")
    for values in _rows():
        row = Row()
        for value in values:
            row.append_cell(Cell(value))
        table.append_row(row)
    document.body.append(table)
    document.save(file)
    return file.getvalue()


FORMATS: dict[str, Callable[[], bytes]] = {
    "md": _markdown,
    "txt": lambda: "\n\n".join([TITLE, *_LINES]).encode("utf-16"),
    "html": _html,
    "docx": _docx,
    "pptx": _pptx,
    "odt": _odt,
    "odp": _odp,
    "rtf": _rtf,
    "epub": _epub,
    "eml": _eml,
    "pdf": lambda: pdf([[TITLE, SECTION, *_TEXT[0][1]], [_OTHER_SECTION, *_OTHERS]], title=TITLE),
    "json": _json,
    "csv": _csv,
    "xlsx": _xlsx,
    "ods": _ods,
}
# Where the fact stands, in the words of a reader of the file; other formats have no places.
PLACES = {
    "csv": "row 2",
    "json": "row 1",
    "pdf": "page 1",
    "pptx": "slide 1",
    "odp": "slide 1",
    "xlsx": "sheet Lights, row 2",
    "ods": "sheet Lights, row 2",
}
