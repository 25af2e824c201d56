"""Workbooks with known cells, in every format that a library here writes."""

import io
import struct
import zipfile
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path

import xlsxwriter
import xlwt
from odfdo import Cell, Document, Row, Table

from tests.support.office_files import relations

Value = str | float | int | bool | date
Sheet = Sequence[Sequence[Value | None]]
_BINARY_TYPES = (
    '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"><Override PartName="/xl/workbook.bin" '
    'ContentType="application/vnd.ms-excel.sheet.binary.macroEnabled.main"/></Types>'
)


def xlsx(sheets: Mapping[str, Sheet]) -> bytes:
    content = io.BytesIO()
    with xlsxwriter.Workbook(content, {"in_memory": True}) as book:
        day = book.add_format({"num_format": "yyyy-mm-dd"})
        for name, rows in sheets.items():
            sheet = book.add_worksheet(name)
            for row, cells in enumerate(rows):
                for column, value in enumerate(cells):
                    match value:
                        case None:
                            pass
                        case bool():
                            sheet.write_boolean(row, column, value)
                        case date():
                            sheet.write_datetime(row, column, value, day)
                        case str():
                            sheet.write_string(row, column, value)
                        case _:
                            sheet.write_number(row, column, value)
    return content.getvalue()


def ods(sheets: Mapping[str, Sheet]) -> bytes:
    book = Document("spreadsheet")
    book.body.clear()
    for name, rows in sheets.items():
        table = Table(name)
        for cells in rows:
            row = Row()
            for value in cells:
                row.append_cell(Cell(value) if value is not None else Cell())
            table.append_row(row)
        book.body.append(table)
    content = io.BytesIO()
    book.save(content)
    return content.getvalue()


def xls(sheets: Mapping[str, Sheet]) -> bytes:
    book = xlwt.Workbook()
    day = xlwt.easyxf(num_format_str="yyyy-mm-dd")
    for name, rows in sheets.items():
        sheet = book.add_sheet(name)
        for row, cells in enumerate(rows):
            for column, value in enumerate(cells):
                if isinstance(value, date):
                    sheet.write(row, column, value, day)
                elif value is not None:
                    sheet.write(row, column, value)
    content = io.BytesIO()
    book.save(content)
    return content.getvalue()


WRITERS = {".xlsx": xlsx, ".ods": ods, ".xls": xls}


def xlsb(cells: bytes) -> bytes:
    """Return a binary workbook with one sheet, Tides, whose first row holds these records (MS-XLSB 2.1.4)."""
    sheet = struct.pack("<LL", 0, 1) + _wide("rId1") + _wide("Tides")
    book = [_record(131), _record(143), _record(156, sheet), _record(144), _record(132)]
    row = [_record(0, struct.pack("<LLHBBBL", 0, 0, 300, 0, 0, 0, 0)), cells]
    used = _record(148, struct.pack("<LLLL", 0, 0, 0, 1))
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("[Content_Types].xml", _BINARY_TYPES)
        archive.writestr("xl/_rels/workbook.bin.rels", relations({"rId1": ("worksheet", "worksheets/sheet1.bin")}))
        archive.writestr("xl/workbook.bin", b"".join(book))
        archive.writestr(
            "xl/worksheets/sheet1.bin",
            b"".join([_record(129), used, _record(145), *row, _record(146), _record(130)]),
        )
    return content.getvalue()


def xlsb_number(column: int, number: float) -> bytes:
    """Return a cell with a number."""
    return _record(5, struct.pack("<LLd", column, 0, number))


def xlsb_shared_string(column: int, index: int) -> bytes:
    """Return a cell with a string by its index in the table of shared strings."""
    return _record(7, struct.pack("<LLL", column, 0, index))


def _record(kind: int, data: bytes = b"") -> bytes:
    """Return a record (MS-XLSB 2.1.4) of fewer than 128 bytes."""
    first = bytes([kind]) if kind < 0x80 else bytes([kind & 0x7F | 0x80, kind >> 7])
    return first + bytes([len(data)]) + data


def _wide(text: str) -> bytes:
    return struct.pack("<L", len(text)) + text.encode("utf-16-le")


def written(folder: Path, content: bytes) -> Path:
    path = folder / "book"
    path.write_bytes(content)
    return path
