"""Build tables that have no drawn grid. Columns are separated by gaps that almost no row crosses."""

import re
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from ingest.parsing.pdf.aligned_headers import ColumnEdges, HeaderReader, compute_overlap, split_cell_at_columns
from ingest.parsing.pdf.constants import (
    MAX_CROSSING_SHARE,
    MIN_COLUMN_GAP_RATIO,
    MIN_PROSE_CHARS,
    WHOLE_TABLE_RULE_SHARE,
)
from ingest.parsing.pdf.content import Rule, compute_median, merge_rules
from ingest.parsing.pdf.rows import RowCell, TextRow, is_list_mark, is_right_to_left, sort_words_for_reading
from ingest.parsing.pdf.tables import (
    Table,
    Words,
    count_header_rows,
    is_currency_symbol,
    is_opening_symbol,
    is_symbol,
    is_value,
    is_year,
    join_cell_words,
)

_NOTE_MARK = re.compile(r"\d{1,3}|[a-z*†‡§]{1,2}|\[[\w+.-]{1,12}\]")  # Matches the mark of a note or reference.
_FORMULA_NUMBER = re.compile(r"\((\d{1,3})\)")


class TableBuilder:
    """Builds a table from a group of rows."""

    def __init__(self, rows: Sequence[TextRow], rules: Sequence[Rule]) -> None:
        self._rows = rows
        self._size = compute_median(row.size for row in rows)
        self.is_list = False  # True if the rows are notes with marks, or numbered formulas.
        self._left = min(row.left for row in rows)
        self._right = max(row.right for row in rows)
        top, bottom = rows[0].top, rows[-1].bottom
        near = merge_rules(rule for rule in rules if rule.level and top <= rule.at <= bottom)
        self._rules = [
            rule for rule in near if rule.end - rule.start < WHOLE_TABLE_RULE_SHARE * (self._right - self._left)
        ]

    def build_table(self) -> Table | None:
        """Return the table, or None if the rows do not form a table."""
        columns = self.find_columns()
        if len(columns) < 2:
            return None
        lines = [self._split_row_into_columns(row, columns) for row in self._rows]
        headers = count_header_rows(lines)
        columns = _widen_columns_for_signs(columns, lines[headers:])
        lines[:headers] = HeaderReader(self._rows[:headers], columns, self._rules, self._size).read_header_rows()
        lines, headers = _join_continued_rows(lines, headers)
        if not self._is_table(lines, headers):
            return None
        if is_right_to_left(word for line in lines for cell in line for word in cell):
            lines = [line[::-1] for line in lines]
        return Table(lines, headers, self._left, self._rows[0].top, self._right, self._rows[-1].bottom)

    def find_columns(self) -> list[ColumnEdges]:
        """Find the columns, which are separated by gaps that almost no row crosses."""
        voters = [row for row in self._rows if len(row.cells) > 1]
        valued = [row for row in voters if any(has_non_year_value(cell) for cell in row.cells[1:])]
        if len(valued) == 1 and (found := _find_columns_from_header(valued[0], voters)):
            return found
        if len(valued) > 1:
            voters = valued
        width = int(self._right - self._left) + 2
        gaps, crossed = np.zeros(width, np.int32), np.zeros(width, np.int32)
        for row in voters:
            bare = _list_extents_without_signs(row.cells)
            for left, right in bare:
                crossed[int(left - self._left) : int(right - self._left) + 1] += 1
            for (_, left), (right, _) in pairwise(bare):
                gaps[int(left - self._left) + 1 : int(right - self._left)] += 1
        free = (gaps >= min(2, len(voters))) & (crossed <= MAX_CROSSING_SHARE * gaps)
        columns, start = [], 0
        least = max(1, int(MIN_COLUMN_GAP_RATIO * self._size))
        for first, last in _find_true_runs(free):
            if last - first >= least:
                columns.append(ColumnEdges(self._left + start, self._left + first))
                start = last
        columns.append(ColumnEdges(self._left + start, self._right))
        return columns

    def _split_row_into_columns(self, row: TextRow, columns: Sequence[ColumnEdges]) -> list[Words]:
        line: list[Words] = [[] for _ in columns]
        for cell in row.cells:
            for part in split_cell_at_columns(
                cell, columns, self._size, has_leading_signs=not is_currency_symbol(row.words[-1].text)
            ):
                at = _select_cell_column(part, columns)
                line[at] = [*line[at], *sort_words_for_reading(part.words)]
        return line

    def _is_table(self, lines: Sequence[Sequence[Words]], header_count: int) -> bool:
        body = [[join_cell_words(cell) for cell in line] for line in lines[header_count:]]
        full = [line for line in body if sum(map(bool, line)) > 1]
        values = sum(is_value(cell) and not is_year(cell) for line in full for cell in line[1:])
        if (
            not values
            and len(lines[0]) == 2
            and all(_is_note_mark(join_cell_words(line[0])) for line in lines if line[0])
        ):
            self.is_list = True
            return False
        if len(lines[0]) == 2 and _are_formula_numbers([join_cell_words(line[1]) for line in lines if line[1]]):
            self.is_list = True
            return False
        if values >= 2 or (values and header_count):
            return True
        longest = compute_median(len(cell) for line in body for cell in line if cell)
        return len(full) + min(header_count, 1) >= 3 and longest < MIN_PROSE_CHARS


