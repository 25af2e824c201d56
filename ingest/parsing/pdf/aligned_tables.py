"""Finds the tables that no grid is drawn around, from what stands below each other in rows.

Rows of several cells that follow each other and have a gap in common are a table. Its columns are what no gap parts in
hardly any of its rows. Rows of one cell between them are labels; those above it, over its columns, are its header.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ingest.parsing.pdf.content import Rule, median, merged_rules
from ingest.parsing.pdf.rows import Cell, Row, in_reading_order, split_cells
from ingest.parsing.pdf.tables import Table, Words, cell_text, header_rows, is_symbol, is_value, is_year, opens

MARKER = re.compile(r"[•◦▪▫■□●○‣⁃∙·✓✔➢➤►–—\-*o]|\(?(?:\d{1,3}|[a-zA-Z]|[ivxIVX]{1,5})[.)]|\d{1,3}(?:\.\d{1,3}){1,4}\.?")
_LEADERS = re.compile(r"[.·…_]{3,}")

_FARTHEST = 3.0  # of the type size: rows of one table are no further from each other
_MOST_LABELS = 3  # rows of one cell between rows of several
_LABEL_WIDTH = 0.7  # of the table's width: a line of running text is wider
_COMMON = 0.5  # of the type size: gaps that rows share are at least so wide
_CROSSED = 0.12  # of the rows that have a gap: as many may cross it
_WHOLE = 0.9  # of the table's width: a longer rule is under all columns, and says nothing of one
_HEADER_ROWS = 4
_PROSE_CHARS = 80


@dataclass(frozen=True)
class _Column:
    left: float
    right: float


def with_tables(rows: Sequence[Row], rules: Sequence[Rule]) -> list[Row | Table]:
    """Return the rows with those of tables replaced by the table."""
    found: list[Row | Table] = []
    at = 0
    while at < len(rows):
        end = _group_end(rows, at) if _is_tabular(rows[at]) else at
        if end - at >= 2:
            begin = _with_header_above(rows, at, end)
            table = _Builder(rows[begin:end], rules).table()
            if table is not None:
                del found[len(found) - (at - begin) :]
                found.append(table)
                at = end
                continue
        found.append(rows[at])
        at += 1
    return found


def _is_tabular(row: Row) -> bool:
    cells = _cells(row)
    return len(cells) > 2 or (len(cells) == 2 and not MARKER.fullmatch(cells[0].text))


def _cells(row: Row) -> list[Cell]:
    """Return the cells without the dots that lead from one to the next."""
    if not any(_LEADERS.fullmatch(word.text) for word in row.words):
        return row.cells
    kept = [word for word in row.words if not _LEADERS.fullmatch(word.text)]
    return split_cells(kept, row.size) if kept else []


def _gaps(row: Row) -> list[tuple[float, float]]:
    cells = _cells(row)
    return [(one.right, other.left) for one, other in pairwise(cells)]


def _group_end(rows: Sequence[Row], start: int) -> int:
    """Return the end of the rows that may be one table with the row at `start`."""
    tabular, end = [rows[start]], start + 1
    left, right = rows[start].left, rows[start].right
    at = end
    while at < len(rows) and rows[at].top - rows[at - 1].bottom <= _FARTHEST * max(rows[at].size, rows[at - 1].size):
        row = rows[at]
        if _is_tabular(row):
            if not any(_share_a_gap(row, other) for other in tabular[-3:]):
                break
            tabular.append(row)
            left, right = min(left, row.left), max(right, row.right)
            end = at + 1
        elif at - end >= _MOST_LABELS or row.right - row.left > _LABEL_WIDTH * (right - left):
            break
        at += 1
    return end


def _share_a_gap(one: Row, other: Row) -> bool:
    least = _COMMON * min(one.size, other.size)
    return any(min(b, d) - max(a, c) >= least for a, b in _gaps(one) for c, d in _gaps(other))


def _with_header_above(rows: Sequence[Row], start: int, end: int) -> int:
    """Return where the table begins with the rows of one cell that stand over its columns."""
    first = min(_cells(row)[1].left for row in rows[start:end] if _is_tabular(row)) - rows[start].size
    left, right = min(row.left for row in rows[start:end]), max(row.right for row in rows[start:end])
    begin = start
    while begin > 0 and start - begin < _HEADER_ROWS:
        above, row = rows[begin - 1], rows[begin]
        near = row.top - above.bottom <= above.size
        over = first <= above.left and above.right <= right + above.size
        is_title = abs(above.left + above.right - left - right) < above.size  # centred over the whole table
        if _is_tabular(above) or not near or not over or is_title:
            break
        begin -= 1
    return begin


class _Builder:
    """Makes a table of a group of rows."""

    def __init__(self, rows: Sequence[Row], rules: Sequence[Rule]) -> None:
        self._rows = rows
        self._size = median(row.size for row in rows)
        self._left = min(row.left for row in rows)
        self._right = max(row.right for row in rows)
        top, bottom = rows[0].top, rows[-1].bottom
        near = merged_rules(rule for rule in rules if rule.level and top <= rule.at <= bottom)
        self._rules = [rule for rule in near if rule.end - rule.start < _WHOLE * (self._right - self._left)]

    def table(self) -> Table | None:
        """Return the table; None if the rows are none."""
        columns = self._columns()
        if len(columns) < 2:
            return None
        lines = [self._in_columns(row, columns) for row in self._rows]
        lines, columns = _without_symbol_columns(lines, columns)
        if len(columns) < 2:
            return None
        headers = header_rows(lines)
        for number in range(headers):
            lines[number] = self._header(self._rows[number], columns)
        lines, headers = _continued(lines, headers)
        if not self._is_table(lines, headers):
            return None
        return Table(lines, headers, self._left, self._rows[0].top, self._right, self._rows[-1].bottom)

    def _columns(self) -> list[_Column]:
        """Return the columns: what stands between the gaps that hardly any row crosses."""
        voters = [row for row in self._rows if len(_cells(row)) > 1]
        valued = [row for row in voters if any(_has_value(cell) for cell in _cells(row)[1:])]
        if len(valued) > 1:
            voters = valued
        width = int(self._right - self._left) + 2
        gaps, crossed = np.zeros(width, np.int32), np.zeros(width, np.int32)
        for row in voters:
            for cell in _cells(row):
                crossed[int(cell.left - self._left) : int(cell.right - self._left) + 1] += 1
            for left, right in _gaps(row):
                gaps[int(left - self._left) + 1 : int(right - self._left)] += 1
        free = (gaps >= min(2, len(voters))) & (crossed <= _CROSSED * gaps)
        columns, start = [], 0
        least = max(1, int(_COMMON * self._size))
        for first, last in _runs(free):
            if last - first >= least:
                columns.append(_Column(self._left + start, self._left + first))
                start = last
        columns.append(_Column(self._left + start, self._right))
        return columns

    def _in_columns(self, row: Row, columns: Sequence[_Column]) -> list[Words]:
        line: list[Words] = [[] for _ in columns]
        for cell in _cells(row):
            for part in self._parts(cell, columns):
                at = max(range(len(columns)), key=lambda number: _overlap(part, columns[number]))
                spanned = [number for number, column in enumerate(columns) if _overlap(part, column) > 0]
                if len(spanned) > 1 and at != spanned[0] and not is_value(part.text):
                    at = spanned[0]
                line[at] = [*line[at], *in_reading_order(part.words)]
        return line

    def _parts(self, cell: Cell, columns: Sequence[_Column]) -> list[Cell]:
        """Cut a cell between columns, where its words leave room there."""
        parts = [Cell([cell.words[0]])]
        for before, word in pairwise(cell.words):
            cut = any(before.right <= one.right + 1 and word.left >= other.left - 1 for one, other in pairwise(columns))
            if cut and word.left - before.right >= 0.4 * self._size:
                parts.append(Cell([word]))
            else:
                parts[-1].words.append(word)
        return parts

    def _header(self, row: Row, columns: Sequence[_Column]) -> list[Words]:
        """Return a header's row, with each cell in every column that it stands over."""
        line: list[Words] = [[] for _ in columns]
        for cell in _cells(row):
            for part in self._parts(cell, columns):
                for number in self._stands_over(row, part, columns):
                    line[number] = [*line[number], *in_reading_order(part.words)]
        return line

    def _stands_over(self, row: Row, cell: Cell, columns: Sequence[_Column]) -> list[int]:
        left, right = cell.left, cell.right
        below = [
            rule
            for rule in self._rules
            if row.bottom - 1 <= rule.at <= row.bottom + _FARTHEST * row.size
            and rule.start <= left + 2
            and rule.end >= right - 2
        ]
        if below:
            nearest = min(below, key=lambda rule: rule.at)
            left, right = nearest.start, nearest.end
            over = [n for n, column in enumerate(columns) if left <= (column.left + column.right) / 2 <= right]
        else:
            over = [n for n, column in enumerate(columns) if min(right, column.right) - max(left, column.left) > 0]
        middle = (cell.left + cell.right) / 2
        return over or [
            min(
                range(len(columns)),
                key=lambda number: abs((columns[number].left + columns[number].right) / 2 - middle),
            )
        ]

    def _is_table(self, lines: Sequence[Sequence[Words]], headers: int) -> bool:
        body = [[cell_text(cell) for cell in line] for line in lines[headers:]]
        full = [line for line in body if sum(map(bool, line)) > 1]
        values = sum(is_value(cell) for line in full for cell in line[1:])
        if values >= 2 or (values and headers):
            return True
        longest = median(len(cell) for line in body for cell in line if cell)
        return len(full) + min(headers, 1) >= 3 and longest < _PROSE_CHARS


