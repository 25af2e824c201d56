"""Find the tables on a sheet: bands between blank rows, blocks between blank columns, and merged cells."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from ingest.parsing.sheets.values import Value

_MAX_FILLED_CELLS = 2_000_000  # Maximum number of cells per sheet into which the values of merged cells are copied.

# The first and the last cell of a merged range, as (row, column) counted from 0.
Range = tuple[tuple[int, int], tuple[int, int]]


@dataclass(frozen=True)
class SheetRow:
    """A row, with its number from 0 and a value for each used column of the sheet. An empty cell is `""`.

    `spread` contains the columns whose values come from a merged cell that starts further left.
    """

    number: int
    values: Sequence[Value]
    spread: frozenset[int] = frozenset()

    @property
    def is_blank(self) -> bool:
        return not any(value != "" for value in self.values)


@dataclass(frozen=True)
class SheetBlock:
    """A block of adjacent rows, and the columns in which they have values."""

    rows: Sequence[SheetRow]
    columns: Sequence[int]

    def remove_spread_columns(self) -> "SheetBlock":
        """Return the block without columns that have only values from merged cells starting further left."""
        own = [at for at in self.columns if any(row.values[at] != "" and at not in row.spread for row in self.rows)]
        return SheetBlock(self.rows, own) if len(own) > 1 else self


@dataclass
class MergedCells:
    """Copies the value of each merged cell to all cells that it covers, row by row."""

    ranges: Iterable[Range]
    _active: list[tuple[Range, Value]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._left = _MAX_FILLED_CELLS
        self._waiting = sorted(self.ranges, reverse=True)

    def fill_row(self, row_number: int, values: list[Value], first_column: int) -> SheetRow:
        """Return a row with the values of merged cells filled in. Rows must be filled in order."""
        self._active = [each for each in self._active if each[0][1][0] >= row_number]
        while self._waiting and self._waiting[-1][0][0] <= row_number:
            (top, left), (bottom, right) = self._waiting.pop()
            at = left - first_column
            if top == row_number and bottom >= row_number and 0 <= at < len(values) and values[at] != "":
                self._active.append((((top, left), (bottom, right)), values[at]))
        spread: set[int] = set()
        for ((_, left), (_, right)), value in self._active:
            begin, end = max(0, left - first_column), min(right - first_column + 1, len(values))
            # guard: merged-cells-bounded
            if end - begin > self._left:
                self._active, self._waiting = [], []
                break
            self._left -= end - begin
            values[begin:end] = [value] * (end - begin)
            spread.update(range(begin + 1, end))
        return SheetRow(row_number, values, frozenset(spread))


def iter_bands(rows: Iterable[SheetRow]) -> Iterator[Iterator[SheetRow]]:
    """Yield the runs of rows between blank rows. Each run must be consumed before the next one is requested."""
    for blank, run in groupby(rows, key=lambda row: row.is_blank):
        if not blank:
            yield run


def iter_blocks(rows: Sequence[SheetRow]) -> Iterator[SheetBlock]:
    """Yield the blocks of a band from left to right. Blocks are split recursively at blank rows and columns."""
    used = [at for at in range(len(rows[0].values)) if any(row.values[at] != "" for row in rows)]
    if cut := _find_block_boundary(rows):
        yield from iter_blocks(rows[:cut])
        yield from iter_blocks(rows[cut:])
        return
    parts = _split_columns(used)
    if len(parts) == 1:
        yield SheetBlock(rows, used)
        return
    for part in parts:
        inside = set(part)
        own = [
            SheetRow(row.number, [value if at in inside else "" for at, value in enumerate(row.values)], row.spread)
            for row in rows
        ]
        for band in iter_bands(own):
            yield from iter_blocks(list(band))


def _find_block_boundary(rows: Sequence[SheetRow]) -> int:
    """Return the number of rows above the first boundary that separates blocks, or 0 if there is none.

    At such a boundary, no row above shares a column with a row below, so that blocks touch only at a corner.
    """
    columns = [{at for at, value in enumerate(row.values) if value != ""} for row in rows]
    last_rows = {at: number for number, used in enumerate(columns) for at in used}
    reach = 0  # The last row that shares a column with the rows above the boundary.
    for number, used in enumerate(columns[:-1], start=1):
        reach = max(reach, *(last_rows[at] for at in used), 0)
        if reach < number:
            return number
    return 0


def _split_columns(used_columns: Sequence[int]) -> list[list[int]]:
    """Split the used columns at blank columns that have at least two adjacent used columns on both sides.

    Other blank columns are only spacing, because a single column is not a table.
    """
    runs = [[at for _, at in run] for _, run in groupby(enumerate(used_columns), key=lambda each: each[1] - each[0])]
    parts: list[list[int]] = []
    before = 0
    for run in runs:
        if parts and not (len(run) > 1 and before > 1):
            parts[-1] += run
        else:
            parts.append(run)
        before = len(run)
    return parts
