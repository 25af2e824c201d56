"""Find tables with a grid of drawn rules or with coloured cells.

Rules that touch belong to the same grid. A cell is an area that no rule divides.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ingest.parsing.pdf.constants import (
    DRAWN_EDGE_SHARE,
    FRAME_CELL_WORDS,
    GRID_NEAR_RATIO,
    MAX_CELL_WORDS_SHARE,
    MAX_PAGE_RULES,
    MIN_DRAWN_EDGES_SHARE,
    RULE_TOUCH_POINTS,
)
from ingest.parsing.pdf.content import PageContent, Rule, Word, compute_median_font_size, merge_rules
from ingest.parsing.pdf.grid_rows import split_bands_at_labels, split_columns_at_gaps, split_row_into_lines
from ingest.parsing.pdf.rows import is_right_to_left
from ingest.parsing.pdf.tables import (
    Table,
    Words,
    count_header_rows,
    is_symbol,
    is_value,
    join_cell_words,
)

Drawn = npt.NDArray[np.bool_]


@dataclass
class _Grid:
    xs: list[float]
    ys: list[float]
    upright: list[Rule]
    level: list[Rule]


def find_grid_tables(content: PageContent) -> tuple[list[Table], list[Word]]:
    """Return a page's tables in grids, and the words outside them."""
    tables, words = _find_tables_in_rules(content.rules, content.words, require_outer_edges=False)
    if content.fills and words:
        coloured, words = _find_tables_in_rules([*content.rules, *content.fills], words, require_outer_edges=True)
        tables += coloured
    return tables, words


def _find_tables_in_rules(
    rules: Sequence[Rule], words: list[Word], *, require_outer_edges: bool
) -> tuple[list[Table], list[Word]]:
    """Return the tables in the grids formed by these rules, and the words outside them.

    If `require_outer_edges` is true, both outer edges of each row must be drawn. This excludes tables in which only
    every second row is coloured.
    """
    level = merge_rules(rule for rule in rules if rule.level)
    upright = merge_rules(rule for rule in rules if not rule.level)
    if not upright or len(level) < 2 or len(level) + len(upright) > MAX_PAGE_RULES:
        return [], words
    tables = []
    for grid in _iter_grids(level, upright):
        inside: list[Word] = []
        outside: list[Word] = []
        for word in words:
            middle = (word.top + word.bottom) / 2
            in_grid = grid.xs[0] <= word.middle <= grid.xs[-1] and grid.ys[0] <= middle <= grid.ys[-1]
            (inside if in_grid else outside).append(word)
        table = _build_grid_table(grid, inside, require_outer_edges=require_outer_edges)
        if table is not None and not (require_outer_edges and _is_part_of_larger_table(table, outside)):
            tables.append(table)
            words = outside
    return tables, words


def _iter_grids(horizontal_rules: Sequence[Rule], vertical_rules: Sequence[Rule]) -> Iterable[_Grid]:
    """Yield the grids of touching rules, largest first."""
    y, x0, x1 = np.array([(rule.at, rule.start, rule.end) for rule in horizontal_rules]).T[:, :, None]
    x, y0, y1 = np.array([(rule.at, rule.start, rule.end) for rule in vertical_rules]).T[:, None, :]
    inside_x = (x >= x0 - RULE_TOUCH_POINTS) & (x <= x1 + RULE_TOUCH_POINTS)
    meets = inside_x & (y >= y0 - RULE_TOUCH_POINTS) & (y <= y1 + RULE_TOUCH_POINTS)
    found = []
    left = set(np.flatnonzero(meets.any(axis=1)).tolist())
    while left:
        rows, columns = {left.pop()}, set[int]()
        todo = list(rows)
        while todo:
            for column in np.flatnonzero(meets[todo.pop()]).tolist():
                if column not in columns:
                    columns.add(column)
                    new = set(np.flatnonzero(meets[:, column]).tolist()) - rows
                    rows |= new
                    todo += new
        left -= rows
        if len(rows) > 1:
            found.append(
                _build_grid_from_rules([horizontal_rules[n] for n in rows], [vertical_rules[n] for n in columns])
            )
    return sorted(found, key=lambda grid: -(grid.xs[-1] - grid.xs[0]) * (grid.ys[-1] - grid.ys[0]))


def _build_grid_from_rules(horizontal_rules: list[Rule], vertical_rules: list[Rule]) -> _Grid:
    xs = _merge_close_numbers(
        [*(r.at for r in vertical_rules), min(r.start for r in horizontal_rules), max(r.end for r in horizontal_rules)]
    )
    ys = _merge_close_numbers(
        [*(r.at for r in horizontal_rules), min(r.start for r in vertical_rules), max(r.end for r in vertical_rules)]
    )
    return _Grid(xs, ys, vertical_rules, horizontal_rules)


def _merge_close_numbers(numbers: Iterable[float]) -> list[float]:
    kept: list[float] = []
    for number in sorted(numbers):
        if not kept or number - kept[-1] > RULE_TOUCH_POINTS:
            kept.append(number)
    return kept


