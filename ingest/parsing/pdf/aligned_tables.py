"""Find tables without a drawn grid by the alignment of consecutive rows.

Consecutive rows that have several cells and a common gap form a table. Single-cell rows between them are labels. Rows
directly above the columns are the header.
"""

from collections.abc import Sequence
from itertools import pairwise

from ingest.parsing.pdf.aligned_columns import TableBuilder, has_non_year_value
from ingest.parsing.pdf.aligned_headers import ColumnEdges
from ingest.parsing.pdf.constants import (
    ADJOINING_STEP_RATIO,
    CELL_LINE_STEP_RATIO,
    COLUMN_EDGE_POINTS,
    MAX_HEADER_ROWS,
    MAX_LABEL_INDENT_RATIO,
    MAX_LABEL_ROWS,
    MAX_LABEL_WIDTH_SHARE,
    MAX_TABLE_ROW_GAP_RATIO,
    MAX_TABLE_STEP_RATIO,
    MIN_COLUMN_GAP_RATIO,
    MIN_TABLE_STEPS,
)
from ingest.parsing.pdf.content import Rule, Word, compute_median
from ingest.parsing.pdf.contents import mark_contents_rows, remove_leader_dots
from ingest.parsing.pdf.rows import (
    RowCell,
    TextRow,
    is_justified_row,
    is_list_mark,
    split_into_cells,
    split_rows_at_common_gaps,
)
from ingest.parsing.pdf.tables import Table, is_symbol


def merge_table_rows(rows: Sequence[TextRow], rules: Sequence[Rule], space_ratio: float) -> list[TextRow | Table]:
    """Replace the rows of each table with a `Table`. `space_ratio` is the result of `compute_usual_space_ratio`."""
    # guard: pdf-contents-no-table
    mark_contents_rows(rows)
    split_rows_at_common_gaps(rows, space_ratio)
    for row in rows:
        row.cells = _split_row_into_cells(row)
    found: list[TextRow | Table] = []
    at = free = 0
    while at < len(rows):
        end = _find_row_group_end(rows, at) if _is_tabular_row(rows[at]) else at
        if end - at >= 2:
            first, end = _extend_table_rows(rows, at, end, free)
            begin = _extend_to_header(rows, first, end, free)
            builder = TableBuilder(rows[begin:end], rules)
            table = builder.build_table()
            if table is not None:
                del found[len(found) - (at - begin) :]
                found.append(table)
            elif builder.is_list:
                found += rows[at:end]
            if table is not None or builder.is_list:
                at = free = end
                continue
        found.append(rows[at])
        at += 1
    return found


def _is_tabular_row(row: TextRow) -> bool:
    return not row.is_contents and len(row.cells) > 1


def _split_row_into_cells(row: TextRow) -> list[RowCell]:
    """Return the cells of a row. Leader dots are removed, and a list mark is joined to its text."""
    if is_justified_row(row):
        return [RowCell(row.words)]
    cells, words = row.cells, remove_leader_dots(row)
    if len(words) < len(row.words):
        cells = split_into_cells(words, row.size) if words else []
    if len(cells) > 1 and is_list_mark(cells[0].text):
        return [RowCell([*cells[0].words, *cells[1].words]), *cells[2:]]
    return cells


def _list_cell_gaps(row: TextRow) -> list[tuple[float, float]]:
    cells = row.cells
    return [(one.right, other.left) for one, other in pairwise(cells)]


def _find_row_group_end(rows: Sequence[TextRow], start: int) -> int:
    """Return the index after the last row that may form a table with the row at `start`."""
    tabular, end = [rows[start]], start + 1
    left, right = rows[start].left, rows[start].right
    at = end
    steps: list[float] = []
    while at < len(rows) and _is_adjacent_row(rows[at - 1], rows[at]):
        row = rows[at]
        step = row.bottom - rows[at - 1].bottom
        if len(steps) >= MIN_TABLE_STEPS and step > MAX_TABLE_STEP_RATIO * compute_median(steps):
            break
        steps.append(step)
        if _is_tabular_row(row):
            if _is_new_header_row(tabular, row) or not any(_has_shared_gap(row, other) for other in tabular[-3:]):
                break
            tabular.append(row)
            left, right = min(left, row.left), max(right, row.right)
            end = at + 1
        elif at - end >= MAX_LABEL_ROWS or row.right - row.left > MAX_LABEL_WIDTH_SHARE * (right - min(left, row.left)):
            break
        at += 1
    return end


