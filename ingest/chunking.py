"""Split normalized text into chunks along its structure, with exact code-point spans.

A chunk never crosses a heading. Within a section, the preferred places to cut are, in this order: a blank line, a line
end (list items, code), a sentence end, any white space, and finally the size limit itself. A table is cut only between
rows, and its header is never separated from the first row. If the first row contains the years or units of the columns,
it belongs to the header (`find_second_headers`). Chunks do not overlap: published measurements found no gain from
overlap, and without it every code point belongs to at most one chunk.

Only the first rows of a very long table are put into chunks. Keyword search in the remaining rows is of little use, and
indexing them would cost as much as indexing a whole library. Questions about the table still reach all rows, because
the record table contains them.
"""

import re
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest

from ingest.storage.remarks import Remark
from ingest.storage.texts.chunks import DEFAULT_MAX_CHARS, Chunk
from ingest.storage.texts.layout import Layout, Omission, OmissionKind, TableSpan, build_omission
from ingest.storage.texts.positions import Positions

# Maximum total number of indexed rows in the tables of a document. Two cores embed this many typical rows within
# minutes.
INDEXED_ROWS = 100_000
_CHUNKS_PER_CHECK = 1_000  # chunks; processing this many takes a fraction of a second
# Forms of the cells in the second row of a header. A longer cell than these is a sentence or a name rather than the
# period or unit of a column.
_PERIOD_CHARS, _UNIT_CHARS = 40, 16
_PIPE = re.compile(r"(?<!\\)\|")
_DIGIT = re.compile(r"\d")
_BRACKETED = re.compile(r"[(\[][^\W\d_].*[)\]]")
_COLUMN_NUMBER = re.compile(r"[(\[]?\d{1,2}[)\].]?")
# A year that is not part of an amount, a date in digits, or one or two letters with a short number (Q3).
_PERIOD = re.compile(
    r"(?<![\d.,])(?:1[89]|20|21)\d\d(?![\d%]|[.,]\d)"
    r"|(?<!\d)\d{1,4}([./-])\d{1,2}\1\d{1,4}(?!\d)"
    r"|(?<!\w)[^\W\d_]{1,2}[ ]?\d{1,2}(?!\w)"
)


@dataclass(frozen=True)
class _Section:
    start: int
    end: int
    heading_path: tuple[str, ...]


_CUTS = (
    re.compile(r"\n[ \t]*\n"),
    re.compile(r"\n"),
    re.compile(r"[.!?。！？][\"'”’)\]]*[ \t]"),
    re.compile(r"\s"),
)


def get_chunker_fingerprint(max_chars: int = DEFAULT_MAX_CHARS) -> str:
    """Return a name that identifies every setting that affects chunks and their texts.

    The name is part of each version's id.
    """
    return f"structure-4/{max_chars}"


def find_second_headers(text: str, layout: Layout) -> Layout:
    """Return the layout with the second row of each table's header, if there is one.

    A first row belongs to the header if its cells have the forms of years, periods, column numbers or units, and if it
    has no label, unlike the row below it. The rows of tables in other forms than Markdown, such as CSV, are not
    examined.
    """
    return replace(
        layout, tables=tuple(replace(table, second_header_end=_find_second(text, table)) for table in layout.tables)
    )


def _find_second(text: str, table: TableSpan) -> int | None:
    """Return the end of the second row of a table's header, or None."""
    start = table.header_end + 1
    end = text.find("\n", start, table.end)
    if end < 0 or table.header_end == table.start:
        return None
    stop = text.find("\n", end + 1, table.end)
    label, *cells = _split_row(text[start:end]) or [""]
    next_label, *below = _split_row(text[end + 1 : table.end if stop < 0 else stop]) or [""]
    if not next_label or (label and not _BRACKETED.fullmatch(label)) or not any(cells):
        return None
    pairs = zip_longest(cells, below[: len(cells)], fillvalue="")
    # guard: second-header-forms
    return end if all(_is_header_form(cell, under) for cell, under in pairs if cell) else None


