"""Divide the cells of a drawn grid further, where rules separate only some of the table's rows or columns."""

from collections.abc import Sequence
from itertools import pairwise

from ingest.parsing.pdf.aligned_headers import ColumnEdges, compute_overlap, split_cell_at_columns
from ingest.parsing.pdf.constants import DEFAULT_BLANK_RATIO, RULE_TOUCH_POINTS
from ingest.parsing.pdf.rows import TextRow, build_rows
from ingest.parsing.pdf.tables import Words, count_header_rows, is_value, join_cell_words, sort_cell_words


def split_row_into_lines(cells: list[Words]) -> list[list[Words]]:
    """Split a grid row into several rows if the lines of its cells are level.

    The lines are level if at least two cells have three or more lines, at the same heights.
    """
    lines = [build_rows(cell) for cell in cells]
    several = [each for each in lines if len(each) > 2]
    if len(several) < 2:
        return [[sort_cell_words(cell) for cell in cells]]
    tops = [row.top for row in max(several, key=len)]
    beside = all(all(min(abs(row.top - top) for top in tops) <= RULE_TOUCH_POINTS for row in each) for each in several)
    values = sum(len(each) > 1 and all(is_value(join_cell_words(row.words)) for row in each) for each in lines)
    if not beside or not values or any(0 < len(each) < len(tops) / 2 for each in lines):
        return [[sort_cell_words(cell) for cell in cells]]
    split: list[list[Words]] = [[[] for _ in cells] for _ in tops]
    for column, each in enumerate(lines):
        for row in each:
            at = min(range(len(tops)), key=lambda number: abs(tops[number] - row.top))
            split[at][column] += sort_cell_words(row.words)
    return split


def split_bands_at_labels(bands: Sequence[list[Words]], edges: Sequence[float]) -> list[list[Words]] | None:
    """Split the body of a table whose rules do not separate its rows. Each line of the first column starts a row.

    `bands` are the rows between rules, the first of which is the header if there are several. Returns None if a band of
    the body has a single row, or if its first column may be a cell with several lines.
    """
    body = bands[1:] or bands
    rows = [list(cells) for cells in bands[:1] if body is not bands]
    for cells in body:
        lines = build_rows(word for cell in cells for word in cell)
        column_of = {id(word): column for column, cell in enumerate(cells) for word in cell}
        filled = [{column_of[id(word)] for word in line.words} for line in lines]
        starts = [at for at, columns in enumerate(filled) if 0 in columns]
        if len(starts) < 2 or starts[0] or any(len(filled[at]) < 2 for at in starts):
            return None
        if not _are_labels_separate(cells, starts, len(lines), edges):
            return None
        for start, end in pairwise([*starts, len(lines)]):
            row: list[Words] = [[] for _ in cells]
            for word in (word for line in lines[start:end] for word in line.words):
                row[column_of[id(word)]].append(word)
            rows.append([sort_cell_words(cell) for cell in row])
    return rows


def _are_labels_separate(
    cells: Sequence[Words], starts: Sequence[int], line_count: int, edges: Sequence[float]
) -> bool:
    """Return whether the lines of a band's first column are labels of several rows, not the lines of one label.

    Labels are separate if text beside them runs on below them. Labels on consecutive lines are separate only if each
    line would have had room for the first word of the next line. If no text runs on, this must be true of most lines
    of each cell, and there must be at least three columns and three lines, because two addresses side by side look
    alike.
    """
    columns = [build_rows(cell) for cell in cells]
    has_room = [
        [_has_room_for_next_word(one, other, lines[0], edges[at : at + 2]) for one, other in pairwise(lines)]
        for at, lines in enumerate(columns)
    ]
    consecutive = [other - one == 1 for one, other in pairwise(starts)]
    if not all(consecutive):
        # guard: pdf-rows-without-rules
        return all(room or not near for room, near in zip(has_room[0], consecutive, strict=False))
    filled = [lines for lines in columns if lines]
    is_full = all(2 * len(lines) >= line_count for lines in filled)
    return len(filled) > 2 and line_count > 2 and is_full and all(2 * sum(each) >= len(each) for each in has_room)


def _has_room_for_next_word(line: TextRow, next_line: TextRow, first_line: TextRow, edges: Sequence[float]) -> bool:
    """Return whether the next line's first word would have fit on a line, so the line end was intended."""
    word = next_line.words[0]
    padding = max(0.0, first_line.left - edges[0])
    return line.right + DEFAULT_BLANK_RATIO * line.size + word.right - word.left <= edges[1] - padding


def split_columns_at_gaps(rows: list[list[Words]]) -> list[list[Words]]:
    """Split the columns between rules that hold several columns of values."""
    headers = count_header_rows(rows)
    columns = [_split_column_at_gaps(cells, headers) for cells in zip(*rows, strict=True)]
    return [[cell for cells in parts for cell in cells] for parts in zip(*columns, strict=True)]


def _split_column_at_gaps(cells: Sequence[Words], header_count: int) -> list[list[Words]]:
    """Split the cells of a column if all its lines have the same number of values, after a label or without one."""
    lines = [line for cell in cells[header_count:] for line in build_rows(cell)]
    parts = list(zip(*(line.cells for line in lines), strict=False))
    columns = [ColumnEdges(min(cell.left for cell in part), max(cell.right for cell in part)) for part in parts]
    if (
        len(lines) < 3
        or len(columns) < 2
        or any(len(line.cells) != len(columns) for line in lines)
        or any(one.right >= other.left for one, other in pairwise(columns))
        # guard: pdf-columns-without-rules
        or not all(is_value(join_cell_words(cell.words)) for part in parts[1:] for cell in part)
    ):
        return [[cell] for cell in cells]
    return [_split_words_at_columns(cell, columns) for cell in cells]


def _split_words_at_columns(words: Words, columns: Sequence[ColumnEdges]) -> list[Words]:
    split: list[Words] = [[] for _ in columns]
    for line in build_rows(words):
        for cell in line.cells:
            for part in split_cell_at_columns(cell, columns, line.size):
                split[max(range(len(columns)), key=lambda at: compute_overlap(part, columns[at]))] += part.words
    return split
