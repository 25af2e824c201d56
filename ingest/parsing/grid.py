"""Convert a table with cells that span rows or columns to complete rows under a single header row."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice

from ingest.parsing.errors import ParserLimitError
from ingest.parsing.tables import MAX_COLUMNS
from ingest.parsing.writer import DocumentWriter, Piece, Position
from ingest.storage.remarks import Remark

# Maximum number of cells after spans are filled in. A file of a few bytes can declare a huge span.
MAX_CELLS = 2_000_000
_MAX_HEADER_ROWS = 5


@dataclass(frozen=True)
class GridCell:
    """A cell as stored in a file, with the number of columns and rows that it spans."""

    text: str
    columns: int = 1
    rows: int = 1
    at: Position | None = None


def write_grid(
    writer: DocumentWriter,
    rows: Sequence[Sequence[GridCell]],
    *,
    header_row_count: int = 0,
    has_header: bool = True,
    caption: str = "",
) -> None:
    """Write a table. `header_row_count` is the number of header rows stated in the file, or 0.

    If `has_header` is false, the columns have no names. Raises `ParserLimitError` if the table has too many cells.

    A cell is repeated in all rows and columns that it spans. If it spans the whole width of the table, it becomes the
    caption if it is in the first row and that row is not the header; otherwise its text goes into the first column.
    Header rows are merged into one row, and empty rows are omitted.
    """
    grid: list[list[GridCell | None]] = []
    cells = 0
    for row in _iter_filled_rows(rows):
        cells += len(row)
        # guard: table-cell-limit
        if cells > MAX_CELLS:
            raise ParserLimitError(Remark("table_too_large", cells=MAX_CELLS))
        grid.append(row)
    while grid and not any(map(_is_visible, grid[0])):
        del grid[0]
        header_row_count -= 1
    if header_row_count != 1 and len(grid) > 2 and grid[0][0] and _is_single_cell(grid[0]) and max(map(len, grid)) > 1:
        caption = " ".join(filter(None, (caption, grid[0][0].text)))
        del grid[0]
        header_row_count -= 1
    if not grid:
        writer.write_paragraph(caption)
        return
    width = max(map(len, grid))
    count = min(max(header_row_count, _count_header_rows(grid[0]), 1), len(grid), _MAX_HEADER_ROWS) if has_header else 0
    header = [_join_header_cells([row[at] if at < len(row) else None for row in grid[:count]]) for at in range(width)]
    body = (_build_pieces(row, width) for row in islice(grid, count, None) if any(map(_is_visible, row)))
    writer.write_table(chain([header], body) if has_header else body, has_header=has_header, caption=caption)


def strip_lone_bullet(text: str, line_count: int) -> str:
    """Remove the bullet from a cell's text if the cell has only one line."""
    return text.removeprefix("- ") if line_count == 1 else text


def _iter_filled_rows(rows: Sequence[Sequence[GridCell]]) -> Iterator[list[GridCell | None]]:
    """Yield rows with one item per column, which is None where the file has no cell."""
    above: dict[int, GridCell] = {}  # Cells that extend into the next row, each with the number of its remaining rows.
    for cells in rows:
        row: list[GridCell | None] = []
        waiting = iter(cells)
        following: dict[int, GridCell] = {}
        while True:
            at = len(row)
            cell = above.pop(at, None)
            if cell is None:
                cell = next(waiting, None)
                if cell is None:
                    if not above or at >= MAX_COLUMNS:
                        break
                    row.append(None)
                    continue
                spread = max(1, min(cell.columns, MAX_COLUMNS - at))
            else:
                spread = 1
            for column in range(at, at + spread):
                row.append(cell)
                if cell.rows > 1:
                    following[column] = replace(cell, rows=cell.rows - 1)
                above.pop(column, None)
            if len(row) >= MAX_COLUMNS:
                break
        above = following
        yield row


def _is_visible(cell: GridCell | None) -> bool:
    return cell is not None and bool(cell.text.strip())


def _is_single_cell(row: Sequence[GridCell | None]) -> bool:
    """Return whether a single cell spans the whole row."""
    first = row[0] if row else None
    return first is not None and all(cell is first for cell in row) and first.rows == 1


def _build_pieces(row: Sequence[GridCell | None], width: int) -> list[Piece]:
    cells = row[:1] if len(row) > 1 and _is_single_cell(row) else row
    return [_build_piece(cell) for cell in cells] + [Piece("")] * (width - len(cells))


def _count_header_rows(first_row: Sequence[GridCell | None]) -> int:
    """Return the number of header rows.

    If cells in the first row span columns and rows, the rows that they span are all part of the header.
    """
    cells = [cell for cell in first_row if cell is not None]
    if any(cell.columns > 1 for cell in cells) and any(cell.rows > 1 for cell in cells):
        return max(cell.rows for cell in cells)
    return 1


def _join_header_cells(cells: Sequence[GridCell | None]) -> Piece:
    """Join the distinct texts of the header cells in a column."""
    texts = list(dict.fromkeys(cell.text for cell in cells if cell is not None and cell.text.strip()))
    return Piece(" ".join(texts), next((cell.at for cell in reversed(cells) if cell is not None), None))


def _build_piece(cell: GridCell | None) -> Piece:
    return Piece("") if cell is None else Piece(cell.text, cell.at)
