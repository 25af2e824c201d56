"""Read the metadata of an ODS workbook from its XML, in one pass over the rows of each sheet."""

import io
import re
import zipfile
from pathlib import Path
from typing import IO

from lxml import etree

from ingest.parsing.containers import ZIP_SIGNATURE
from ingest.parsing.errors import DamagedDocumentError
from ingest.parsing.office.odf import require_unencrypted_package
from ingest.parsing.office.package import Package
from ingest.parsing.sheets.facts import DURATION, ERROR, CellComment, SheetMetadata, TextBox, WorkbookMetadata
from ingest.parsing.sheets.values import ERRORS
from ingest.parsing.zip_guard import open_zip, read_entry
from ingest.storage.remarks import Remark

_OFFICE = "{urn:oasis:names:tc:opendocument:xmlns:office:1.0}"
_TABLE = "{urn:oasis:names:tc:opendocument:xmlns:table:1.0}"
_DRAW = "{urn:oasis:names:tc:opendocument:xmlns:drawing:1.0}"
_TEXT = "{urn:oasis:names:tc:opendocument:xmlns:text:1.0}"
_CALC = "{urn:org:documentfoundation:names:experimental:calc:xmlns:calcext:1.0}"
_META = "{http://purl.org/dc/elements/1.1/}"
_SIGNS = {"EUR": "€", "USD": "$", "GBP": "£", "JPY": "¥", "INR": "₹", "KRW": "₩", "UAH": "₴", "ILS": "₪", "VND": "₫"}
_CELLS = (f"{_TABLE}table-cell", f"{_TABLE}covered-table-cell")
_VISIBLE = (None, "visible")
_BLANKS = re.compile(rb"(?P<paragraph><text:p[ >].*?</text:p>)|(?<=>)\s+(?=<)", re.DOTALL)
_MAX_REPEATS = 1_000  # Minimum number of repetitions at which a repeated row or cell only fills the rest of the sheet.


def read_ods_metadata(archive: zipfile.ZipFile) -> WorkbookMetadata:
    """Read the metadata of a workbook. Raises `EncryptedDocumentError`, or `DamagedDocumentError` for invalid XML."""
    require_unencrypted_package(Package(archive))
    names = archive.namelist()
    facts = WorkbookMetadata(
        images=sum(name.startswith("Pictures/") and not name.endswith("/") for name in names),
        charts=sum(name.startswith("Object ") and name.endswith("/content.xml") for name in names),
        has_macros=any(name.startswith(("Basic/", "Scripts/")) and not name.endswith("/") for name in names),
    )
    try:
        with archive.open("content.xml") as file:
            _collect_content_metadata(file, facts)
        if "meta.xml" in names:
            with archive.open("meta.xml") as file:
                parser = etree.XMLParser(resolve_entities=False, load_dtd=False, no_network=True)
                facts.title = etree.parse(file, parser).findtext(f".//{_META}title")
    except (etree.XMLSyntaxError, ValueError, zipfile.BadZipFile) as error:
        raise DamagedDocumentError(Remark("workbook_damaged")) from error
    return facts


