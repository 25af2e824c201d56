"""Read the text boxes and other shapes with text in an XLSX sheet (ECMA-376 part 1, 20.5)."""

from lxml import etree

from ingest.parsing.office.names import A, is_property_on, resolve_alternatives
from ingest.parsing.office.numbers import parse_whole_number
from ingest.parsing.office.package import Package
from ingest.parsing.office.pptx_text import extract_paragraph_text
from ingest.parsing.sheets.facts import SheetMetadata, TextBox

_XDR = "{http://schemas.openxmlformats.org/drawingml/2006/spreadsheetDrawing}"


def collect_text_boxes(package: Package, sheet_part: str, metadata: SheetMetadata) -> None:
    """Add the text boxes of a sheet to its metadata, and count the hidden ones. `sheet_part` is the name of its part.

    Raises `DamagedDocumentError` if the drawing cannot be read.
    """
    for name in package.list_related_parts(sheet_part, "drawing"):
        drawing = package.parse_part(name)
        resolve_alternatives(drawing)
        for anchor in drawing.iterchildren():
            row, column = _get_anchor_cell(anchor)
            for shape in anchor.iter(f"{_XDR}sp"):  # The iteration includes shapes in groups.
                text = _extract_text(shape)
                # guard: sheet-hidden-text-box
                if text and _is_hidden(shape):
                    metadata.hidden_text_boxes += 1
                elif text:
                    metadata.text_boxes.append(TextBox(row, column, text))


def _get_anchor_cell(anchor: etree._Element) -> tuple[int, int]:
    """Return the row and column, from 0, of the cell under a shape's corner, or 0, 0 for an absolute position."""
    start = anchor.find(f"{_XDR}from")
    if start is None:
        return 0, 0
    row, column = (parse_whole_number(start.findtext(f"{_XDR}{each}"), 0) for each in ("row", "col"))
    return max(0, row), max(0, column)


def _extract_text(shape: etree._Element) -> str:
    body = shape.find(f"{_XDR}txBody")
    lines = () if body is None else map(extract_paragraph_text, body.iterchildren(f"{A}p"))
    return "\n".join(filter(str.strip, lines)).strip()


def _is_hidden(shape: etree._Element) -> bool:
    """Return whether a shape or a group that contains it is hidden."""
    groups = (each for each in shape.iterancestors(f"{_XDR}grpSp"))
    named = (next(each.iter(f"{_XDR}cNvPr"), None) for each in (shape, *groups))
    return any(each is not None and each.get("hidden") is not None and is_property_on(each, "hidden") for each in named)
