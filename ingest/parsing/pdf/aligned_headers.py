"""Determine which columns each header cell covers in a table without a drawn grid."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from ingest.parsing.pdf.constants import (
    HEADER_GAP_WORD_GAPS,
    HEADER_OVERHANG_POINTS,
    MAX_TABLE_ROW_GAP_RATIO,
    MIN_COLUMN_GAP_RATIO,
    SAME_RULE_LINE_POINTS,
)
from ingest.parsing.pdf.content import Rule
from ingest.parsing.pdf.rows import RowCell, TextRow, sort_words_for_reading
from ingest.parsing.pdf.tables import Words, is_currency_symbol, is_value, join_cell_words


@dataclass(frozen=True)
class ColumnEdges:
    """The left and right edges of a column, in points."""

    left: float
    right: float

    @property
    def middle(self) -> float:
        return (self.left + self.right) / 2


def compute_overlap(cell: RowCell, column: ColumnEdges) -> float:
    return min(cell.right, column.right) - max(cell.left, column.left)


def split_cell_at_columns(
    cell: RowCell, columns: Sequence[ColumnEdges], font_size: float, *, has_leading_signs: bool = False
) -> list[RowCell]:
    """Split a cell wherever a gap between its words coincides with a gap between columns.

    If `has_leading_signs` is true, a currency symbol after a number belongs to the next column.
    """
    parts = [RowCell([cell.words[0]])]
    for before, word in pairwise(cell.words):
        cut = any(before.right <= one.right + 1 and word.left >= other.left - 1 for one, other in pairwise(columns))
        # guard: pdf-currency-sign
        leads = has_leading_signs and is_currency_symbol(word.text) and is_value(join_cell_words(parts[-1].words))
        if leads or (cut and word.left - before.right >= MIN_COLUMN_GAP_RATIO * font_size):
            parts.append(RowCell([word]))
        else:
            parts[-1].words.append(word)
    return parts


class HeaderReader:
    """Assigns the words of a table's header rows to columns."""

    def __init__(
        self, rows: Sequence[TextRow], columns: Sequence[ColumnEdges], rules: Sequence[Rule], font_size: float
    ) -> None:
        self._rows = rows
        self._columns = columns
        self._rules = rules
        self._size = font_size
        self._boxes = [self._build_widened_column(number) for number in range(len(columns))]

    def read_header_rows(self) -> list[list[Words]]:
        """Return the header rows, with each cell repeated in every column that it covers."""
        return [self._read_header_row(number) for number in range(len(self._rows))]

    def _read_header_row(self, row_index: int) -> list[Words]:
        row = self._rows[row_index]
        line: list[Words] = [[] for _ in self._columns]
        parts = [part for cell in row.cells for part in self._split_cell_by_columns(cell)]
        spans = self._find_column_spans(row_index, parts) or [self._list_cell_columns(row, part) for part in parts]
        for part, span in zip(parts, spans, strict=True):
            for at in span:
                line[at] = [*line[at], *sort_words_for_reading(part.words)]
        return line

    def _split_cell_by_columns(self, cell: RowCell) -> list[RowCell]:
        """Split a cell at its widest gaps into one part per column that it overlaps, if the gaps are wide enough."""
        over = sum(compute_overlap(cell, column) > 0 for column in self._columns)
        gaps = sorted(((word.left - before.right, at) for at, (before, word) in enumerate(pairwise(cell.words), 1)))
        chosen, others = gaps[len(gaps) - over + 1 :], gaps[: len(gaps) - over + 1]
        if over < 2 or len(gaps) < over - 1 or chosen[0][0] < MIN_COLUMN_GAP_RATIO * self._size:
            return [cell]
        if others and others[-1][0] * HEADER_GAP_WORD_GAPS > chosen[0][0]:
            return split_cell_at_columns(cell, self._columns, self._size)
        cuts = [0, *sorted(at for _, at in chosen), len(cell.words)]
        return [RowCell(cell.words[start:end]) for start, end in pairwise(cuts)]

    def _find_column_spans(self, row_index: int, cells: Sequence[RowCell]) -> list[Sequence[int]] | None:
        """Return the column span of each cell in a row of centred cells that together cover all columns.

        The label column keeps its own cell. Returns None if no cell spans several columns, or if the cells may be
        centred by coincidence. Unless rules confirm the spans, all cells must span the same number of columns.
        """
        boxes, spans, at = self._boxes, list[Sequence[int]](), 1
        for cell in cells:
            if at == 1 and cell.right < boxes[1].left:
                spans.append([0])
                continue
            middle = (cell.left + cell.right) / 2
            ends = ((abs(boxes[at].left + boxes[end].right - 2 * middle), end) for end in range(at, len(boxes)))
            off, end = min(ends, default=(2 * self._size, at))
            if off >= 2 * self._size:
                return None
            spans.append(range(at, end + 1))
            at = end + 1
        several = [(cell, span) for cell, span in zip(cells, spans, strict=True) if len(span) > 1]
        if at < len(boxes) or not several:
            return None
        alike = all(len(span) == len(several[0][1]) for span in spans if 0 not in span)
        is_sure = all(self._is_spanning_cell(row_index, cell, span, has_equal_spans=alike) for cell, span in several)
        return spans if is_sure else None

    def _is_spanning_cell(self, row_index: int, cell: RowCell, span: Sequence[int], *, has_equal_spans: bool) -> bool:
        """Return whether rules separate a cell from the names of the columns that it spans.

        If `has_equal_spans` is true, it is enough that the cell overlaps several columns or lies between two, unless
        rules assign it to other columns. A cell over a single column may be the first or last line of that column's
        name.
        """
        row = self._rows[row_index]
        below = self._find_rule_below(row, cell)
        if below and len(self._list_columns_of_rule(below)) > 1 and self._list_columns_of_rule(below) != list(span):
            return False
        if has_equal_spans and sum(compute_overlap(cell, self._boxes[at]) > 0 for at in span) != 1:
            return True
        last = row_index == len(self._rows) - 1
        upper, lower = (self._rows[row_index - 1], row) if last else (row, self._rows[row_index + 1])
        between = [rule for rule in self._rules if upper.bottom - 1 <= rule.at <= lower.top + 1]
        return any(
            self._has_rules_over_span(
                span, [each for each in between if abs(each.at - rule.at) < SAME_RULE_LINE_POINTS]
            )
            for rule in between
        )

    def _has_rules_over_span(self, span: Sequence[int], rules: Sequence[Rule]) -> bool:
        """Return whether rules cover all columns of a span, and none of them also covers a column outside it."""
        under = [self._list_columns_of_rule(rule) for rule in rules]
        within = [each for each in under if set(each) & set(span)]
        return {at for each in within for at in each} == set(span)

    def _list_columns_of_rule(self, rule: Rule) -> list[int]:
        return [at for at, column in enumerate(self._columns) if rule.start <= column.middle <= rule.end]

    def _list_cell_columns(self, row: TextRow, cell: RowCell) -> Sequence[int]:
        rule = self._find_rule_below(row, cell)
        over = [at for at, column in enumerate(self._columns) if compute_overlap(cell, column) > 0]
        if rule:
            over = self._list_columns_of_rule(rule)
        middle = (cell.left + cell.right) / 2
        return over or [min(range(len(self._columns)), key=lambda at: abs(self._columns[at].middle - middle))]

    def _find_rule_below(self, row: TextRow, cell: RowCell) -> Rule | None:
        """Return the nearest rule below a cell that covers the cell's width and no other cell of the row."""
        below = (
            rule
            for rule in self._rules
            if row.bottom - 1 <= rule.at <= row.bottom + MAX_TABLE_ROW_GAP_RATIO * row.size
            and rule.start <= cell.left + HEADER_OVERHANG_POINTS
            and rule.end >= cell.right - HEADER_OVERHANG_POINTS
            and sum(rule.start <= (each.left + each.right) / 2 <= rule.end for each in row.cells) == 1
        )
        return min(below, key=lambda rule: rule.at, default=None)

    def _build_widened_column(self, column_index: int) -> ColumnEdges:
        """Widen a column to the rules that cover only this column."""
        column = self._columns[column_index]
        others = [*self._columns[:column_index], *self._columns[column_index + 1 :]]
        rules = [
            rule
            for rule in self._rules
            if rule.start <= column.middle <= rule.end
            and not any(rule.start < other.right and other.left < rule.end for other in others)
        ]
        left, right = (rule.start for rule in rules), (rule.end for rule in rules)
        return ColumnEdges(min(left, default=column.left), max(right, default=column.right))