def _build_grid_table(grid: _Grid, words: Sequence[Word], *, require_outer_edges: bool) -> Table | None:
    _remove_empty_margins(grid, words)
    wide, high = len(grid.xs) - 1, len(grid.ys) - 1
    if wide < 2 or high < 1 or not words:
        return None
    right_of = _find_drawn_edges(grid.upright, grid.xs, grid.ys)  # Drawn edges, indexed by column edge and row.
    below = _find_drawn_edges(grid.level, grid.ys, grid.xs)  # Drawn edges, indexed by row edge and column.
    if (
        right_of.mean() < MIN_DRAWN_EDGES_SHARE
        or below.mean() < MIN_DRAWN_EDGES_SHARE
        or (require_outer_edges and not right_of[[0, -1]].all())
    ):
        return None
    owner = _find_cell_origins(right_of, below, wide, high)
    held: dict[tuple[int, int], Words] = {}
    for word in words:
        column = int(np.clip(np.searchsorted(grid.xs, word.middle) - 1, 0, wide - 1))
        row = int(np.clip(np.searchsorted(grid.ys, (word.top + word.bottom) / 2) - 1, 0, high - 1))
        held.setdefault(owner[row][column], []).append(word)
    if len(held) < 3:
        return None
    bands = [
        [held.get((row, column), []) if owner[row][column] == (row, column) else [] for column in range(wide)]
        for row in range(high)
    ]
    bands = [cells for cells in bands if any(cells)]
    rows = split_bands_at_labels(bands, grid.xs)
    largest = max(map(len, held.values()))
    if rows is None and largest > FRAME_CELL_WORDS and largest > MAX_CELL_WORDS_SHARE * len(words):
        return None
    rows = rows or [row for cells in bands for row in split_row_into_lines(cells)]
    rows = [row for row in rows if any(row)]
    used = [column for column in range(wide) if any(row[column] for row in rows)]
    rows = split_columns_at_gaps([[row[column] for column in used] for row in rows])
    if len(rows) < 2 or len(rows[0]) < 2:
        return None
    if require_outer_edges and not _is_complete_table(rows):
        return None
    return _build_table_with_header(rows, grid)


def _remove_empty_margins(grid: _Grid, words: Sequence[Word]) -> None:
    """Remove outer columns without words. A longer rule that happens to touch the grid forms such a column."""
    while len(grid.xs) > 3 and not any(word.middle < grid.xs[1] for word in words):
        del grid.xs[0]
    while len(grid.xs) > 3 and not any(word.middle > grid.xs[-2] for word in words):
        del grid.xs[-1]


def _is_part_of_larger_table(table: Table, words: Sequence[Word]) -> bool:
    """Return whether numbers directly above or below a table show that it is only part of a larger table."""
    step = max((table.bottom - table.top) / len(table.rows), GRID_NEAR_RATIO * compute_median_font_size(words))
    return any(
        table.left <= word.middle <= table.right
        and table.top - step <= (word.top + word.bottom) / 2 <= table.bottom + step
        and is_value(word.text)
        for word in words
    )


def _is_complete_table(rows: Sequence[Sequence[Words]]) -> bool:
    """Return whether the first row is a header, and no column contains only symbols of another column's numbers.

    If this is false, only the body of the table is coloured, and building the table would lose its header.
    """
    columns = ([join_cell_words(row[at]) for row in rows if row[at]] for at in range(len(rows[0])))
    return count_header_rows(rows) > 0 and not any(all(map(is_symbol, texts)) for texts in columns)


def _build_table_with_header(rows: list[list[Words]], grid: _Grid) -> Table:
    if is_right_to_left(word for row in rows for cell in row for word in cell):
        rows = [row[::-1] for row in rows]
    headers = count_header_rows(rows)
    if headers > 1:
        for line in rows[:headers]:
            _repeat_spanning_cells(line)
        joined = [[word for line in rows[:headers] for word in line[number]] for number in range(len(rows[0]))]
        rows, headers = [joined, *rows[headers:]], 1
    return Table(rows, headers, grid.xs[0], grid.ys[0], grid.xs[-1], grid.ys[-1])


def _repeat_spanning_cells(row: list[Words]) -> None:
    """Repeat each header cell in the empty columns to its right."""
    for number in range(2, len(row)):
        if not row[number]:
            row[number] = list(row[number - 1])


def _find_drawn_edges(rules: Sequence[Rule], grid_lines: Sequence[float], crossing_lines: Sequence[float]) -> Drawn:
    """Return for each grid line, and each segment between crossing lines, whether a rule is drawn there."""
    drawn = np.zeros((len(grid_lines), len(crossing_lines) - 1), bool)
    at, first, last = np.array([(rule.at, rule.start, rule.end) for rule in rules]).reshape(-1, 3).T
    starts, ends = np.array(crossing_lines[:-1]), np.array(crossing_lines[1:])
    for number, line in enumerate(grid_lines):
        near = np.abs(at - line) <= RULE_TOUCH_POINTS
        shared = np.minimum(last[near, None], ends) - np.maximum(first[near, None], starts)
        drawn[number] = (shared >= DRAWN_EDGE_SHARE * (ends - starts)).any(axis=0)
    return drawn


def _find_cell_origins(
    right_edges: Drawn, bottom_edges: Drawn, column_count: int, row_count: int
) -> list[list[tuple[int, int]]]:
    """Return for each row and column of a grid the first row and column of the cell at that position."""
    owner = [[(row, column) for column in range(column_count)] for row in range(row_count)]
    for row in range(row_count):
        for column in range(column_count):
            if column and not right_edges[column][row]:
                owner[row][column] = owner[row][column - 1]
            elif row and not bottom_edges[row][column]:
                owner[row][column] = owner[row - 1][column]
    return owner
