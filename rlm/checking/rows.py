"""Finds the lines of a table without which one of its rows cannot be understood: what its columns and values are."""

import re
from collections.abc import Iterator, Sequence

from retrieval.search.requests import Passage
from rlm.checking.nearest import is_header_row
from rlm.checking.quotes import Span

# Maximum length of one line of context, so that a row of a wide table costs little more than the row.
_MAX_LINE_CHARS = 600
_BORDER = re.compile(r"(?<!\\)\|")
# Matches a year that is not part of a longer number.
_YEAR = re.compile(r"(?<![\d.,])[12]\d{3}(?![\d%]|[.,]\d)")


def list_row_context(passage: Passage, start: int, end: int, sentences: Sequence[Span]) -> list[Span]:
    """Return the spans of the lines that say what the rows of a table between two positions are about.

    These are the last of the `sentences` above the table, its header, and the last row above that is a heading: a row
    without values, or one whose values are years or dates, unless the values of the first row are too. If none of these
    nor the rows themselves name a year, the nearest rows above and below whose first cell names one are added, such as
    opening and closing balances.
    """
    text = passage.text
    first = text.rfind("\n", 0, start) + 1
    above, header = _list_rows_above(text, first)
    is_dated = _has_dates_only(text[first:].split("\n", 1)[0])
    rows = [(span, text[slice(*span)]) for span in above]
    lines = [span for span, row in rows if _has_label_only(row) or (not is_dated and _has_dates_only(row))][:1]
    lines += header
    top = [*header, *above[-1:], (first, first)][0][0]
    caption = [span for span in sentences if span[1] <= top][-1:]
    lines += [span for span in caption if not text.startswith("|", span[0])]
    if not any(map(_YEAR.search, [passage.table_header, text[first:end], *(text[slice(*each)] for each in lines)])):
        lines += [span for span, row in rows if _is_dated(row)][:1]
        lines += [span for span in _iter_rows_below(text, end) if _is_dated(text[slice(*span)])][:1]
    return [(begin, close) for begin, close in lines if close - begin <= _MAX_LINE_CHARS]


def _list_rows_above(text: str, first: int) -> tuple[list[Span], list[Span]]:
    """Return the rows between a row that starts at `first` and its table's header, nearest first, and the header.

    The header is missing if the passage begins within the table.
    """
    rows: list[Span] = []
    while first:
        first, end = text.rfind("\n", 0, first - 1) + 1, first - 1
        if not text.startswith("|", first):
            break
        if is_header_row(text, first, end):
            return rows[:-1], [(first, end)]  # The last row is the rule below the header.
        rows.append((first, end))
    return rows, []


def _iter_rows_below(text: str, end: int) -> Iterator[Span]:
    start = text.find("\n", end) + 1
    while start and text.startswith("|", start):
        end = text.find("\n", start)
        end = len(text) if end < 0 else end
        yield start, end
        start = text.find("\n", end) + 1


def _split_cells(row: str) -> list[str]:
    return [cell.strip() for cell in _BORDER.split(row.strip())[1:-1]]


def _has_label_only(row: str) -> bool:
    label, *values = _split_cells(row) or [""]
    return bool(label and values) and not any(values)


def _has_dates_only(row: str) -> bool:
    """Return whether a row has values, each with a year. Its first cell is a label and not a value."""
    values = [cell for cell in _split_cells(row)[1:] if cell]
    return bool(values) and all(map(_YEAR.search, values))


def _is_dated(row: str) -> bool:
    return any(map(_YEAR.search, _split_cells(row)[:1]))
