"""Read the metadata of an XLSX workbook from its XML, in one pass over the rows of each sheet that needs it."""

import re
import zipfile
from collections.abc import Iterator
from typing import IO

from lxml import etree

from ingest.parsing.errors import DamagedDocumentError, ParserLimitError
from ingest.parsing.office.package import Package
from ingest.parsing.sheets.facts import CellComment, SheetMetadata, UsedRange, WorkbookMetadata
from ingest.parsing.sheets.headers import format_column_letters
from ingest.parsing.sheets.text_boxes import collect_text_boxes
from ingest.storage.remarks import Remark

_MAX_LISTED = 10
_ALWAYS_READ_BYTES = 8 * 1024**2
_BLOCK_BYTES = 1 << 20
_MAX_NAME_CHARS = 40
# Maximum number of cells in the used range. calamine needs 32 bytes for each of them, and a parser has 1.5 GB of memory
# (`ParserLimits.memory_bytes`).
_MAX_CELLS = 40_000_000
# Ids of the built-in percent formats, which have no format code (ECMA-376 part 1, 18.8.30).
_PERCENT_FORMATS = frozenset({"9", "10"})
_TRUE = frozenset({"1", "true", "on"})
_worth_reading = re.compile(rb"""<(?:\w+:)?f[\s>/]|hidden=["'](?:1|t)|\st=["']e["']""")
_literal = re.compile(r'"[^"]*"|\\.|_.|\*.')
_padded = re.compile(r"0{2,}")
_currency = re.compile(r"\[\$([^\]\-]+)(?:-[^\]]*)?\]|([$£¥€\u20a0-\u20cf])")
_reference = re.compile(r"([A-Z]{1,3})(\d{1,7})")
_RELATION_ID = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"


def read_xlsx_metadata(archive: zipfile.ZipFile) -> WorkbookMetadata:
    """Read the metadata of a workbook. Raises `DamagedDocumentError` for invalid XML."""
    package = Package(archive)
    names = package.names
    facts = WorkbookMetadata(
        title=_read_title(package),
        images=sum(name.startswith("xl/media/") for name in names),
        charts=sum(bool(re.fullmatch(r"xl/(?:charts/chart|chartsheets/sheet)\w*\.xml", name)) for name in names),
        embedded=sum(name.startswith("xl/embeddings/") for name in names),
        has_macros="xl/vbaProject.bin" in names,
    )
    units = _read_units(package)
    book = next(iter(package.list_related_parts("", "officeDocument")), None)
    if book is None:
        return facts
    relations = package.load_relations(book)
    for sheet in package.parse_part(book).iter("{*}sheet"):
        relation = relations.get(sheet.get(_RELATION_ID, ""))
        if relation and relation.kind == "worksheet" and relation.target in names:
            found = SheetMetadata()
            _collect_sheet_metadata(archive, relation.target, units, found)
            _require_readable_size(found.used, sheet.get("name", ""))
            found.comments.extend(_iter_comments(package, relation.target))
            collect_text_boxes(package, relation.target, found)
            facts.sheets[sheet.get("name", "")] = found
    return facts


def _read_title(package: Package) -> str | None:
    if "docProps/core.xml" not in package.names:
        return None
    return str(package.parse_part("docProps/core.xml").findtext("{*}title", ""))


def _read_units(package: Package) -> dict[str, str]:
    """Return the units of cell styles, keyed by style number. Styles without a unit are omitted."""
    if "xl/styles.xml" not in package.names:
        return {}
    styles = package.parse_part("xl/styles.xml")
    codes = {each.get("numFmtId"): each.get("formatCode", "") for each in styles.iter("{*}numFmt")}
    formats = styles.find("{*}cellXfs")
    found: dict[str, str] = {}
    for number, style in enumerate(() if formats is None else formats.iterchildren("{*}xf")):
        identifier = str(style.get("numFmtId", "0"))
        if unit := "%" if identifier in _PERCENT_FORMATS else parse_unit(codes.get(identifier, "")):
            found[str(number)] = unit
    return found


def parse_unit(code: str) -> str:
    """Return the unit in a number format: a percent sign, a currency sign, zeros for padding, or an empty string."""
    if _padded.fullmatch(code):
        return code
    currency = _currency.search(code)
    if currency:
        sign = currency[1] or currency[2]
        return sign if len(sign) == 1 and not sign.isalnum() else ""
    return "%" if "%" in _literal.sub("", code) else ""


