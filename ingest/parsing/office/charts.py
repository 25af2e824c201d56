"""The data of a chart as a table, and the words of a diagram: from what the file keeps for drawing them."""

import re
from collections.abc import Iterator
from itertools import islice

from lxml import etree

from ingest.parsing.office.names import DGM, A, C
from ingest.parsing.office.numbers import whole
from ingest.parsing.writer import DocumentWriter, Piece, Position

_MOST_POINTS = 100_000
_DIGITS = 15
_float = re.compile(r"-?\d+\.\d+(?:[eE][-+]?\d{1,3})?")
# What a series is drawn by: names or x of its points, and their values or y (ECMA-376 part 1, 21.2).
_CATEGORIES = (f"{C}cat", f"{C}xVal")
_VALUES = (f"{C}val", f"{C}yVal", f"{C}bubbleSize")


def write_chart(writer: DocumentWriter, chart: etree._Element, at: Position | None = None) -> bool:
    """Write a chart's data: a row for each category, a column for each series. Returns False if it has none."""
    series = list(chart.iter(f"{C}ser"))
    columns: list[tuple[str, dict[int, str]]] = []
    names: dict[int, str] = {}
    for number, each in enumerate(series, start=1):
        names |= _points(each, _CATEGORIES)
        columns.append((_text(each.find(f"{C}tx")) or f"Series {number}", _points(each, _VALUES)))
    indices = sorted({index for _, values in columns for index in values} | set(names))
    if not columns or not indices:
        return False
    header = [_axis(chart) or "Category", *(name for name, _ in columns)]
    rows = ([names.get(index, str(index + 1)), *(values.get(index, "") for _, values in columns)] for index in indices)
    writer.paragraph(_text(chart.find(f".//{C}title")) or "Chart", at)
    writer.table([Piece(cell, at) for cell in row] for row in (header, *rows))
    return True


def diagram_texts(data: etree._Element) -> Iterator[str]:
    """Yield the text of each point of a diagram (SmartArt), in the order in which they were written."""
    for point in data.iter(f"{DGM}pt"):
        text = " ".join("".join(t.text or "" for t in paragraph.iter(f"{A}t")) for paragraph in point.iter(f"{A}p"))
        if point.get("type", "node") in {"node", "asst"} and text.strip():
            yield text


def _points(series: etree._Element, names: tuple[str, ...]) -> dict[int, str]:
    """Return the cached values by their index; those of several levels joined, the outermost first."""
    source = next((found for name in names if (found := series.find(name)) is not None), None)
    if source is None:
        return {}
    inner, *outer = list(source.iter(f"{C}lvl")) or [source]  # the innermost level comes first
    values = _cached(inner)
    for level in outer:
        names_above, above = _cached(level), ""
        for index in sorted(values):
            above = names_above.get(index, above)  # it stands once for all those that follow
            values[index] = f"{above} {values[index]}".strip()
    return {index: _number(value) for index, value in values.items()}


def _cached(level: etree._Element) -> dict[int, str]:
    points = islice(level.iter(f"{C}pt"), _MOST_POINTS)
    return {whole(point.get("idx"), 0): point.findtext(f"{C}v", "") for point in points}


def _number(text: str) -> str:
    """Return a number as a sheet shows it, with no more than 15 digits; other text as it is."""
    if len(text) <= _DIGITS or not _float.fullmatch(text):
        return text
    return f"{float(text):.{_DIGITS}g}"


def _text(element: etree._Element | None) -> str:
    """Return the text of a title or a series' name, typed in or taken from a cell."""
    if element is None:
        return ""
    typed = "".join(each.text or "" for each in element.iter(f"{A}t"))
    return " ".join((typed or " ".join(each.text or "" for each in element.iter(f"{C}v"))).split())


def _axis(chart: etree._Element) -> str:
    return _text(chart.find(f".//{C}catAx/{C}title"))
