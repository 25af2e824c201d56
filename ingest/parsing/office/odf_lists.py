"""Lists and numbered headings of OpenDocument: the marks of items, counted as their styles say (ODF 1.3, 16.33)."""

from dataclasses import dataclass, field

from lxml import etree

from ingest.parsing.office.docx_numbering import printed_number
from ingest.parsing.office.numbers import whole
from ingest.parsing.office.odf_names import STYLE, TEXT

BULLET = "-"
_FORMS = {"1": "decimal", "a": "lowerLetter", "A": "upperLetter", "i": "lowerRoman", "I": "upperRoman"}
_MOST_LEVELS = 10


@dataclass(frozen=True)
class _Level:
    """A level of a list's or the headings' style; one without a form has no number, and perhaps a bullet."""

    form: str | None = None
    has_bullet: bool = True
    prefix: str = ""
    suffix: str = ""
    shown_levels: int = 1
    start: int = 1


@dataclass
class Counter:
    """Counts the items of one list, or the headings of a document."""

    levels: dict[int, _Level]
    counts: dict[int, int] = field(default_factory=dict)

    def next(self, level: int, start: int | None = None) -> str:
        """Count an item of a level from 0 and return its mark: a number, `BULLET`, or nothing."""
        for above in range(level):  # a level that was left out has begun all the same
            self.counts.setdefault(above, self.levels.get(above, _Level()).start)
        counted = self.counts.get(level)
        first = self.levels.get(level, _Level()).start
        self.counts[level] = start if start is not None else first if counted is None else counted + 1
        self.counts = {each: count for each, count in self.counts.items() if each <= level}
        return self._printed(level)

    def _printed(self, level: int) -> str:
        style = self.levels.get(level)
        if style is None or style.form is None:
            return BULLET if style is None or style.has_bullet else ""
        shown = range(max(0, level - style.shown_levels + 1), level + 1)
        numbers = [
            printed_number(self.counts.get(each, found.start), found.form)
            for each in shown
            if (found := self.levels.get(each)) is not None and found.form is not None
        ]
        return f"{style.prefix}{'.'.join(numbers)}{style.suffix}".strip()


class ListStyles:
    """The list styles of a document by their names, and the one of its headings."""

    def __init__(self, *roots: etree._Element) -> None:
        self._styles = {
            each.get(f"{STYLE}name", ""): _levels(each) for root in roots for each in root.iter(f"{TEXT}list-style")
        }
        outline = next((each for root in roots for each in root.iter(f"{TEXT}outline-style")), None)
        self.headings = Counter({} if outline is None else _levels(outline))
        self._last: dict[str, Counter] = {}

    def begin(self, element: etree._Element, style: str) -> Counter:
        """Return the counter of a list that begins, or goes on where another one of its style ended."""
        goes_on = element.get(f"{TEXT}continue-numbering") == "true" or element.get(f"{TEXT}continue-list")
        if not goes_on or style not in self._last:
            self._last[style] = Counter(self._styles.get(style, {}))
        return self._last[style]


def _levels(style: etree._Element) -> dict[int, _Level]:
    levels: dict[int, _Level] = {}
    for each in style.iterchildren():
        number = whole(each.get(f"{TEXT}level"), 0)
        if not isinstance(each.tag, str) or not 0 < number <= _MOST_LEVELS:
            continue
        levels[number - 1] = _Level(
            form=_FORMS.get(each.get(f"{STYLE}num-format", "")),
            has_bullet=f"{TEXT}bullet-char" in each.attrib or each.tag == f"{TEXT}list-level-style-image",
            prefix=each.get(f"{STYLE}num-prefix", ""),
            suffix=each.get(f"{STYLE}num-suffix", ""),
            shown_levels=whole(each.get(f"{TEXT}display-levels"), 1),
            start=whole(each.get(f"{TEXT}start-value"), 1),
        )
    return levels
