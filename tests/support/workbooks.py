"""Workbooks with known cells, in every format that a library here writes."""

import io
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path

import xlsxwriter
import xlwt
from odfdo import Cell, Document, Row, Table

Value = str | float | int | bool | date
Sheet = Sequence[Sequence[Value | None]]


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


def written(folder: Path, content: bytes) -> Path:
    path = folder / "book"
    path.write_bytes(content)
    return path
