"""Metadata of a workbook that calamine does not report: number formats, hidden rows, errors, comments, text boxes."""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field

from ingest.parsing.sheets.blocks import Range

ERROR, DURATION = "error", "duration"


@dataclass
class UnitRuns:
    """The units of cells, stored as runs of rows per column, because a column usually has a single number format."""

    _runs: dict[int, list[tuple[int, int, str]]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self._runs)

    def add_unit(self, row: int, column: int, unit: str, row_count: int = 1) -> None:
        """Set the unit of a cell, or of `row_count` consecutive cells in a column.

        Add the rows of a column in order.
        """
        runs = self._runs.setdefault(column, [])
        if runs and runs[-1][1] == row and runs[-1][2] == unit:
            runs[-1] = (runs[-1][0], row + row_count, unit)
        else:
            runs.append((row, row + row_count, unit))

    def get_unit(self, row: int, column: int) -> str:
        """Return the unit of a cell, or an empty string."""
        runs = self._runs.get(column)
        if not runs:
            return ""
        start, end, unit = runs[max(0, bisect_right(runs, row, key=lambda run: run[0]) - 1)]
        return unit if start <= row < end else ""


@dataclass(frozen=True)
class CellComment:
    """A comment on a cell. Rows and columns count from 0."""

    row: int
    column: int
    text: str


@dataclass(frozen=True)
class TextBox:
    """A text box, with the row and column (from 0) of the cell under its upper left corner."""

    row: int
    column: int
    text: str


@dataclass
class UsedRange:
    """The smallest range that contains all cells with a value. Rows and columns count from 0.

    If no cell has a value, `right` is -1.
    """

    top: int = 0
    left: int = 0
    bottom: int = -1
    right: int = -1

    @property
    def cell_count(self) -> int:
        return (self.bottom - self.top + 1) * (self.right - self.left + 1)

    def contains_cell(self, row: int, column: int) -> bool:
        """Return whether a cell is inside the range."""
        return self.top <= row <= self.bottom and self.left <= column <= self.right

    def extend_to_cell(self, row: int, column: int) -> None:
        """Extend the range to include a cell."""
        if self.right < 0:
            self.top, self.left = row, column
        self.top, self.left = min(self.top, row), min(self.left, column)
        self.bottom, self.right = max(self.bottom, row), max(self.right, column)


@dataclass
class SheetMetadata:
    """Metadata of one sheet. `hidden_rows`, `hidden_columns` and `hidden_text_boxes` are counts."""

    units: UnitRuns = field(default_factory=UnitRuns)
    hidden_rows: int = 0
    hidden_columns: int = 0
    columns_past: int = 0  # The number of columns after the maximum number of columns.
    errors: int = 0
    not_computed: list[str] = field(default_factory=list)  # The first cells whose formula has no saved value.
    not_computed_count: int = 0
    # Kinds of cells that the values do not reveal: `ERROR` or `DURATION`.
    kinds: UnitRuns = field(default_factory=UnitRuns)
    merged: list[Range] = field(default_factory=list)
    comments: list[CellComment] = field(default_factory=list)
    text_boxes: list[TextBox] = field(default_factory=list)
    hidden_text_boxes: int = 0
    used: UsedRange = field(default_factory=UsedRange)


@dataclass
class WorkbookMetadata:
    """Metadata of a workbook. It is empty for formats of which only the values are read."""

    sheets: dict[str, SheetMetadata] = field(default_factory=dict)
    title: str | None = None
    images: int = 0
    charts: int = 0
    embedded: int = 0
    has_macros: bool = False

    def get_sheet_metadata(self, sheet_name: str) -> SheetMetadata:
        """Return the metadata of a sheet, which is empty if none was read."""
        return self.sheets.get(sheet_name) or SheetMetadata()

    def iter_sheet_metadata(self) -> Iterator[tuple[str, SheetMetadata]]:
        yield from self.sheets.items()