def _is_header_form(cell: str, below: str) -> bool:
    """Return whether a cell has the form of a year, a period, a column's number or a unit.

    A short cell without digits is a unit if it stands above a cell with digits.
    """
    if _DIGIT.search(cell):
        return bool(_COLUMN_NUMBER.fullmatch(cell) or (len(cell) <= _PERIOD_CHARS and _PERIOD.search(cell)))
    return len(cell) <= _UNIT_CHARS and bool(_DIGIT.search(below))


def _split_row(line: str) -> list[str]:
    """Return the cells of a row of a Markdown table. The result is empty for other lines."""
    line = line.strip()
    if len(line) < 2 or not (line.startswith("|") and line.endswith("|")):
        return []
    return [cell.strip() for cell in _PIPE.split(line[1:-1])]


def chunk_text(
    text: str,
    layout: Layout,
    positions: Positions | None = None,
    *,
    max_chars: int = DEFAULT_MAX_CHARS,
    table_rows: int = INDEXED_ROWS,
    check_cancelled: Callable[[], None] | None = None,
) -> list[Chunk]:
    """Split `text` into disjoint chunks of at most `max_chars` characters, in reading order.

    The text between chunks is either white space or rows that `list_unindexed_rows` returns. `positions` is needed to
    recognize rows that span several lines. The running time is linear in the length of the text. `check_cancelled` is
    called regularly and may raise an error to stop the work.
    """
    if max_chars < 16:
        raise ValueError("max_chars must be at least 16")
    rows = _TableRowFinder(text, layout.tables, positions or Positions())
    left_out = [(start, end) for start, end, _ in list_unindexed_rows(text, layout, positions, table_rows=table_rows)]
    chunks: list[Chunk] = []
    for section in _split_into_sections(text, layout):
        # guard: long-table-rows
        for begin, stop in _iter_uncovered_spans(section.start, section.end, left_out):
            for start, end in _iter_spans(text, begin, stop, max_chars, rows):
                if check_cancelled is not None and len(chunks) % _CHUNKS_PER_CHECK == 0:
                    check_cancelled()
                place = layout.find_place(start)
                chunks.append(Chunk(len(chunks), start, end, section.heading_path, place.number if place else None))
    return chunks


def list_unindexed_rows(
    text: str, layout: Layout, positions: Positions | None = None, *, table_rows: int = INDEXED_ROWS
) -> list[tuple[int, int, int]]:
    """Return the start, end and row count of the unindexed part of each table that is too long to be fully indexed.

    The unindexed part is the end of a table. All tables that are cut keep the same number of rows, so that the
    document has at most `table_rows` indexed rows in total.
    """
    rows = _TableRowFinder(text, layout.tables, positions or Positions())
    counts = [rows.count_rows(table) for table in layout.tables]
    most = _compute_common_length(counts, table_rows)
    longer = ((table, count) for table, count in zip(layout.tables, counts, strict=True) if count > most)
    return [(rows.get_row_end(table, most), table.end, count - most) for table, count in longer]


def build_row_omissions(text: str, layout: Layout, positions: Positions | None = None) -> tuple[Omission, ...]:
    """Return an omission with the number of rows that are in no chunk, or an empty tuple if there are none."""
    count = sum(rows for _, _, rows in list_unindexed_rows(text, layout, positions))
    return (build_omission(OmissionKind.ROW, count, [Remark("omitted_rows")]),) if count else ()


def _compute_common_length(lengths: Sequence[int], total: int) -> int:
    """Return the largest cap for which `lengths`, each truncated to the cap, add up to at most `total`."""
    left = total
    for longer, length in enumerate(sorted(lengths)):
        if length * (len(lengths) - longer) > left:
            return left // (len(lengths) - longer)
        left -= length
    return max(lengths, default=0)


