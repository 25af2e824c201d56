"""Plots as SVG files that stand for themselves: no script, no font or picture of anybody else's, light and dark."""

from collections.abc import Iterable, Mapping, Sequence
from xml.sax.saxutils import escape, quoteattr

from retrieval.evaluation.runs import Difference, Estimate

_WIDTH = 760
_MARGIN = 24
_LABELS = 150
_ROW = 22
_HEAD = 64
_BAR_AREA = 320
_STYLE = """
svg { background: #ffffff; font: 13px system-ui, sans-serif }
text { fill: #1f2328 } .quiet { fill: #656d76 } .title { font-size: 16px; font-weight: 600 }
.axis { stroke: #d0d7de } .interval { stroke: #0a5cb8; stroke-width: 2 } .mean { fill: #0a5cb8 }
.better { fill: #1a7f37 } .worse { fill: #cf222e }
@media (prefers-color-scheme: dark) {
  svg { background: #0d1117 } text { fill: #e6edf3 } .quiet { fill: #8d96a0 } .axis { stroke: #30363d }
  .interval { stroke: #58a6ff } .mean { fill: #58a6ff } .better { fill: #3fb950 } .worse { fill: #f85149 }
}
"""


def interval_chart(title: str, summaries: Mapping[str, Mapping[str, Estimate]]) -> str:
    """Each measure has a panel on a scale of its own, in which each search is a point with its interval."""
    measures = list(next(iter(summaries.values())))
    parts: list[str] = []
    top = float(_HEAD)
    for measure in measures:
        parts += _panel(measure, {name: summary[measure] for name, summary in summaries.items()}, top)
        top += (len(summaries) + 2) * _ROW
    return _svg(title, "Points are means over queries, with 95 % bootstrap intervals.", top, parts)


def change_chart(title: str, measure: str, difference: Difference, queries: Mapping[str, str]) -> str:
    """Each query is a bar, from what B lost most to what it gained most; pointing at one shows its text."""
    changes = sorted(difference.by_query.items(), key=lambda change: (change[1], change[0]))
    change = difference.change
    said = (
        f"{measure}: A {difference.first:.4f}, B {difference.second:.4f}, "
        f"B - A {change.mean:+.4f} (95 %: {change.low:+.4f} to {change.high:+.4f})"
    )
    largest = max((abs(value) for _, value in changes), default=0.0) or 1.0
    middle = _HEAD + _BAR_AREA / 2
    step = (_WIDTH - 2 * _MARGIN - 40) / max(1, len(changes))
    parts = [_line(_MARGIN + 40, middle, _WIDTH - _MARGIN, middle, "axis")]
    for value in (largest, 0.0, -largest):
        at = middle - value / largest * _BAR_AREA / 2
        parts.append(_text(_MARGIN, at + 4, f"{value:+.2f}" if value else "0", "quiet"))
    for place, (query, value) in enumerate(changes):
        height = abs(value) / largest * _BAR_AREA / 2
        top = middle - height if value > 0 else middle
        kind = "better" if value > 0 else "worse"
        named = f"{value:+.4f}  {query}: {queries.get(query, '')}"
        parts.append(_bar(_MARGIN + 40 + place * step, top, max(0.5, 0.85 * step), height, kind, named))
    lost, gained = sum(value < 0 for _, value in changes), sum(value > 0 for _, value in changes)
    below = f"{len(changes):,} queries: {gained:,} better, {lost:,} worse, {len(changes) - gained - lost:,} the same."
    parts.append(_text(_MARGIN, _HEAD + _BAR_AREA + 24, below, "quiet"))
    return _svg(title, said, _HEAD + _BAR_AREA + 20, parts)


def _panel(measure: str, figures: Mapping[str, Estimate], top: float) -> Iterable[str]:
    low, high = min(figure.low for figure in figures.values()), max(figure.high for figure in figures.values())
    left, width = _MARGIN + _LABELS, _WIDTH - 2 * _MARGIN - _LABELS - 120

    def across(value: float) -> float:
        return left + (value - low) / ((high - low) or 1.0) * width

    yield _text(_MARGIN, top + 14, measure)
    yield _line(left, top + 10, left + width, top + 10, "axis")
    for row, (name, figure) in enumerate(figures.items(), start=1):
        at = top + row * _ROW + 10
        yield _text(_MARGIN + 12, at + 4, name, "quiet")
        yield _line(across(figure.low), at, across(figure.high), at, "interval")
        yield f'<circle class="mean" cx="{across(figure.mean):.1f}" cy="{at:.1f}" r="4"/>'
        yield _text(left + width + 12, at + 4, f"{figure.mean:.4f} ±{(figure.high - figure.low) / 2:.3f}", "quiet")


def _svg(title: str, said: str, height: float, parts: Sequence[str]) -> str:
    height = round(height + _MARGIN)
    head = [_text(_MARGIN, 28, title, "title"), _text(_MARGIN, 48, said, "quiet")]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}" '
        f'role="img" aria-label={quoteattr(f"{title}. {said}")}>\n'
        f"<style>{_STYLE}</style>\n" + "\n".join([*head, *parts]) + "\n</svg>\n"
    )


def _text(x: float, y: float, words: str, kind: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}">{escape(words)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}"/>'


def _bar(x: float, y: float, width: float, height: float, kind: str, named: str) -> str:
    return (
        f'<rect x="{x:.2f}" y="{y:.2f}" width="{width:.2f}" height="{height:.2f}" class="{kind}">'
        f"<title>{escape(named)}</title></rect>"
    )
