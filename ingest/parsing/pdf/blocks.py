"""Group the rows of a page into blocks in reading order: paragraphs, list items and tables."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from ingest.parsing.pdf.aligned_tables import merge_table_rows
from ingest.parsing.pdf.columns import iter_column_regions
from ingest.parsing.pdf.constants import (
    DEFAULT_LINE_STEP_RATIO,
    FULL_LINE_END_RATIO,
    INDENT_RATIO,
    MAX_PARAGRAPH_STEP_RATIO,
    MIN_LINE_PAIRS,
    PARAGRAPH_STEP_RATIO,
    SAME_SIZE_TOLERANCE,
)
from ingest.parsing.pdf.content import PageContent, Word, compute_median, rotate_upright
from ingest.parsing.pdf.grids import find_grid_tables
from ingest.parsing.pdf.rows import (
    TextRow,
    build_rows,
    compute_usual_space_ratio,
    is_list_mark,
    is_right_to_left,
    sort_words_for_reading,
)
from ingest.parsing.pdf.tables import Table
from ingest.storage.texts.positions import Box

_SENTENCE_END = re.compile(r".*[.!?:;。！？؟][\"'”’)\]]*", re.DOTALL)


@dataclass
class Block:
    """A paragraph, a heading, or a list item with its mark.

    `lines` contains the words of each line in reading order. `right` is the right edge of the block's column.
    """

    page: int
    lines: list[list[Word]]
    size: float
    bold: bool
    left: float
    right: float
    mark: Word | None = None
    depth: int = 0
    level: int = 0  # Heading level, counted from 1; 0 for other blocks.
    is_contents: bool = False  # True if the block contains lines of a table of contents.
    # For each line end except the last, whether the line end was intended.
    breaks: list[bool] = field(default_factory=list)

    @property
    def text(self) -> str:
        return " ".join(word.text for line in self.lines for word in line)

    @property
    def has_short_last_line(self) -> bool:
        """True if the last line is not full, so the sentence does not continue in another block."""
        last = self.lines[-1]
        return max(word.right for word in last) < self.right - 4 * self.size

    @property
    def ends_sentence(self) -> bool:
        return _SENTENCE_END.fullmatch(self.lines[-1][-1].text) is not None


@dataclass
class PageTable:
    """A table and the number of its page."""

    page: int
    table: Table


@dataclass
class PageRegions:
    """A page's rows and tables, grouped by region, in reading order."""

    number: int
    regions: list[list[TextRow | Table]]


def divide_page_into_regions(content: PageContent) -> PageRegions:
    """Divide a page into regions. Words in the most common orientation come first."""
    counts: dict[int, int] = {}
    for word in content.words:
        counts[word.turn] = counts.get(word.turn, 0) + len(word.text)
    regions: list[list[TextRow | Table]] = []
    order = sorted(counts, key=lambda each: -counts[each])
    if order[:1] == [0]:  # Rotated words in a grid, such as headers of narrow columns, belong to the grid's cells.
        tables, words = find_grid_tables(content)
        content.words = [word for word in words if word.turn]
        regions += _group_rows_by_region(content, tables, [word for word in words if not word.turn])
        del order[0]
    for turn in order:
        turned = rotate_upright(content, turn)
        regions += _group_rows_by_region(turned, *find_grid_tables(turned))
    return PageRegions(content.number, regions)


def _group_rows_by_region(
    content: PageContent, tables: Sequence[Table], words: Sequence[Word]
) -> list[list[TextRow | Table]]:
    stand_ins = [_build_placeholder_word(table, content.number) for table in tables]
    in_place = {id(word): table for word, table in zip(stand_ins, tables, strict=True)}
    blank = compute_usual_space_ratio(words)
    found: list[list[TextRow | Table]] = []
    for region in iter_column_regions([*words, *stand_ins]):
        rows = build_rows(word for word in region if id(word) not in in_place)
        items = merge_table_rows(rows, content.rules, blank)
        items += [in_place[id(word)] for word in region if id(word) in in_place]
        found.append(sorted(items, key=lambda item: item.top))
    return found


class LineSpacing:
    """The usual line spacing of running text for each font size."""

    def __init__(self, pages: Iterable[PageRegions]) -> None:
        distances: dict[float, list[float]] = {}
        for items in (items for page in pages for items in page.regions):
            rows = [item for item in items if isinstance(item, TextRow)]
            right = max((row.right for row in rows), default=0.0)
            for one, other in pairwise(rows):
                distance = other.bottom - one.bottom
                is_full = one.right > right - FULL_LINE_END_RATIO * one.size
                # guard: pdf-line-distance
                if _has_same_font(one, other) and is_full and distance <= MAX_PARAGRAPH_STEP_RATIO * one.size:
                    distances.setdefault(one.size, []).append(distance)
        self._usual = {size: compute_median(each) for size, each in distances.items() if len(each) >= MIN_LINE_PAIRS}

    def get_row_spacing(self, row: TextRow) -> float:
        """Return the usual line spacing for a row's font size."""
        return self._usual.get(row.size, DEFAULT_LINE_STEP_RATIO * row.size)


