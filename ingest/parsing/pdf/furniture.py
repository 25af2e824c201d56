"""Find running headers, footers and page numbers: lines at a page's edge that repeat on other pages.

A line is a running header or footer if it occurs at the same edge of at least `MIN_RUNNING_PAGES` pages, at the same
distance from this edge, or if these lines differ only by the page number. A number within a sentence is not a page
number. Only lines at the very edge are considered.
A line in a larger font than on most of these pages is a title. So is a numbered line in a larger font than the text of
its page ("Chapter 3"). A table header repeated on each page is not a running header.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from ingest.parsing.pdf.constants import (
    MAX_LINE_NUMBERS,
    MAX_PAGE_NUMBER_DIGITS,
    MAX_RUNNING_LINES,
    MIN_RUNNING_PAGES,
    RUNNING_LINE_GAP_RATIO,
    RUNNING_TITLE_SIZE_RATIO,
)
from ingest.parsing.pdf.content import PageContent, Word, compute_median
from ingest.parsing.pdf.grids import find_grid_tables
from ingest.parsing.pdf.rows import TextRow, build_rows, sort_words_for_reading

_GAP = "\t"  # Stands for a wide gap between the words of a line.
_number = re.compile(r"(?<!\w)\d+(?!\w)")
_separator = re.compile(r"[\t|–—•·]| - ")
_total = re.compile(r"\W*(?:[^\W\d]{1,4}\W+)?\d+\W*")  # The number of pages: "of 12", "/ 12".
_NUMBERED = "\0"  # Stands in a key around the difference between a number and the page number.
Key = tuple[str, str]


@dataclass
class PageEdges:
    """The outermost lines at the top and bottom of a page, outermost first.

    `height` is the height of the page in points, and `text_size` the usual font size on it.
    """

    top: list[TextRow] = field(default_factory=list)
    bottom: list[TextRow] = field(default_factory=list)
    height: float = 0.0
    text_size: float = 0.0

    def iter_sides(self) -> Iterator[tuple[str, list[TextRow]]]:
        """Yield the names of both edges with their lines."""
        yield "top", self.top
        yield "bottom", self.bottom

    def compute_distance(self, side: str, row: TextRow) -> float:
        """Return the distance of a line from an edge in points."""
        return row.top if side == "top" else self.height - row.bottom


@dataclass(frozen=True)
class RunningLine:
    """A running header or footer with the key that it shares with lines on other pages."""

    key: str
    row: TextRow
    is_footer: bool


@dataclass
class _Occurrences:
    """The font sizes of a repeated line, and its distances from the edge in ascending order."""

    sizes: list[float] = field(default_factory=list)
    distances: list[float] = field(default_factory=list)

    def count_near(self, distance: float, tolerance: float) -> int:
        """Return how many of the lines are as far from the edge, with this tolerance."""
        return bisect_right(self.distances, distance + tolerance) - bisect_left(self.distances, distance - tolerance)


def find_page_edges(content: PageContent) -> PageEdges:
    """Find the outermost lines of a page's upright words."""
    words = [word for word in content.words if word.turn == 0]
    by_top = sorted(words, key=lambda word: word.top)
    by_bottom = sorted(words, key=lambda word: -word.bottom)
    return PageEdges(
        _list_outermost_rows(by_top, from_top=True),
        _list_outermost_rows(by_bottom, from_top=False),
        content.height,
        compute_median([word.size for word in words], 0.0),
    )


def _list_outermost_rows(words: Sequence[Word], *, from_top: bool) -> list[TextRow]:
    most = 40
    rows = build_rows(words[:most])
    while len(rows) < MAX_RUNNING_LINES + 2 and most < len(words):
        most *= 2
        rows = build_rows(words[:most])
    whole = len(words) <= most
    rows = rows if from_top else rows[::-1]
    return rows[: MAX_RUNNING_LINES + 1] if whole else rows[: min(MAX_RUNNING_LINES + 1, len(rows) - 1)]


def _list_match_keys(row: TextRow, page_number: int) -> list[str]:
    """List the keys by which a line is matched with lines on other pages."""
    text = _join_words(row).casefold()
    folded = _collapse(text)
    keys = [folded] if any(map(str.isalpha, folded)) else []
    numbers = [found for found in _number.finditer(text) if len(found[0]) <= MAX_PAGE_NUMBER_DIGITS]
    for found in numbers[:MAX_LINE_NUMBERS]:
        before, after = text[: found.start()], text[found.end() :]
        # guard: pdf-number-in-sentence
        stands_alone = _is_page_number(_separator.split(before)[-1], _separator.split(after)[0])
        if stands_alone:
            keys.append(f"{_collapse(before)}{_NUMBERED}{int(found[0]) - page_number}{_NUMBERED}{_collapse(after)}")
    return keys


