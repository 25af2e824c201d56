"""Divide a page into columns by the white space between them.

A gutter is a tall strip without words. It separates text columns if both sides are running text, or if the lines on the
two sides are at different heights. Otherwise, it separates the columns of a table. The text columns end where words
cross the strip above or below the gutter. Regions are divided further until no gutter is left.

Strips are found as in Breuel's whitespace analysis (Two Geometric Algorithms for Layout Analysis, DAS 2002), but on a
raster instead of rectangles.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ingest.parsing.pdf.constants import (
    BAND_GAP_RATIO,
    BESIDE_OFFSET_RATIO,
    BESIDE_ROWS_SHARE,
    CELL_GAP_RATIO,
    FULL_LINE_RATIO,
    MAX_COLUMN_DEPTH,
    MAX_GUTTER_TRIES,
    MAX_STRIPS,
    MAX_TEXT_LINE_STEP_RATIO,
    MAX_TEXT_NUMBER_SHARE,
    MIN_GUTTER_HEIGHT_RATIO,
    MIN_GUTTER_WIDTH_RATIO,
    MIN_RIVER_LINES,
    MIN_TEXT_LINE_WORDS,
    RASTER_HEIGHT,
    RASTER_WIDTH,
)
from ingest.parsing.pdf.content import Word, compute_median, compute_median_font_size
from ingest.parsing.pdf.rows import TextRow, build_rows, is_list_mark, is_right_to_left

_DASHES = "-–—"  # Dashes that tables show instead of a number.


@dataclass(frozen=True)
class _Gutter:
    left: float
    right: float
    top: float
    bottom: float


def iter_column_regions(words: Sequence[Word], depth: int = 0) -> Iterator[list[Word]]:
    """Yield the words of each region without further columns, in reading order."""
    if not words:
        return
    gutter = _find_gutter(words) if depth < MAX_COLUMN_DEPTH else None
    if gutter is None:
        yield list(words)
        return
    above: list[Word] = []
    below: list[Word] = []
    left: list[Word] = []
    right: list[Word] = []
    for word in words:
        middle = (word.top + word.bottom) / 2
        if middle <= gutter.top:
            above.append(word)
        elif middle >= gutter.bottom:
            below.append(word)
        else:
            (left if word.middle < gutter.left else right).append(word)
    sides = (right, left) if is_right_to_left([*left, *right]) else (left, right)
    for part in (above, *sides, below):
        yield from iter_column_regions(part, depth + 1)


def _find_gutter(words: Sequence[Word]) -> _Gutter | None:
    """Return the tallest strip that separates text columns, or None if there is none."""
    size = compute_median_font_size(words)
    for gutter in _iter_white_strips(words, size):
        bands = _split_into_bands(gutter, words, size)
        if _is_column_gutter(_merge_bands(bands), gutter, size):
            kept = bands[: _count_column_bands(bands, gutter, size)][::-1]
            kept = kept[: _count_column_bands(kept, gutter, size)][::-1]
            if len(kept) < len(bands) and not _is_column_gutter(_merge_bands(kept), gutter, size):
                continue
            top, bottom = min(word.top for word in kept[0]), max(word.bottom for word in kept[-1])
            return _Gutter(gutter.left, gutter.right, top, bottom)
    return None


def _count_column_bands(bands: Sequence[list[Word]], gutter: _Gutter, font_size: float) -> int:
    """Return the number of bands, excluding the last bands if they form a table together."""
    end = len(bands)
    for start in range(len(bands) - 1, 0, -1):
        words = _merge_bands(bands[start:])
        if _is_column_gutter(words, gutter, font_size):
            break
        one, other = _build_rows_by_side(words, gutter)
        if (
            min(len(one), len(other)) > 1
            and min(
                _compute_aligned_row_fraction(one, other, font_size),
                _compute_aligned_row_fraction(other, one, font_size),
            )
            >= BESIDE_ROWS_SHARE
        ):
            end = start
    return end


def _merge_bands(bands: Sequence[list[Word]]) -> list[Word]:
    return [word for band in bands for word in band]


def _split_into_bands(gutter: _Gutter, words: Sequence[Word], font_size: float) -> list[list[Word]]:
    """Split the words beside a strip into bands wherever both sides are empty.

    This separates a table from the text columns above it.
    """
    inside = [word for word in words if gutter.top < (word.top + word.bottom) / 2 < gutter.bottom]
    bands: list[list[Word]] = []
    bottom = 0.0
    for word in sorted(inside, key=lambda each: each.top):
        if not bands or word.top - bottom > BAND_GAP_RATIO * font_size:
            bands.append([])
            bottom = word.bottom
        bands[-1].append(word)
        bottom = max(bottom, word.bottom)
    return bands


def _iter_white_strips(words: Sequence[Word], font_size: float) -> Iterator[_Gutter]:
    """Yield tall strips of white space between words, tallest first."""
    x0, y0 = min(word.left for word in words), min(word.top for word in words)
    x1, y1 = max(word.right for word in words), max(word.bottom for word in words)
    if y1 - y0 < MIN_GUTTER_HEIGHT_RATIO * font_size:
        return
    wide, high = int((x1 - x0) / RASTER_WIDTH) + 1, int((y1 - y0) / RASTER_HEIGHT) + 1
    filled = np.zeros((high + 1, wide + 1), np.int32)
    for word in words:
        top, bottom = int((word.top - y0) / RASTER_HEIGHT), int((word.bottom - y0) / RASTER_HEIGHT) + 1
        left, right = int((word.left - x0) / RASTER_WIDTH), int((word.right - x0) / RASTER_WIDTH) + 1
        filled[top + 1 : bottom + 1, left + 1 : right + 1] = 1
    window = max(1, round(MIN_GUTTER_WIDTH_RATIO * font_size / RASTER_WIDTH))
    if window >= wide:
        return
    sums = np.cumsum(filled[1:], axis=1)
    blocked = sums[:, window:] > sums[:, :-window]
    lines = np.arange(high)[:, None]
    run = lines - np.maximum.accumulate(np.where(blocked, lines, -1), axis=0)
    tallest, ends = run.max(axis=0), run.argmax(axis=0)
    least = MIN_GUTTER_HEIGHT_RATIO * font_size / RASTER_HEIGHT
    tries = 0
    for _ in range(MAX_STRIPS):
        at = int(tallest.argmax())
        if tallest[at] < least or tries == MAX_GUTTER_TRIES:
            return
        first, last = at, at
        while first > 0 and tallest[first - 1] == tallest[at] and ends[first - 1] == ends[at]:
            first -= 1
        while last + 1 < len(tallest) and tallest[last + 1] == tallest[at] and ends[last + 1] == ends[at]:
            last += 1
        end = int(ends[at]) + 1
        if first > 0 and last + window < wide:
            tries += 1
            yield _Gutter(
                x0 + first * RASTER_WIDTH,
                x0 + (last + window) * RASTER_WIDTH,
                y0 + (end - int(tallest[at])) * RASTER_HEIGHT,
                y0 + end * RASTER_HEIGHT,
            )
        tallest[first : last + 1] = 0


def _is_column_gutter(words: Sequence[Word], gutter: _Gutter, font_size: float) -> bool:
    one, other = _build_rows_by_side(words, gutter)
    if not one or not other:  # One of the sides is empty or contains only tables.
        return len(one) + len(other) > 1 and all(_find_occupied_sides(words, gutter))
    if min(len(one), len(other)) < 2:
        return False
    if (_is_running_text(one) and _is_running_text(other)) or (_is_list_region(one) and _is_list_region(other)):
        return True
    if _has_mostly_numbers(one) or _has_mostly_numbers(other):
        return False
    top, bottom = max(one[0].top, other[0].top), min(one[-1].bottom, other[-1].bottom)
    one, other = ([row for row in rows if row.bottom > top and row.top < bottom] for rows in (one, other))
    few, many = sorted((one, other), key=len)
    return len(few) > 2 and _compute_aligned_row_fraction(few, many, font_size) < BESIDE_ROWS_SHARE


def _build_rows_by_side(words: Sequence[Word], gutter: _Gutter) -> tuple[list[TextRow], list[TextRow]]:
    """Return the rows to the left and right of a strip, without placeholders for tables."""
    left = [word for word in words if word.text and word.middle < gutter.left]
    right = [word for word in words if word.text and word.middle >= gutter.left]
    return build_rows(left), build_rows(right)


def _find_occupied_sides(words: Sequence[Word], gutter: _Gutter) -> tuple[bool, bool]:
    return any(word.middle < gutter.left for word in words), any(word.middle >= gutter.left for word in words)


def _has_mostly_numbers(rows: Sequence[TextRow]) -> bool:
    words = [word for row in rows for word in row.words]
    return 2 * sum(not any(map(str.isalpha, word.text)) for word in words) > len(words)


def _is_running_text(rows: Sequence[TextRow]) -> bool:
    width = max(row.right for row in rows) - min(row.left for row in rows)
    words = [word for row in rows for word in row.words]
    numbers = sum(not any(map(str.isalpha, word.text)) for word in words)
    steps = [other.bottom - one.bottom for one, other in pairwise(rows)]
    if compute_median(steps) > MAX_TEXT_LINE_STEP_RATIO * compute_median_font_size(words):
        return False
    full = sum(sum(word.right - word.left for word in row.words) >= FULL_LINE_RATIO * width for row in rows)
    least = MIN_TEXT_LINE_WORDS * len(rows) * _count_vertical_sections(rows)
    return len(words) >= least and numbers <= MAX_TEXT_NUMBER_SHARE * len(words) and 2 * full > len(rows)


def _count_vertical_sections(rows: Sequence[TextRow]) -> int:
    """Count the parts into which empty vertical strips divide the rows.

    Returns 1 if there are only a few rows, because their gaps may be a coincidence.
    """
    if len(rows) < MIN_RIVER_LINES:
        return 1
    words = sorted((word for row in rows for word in row.words), key=lambda word: word.left)
    parts, right = 1, words[0].right
    for word in words[1:]:
        parts += word.left - right >= CELL_GAP_RATIO * word.size
        right = max(right, word.right)
    return parts


def _is_list_region(rows: Sequence[TextRow]) -> bool:
    """Return whether most rows are list items with a mark, which rarely occur in table cells."""
    items = sum(
        len(row.words) > 1 and is_list_mark(row.words[0].text) and row.words[0].text not in _DASHES for row in rows
    )
    return 2 * items > len(rows)


def _compute_aligned_row_fraction(rows: Sequence[TextRow], other_rows: Sequence[TextRow], font_size: float) -> float:
    """Return the fraction of the rows in `rows` that are level with a row in `other_rows`."""
    middles = np.array([row.top + row.bottom for row in other_rows]) / 2
    beside = sum(
        bool(np.any(np.abs(middles - (row.top + row.bottom) / 2) <= BESIDE_OFFSET_RATIO * font_size)) for row in rows
    )
    return beside / len(rows)
