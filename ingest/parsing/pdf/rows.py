"""Group the words of a line into a row, and the words of a row into cells separated by gaps."""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from ingest.parsing.pdf.constants import (
    CELL_GAP_BLANKS,
    CELL_GAP_RATIO,
    DEFAULT_BLANK_RATIO,
    FEW_ROW_GAPS,
    MIN_CELL_GAP_RATIO,
    MIN_ROWS_SHARING_GAP,
    NEAR_ROWS,
    ROW_OVERLAP_RATIO,
    SHARED_GAP_RATIO,
    STACKED_OVERLAP_RATIO,
    STRETCHED_GAPS_RATIO,
    STRETCHED_GAPS_SPREAD,
)
from ingest.parsing.pdf.content import Word, compute_median_font_size

_RIGHT_TO_LEFT_LETTER = re.compile(
    "[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\U00010800-\U00010fff\U0001e800-\U0001efff]"
)
_RIGHT_TO_LEFT = frozenset({"R", "AL"})
_BULLETS = frozenset("•‣⁃∙·*◦o\ufffd")
# Unicode categories of symbols, private use (symbol fonts), controls and dashes.
_MARK_KINDS = frozenset({"So", "Co", "Cc", "Pd"})
_NO_MARKS = frozenset("©®™℗°")
_ITEM_NUMBER = re.compile(r"\(?(?:\d{1,3}|[a-zA-Z]|[ivx]{1,5}|[IVX]{1,5})[.)]")
_LETTERS = frozenset({"L", "R", "AL"})


@dataclass(slots=True)
class RowCell:
    """Adjacent words in a row, from left to right."""

    words: list[Word]

    @property
    def left(self) -> float:
        return self.words[0].left

    @property
    def right(self) -> float:
        return max(word.right for word in self.words)

    @property
    def text(self) -> str:
        return " ".join(word.text for word in self.words)


@dataclass(slots=True)
class TextRow:
    """The words of one line, from left to right even in right-to-left text. `size` is the font size."""

    words: list[Word]
    top: float
    bottom: float
    size: float = 0.0
    bold: bool = False
    cells: list[RowCell] = field(default_factory=list)
    is_contents: bool = False  # True for a line of a table of contents.

    @property
    def left(self) -> float:
        return self.words[0].left

    @property
    def right(self) -> float:
        return max(word.right for word in self.words)

    @property
    def height(self) -> float:
        return self.bottom - self.top

    @property
    def text(self) -> str:
        return " ".join(word.text for word in sort_words_for_reading(self.words))


def build_rows(words: Iterable[Word]) -> list[TextRow]:
    """Group words into rows, from top to bottom."""
    rows: list[TextRow] = []
    for word in sorted(words, key=lambda each: each.top + each.bottom):
        top, bottom = word.top, word.bottom
        for row in rows[: -1 - NEAR_ROWS : -1]:
            shared = (bottom if bottom < row.bottom else row.bottom) - (top if top > row.top else row.top)
            high, other = bottom - top, row.bottom - row.top
            if shared >= ROW_OVERLAP_RATIO * (high if high < other else other):
                if high > other:
                    row.top, row.bottom = top, bottom
                row.words.append(word)
                break
        else:
            rows.append(TextRow([word], top, bottom))
    for row in rows:
        row.words.sort(key=lambda each: each.left)
        row.size = compute_median_font_size(row.words)
        row.bold = sum(len(word.text) if word.bold else -len(word.text) for word in row.words) > 0
        row.cells = split_into_cells(row.words, CELL_GAP_RATIO * row.size)
    rows.sort(key=lambda each: each.top + each.bottom)
    return rows


def is_list_mark(text: str) -> bool:
    """Return whether a string is a bullet, a check box, or an item number."""
    if len(text) == 1:
        return text in _BULLETS or (unicodedata.category(text) in _MARK_KINDS and text not in _NO_MARKS)
    return _ITEM_NUMBER.fullmatch(text) is not None


def split_into_cells(words: Sequence[Word], min_gap: float) -> list[RowCell]:
    """Split a row's words into cells at gaps of at least `min_gap` points."""
    cells: list[RowCell] = []
    right = 0.0
    for word in words:
        if cells and word.left - right < min_gap:
            cells[-1].words.append(word)
        else:
            cells.append(RowCell([word]))
            right = word.right
        right = max(right, word.right)
    return cells


def is_right_to_left(words: Iterable[Word]) -> bool:
    """Return whether most letters belong to right-to-left scripts."""
    words = list(words)
    if not _RIGHT_TO_LEFT_LETTER.search("".join([word.text for word in words])):
        return False
    balance = 0
    for word in words:
        if not word.text.isascii():
            kinds = [unicodedata.bidirectional(char) for char in word.text]
            balance += sum(1 if kind in _RIGHT_TO_LEFT else -1 for kind in kinds if kind in _LETTERS)
        elif any(map(str.isalpha, word.text)):
            balance -= len(word.text)
    return balance > 0