def _is_page_number(before: str, after: str) -> bool:
    """Return whether a number stands where page numbers do in its part of a line: first, last, or before a total.

    Numbers within a sentence, and those of sections ("3. Fees"), are not page numbers.
    """
    has_before, has_after = any(map(str.isalnum, before)), any(map(str.isalnum, after))
    if not has_after:
        return not (has_before and "." in after)
    return not (has_before or after.startswith((".", ")"))) or _total.fullmatch(after) is not None


def _join_words(row: TextRow) -> str:
    """Join the words of a line in reading order, with a `_GAP` where they are more than their font size apart."""
    words = sort_words_for_reading(row.words)
    parts = [words[0].text] if words else []
    for before, word in pairwise(words):
        gap = max(word.left - before.right, before.left - word.right)
        parts += [_GAP if gap > row.size else " ", word.text]
    return "".join(parts)


def _collapse(text: str) -> str:
    return " ".join(text.replace(_GAP, " ").split())


class HeaderFooterFinder:
    """Finds the running headers and footers of a group of pages."""

    def __init__(self, pages: Sequence[tuple[int, PageEdges]]) -> None:
        found: dict[Key, _Occurrences] = {}
        for number, edges in pages:
            for side, rows in edges.iter_sides():
                lines = {(side, key): row for row in rows for key in _list_match_keys(row, number)}
                for key, row in lines.items():
                    each = found.setdefault(key, _Occurrences())
                    each.sizes.append(row.size)
                    each.distances.append(edges.compute_distance(side, row))
        self._repeated = {key: each for key, each in found.items() if len(each.sizes) >= MIN_RUNNING_PAGES}
        self._usual_sizes = {key: compute_median(each.sizes) for key, each in self._repeated.items()}
        for each in self._repeated.values():
            each.distances.sort()

    def find_headers_and_footers(self, content: PageContent, edges: PageEdges) -> list[RunningLine]:
        """Return a page's running headers and footers, outermost first."""
        return _exclude_grid_lines(self._find_repeated_lines(content.number, edges), content)

    def _find_repeated_lines(self, page_number: int, edges: PageEdges) -> list[RunningLine]:
        found: list[RunningLine] = []
        for side, rows in edges.iter_sides():
            keys: list[str] = []
            for row in rows[:MAX_RUNNING_LINES]:
                key = self._find_running_key(page_number, edges, side, row)
                if key is None:
                    break
                keys.append(key)
            while keys and len(rows) > len(keys) and not _is_far_apart(rows[len(keys) - 1], rows[len(keys)]):
                keys.pop()
            found += [RunningLine(key, row, side == "bottom") for key, row in zip(keys, rows, strict=False)]
        return found

    def _find_running_key(self, page_number: int, edges: PageEdges, side: str, row: TextRow) -> str | None:
        """Return the key of a line that also runs on other pages, or None for a line of the text."""
        distance = edges.compute_distance(side, row)
        for key in _list_match_keys(row, page_number):
            occurrences = self._repeated.get((side, key))
            if occurrences is None:
                continue
            # Text flows, so a sentence that ends several pages rarely does so at one height.
            # guard: pdf-running-line-in-place
            pages_in_place = occurrences.count_near(distance, row.size)
            if pages_in_place < MIN_RUNNING_PAGES:
                continue
            # guard: pdf-large-title
            if row.size > RUNNING_TITLE_SIZE_RATIO * self._usual_sizes[side, key]:
                return None
            # guard: pdf-numbered-title
            is_numbered_title = _NUMBERED in key and any(map(str.isalpha, key))
            if is_numbered_title and row.size > RUNNING_TITLE_SIZE_RATIO * edges.text_size:
                return None
            return key
        return None


def _exclude_grid_lines(running_lines: list[RunningLine], content: PageContent) -> list[RunningLine]:
    """Exclude running headers and footers in a grid that also contains other words."""
    middles = [(line.row.top + line.row.bottom) / 2 for line in running_lines]
    if not any(rule.start < middle < rule.end for rule in content.rules if not rule.level for middle in middles):
        return running_lines
    words = {id(word) for line in running_lines for word in line.row.words}
    inside: set[int] = set()
    for table in find_grid_tables(content)[0]:
        held = {id(word) for row in table.rows for cell in row for word in cell}
        if held - words:
            inside |= held
    return [line for line in running_lines if inside.isdisjoint(map(id, line.row.words))]


def _is_far_apart(outer_row: TextRow, inner_row: TextRow) -> bool:
    """Return whether two rows are further apart than lines of the same text."""
    gap = max(inner_row.top - outer_row.bottom, outer_row.top - inner_row.bottom)
    return gap > RUNNING_LINE_GAP_RATIO * min(outer_row.size, inner_row.size)