def _iter_uncovered_spans(start: int, end: int, spans: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Yield the ranges in `[start, end)` that `spans` do not cover. `spans` must be in ascending order."""
    for begin, stop in spans:
        if begin < end and stop > start:
            yield start, max(start, begin)
            start = min(stop, end)
    yield start, end


class _TableRowFinder:
    """Finds the ends of the rows in the tables of a text."""

    def __init__(self, text: str, tables: Sequence[TableSpan], positions: Positions) -> None:
        self._text, self._tables, self._positions = text, tables, positions

    def find_better_cut(self, start: int, target: int, limit: int, cut: int) -> int | None:
        """Return the best position, after `start` and up to `limit`, for a cut that would fall inside a table.

        This is the row end nearest to `target`, or the table's start if no row ends in the range. Returns None if
        `cut` is not inside a table, or if no position fits.
        """
        at = bisect_left(self._tables, cut, key=lambda table: table.start) - 1
        if at < 0 or cut >= self._tables[at].end:
            return None
        table = self._tables[at]
        ends = self._list_row_ends(table, start, limit)
        if not ends and start < table.start:
            ends = [table.start]
        return min(ends, key=lambda end: abs(end - target), default=None)

    def count_rows(self, table: TableSpan) -> int:
        """Return the number of rows in a table."""
        begin = self._get_body_start(table)
        return len(self._positions.list_row_ends(begin, table.end)) or self._text.count("\n", begin, table.end) + 1

    def get_row_end(self, table: TableSpan, row_number: int) -> int:
        """Return the end of row number `row_number` of a table. Row 0 is the header."""
        end = begin = self._get_body_start(table)
        cells = self._positions.list_row_ends(begin, table.end)
        if len(cells):
            return self._text.find("\n", int(cells[row_number - 1])) + 1 if row_number else begin
        for _ in range(row_number):
            end = self._text.find("\n", end) + 1
        return end

    def _get_body_start(self, table: TableSpan) -> int:
        return table.header_end + (table.header_end > table.start)

    def _list_row_ends(self, table: TableSpan, start: int, limit: int) -> list[int]:
        """Return the ends of the rows between `start` and `limit`. A row's line end is part of the row."""
        start = max(start, self._get_body_start(table), (table.second_header_end or -1) + 1)
        limit = min(limit, table.end)
        cells = self._positions.list_row_ends(start, limit)
        if len(cells):  # A row ends with the line of its last cell.
            ends = [self._text.find("\n", cell) + 1 or table.end for cell in cells.tolist()]
        else:
            ends = [match.end() for match in _line_end.finditer(self._text, start, limit)]
        return [end for end in [*ends, table.end] if start < end <= limit]


_line_end = re.compile(r"\n")


def _split_into_sections(text: str, layout: Layout) -> list[_Section]:
    """Start a section at each heading. A heading without text below it is merged into the next section."""
    sections: list[_Section] = []
    path: list[tuple[int, str]] = []
    start = body = 0
    for heading in layout.headings:
        if text[body : heading.start].strip():
            sections.append(_Section(start, heading.start, tuple(name for _, name in path)))
            start = heading.start
        path = [(level, name) for level, name in path if level < heading.level]
        if heading.title:
            path.append((heading.level, heading.title))
        body = heading.end
    sections.append(_Section(start, len(text), tuple(name for _, name in path)))
    return sections


def _iter_spans(text: str, start: int, end: int, max_chars: int, rows: _TableRowFinder) -> Iterator[tuple[int, int]]:
    """Yield spans of similar length, each at most `max_chars` long, with only white space between them."""
    while True:
        start, end = _trim_span(text, start, end, max_chars)
        length = end - start
        if length <= 0:
            return
        if length <= max_chars:
            yield start, end
            return
        target = length // -(-length // max_chars)
        cut = _find_best_cut(text, start, start + target, start + max_chars)
        cut = rows.find_better_cut(start, start + target, start + max_chars, cut) or cut
        piece_start, piece_end = start, cut
        while text[piece_end - 1].isspace():
            piece_end -= 1
        yield piece_start, piece_end
        start = cut


def _trim_span(text: str, start: int, end: int, max_chars: int) -> tuple[int, int]:
    while start < end and text[start].isspace():
        start += 1
    # If the section does not fit into one chunk, the white space at the section's end is trimmed with its last chunk.
    if end - start <= max_chars:
        while end > start and text[end - 1].isspace():
            end -= 1
    return start, end


def _find_best_cut(text: str, start: int, target: int, limit: int) -> int:
    """Return the cut nearest to `target` among the boundaries of the best available kind.

    Boundaries in the first half of the way from `start` to `target` are ignored. If there are no others, return
    `limit`.
    """
    earliest = start + (target - start) // 2
    for pattern in _CUTS:
        ends = [match.end() for match in pattern.finditer(text, earliest, limit)]
        if ends:
            return min(ends, key=lambda at: abs(at - target))
    return limit
