"""Find the lines of a table of contents: each consists of words and a page number, aligned and in ascending order."""

import re
from collections.abc import Sequence

from ingest.parsing.pdf.constants import (
    CELL_GAP_RATIO,
    CONTENTS_HEADER_GAP_RATIO,
    FRONT_MATTER_OFFSET,
    MIN_CONTENTS_LINES,
    MIN_CONTENTS_LINES_BELOW_HEADER,
    MIN_DOTTED_CONTENTS_LINES,
    MIN_LEADER_DOTS,
    PAGE_NUMBER_EDGE_POINTS,
    ROMAN_NUMERALS,
)
from ingest.parsing.pdf.content import Word
from ingest.parsing.pdf.rows import RowCell, TextRow, split_into_cells
from ingest.parsing.pdf.tables import is_value, is_year

_LEADERS = re.compile(r"[.·…_]+")
_PAGE = re.compile(r"\d{1,4}")
_ROMAN = re.compile(r"[ivxlc]{1,7}")
_SECTION = re.compile(r"(?:\d{1,3}|[A-Z])(?:\.\d{1,3})*\.?")


def remove_leader_dots(row: TextRow) -> list[Word]:
    """Return a row's words without leader dots."""
    leading = [bool(_LEADERS.fullmatch(word.text)) for word in row.words]
    if sum(len(word.text) for word, leads in zip(row.words, leading, strict=True) if leads) < MIN_LEADER_DOTS:
        return row.words
    return [word for word, leads in zip(row.words, leading, strict=True) if not leads]


def mark_contents_rows(rows: Sequence[TextRow]) -> None:
    """Mark the rows of a table of contents, and remove their leader dots."""
    lines = [(number, *found) for number, row in enumerate(rows) if (found := _parse_contents_line(row))]
    at = 0
    while at < len(lines):
        end = at + 1
        while end < len(lines) and _can_follow_line(lines[end - 1], lines[end]):
            end += 1
        run = lines[at:end]
        if len(run) >= _choose_min_line_count(rows, run) and not all(is_year(str(page)) for _, _, page, _ in run):
            for number, words, _, _ in run:
                rows[number].words = words
                rows[number].cells = [RowCell(words)]
                rows[number].is_contents = True
        at = end


_Line = tuple[int, list[Word], int, bool]  # Row index, words, page number, and whether the row has leader dots.


def _parse_contents_line(row: TextRow) -> tuple[list[Word], int, bool] | None:
    words = remove_leader_dots(row)
    cells = split_into_cells(words, CELL_GAP_RATIO * row.size) if words else []
    is_led = len(words) < len(row.words)
    page = _parse_page_number(words[-1].text) if words else None
    if page is None or len(words) < 2 or not (is_led or len(cells[-1].words) == 1 < len(cells)):
        return None
    title = split_into_cells(words[:-1], CELL_GAP_RATIO * row.size)
    values = [cell for cell in title[1:] if is_value(cell.text)]
    if values or not any(sum(map(str.isalpha, cell.text)) > 1 for cell in title):
        return None
    if is_value(title[0].text) and not _SECTION.fullmatch(title[0].text):
        return None
    return words, page, is_led


def _parse_page_number(text: str) -> int | None:
    if _PAGE.fullmatch(text):
        return int(text)
    if not _ROMAN.fullmatch(text):
        return None
    values = [ROMAN_NUMERALS[each] for each in text]
    after = [*values[1:], 0]
    return sum(-one if one < other else one for one, other in zip(values, after, strict=True)) - FRONT_MATTER_OFFSET


def _can_follow_line(previous_line: _Line, line: _Line) -> bool:
    one, other = previous_line[1][-1], line[1][-1]
    apart = min(abs(one.right - other.right), abs(one.left - other.left), abs(one.middle - other.middle))
    return line[2] >= previous_line[2] and apart <= PAGE_NUMBER_EDGE_POINTS


def _choose_min_line_count(rows: Sequence[TextRow], lines: Sequence[_Line]) -> int:
    """Return the minimum number of lines in a table of contents.

    It is higher after a possible table header, and lower if all lines have leader dots.
    """
    if all(led for _, _, _, led in lines):
        return MIN_DOTTED_CONTENTS_LINES
    first = lines[0][0]
    if not first:
        return MIN_CONTENTS_LINES
    above, row = rows[first - 1], rows[first]
    is_header = above.words[-1].right >= row.words[-1].left and len(above.cells) > 1
    is_near = row.top - above.bottom <= CONTENTS_HEADER_GAP_RATIO * row.size
    # guard: pdf-numbers-below-header
    return MIN_CONTENTS_LINES_BELOW_HEADER if is_header and is_near else MIN_CONTENTS_LINES