def _find_columns_from_header(row: TextRow, rows: Sequence[TextRow]) -> list[ColumnEdges]:
    """Find the columns of a row of values and of the header rows that name its columns.

    A header row has as many cells to the right of the label as the row of values. Returns an empty list if there is no
    header row, or if the columns overlap.
    """
    (_, label), *others = _list_extents_without_signs(row.cells)
    beside = ([cell for cell in _list_extents_without_signs(each.cells) if cell[0] > label] for each in rows)
    alike = [cells for cells in beside if len(cells) == len(others)]
    if len(alike) < 2:
        return []
    values = [ColumnEdges(min(cell)[0], max(end for _, end in cell)) for cell in zip(*alike, strict=True)]
    ends = (end for each in rows for _, end in _list_extents_without_signs(each.cells) if end < values[0].left)
    columns = [ColumnEdges(min(each.left for each in rows), max(ends)), *values]
    return columns if all(one.right < other.left for one, other in pairwise(columns)) else []


def _are_formula_numbers(strings: Sequence[str]) -> bool:
    """Return whether these are consecutive formula numbers, as in (1), (2), (3)."""
    found = [_FORMULA_NUMBER.fullmatch(text) for text in strings]
    numbers = [int(match[1]) for match in found if match]
    return len(numbers) == len(strings) > 1 and all(other == one + 1 for one, other in pairwise(numbers))


def _is_note_mark(text: str) -> bool:
    return is_list_mark(text) or _NOTE_MARK.fullmatch(text) is not None


def has_non_year_value(cell: RowCell) -> bool:
    """Return whether a cell contains a value that is not a year."""
    text = join_cell_words(cell.words)
    return is_value(text) and not is_year(text)


def _find_true_runs(mask: "np.ndarray[tuple[int], np.dtype[np.bool_]]") -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate(([False], mask, [False])).astype(np.int8)))
    return list(zip(edges[0::2].tolist(), edges[1::2].tolist(), strict=True))


def _select_cell_column(cell: RowCell, columns: Sequence[ColumnEdges]) -> int:
    """Return the index of the column that a cell belongs to.

    A symbol belongs to the column of its number, and words belong to the first column that they overlap.
    """
    numbers = range(len(columns))
    if is_symbol(cell.text):
        middle = (cell.left + cell.right) / 2
        if is_opening_symbol(cell.text):
            return next((number for number in numbers if columns[number].right > middle), len(columns) - 1)
        return next((number for number in reversed(numbers) if columns[number].left < middle), 0)
    nearest = max(numbers, key=lambda number: compute_overlap(cell, columns[number]))
    if is_value(cell.text):
        return nearest
    return next((number for number in numbers if compute_overlap(cell, columns[number]) > 0), nearest)


def _list_extents_without_signs(cells: Sequence[RowCell]) -> list[tuple[float, float]]:
    """Return the left and right edge of each cell, excluding the symbols around its number."""
    bare = [[word for word in cell.words if not is_symbol(word.text)] for cell in cells]
    return [(words[0].left, max(word.right for word in words)) for words in bare if words]


def _widen_columns_for_signs(columns: Sequence[ColumnEdges], lines: Sequence[Sequence[Words]]) -> list[ColumnEdges]:
    """Return the columns, widened to include the symbols around their values."""
    wide = []
    for number, column in enumerate(columns):
        values = [word for line in lines if is_value(join_cell_words(line[number])) for word in line[number]]
        left, right = (word.left for word in values), (word.right for word in values)
        wide.append(ColumnEdges(min(left, default=column.left), max(right, default=column.right)))
    return wide


def _join_continued_rows(lines: list[list[Words]], header_count: int) -> tuple[list[list[Words]], int]:
    """Join the header rows into one, and join each row that continues the previous row to it.

    Returns the rows and the number of header rows.
    """
    width = len(lines[0])
    header = [[word for line in lines[:header_count] for word in line[number]] for number in range(width)]
    joined = [header] if header_count else []
    for line in lines[header_count:]:
        before = joined[-1] if len(joined) > min(header_count, 1) else None
        if before is not None and _is_continuation_row(before, line):
            for number, cell in enumerate(line):
                before[number] = [*before[number], *cell]
        else:
            joined.append([list(cell) for cell in line])
    return joined, min(header_count, 1)


def _is_continuation_row(previous_row: Sequence[Words], row: Sequence[Words]) -> bool:
    """Return whether a row continues the previous row: its label is missing or starts in mid-sentence.

    Words below a value do not continue it. They are the title of the rows below.
    """
    label, rest = row[0], [cell for cell in row[1:] if cell]
    if label:
        begins = label[0].text[:1]
        if not (begins.islower() or begins in ")]") or not previous_row[0]:
            return False
        return not rest or not any(previous_row[1:])
    return not any(is_value(join_cell_words(cell)) for cell in rest) and all(
        previous and not is_value(join_cell_words(previous))
        for previous, cell in zip(previous_row, row, strict=True)
        if cell
    )
