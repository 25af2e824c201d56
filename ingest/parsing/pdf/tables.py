"""A table on a page: the words of its cells, and the number of its header rows."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ingest.parsing.pdf.content import Word
from ingest.parsing.pdf.rows import build_rows, sort_words_for_reading

_OPENING = re.compile(r"[A-Z]{0,3}[$€£¥₹₩]|[(\[]|[+\-−]")
_CLOSING = re.compile(r"[)\]%‰°*†‡]+|\)?\s?%")
_CURRENCY = re.compile(r"[A-Z]{0,3}[$€£¥₹₩]")
_SYMBOLS = re.compile(r"(?:[A-Z]{0,3}[$€£¥₹₩]|[()\[\]%‰])+")
_VALUE = re.compile(
    r"[(\[]?\s*[+\-−–]?\s*(?:[A-Z]{0,3}[$€£¥₹₩])?\s*[(\[]?\s*[+\-−–]?\s*"
    r"(?:\d(?:[\d.'’\s]|,(?=\d))*(?:\s?[%xX‰])?|[—–\-−])\s*[)\]]*\s*%?[)\]]*"
    r"(?:\s?[*†‡]| [a-z]{1,7}|\s?[A-Z]{0,3}[$€£¥₹₩])?"
)
_YEAR = re.compile(r"(?:19|20)\d\d")

Words = list[Word]


@dataclass
class Table:
    """A table whose cells contain words in reading order. The first `headers` rows form the header."""

    rows: list[list[Words]]
    headers: int
    left: float
    top: float
    right: float
    bottom: float


def join_cell_words(words: Sequence[Word]) -> str:
    """Join the words of a cell into a string, with correct spacing of symbols."""
    text = ""
    for gap, word in list_words_with_gaps(words):
        text += gap + word.text
    return text


def list_words_with_gaps(words: Sequence[Word]) -> list[tuple[str, Word]]:
    """Return each word with the gap before it, which is a space or empty.

    There is no gap between a number and its currency symbol, bracket or percent sign on the same line.
    """
    found: list[tuple[str, Word]] = []
    for word in words:
        last = found[-1][1] if found else None
        is_below = last and not last.turn and (word.top + word.bottom) / 2 > last.bottom
        before = last.text if last and not is_below else ""
        tight = (_OPENING.fullmatch(before) and word.text[:1] in "(0123456789.,$€£¥-−–—") or _CLOSING.fullmatch(
            word.text
        )
        found.append(("" if not last or (before and tight) else " ", word))
    return found


def is_symbol(text: str) -> bool:
    """Return whether a string is a symbol that belongs to a number beside it."""
    return _SYMBOLS.fullmatch(text.replace(" ", "")) is not None


def is_opening_symbol(text: str) -> bool:
    return _OPENING.fullmatch(text.replace(" ", "")) is not None


def is_currency_symbol(text: str) -> bool:
    return _CURRENCY.fullmatch(text) is not None


def is_value(text: str) -> bool:
    """Return whether a string is a number, with or without a unit or symbol, or a dash instead of a number."""
    return _VALUE.fullmatch(text) is not None


def is_year(text: str) -> bool:
    return _YEAR.fullmatch(text) is not None


def sort_cell_words(words: Sequence[Word]) -> Words:
    """Sort the words of a cell, which may have several lines, in reading order.

    Rotated words are sorted in the direction of their text.
    """
    if words and words[0].turn in (1, 3):
        up = words[0].turn == 1
        return sorted(words, key=lambda word: (round(word.left), -word.top) if up else (-round(word.right), word.top))
    return [word for row in build_rows(words) for word in sort_words_for_reading(row.words)]


def count_header_rows(rows: Sequence[Sequence[Words]]) -> int:
    """Count the header rows, which all come before the first row with a value.

    Rows directly above that row which have only a label are not part of the header. A first row with a label and
    several years is a header if a row below has other values. Of several rows before the first value, the header
    extends only to the last bold row above regular rows, or to the first row that names every column. In a table
    without values, the header is the first row, or all first rows without labels.
    """
    texts = [[join_cell_words(cell) for cell in row] for row in rows]
    end = next((number for number in range(len(rows)) if _has_row_values(texts, number)), None)
    if end is None:
        unlabelled = next((number for number, row in enumerate(rows) if row[0]), 0)
        return max(1, unlabelled) if unlabelled < len(rows) - 1 else 1
    while end and not any(rows[end - 1][1:]):
        end -= 1
    bold = [all(word.bold for cell in row for word in cell) for row in rows[:end]]
    plain = bold.index(False) if False in bold else end
    if 0 < plain < end and rows[plain][0] and not any(bold[plain:]):
        end = plain
    whole = next((number for number in range(end) if all(rows[number])), end) + 1
    while whole < end and not rows[whole][0]:
        whole += 1
    return min(end, whole)


def _has_row_values(rows: Sequence[Sequence[str]], row_index: int) -> bool:
    """Return whether a row has a value other than a year, or a label and a year that is not a column name."""
    texts = rows[row_index]
    values = [text for text in texts[1:] if is_value(text)]
    # guard: pdf-years-first-row
    labelled = values and texts[0] and not (row_index == 0 and _are_column_years(texts, rows[1:]))
    return bool(labelled) or any(not is_year(text) for text in values)


def _are_column_years(cells: Sequence[str], rows_below: Sequence[Sequence[str]]) -> bool:
    """Return whether a row's cells after the label are years that name columns, and a row below has another value.

    There must be several years, because a single one may be a value, such as a founding year.
    """
    years = [text for text in cells[1:] if text]
    others = (text for row in rows_below for text in row[1:])
    is_names = len(years) > 1 and all(map(is_year, years))
    return is_names and any(is_value(text) and not is_year(text) for text in others)
