"""Find Markdown pipe tables outside code. Each is named after the heading above it."""

import re
from collections.abc import Iterator

from ingest.parsing.tables import MAX_COLUMNS, FoundTable, TableRow, build_unique_names

_pipe = re.compile(r"(?<!\\)\|")
_rule = re.compile(r":?-+:?")
_heading = re.compile(r"#{1,6}[ \t]+(?P<title>.*?)[ \t]*#*$")
_fence = re.compile(r" {0,3}(?P<mark>`{3,}|~{3,})")
_other_block = re.compile(r" {0,3}(?:#{1,6}[ \t]|>|`{3}|~{3})")


def find_pipe_tables(text: str) -> list[FoundTable]:
    """Find GitHub-style Markdown tables.

    A table is a header row, a row of dashes with the same number of columns, and all rows up to the next blank line.
    """
    return list(_iter_tables(text)) if "|" in text else []


def _iter_tables(text: str) -> Iterator[FoundTable]:
    heading = fence = ""
    before: tuple[int, int] | None = None
    lines = _iter_lines(text)
    for start, end in lines:
        line = text[start:end]
        if fence:
            fence = "" if line.strip().startswith(fence) else fence
            continue
        if opened := _fence.match(line):
            fence = opened["mark"]
            before = None
            continue
        if titled := _heading.match(line):
            heading = titled["title"]
        width = _count_rule_columns(line) if before else 0
        if before and width and len(names := _split_cells(text[slice(*before)])) == width:
            spans = _read_row_spans(text, lines)
            if spans:
                yield _build_table(text, heading, names, before[0], spans)
            before = None
        else:
            before = (start, end) if line.strip() else None


def _read_row_spans(text: str, line_spans: Iterator[tuple[int, int]]) -> list[tuple[int, int]]:
    spans: list[tuple[int, int]] = []
    for start, end in line_spans:
        line = text[start:end]
        if not line.strip() or _other_block.match(line):
            break
        spans.append((start + len(line) - len(line.lstrip()), end))
    return spans


def _build_table(text: str, name: str, names: list[str], start: int, spans: list[tuple[int, int]]) -> FoundTable:
    width = min(len(names), MAX_COLUMNS)

    def iter_rows() -> Iterator[TableRow]:
        for begin, end in spans:
            cells = _split_cells(text[begin:end])
            if any(cells):
                yield TableRow(begin, end, (cells + [""] * (width - len(cells)))[:width])

    header_end = text.rindex("\n", start, spans[0][0])
    return FoundTable(name, build_unique_names(names, width), start, spans[-1][1], header_end, iter_rows)


def _count_rule_columns(line: str) -> int:
    """Return the number of columns in a row of dashes, or 0 for any other line."""
    if "-" not in line or "|" not in line or set(line) - set("|-: \t"):
        return 0
    cells = _split_cells(line)
    return len(cells) if all(_rule.fullmatch(cell) for cell in cells) else 0


def _split_cells(line: str) -> list[str]:
    cells = _pipe.split(line.strip())
    if len(cells) > 1 and not cells[0].strip():
        del cells[0]
    if len(cells) > 1 and not cells[-1].strip():
        del cells[-1]
    return [cell.strip().replace("\\|", "|") for cell in cells]


def _iter_lines(text: str) -> Iterator[tuple[int, int]]:
    at = 0
    while at < len(text):
        end = text.find("\n", at)
        end = len(text) if end < 0 else end
        yield at, end
        at = end + 1
