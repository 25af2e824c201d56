"""Find running headers, footers and page numbers: lines at a page's edge that repeat on other pages.

A line is a running header or footer if it occurs at the same edge of at least `MIN_RUNNING_PAGES` pages, or if these
lines differ only by the page number. Only lines at the very edge are considered. A line in a larger font than on most
of these pages is a title. A table header repeated on each page is not a running header.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

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
from ingest.parsing.pdf.rows import TextRow, build_rows

_number = re.compile(r"(?<!\w)\d+(?!\w)")
Key = tuple[str, str]


@dataclass
class PageEdges:
    """The outermost lines at the top and bottom of a page, outermost first."""

    top: list[TextRow] = field(default_factory=list)
    bottom: list[TextRow] = field(default_factory=list)


def find_page_edges(content: PageContent) -> PageEdges:
    """Find the outermost lines of a page's upright words."""
    words = [word for word in content.words if word.turn == 0]
    by_top = sorted(words, key=lambda word: word.top)
    by_bottom = sorted(words, key=lambda word: -word.bottom)
    return PageEdges(_list_outermost_rows(by_top, from_top=True), _list_outermost_rows(by_bottom, from_top=False))


def _list_outermost_rows(words: Sequence[Word], *, from_top: bool) -> list[TextRow]:
    most = 40
    rows = build_rows(words[:most])
    while len(rows) < MAX_RUNNING_LINES + 2 and most < len(words):
        most *= 2
        rows = build_rows(words[:most])
    whole = len(words) <= most
    rows = rows if from_top else rows[::-1]
    return rows[: MAX_RUNNING_LINES + 1] if whole else rows[: min(MAX_RUNNING_LINES + 1, len(rows) - 1)]


def _list_match_keys(text: str, page_number: int) -> list[str]:
    """List the keys by which a line is matched with lines on other pages."""
    folded = " ".join(text.casefold().split())
    keys = [folded] if any(map(str.isalpha, folded)) else []
    numbers = [found for found in _number.finditer(folded) if len(found[0]) <= MAX_PAGE_NUMBER_DIGITS]
    return keys + [
        f"{folded[: each.start()]}\0{int(each[0]) - page_number}\0{folded[each.end() :]}"
        for each in numbers[:MAX_LINE_NUMBERS]
    ]


class HeaderFooterFinder:
    """Finds the running headers and footers of a group of pages."""

    def __init__(self, pages: Sequence[tuple[int, PageEdges]]) -> None:
        sizes: dict[Key, list[float]] = {}
        for number, edges in pages:
            for side, rows in (("top", edges.top), ("bottom", edges.bottom)):
                found = {(side, key): row.size for row in rows for key in _list_match_keys(row.text, number)}
                for each, size in found.items():
                    sizes.setdefault(each, []).append(size)
        self._running = {key: compute_median(found) for key, found in sizes.items() if len(found) >= MIN_RUNNING_PAGES}

    def find_headers_and_footers(self, content: PageContent, edges: PageEdges) -> list[tuple[str, TextRow]]:
        """Return a page's running headers and footers, each with the key it shares with other pages."""
        return _exclude_grid_lines(self._find_repeated_lines(content.number, edges), content)

    def _find_repeated_lines(self, page_number: int, edges: PageEdges) -> list[tuple[str, TextRow]]:
        found: list[tuple[str, TextRow]] = []
        for side, rows in (("top", edges.top), ("bottom", edges.bottom)):
            keys = []
            for row in rows[:MAX_RUNNING_LINES]:
                same = [key for key in _list_match_keys(row.text, page_number) if (side, key) in self._running]
                # guard: pdf-large-title
                if not same or row.size > RUNNING_TITLE_SIZE_RATIO * self._running[side, same[0]]:
                    break
                keys.append(same[0])
            while keys and len(rows) > len(keys) and not _is_far_apart(rows[len(keys) - 1], rows[len(keys)]):
                keys.pop()
            found += zip(keys, rows, strict=False)
        return found


def _exclude_grid_lines(running_lines: list[tuple[str, TextRow]], content: PageContent) -> list[tuple[str, TextRow]]:
    """Exclude running headers and footers in a grid that also contains other words."""
    middles = [(row.top + row.bottom) / 2 for _, row in running_lines]
    if not any(rule.start < middle < rule.end for rule in content.rules if not rule.level for middle in middles):
        return running_lines
    words = {id(word) for _, row in running_lines for word in row.words}
    inside: set[int] = set()
    for table in find_grid_tables(content)[0]:
        held = {id(word) for row in table.rows for cell in row for word in cell}
        if held - words:
            inside |= held
    return [(key, row) for key, row in running_lines if inside.isdisjoint(map(id, row.words))]


def _is_far_apart(outer_row: TextRow, inner_row: TextRow) -> bool:
    """Return whether two rows are further apart than lines of the same text."""
    gap = max(inner_row.top - outer_row.bottom, outer_row.top - inner_row.bottom)
    return gap > RUNNING_LINE_GAP_RATIO * min(outer_row.size, inner_row.size)
