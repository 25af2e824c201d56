"""Convert a workbook to text. Each sheet becomes a `Place` with a heading, followed by the tables of the sheet.

Hidden rows and columns are read like others: filters and collapsed groups hide them, and sums would be wrong without
them. Hidden sheets are not read, because their author removed them from view. Both are recorded as omissions.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import chain, islice
from pathlib import Path

from python_calamine import (
    CalamineError,
    CalamineSheet,
    CalamineWorkbook,
    PasswordError,
    SheetTypeEnum,
    SheetVisibleEnum,
)

from ingest.parsing.errors import DamagedDocumentError, EncryptedDocumentError
from ingest.parsing.sheets.blocks import MergedCells, SheetBlock, SheetRow, iter_bands, iter_blocks
from ingest.parsing.sheets.facts import DURATION, ERROR, SheetMetadata, WorkbookMetadata
from ingest.parsing.sheets.headers import build_column_names, count_header_rows, count_title_rows, format_column_letters
from ingest.parsing.sheets.ods import copy_without_white_space, read_ods_metadata
from ingest.parsing.sheets.values import WORKBOOK_PARSER, Value, convert_duration, format_value, is_error_value, is_text
from ingest.parsing.sheets.xlsx import read_xlsx_metadata
from ingest.parsing.tables import MAX_COLUMNS, MAX_NAME_CHARS
from ingest.parsing.types import ParsedDocument
from ingest.parsing.writer import DocumentWriter, Piece, PositionedRow
from ingest.parsing.zip_guard import open_zip
from ingest.storage.remarks import Remark
from ingest.storage.texts.layout import OmissionKind, PlaceKind
from ingest.storage.texts.positions import SheetCell

# Maximum number of rows from which columns are determined. A longer band of rows is treated as a single table.
_HEAD_ROWS = 1_000
# Maximum number of cells with positions. For further cells, only their rows have positions.
_MAX_POSITIONED_CELLS = 200_000
_MAX_SHEETS = 2_000
_MAX_ROWS = 1_048_576  # Maximum number of rows in a sheet of Excel or LibreOffice.
_MAX_NAMED = 10
_ZIP_SIGNATURE = b"PK"
# Matches the record FilePass at the start of the workbook stream, optionally after the record WriteProtect (MS-XLS
# 2.1.7.20.3).
_password_record = re.compile(rb"\x09\x08\x10\x00.{16}(?:\x86\x00\x00\x00)?\x2f\x00", re.DOTALL)
_HINT = Remark("hint_workbook_save")


def parse_workbook(path: Path) -> ParsedDocument:
    """Parse XLSX, XLSB, XLS or ODS.

    Raises `EncryptedDocumentError`, `DamagedDocumentError` or `NoTextError`, and `ParserLimitError` for archives that
    `ingest.parsing.zip_guard` rejects.
    """
    facts = _read_metadata(path)
    try:
        with _open_workbook(path) as workbook:
            return _WorkbookWriter(workbook, facts).build_document()
    except CalamineError as error:
        if isinstance(error, PasswordError) or _has_password(path):
            raise EncryptedDocumentError(Remark("workbook_encrypted")) from error
        raise DamagedDocumentError(Remark("workbook_unreadable", problem=str(error)[:200]), hint=_HINT) from error
    except BaseException as error:
        # calamine panics on some damaged files. The class of the panic is not an `Exception`, and PyO3 does not export
        # the class.
        if type(error).__name__ != "PanicException":
            raise
        raise DamagedDocumentError(Remark("workbook_part_unreadable"), hint=_HINT) from error


def _open_workbook(path: Path) -> CalamineWorkbook:
    """Open a workbook. If calamine rejects it, try again without white space. Raises `CalamineError`."""
    try:
        return CalamineWorkbook.from_path(path)
    except CalamineError:
        plain = copy_without_white_space(path)
        if plain is None:
            raise
        return CalamineWorkbook.from_filelike(plain)


def _has_password(path: Path) -> bool:
    """Return whether an XLS file is encrypted. calamine does not report that for files without a name suffix."""
    return _password_record.search(path.read_bytes()) is not None


def _read_metadata(path: Path) -> WorkbookMetadata:
    with path.open("rb") as file:
        if file.read(2) != _ZIP_SIGNATURE:
            return WorkbookMetadata()
    with open_zip(path) as archive:
        names = frozenset(archive.namelist())
        if "content.xml" in names:
            return read_ods_metadata(archive)
        return WorkbookMetadata() if "xl/workbook.bin" in names else read_xlsx_metadata(archive)


class _WorkbookWriter:
    """Writes one workbook."""

    def __init__(self, workbook: CalamineWorkbook, metadata: WorkbookMetadata) -> None:
        self._workbook = workbook
        self._facts = metadata
        self._writer = DocumentWriter()
        self._cells = 0

    def build_document(self) -> ParsedDocument:
        hidden: list[str] = []
        for index, sheet in enumerate(self._workbook.sheets_metadata):
            if index >= _MAX_SHEETS:
                count = len(self._workbook.sheets_metadata) - _MAX_SHEETS
                self._writer.record_omission(OmissionKind.OTHER, count, Remark("omitted_sheets", sheets=_MAX_SHEETS))
                break
            # guard: hidden-sheets
            if sheet.visible is not SheetVisibleEnum.Visible:
                hidden.append(sheet.name)
            elif sheet.typ is SheetTypeEnum.WorkSheet:
                self._write_sheet(index, sheet.name)
        if hidden:
            self._writer.record_omission(
                OmissionKind.HIDDEN, len(hidden), Remark("omitted_hidden_sheets", names=_format_names(hidden))
            )
        self._record_other_omissions()
        nothing = Remark("no_text_sheets" if hidden else "no_text_workbook")
        return self._writer.finish(WORKBOOK_PARSER, self._facts.title, empty_message=nothing, hint=_HINT)

    def _write_sheet(self, index: int, name: str) -> None:
        writer, facts = self._writer, self._facts.get_sheet_metadata(name)
        place = writer.start_place(PlaceKind.SHEET, name, index + 1)
        sheet = self._workbook.get_sheet_by_index(index)
        rows = _iter_rows(sheet, facts)
        first = next(rows, None)
        if first is not None or facts.text_boxes:
            writer.write_heading(name, 1)
        if first is not None:
            tables = _SheetWriter(
                writer, facts, place.number, (sheet.start or (0, 0))[1], _MAX_POSITIONED_CELLS - self._cells
            )
            for band in iter_bands(chain([first], rows)):
                tables.write_band(band)
            self._cells += tables.cells
        for box in sorted(facts.text_boxes, key=lambda each: (each.row, each.column)):
            writer.write_paragraph(box.text, SheetCell(place.number, box.row + 1, box.column + 1))
        for comment in sorted(facts.comments, key=lambda each: (each.row, each.column)):
            at = SheetCell(place.number, comment.row + 1, comment.column + 1)
            writer.write_item(
                [Piece(f"Comment on {format_column_letters(comment.column)}{comment.row + 1}: {comment.text}", at)]
            )
        self._record_sheet_omissions(name, facts)

    def _record_sheet_omissions(self, name: str, metadata: SheetMetadata) -> None:
        omit = self._writer.record_omission
        if metadata.hidden_rows:
            omit(OmissionKind.HIDDEN, metadata.hidden_rows, Remark("omitted_sheet_rows", sheet=name))
        if metadata.hidden_columns:
            omit(OmissionKind.HIDDEN, metadata.hidden_columns, Remark("omitted_sheet_columns", sheet=name))
        if metadata.hidden_text_boxes:
            omit(OmissionKind.HIDDEN, metadata.hidden_text_boxes, Remark("omitted_sheet_boxes", sheet=name))
        if metadata.columns_past:
            omit(
                OmissionKind.OTHER,
                metadata.columns_past,
                Remark("omitted_columns_past", sheet=name, columns=MAX_COLUMNS),
            )
        if metadata.not_computed_count:
            cells = _format_names(metadata.not_computed, metadata.not_computed_count)
            detail = Remark("omitted_not_computed", sheet=name, cells=cells)
            omit(OmissionKind.FORMULA, metadata.not_computed_count, detail)
        if metadata.errors:
            omit(OmissionKind.FORMULA, metadata.errors, Remark("omitted_formula_errors", sheet=name))

    def _record_other_omissions(self) -> None:
        omit, facts = self._writer.record_omission, self._facts
        for kind, count, detail in (
            (OmissionKind.IMAGE, facts.images, Remark("omitted_pictures")),
            (OmissionKind.EMBEDDED_OBJECT, facts.charts, Remark("omitted_chart_cells")),
            (OmissionKind.EMBEDDED_OBJECT, facts.embedded, Remark("omitted_objects")),
            (OmissionKind.MACRO, int(facts.has_macros), Remark("omitted_macros")),
        ):
            if count:
                omit(kind, count, detail)


class _SheetWriter:
    """Writes the content of one sheet."""

    def __init__(
        self,
        writer: DocumentWriter,
        metadata: SheetMetadata,
        sheet_number: int,
        first_column: int,
        max_positioned_cells: int,
    ) -> None:
        self._writer = writer
        self._facts = metadata
        self._place = sheet_number
        self._first_column = first_column
        self._placed = max_positioned_cells
        self._caption = ""  # The text of the band of rows above, if the band consists of a single text.
        self.cells = 0

    def write_band(self, band: Iterator[SheetRow]) -> None:
        head = list(islice(band, _HEAD_ROWS))
        following = next(band, None)
        if following is None:
            for block in iter_blocks(head):
                self._write_block(block.remove_spread_columns(), ())
            return
        self._write_block(SheetBlock(head, range(len(head[0].values))), chain([following], band))

    def _write_block(self, block: SheetBlock, next_rows: Iterable[SheetRow]) -> None:
        rows, columns = block.rows, block.columns
        if len(columns) == 1 and _is_prose([row.values[columns[0]] for row in rows]):
            self._write_lines(rows, columns)
            self._caption = format_value(rows[0].values[columns[0]]) if len(rows) == 1 else ""
            return
        above = count_title_rows(block)
        self._write_lines(rows[:above], columns)
        caption = format_value(_get_first_value(rows[0], columns)) if above else self._caption
        self._caption = ""
        own = [at for at in columns if rows[-1].values[at] != "" and at not in rows[-1].spread]
        if len(rows) == above + 1 and len(own) == 1:
            self._write_lines(rows[above:], columns)
            self._caption = (
                format_value(rows[0].values[own[0]]) if len(rows) == 1 and is_text(rows[0].values[own[0]]) else ""
            )
            return
        self._write_table(rows[above:], columns, next_rows, " ".join(caption.split())[:MAX_NAME_CHARS])

    def _write_lines(self, rows: Sequence[SheetRow], columns: Sequence[int]) -> None:
        """Write each cell as a line of text with its position."""
        self._writer.write_pieces(
            Piece(format_value(row.values[at]), self._get_position(row, at), "\n")
            for row in rows
            for at in columns
            if row.values[at] != "" and at not in row.spread
        )

    def _write_table(
        self, rows: Sequence[SheetRow], columns: Sequence[int], next_rows: Iterable[SheetRow], name: str
    ) -> None:
        count = count_header_rows(rows, columns)
        header: list[Piece | str]
        if count:
            last = rows[count - 1]
            header = [
                Piece(text, self._get_position(last, at))
                for at, text in zip(columns, build_column_names(rows[:count], columns), strict=True)
            ]
        else:
            header = [format_column_letters(self._first_column + at) for at in columns]
        timed = {at for at in columns if any(isinstance(row.values[at], datetime) for row in rows[count:])}
        body = (self._build_row(row, columns, timed) for row in chain(rows[count:], next_rows))
        self._writer.write_table(chain([header], body), name=name)

    def _build_row(self, row: SheetRow, columns: Sequence[int], time_columns: set[int]) -> PositionedRow:
        units, values = self._facts.units, row.values
        cells = [
            format_value(values[at], units.get_unit(row.number, self._first_column + at), has_time=at in time_columns)
            for at in columns
        ]
        self.cells += len(cells)
        if self.cells <= self._placed:
            return PositionedRow(
                [Piece(text, self._get_position(row, at)) for text, at in zip(cells, columns, strict=True)]
            )
        return PositionedRow(cells, SheetCell(self._place, row.number + 1, 0))

    def _get_position(self, row: SheetRow, column: int) -> SheetCell:
        return SheetCell(self._place, row.number + 1, self._first_column + column + 1)


def _iter_rows(sheet: CalamineSheet, metadata: SheetMetadata) -> Iterator[SheetRow]:
    """Yield the rows of a sheet, with merged cells filled in. Errors are counted and become empty cells."""
    if sheet.start is None:
        return
    first_row, first_column = sheet.start
    if sheet.end is not None and sheet.end[0] >= _MAX_ROWS:
        raise DamagedDocumentError(Remark("sheet_too_long", rows=_MAX_ROWS))
    merged = MergedCells([*(sheet.merged_cell_ranges or ()), *metadata.merged])
    for number, row in enumerate(sheet.iter_rows()):  # The iteration starts at the first row and the first used column.
        if number < first_row:
            continue
        for at, value in enumerate(row):
            kind = metadata.kinds.get_unit(number, first_column + at) if metadata.kinds else ""
            if kind == ERROR or is_error_value(value):
                row[at] = ""
                metadata.errors += 1
            elif kind == DURATION and isinstance(value, str):
                row[at] = convert_duration(value)
        metadata.columns_past = max(metadata.columns_past, len(row) - MAX_COLUMNS)
        is_own = any(value != "" for value in row)
        filled = merged.fill_row(number, row[:MAX_COLUMNS], first_column)
        if is_own or filled.is_blank:  # Rows that only continue merged cells are skipped.
            yield filled


def _is_prose(values: Sequence[Value]) -> bool:
    """Return whether a column of text is prose, not a list under a heading.

    Prose has at most two lines, or has lines that are too long for names.
    """
    return all(map(is_text, values)) and (
        len(values) < 3 or any(len(format_value(value)) > MAX_NAME_CHARS for value in values)
    )


def _get_first_value(row: SheetRow, columns: Sequence[int]) -> Value:
    return next(row.values[at] for at in columns if row.values[at] != "")


def _format_names(names: Sequence[str], total: int | None = None) -> str:
    total = len(names) if total is None else total
    shown = ", ".join(names[:_MAX_NAMED])
    return Remark("omitted_names_more", names=shown, rest=total - _MAX_NAMED) if total > _MAX_NAMED else shown