def build_page_blocks(page: PageRegions, line_spacing: LineSpacing) -> list[Block | PageTable]:
    """Group the rows of a page into blocks."""
    return [
        block
        for items in page.regions
        for block in _ColumnBlockBuilder(page.number, items, line_spacing).build_blocks()
    ]


def _build_placeholder_word(table: Table, page_number: int) -> Word:
    """Build a placeholder word that represents a table during the search for columns."""
    box = Box(page_number, 0.0, 0.0, 0.0, 0.0)
    return Word("", table.left, table.top, table.right, table.bottom, 0.0, False, 0, box)


def _has_same_font(first_row: TextRow, second_row: TextRow) -> bool:
    return (
        abs(first_row.size - second_row.size) <= SAME_SIZE_TOLERANCE * first_row.size
        and first_row.bold == second_row.bold
    )


class _ColumnBlockBuilder:
    """Builds the blocks of one column."""

    def __init__(self, page_number: int, items: Sequence[TextRow | Table], line_spacing: LineSpacing) -> None:
        self._page = page_number
        self._items = items
        self._leading = line_spacing
        rows = [item for item in items if isinstance(item, TextRow)]
        self._left = min((row.left for row in rows), default=0.0)
        self._right = max((row.right for row in rows), default=0.0)
        self._blocks: list[Block | PageTable] = []
        self._last: TextRow | None = None
        self._hanging = 0.0  # Left edge of the current list item's text.

    def build_blocks(self) -> list[Block | PageTable]:
        for item in self._items:
            if isinstance(item, Table):
                self._blocks.append(PageTable(self._page, item))
                self._last = None
            else:
                self._add_row(item)
        return self._blocks

    def _add_row(self, row: TextRow) -> None:
        block = self._blocks[-1] if self._blocks else None
        words = list(sort_words_for_reading(row.words))
        mark = _find_list_mark(words)
        if (
            self._last is None
            or not isinstance(block, Block)
            or mark
            or not self._is_continuation_row(block, self._last, row)
        ):
            text = words[1:] if mark else words
            rightward = is_right_to_left(words)
            left = -row.right if rightward else row.left
            self._blocks.append(Block(self._page, [text], row.size, row.bold, left, self._right, mark))
            self._hanging = text[0].left
            self._set_item_depth()
        else:
            block.breaks.append(self._has_room_for_next_word(self._last, row))
            block.lines.append(words)
        if row.is_contents and isinstance(self._blocks[-1], Block):
            self._blocks[-1].is_contents = True
        self._last = row

    def _is_continuation_row(self, block: Block, previous_row: TextRow, row: TextRow) -> bool:
        if previous_row.is_contents and row.is_contents:
            return True
        usual = self._leading.get_row_spacing(row)
        if not _has_same_font(previous_row, row) or row.bottom - previous_row.bottom > PARAGRAPH_STEP_RATIO * max(
            usual, row.height
        ):
            return False
        if block.mark is not None:
            hanging = min(self._hanging, block.mark.left + INDENT_RATIO * row.size) - 2
            if row.left >= hanging:
                return True
            if len(block.lines) == 1 or previous_row.left >= hanging:
                return not (self._has_room_for_next_word(previous_row, row) or block.ends_sentence)
        if self._has_room_for_next_word(previous_row, row) and block.ends_sentence:
            return False
        begins_indented = row.left - previous_row.left > INDENT_RATIO * row.size
        flush = previous_row.left - self._left <= INDENT_RATIO * row.size
        return not (begins_indented and flush and len(block.lines) > 1)

    def _has_room_for_next_word(self, previous_row: TextRow, row: TextRow) -> bool:
        """Return whether the next row's first word would have fit on the previous row, so the line end was intended."""
        if previous_row.is_contents:
            return True
        first = sort_words_for_reading(row.words)[0]
        room = (
            self._right - previous_row.right
            if not is_right_to_left(previous_row.words)
            else previous_row.left - self._left
        )
        return room > first.right - first.left + row.size

    def _set_item_depth(self) -> None:
        """Set the depth of the last block if it is a list item.

        Its depth is one more than the depth of the nearest preceding item that is less indented.
        """
        block = self._blocks[-1]
        if not isinstance(block, Block) or block.mark is None:
            return
        for before in reversed(self._blocks[:-1]):
            if not isinstance(before, Block) or before.mark is None:
                break
            if before.left < block.left - 2:
                block.depth = before.depth + 1
                break
            if abs(before.left - block.left) <= 2:
                block.depth = before.depth
                break


def _find_list_mark(words: Sequence[Word]) -> Word | None:
    """Return the bullet or number at the start of a row, or None if there is none or no word follows it."""
    if len(words) < 2:
        return None
    return words[0] if is_list_mark(words[0].text) else None