def _collect_sheet_metadata(
    archive: zipfile.ZipFile, part_name: str, units: dict[str, str], metadata: SheetMetadata
) -> None:
    info = archive.getinfo(part_name)
    if info.file_size > _ALWAYS_READ_BYTES and not units:
        with archive.open(part_name) as file:
            if not _has_relevant_content(file):
                return
    try:
        with archive.open(part_name) as file:
            parsed = etree.iterparse(
                file, tag=("{*}row", "{*}col"), resolve_entities=False, load_dtd=False, no_network=True
            )
            number = -1
            for _, element in parsed:
                if element.tag.endswith("}col"):
                    metadata.hidden_columns += _count_hidden_columns(element)
                    continue
                number = int(element.get("r", number + 2)) - 1
                metadata.hidden_rows += element.get("hidden") in _TRUE
                _collect_row_metadata(element, number, units, metadata)
                element.clear()
                while element.getprevious() is not None:
                    del element.getparent()[0]
    except (etree.XMLSyntaxError, ValueError, zipfile.BadZipFile) as error:
        raise DamagedDocumentError(Remark("workbook_part_damaged", part=part_name[:200])) from error


def _require_readable_size(used_range: UsedRange, sheet_name: str) -> None:
    """Raise `ParserLimitError` if a sheet is too large for calamine, which also stores empty cells in the range."""
    if used_range.cell_count > _MAX_CELLS:
        first = f"{format_column_letters(used_range.left)}{used_range.top + 1}"
        last = f"{format_column_letters(used_range.right)}{used_range.bottom + 1}"
        raise ParserLimitError(
            Remark(
                "sheet_too_large",
                sheet=sheet_name[:_MAX_NAME_CHARS],
                first=first,
                last=last,
                cells=used_range.cell_count,
                limit=_MAX_CELLS,
            ),
            hint=Remark("hint_cells_far", last=last),
        )


def _has_value(cell: etree._Element) -> bool:
    return bool(cell.findtext("{*}v")) or cell.find("{*}is") is not None


def _has_relevant_content(file: IO[bytes]) -> bool:
    before = b""
    while block := file.read(_BLOCK_BYTES):
        if _worth_reading.search(before + block):
            return True
        before = block[-64:]
    return False


def _count_hidden_columns(column: etree._Element) -> int:
    if column.get("hidden") not in _TRUE:
        return 0
    first, last = int(column.get("min", "1")), int(column.get("max", "1"))
    # A column range that extends to the end of the sheet counts as one column.
    return 1 if last >= 16_384 else max(0, last - first + 1)


def _collect_row_metadata(row: etree._Element, row_number: int, units: dict[str, str], metadata: SheetMetadata) -> None:
    column = -1
    for cell in row:
        found = _reference.fullmatch(cell.get("r", ""))
        column = _parse_column(found[1]) if found else column + 1
        if len(cell) and not metadata.used.contains_cell(row_number, column) and _has_value(cell):
            metadata.used.extend_to_cell(row_number, column)
        if unit := units.get(cell.get("s", "")):
            metadata.units.add_unit(row_number, column, unit)
        kind = cell.get("t")
        if kind == "e":
            metadata.errors += 1
        elif cell.find("{*}f") is not None and kind != "str" and not cell.findtext("{*}v"):
            metadata.not_computed_count += 1
            if len(metadata.not_computed) < _MAX_LISTED:
                metadata.not_computed.append(cell.get("r", ""))


def _parse_column(letters: str) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + ord(letter) - ord("A") + 1
    return number - 1


def _iter_comments(package: Package, sheet_part: str) -> Iterator[CellComment]:
    """Yield the comments of a sheet.

    Threads are read from their own part, because the note on a cell only says that a thread exists.
    """
    found: dict[str, list[str]] = {}
    relations = sorted(package.load_relations(sheet_part).values(), key=lambda each: each.kind != "threadedComment")
    threaded: set[str] = set()
    for relation in relations:
        if relation.kind not in ("threadedComment", "comments") or relation.target not in package.names:
            continue
        for each in package.parse_part(relation.target).iter("{*}threadedComment", "{*}comment"):
            reference = each.get("ref", "")
            if relation.kind == "threadedComment":
                threaded.add(reference)
            elif reference in threaded:
                continue
            text = "".join(each.itertext("{*}t", "{*}text")).strip()
            if text:
                found.setdefault(reference, []).append(text)
    for reference, texts in found.items():
        if at := _reference.fullmatch(reference):
            yield from (CellComment(int(at[2]) - 1, _parse_column(at[1]), text) for text in texts)