def _has_value(cell: Cell) -> bool:
    text = cell_text(cell.words)
    return is_value(text) and not is_year(text)


def _overlap(cell: Cell, column: _Column) -> float:
    return min(cell.right, column.right) - max(cell.left, column.left)


def _runs(free: "np.ndarray[tuple[int], np.dtype[np.bool_]]") -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate(([False], free, [False])).astype(np.int8)))
    return list(zip(edges[0::2].tolist(), edges[1::2].tolist(), strict=True))


def _without_symbol_columns(
    lines: list[list[Words]], columns: Sequence[_Column]
) -> tuple[list[list[Words]], list[_Column]]:
    """Join columns that hold nothing but signs to the numbers they belong to."""
    headers = header_rows(lines)
    wide = list(columns)
    kept = list(range(len(columns)))
    for number in range(len(columns)):
        texts = [text for line in lines[headers:] if (text := cell_text(line[number]))]
        if not texts or not all(map(is_symbol, texts)) or len(kept) < 2:
            continue
        at = kept.index(number)
        forward = opens(texts[0]) and at + 1 < len(kept)
        if not forward and at == 0:
            continue
        into = kept[at + 1] if forward else kept[at - 1]
        for line in lines:
            line[into] = [*line[number], *line[into]] if forward else [*line[into], *line[number]]
        one, other = wide[number], wide[into]
        wide[into] = _Column(min(one.left, other.left), max(one.right, other.right))
        kept.remove(number)
    return [[line[number] for number in kept] for line in lines], [wide[number] for number in kept]


def _continued(lines: list[list[Words]], headers: int) -> tuple[list[list[Words]], int]:
    """Join the rows of a header, and rows that go on in the next one."""
    width = len(lines[0])
    header = [[word for line in lines[:headers] for word in line[number]] for number in range(width)]
    joined = [header] if headers else []
    for line in lines[headers:]:
        before = joined[-1] if len(joined) > min(headers, 1) else None
        if before is not None and _goes_on(before, line):
            for number, cell in enumerate(line):
                before[number] = [*before[number], *cell]
        else:
            joined.append([list(cell) for cell in line])
    return joined, min(headers, 1)


def _goes_on(before: Sequence[Words], line: Sequence[Words]) -> bool:
    """True if a row is the rest of the one before: its label begins in the middle of a sentence, or it has none."""
    label, rest = line[0], [cell for cell in line[1:] if cell]
    if label:
        begins = label[0].text[:1]
        if not (begins.islower() or begins in ")]") or not before[0]:
            return False
        return not rest or not any(before[1:])
    return all(not is_value(cell_text(cell)) for cell in rest) and all(
        before[number] for number, cell in enumerate(line) if cell
    )