def copy_without_white_space(path: Path) -> io.BytesIO | None:
    """Return a copy of an ODS file without white space between its XML elements, or None for other files.

    calamine reads the white space of pretty-printed XML as content. White space inside paragraphs is kept.
    """
    with path.open("rb") as file:
        if file.read(len(ZIP_SIGNATURE)) != ZIP_SIGNATURE:
            return None
    with open_zip(path) as archive:
        if "content.xml" not in archive.namelist():
            return None
        plain = io.BytesIO()
        with zipfile.ZipFile(plain, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as target:
            for name in ("mimetype", "META-INF/manifest.xml", "content.xml"):
                if name in archive.namelist():
                    content = read_entry(archive, name)
                    target.writestr(name, _BLANKS.sub(_keep_paragraph, content) if name == "content.xml" else content)
    plain.seek(0)
    return plain


def _keep_paragraph(match: re.Match[bytes]) -> bytes:
    return match["paragraph"] or b""


def _collect_content_metadata(file: IO[bytes], metadata: WorkbookMetadata) -> None:
    tags = (f"{_TABLE}table", f"{_TABLE}table-row", f"{_TABLE}table-column", f"{_TABLE}shapes")
    options = {"resolve_entities": False, "load_dtd": False, "no_network": True}
    sheet, row = SheetMetadata(), 0
    for event, element in etree.iterparse(file, events=("start", "end"), tag=tags, **options):
        if element.tag == tags[0]:
            if event == "start":
                sheet, row = SheetMetadata(), 0
            else:
                metadata.sheets[element.get(f"{_TABLE}name", "")] = sheet
                element.clear()
        elif event == "end" and element.tag == tags[3]:
            _collect_text_boxes(element, sheet)
        elif event == "end":
            repeated = _get_repeat_count(element, "rows" if element.tag == tags[1] else "columns")
            hidden = element.get(f"{_TABLE}visibility") not in _VISIBLE
            if element.tag == tags[2]:
                sheet.hidden_columns += hidden * (repeated if repeated < _MAX_REPEATS else 1)
                continue
            sheet.hidden_rows += hidden * (repeated if repeated < _MAX_REPEATS else 1)
            _collect_row_metadata(element, row, repeated, sheet)
            row += repeated
            element.clear()
            while element.getprevious() is not None:
                del element.getparent()[0]


def _collect_text_boxes(shapes: etree._Element, metadata: SheetMetadata) -> None:
    """Add the text boxes that belong to a sheet and not to a cell."""
    for shape in shapes.iterchildren():
        text = "\n".join("".join(line.itertext()) for line in shape.iter(f"{_TEXT}p")).strip()
        # guard: sheet-hidden-ods-box
        if text and shape.get(f"{_DRAW}display") == "none":
            metadata.hidden_text_boxes += 1
        elif text:
            metadata.text_boxes.append(TextBox(0, 0, text))


def _collect_row_metadata(row: etree._Element, row_number: int, row_count: int, metadata: SheetMetadata) -> None:
    column = 0
    for cell in row.iterchildren(*_CELLS):
        repeated = _get_repeat_count(cell, "columns")
        if repeated < _MAX_REPEATS:
            for runs, fact in ((metadata.units, _get_unit(cell)), (metadata.kinds, _get_value_kind(cell))):
                for at in range(column, column + repeated) if fact else ():
                    runs.add_unit(row_number, at, fact, row_count)
            wide, high = (int(cell.get(f"{_TABLE}number-{each}-spanned", "1")) for each in ("columns", "rows"))
            if wide > 1 or high > 1:
                metadata.merged.append(((row_number, column), (row_number + high - 1, column + wide - 1)))
            for note in cell.iterchildren(f"{_OFFICE}annotation"):
                text = "\n".join("".join(line.itertext()) for line in note.iter(f"{_TEXT}p")).strip()
                if text:
                    metadata.comments.append(CellComment(row_number, column, text))
        column += repeated


def _get_unit(cell: etree._Element) -> str:
    match cell.get(f"{_OFFICE}value-type"):
        case "percentage":
            return "%"
        case "currency":
            return _SIGNS.get(cell.get(f"{_OFFICE}currency", ""), "")
        case _:
            return ""


def _get_value_kind(cell: etree._Element) -> str:
    """Return `ERROR` for a formula with an error, `DURATION` for a duration, or an empty string for other cells.

    Excel saves an error as the value 0.
    """
    if cell.get(f"{_OFFICE}value-type") == "time":
        return DURATION
    is_error = cell.get(f"{_CALC}value-type") == "error"
    if is_error or (cell.get(f"{_TABLE}formula") and cell.findtext(f"{_TEXT}p") in ERRORS):
        return ERROR
    return ""


def _get_repeat_count(element: etree._Element, dimension: str) -> int:
    return max(1, int(element.get(f"{_TABLE}number-{dimension}-repeated", "1")))