def sort_words_for_reading(words: Sequence[Word]) -> Sequence[Word]:
    """Sort a row's words in reading order. In a right-to-left row, runs of left-to-right words keep their order.

    If the row contains two lines, such as a two-line label beside a centred value, the upper line comes first.
    """
    if (lines := _split_into_two_lines(words)) is not None:
        return [*sort_words_for_reading(lines[0]), *sort_words_for_reading(lines[1])]
    if "".join([word.text for word in words]).isascii() or not is_right_to_left(words):
        return words
    ordered: list[Word] = []
    run: list[Word] = []
    for word in reversed(words):
        if is_right_to_left([word]) or not any(map(str.isalnum, word.text)):
            ordered += reversed(run)
            run = []
            ordered.append(word)
        else:
            run.append(word)
    return [*ordered, *reversed(run)]


def _split_into_two_lines(words: Sequence[Word]) -> tuple[list[Word], list[Word]] | None:
    """Split a row in which some words are above others into two lines, each ordered from left to right.

    Returns None unless there are exactly two lines. Both lines must have several words, because single stacked symbols
    belong to formulas. At least half of the shorter line must overlap the other line horizontally.
    """
    if all(other.left >= one.right - STACKED_OVERLAP_RATIO * one.size for one, other in pairwise(words)):
        return None
    lines: list[list[Word]] = []
    for word in sorted(words, key=lambda each: each.top + each.bottom):
        if lines and word.top + word.bottom - lines[-1][0].top - lines[-1][0].bottom < word.height:
            lines[-1].append(word)
        else:
            lines.append([word])
    if len(lines) != 2 or min(map(len, lines)) < 2:
        return None
    upper, lower = (sorted(line, key=lambda word: word.left) for line in lines)
    over = min(upper[-1].right, lower[-1].right) - max(upper[0].left, lower[0].left)
    narrow = min(upper[-1].right - upper[0].left, lower[-1].right - lower[0].left)
    return (upper, lower) if 2 * over >= narrow else None


def is_justified_row(row: TextRow) -> bool:
    """Return whether a row is justified text: its spaces have similar widths, but its words do not.

    In a table row, the ends or centers of the words are evenly spaced instead.
    """
    if len(row.cells) <= FEW_ROW_GAPS:
        return False
    gaps = [other.left - one.right for one, other in pairwise(row.words)]
    widths = [word.right - word.left for word in row.words]
    return max(gaps) - min(gaps) < STRETCHED_GAPS_SPREAD * row.size and max(widths) - min(widths) > row.size


def compute_usual_space_ratio(words: Sequence[Word]) -> float:
    """Return the usual width of a space in running text, as a fraction of the font size."""
    gaps = [
        (other.left - one.right) / one.size
        for one, other in pairwise(words)
        if one.size == other.size and abs(one.bottom - other.bottom) < 1 and 0 < other.left - one.right < one.size
    ]
    gaps.sort()
    return gaps[len(gaps) // 4] if gaps else DEFAULT_BLANK_RATIO


def split_rows_at_common_gaps(rows: Sequence[TextRow], space_ratio: float) -> None:
    """Also split rows into cells at narrower gaps, if nearby rows have a gap at the same position.

    Such a gap must be clearly wider than the spaces of its row. In a row with few words, it must be clearly wider than
    `space_ratio`, the result of `compute_usual_space_ratio`.
    """
    wide = [_list_wide_gaps(row, space_ratio) for row in rows]
    for number, row in enumerate(rows):
        cuts = {
            gap[0]
            for gap in wide[number]
            if _get_gap_width(gap) >= CELL_GAP_RATIO * row.size or _is_common_gap(gap, number, wide)
        }
        if len(cuts) >= len(row.cells):
            edges = [0, *sorted(cuts), len(row.words)]
            row.cells = [RowCell(row.words[start:end]) for start, end in pairwise(edges)]


Gap = tuple[int, float, float, float]  # Index of the word after the gap, left and right end of the gap, and font size.
Gaps = list[Gap]


def _get_gap_width(gap: Gap) -> float:
    return gap[2] - gap[1]


def _is_common_gap(gap: Gap, row_index: int, row_gaps: Sequence[Gaps]) -> bool:
    _, left, right, size = gap
    near = (*row_gaps[max(0, row_index - NEAR_ROWS) : row_index], *row_gaps[row_index + 1 : row_index + 1 + NEAR_ROWS])
    least = SHARED_GAP_RATIO * size
    sharing = sum(any(min(right, each[2]) - max(left, each[1]) >= least for each in row) for row in near)
    return sharing >= MIN_ROWS_SHARING_GAP


def _list_wide_gaps(row: TextRow, space_ratio: float) -> Gaps:
    """List the gaps in a row that are wide enough to separate cells."""
    gaps: Gaps = []
    right = row.words[0].right
    for at, word in enumerate(row.words[1:], 1):
        gaps.append((at, right, word.left, row.size))
        right = max(right, word.right)
    widths = sorted(map(_get_gap_width, gaps))
    if len(widths) > 1 and widths[-1] < STRETCHED_GAPS_RATIO * widths[0]:  # All gaps are stretched spaces.
        usual = widths[-1]
    else:
        usual = widths[len(widths) // 4] if len(widths) > FEW_ROW_GAPS else space_ratio * row.size
    least = min(CELL_GAP_RATIO * row.size, max(MIN_CELL_GAP_RATIO * row.size, CELL_GAP_BLANKS * usual))
    return [gap for gap in gaps if _get_gap_width(gap) >= least]