def _is_adjacent_row(upper_row: TextRow, row: TextRow) -> bool:
    """Return whether a row is close enough to the row above it to belong to the same table."""
    return row.top - upper_row.bottom <= MAX_TABLE_ROW_GAP_RATIO * max(row.size, upper_row.size)


def _is_new_header_row(previous_rows: Sequence[TextRow], row: TextRow) -> bool:
    """Return whether a row below values starts a new header: it has no label and contains only words or years."""
    labels = [each.left for each in previous_rows if any(has_non_year_value(cell) for cell in each.cells[1:])]
    if not labels or row.left <= compute_median(labels) + MAX_LABEL_INDENT_RATIO * row.size:
        return False
    return not any(is_symbol(cell.text) or has_non_year_value(cell) for cell in row.cells)


def _has_shared_gap(first_row: TextRow, second_row: TextRow) -> bool:
    least = MIN_COLUMN_GAP_RATIO * min(first_row.size, second_row.size)
    return any(
        min(b, d) - max(a, c) >= least for a, b in _list_cell_gaps(first_row) for c, d in _list_cell_gaps(second_row)
    )


def _extend_table_rows(rows: Sequence[TextRow], start: int, end: int, min_start: int) -> tuple[int, int]:
    """Extend a table by adjacent rows that fit its columns, and return its new start and end.

    Such rows continue cells, or their cells are too close together to be separated unless the columns are known.
    """
    columns = TableBuilder(rows[start:end], ()).find_columns()
    step = compute_median(other.bottom - one.bottom for one, other in pairwise(rows[start:end]))
    while start > min_start and rows[start].bottom - rows[start - 1].bottom <= ADJOINING_STEP_RATIO * step:
        if _count_filled_columns(rows[start - 1], columns) < 2:
            break
        start -= 1
    while end < len(rows) and rows[end].bottom - rows[end - 1].bottom <= ADJOINING_STEP_RATIO * step:
        is_near = rows[end].bottom - rows[end - 1].bottom < CELL_LINE_STEP_RATIO * step
        if not _count_filled_columns(rows[end], columns, allow_first_only=is_near):
            break
        end += 1
    return start, end


def _count_filled_columns(row: TextRow, columns: Sequence[ColumnEdges], *, allow_first_only: bool = False) -> int:
    """Count the columns that a row's words fill and align with. Returns 0 if some words fit no column.

    A row that fills only the first column counts only if `allow_first_only` is true.
    """
    if row.is_contents:
        return 0
    held: dict[int, list[Word]] = {}
    for word in row.words:
        inside = (n for n, each in enumerate(columns) if each.left - 1 <= word.left and word.right <= each.right + 1)
        number = next(inside, None)
        if number is None:
            return 0
        held.setdefault(number, []).append(word)
    for number, words in held.items():
        left, right = words[0].left - columns[number].left, columns[number].right - words[-1].right
        if left > COLUMN_EDGE_POINTS and (right > COLUMN_EDGE_POINTS or not number):
            return 0
    return 0 if set(held) == {0} and not allow_first_only else len(held)


def _extend_to_header(rows: Sequence[TextRow], start: int, end: int, min_start: int) -> int:
    """Extend a table upwards by header rows that have a single cell, and return its new start."""
    first = min(row.cells[1].left for row in rows[start:end] if _is_tabular_row(row)) - rows[start].size
    left, right = min(row.left for row in rows[start:end]), max(row.right for row in rows[start:end])
    begin = at = start
    while at > min_start and start - at < MAX_HEADER_ROWS:
        above, row = rows[at - 1], rows[at]
        middle = (above.left + above.right) / 2
        over = (
            middle >= first
            and above.left > left + MAX_LABEL_INDENT_RATIO * above.size
            and above.right <= right + above.size
        )
        label = above.left <= left + above.size and above.right < first
        is_title = abs(above.left + above.right - left - right) < above.size  # A title is centred over the whole table.
        has_values = above.is_contents or any(has_non_year_value(cell) for cell in above.cells)
        if has_values or row.top - above.bottom > above.size or not (over or label) or is_title:
            break
        at -= 1
        begin = at if over else begin
    return begin
