"""Read the data of charts as tables, and the text of diagrams, from the values cached in the file."""

import re
from collections.abc import Iterator
from itertools import islice

from lxml import etree

from ingest.parsing.office.names import DGM, A, C
from ingest.parsing.office.numbers import parse_whole_number
from ingest.parsing.writer import DocumentWriter, Piece, Position

_MAX_POINTS = 100_000
_MAX_DIGITS = 15
_float = re.compile(r"-?\d+\.\d+(?:[eE][-+]?\d{1,3})?")
# Elements of a series: first the names or x values of its points, then the points' values or y values (ECMA-376 part 1,
# 21.2).
_CATEGORIES = (f"{C}cat", f"{C}xVal")
_VALUES = (f"{C}val", f"{C}yVal", f"{C}bubbleSize")


def write_chart(writer: DocumentWriter, chart: etree._Element, position: Position | None = None) -> bool:
    """Write the data of a chart, with a row per category and a column per series. Returns False if it has no data."""
    series = list(chart.iter(f"{C}ser"))
    columns: list[tuple[str, dict[int, str]]] = []
    names: dict[int, str] = {}
    for number, each in enumerate(series, start=1):
        names |= _read_series_points(each, _CATEGORIES)
        columns.append((_extract_text(each.find(f"{C}tx")) or f"Series {number}", _read_series_points(each, _VALUES)))
    indices = sorted({index for _, values in columns for index in values} | set(names))
    if not columns or not indices:
        return False
    header = [_extract_axis_title(chart) or "Category", *(name for name, _ in columns)]
    rows = ([names.get(index, str(index + 1)), *(values.get(index, "") for _, values in columns)] for index in indices)
    writer.write_paragraph(_extract_text(chart.find(f".//{C}title")) or "Chart", position)
    writer.write_table([Piece(cell, position) for cell in row] for row in (header, *rows))
    return True


def iter_diagram_texts(diagram: etree._Element) -> Iterator[str]:
    """Yield the text of each point in a SmartArt diagram, in file order."""
    for point in diagram.iter(f"{DGM}pt"):
        text = " ".join("".join(t.text or "" for t in paragraph.iter(f"{A}t")) for paragraph in point.iter(f"{A}p"))
        if point.get("type", "node") in {"node", "asst"} and text.strip():
            yield text


def _read_series_points(series: etree._Element, tags: tuple[str, ...]) -> dict[int, str]:
    """Return the cached values of a series, keyed by index. Multi-level names are joined, outermost first."""
    source = next((found for name in tags if (found := series.find(name)) is not None), None)
    if source is None:
        return {}
    inner, *outer = list(source.iter(f"{C}lvl")) or [source]  # The innermost level comes first in the file.
    values = _read_level_values(inner)
    for level in outer:
        names_above, above = _read_level_values(level), ""
        for index in sorted(values):
            above = names_above.get(index, above)  # The name of a group is stated only for its first point.
            values[index] = f"{above} {values[index]}".strip()
    return {index: _format_number(value) for index, value in values.items()}


def _read_level_values(level: etree._Element) -> dict[int, str]:
    points = islice(level.iter(f"{C}pt"), _MAX_POINTS)
    return {parse_whole_number(point.get("idx"), 0): point.findtext(f"{C}v", "") for point in points}


def _format_number(text: str) -> str:
    """Format a number as a spreadsheet does, with at most 15 digits. Other text is returned unchanged."""
    if len(text) <= _MAX_DIGITS or not _float.fullmatch(text):
        return text
    return f"{float(text):.{_MAX_DIGITS}g}"


def _extract_text(element: etree._Element | None) -> str:
    """Return the text of a title or series name, which may be typed in or taken from a cell."""
    if element is None:
        return ""
    typed = "".join(each.text or "" for each in element.iter(f"{A}t"))
    return " ".join((typed or " ".join(each.text or "" for each in element.iter(f"{C}v"))).split())


def _extract_axis_title(chart: etree._Element) -> str:
    return _extract_text(chart.find(f".//{C}catAx/{C}title"))
