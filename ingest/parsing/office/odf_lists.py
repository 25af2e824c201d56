"""Number the lists and headings of OpenDocument files by their styles (ODF 1.3, 16.33)."""

from dataclasses import dataclass, field

from lxml import etree

from ingest.parsing.office.docx_numbering import format_number
from ingest.parsing.office.numbers import parse_whole_number
from ingest.parsing.office.odf_names import STYLE, TEXT

BULLET = "-"
_FORMS = {"1": "decimal", "a": "lowerLetter", "A": "upperLetter", "i": "lowerRoman", "I": "upperRoman"}
_MAX_LEVELS = 10


@dataclass(frozen=True)
class _ListLevel:
    """A level of a list style or of the heading style. A level without a number format may have a bullet."""

    form: str | None = None
    has_bullet: bool = True
    prefix: str = ""
    suffix: str = ""
    shown_levels: int = 1
    start: int = 1


@dataclass
class ListCounter:
    """Counts the items of one list, or the headings of a document."""

    levels: dict[int, _ListLevel]
    counts: dict[int, int] = field(default_factory=dict)

    def count_item(self, level: int, start: int | None = None) -> str:
        """Count an item and return its mark: a number, `BULLET`, or an empty string. `level` counts from 0."""
        for above in range(level):  # The counters of skipped levels start too.
            self.counts.setdefault(above, self.levels.get(above, _ListLevel()).start)
        counted = self.counts.get(level)
        first = self.levels.get(level, _ListLevel()).start
        self.counts[level] = start if start is not None else first if counted is None else counted + 1
        self.counts = {each: count for each, count in self.counts.items() if each <= level}
        return self._format_mark(level)

    def _format_mark(self, level: int) -> str:
        style = self.levels.get(level)
        if style is None or style.form is None:
            return BULLET if style is None or style.has_bullet else ""
        shown = range(max(0, level - style.shown_levels + 1), level + 1)
        numbers = [
            format_number(self.counts.get(each, found.start), found.form)
            for each in shown
            if (found := self.levels.get(each)) is not None and found.form is not None
        ]
        return f"{style.prefix}{'.'.join(numbers)}{style.suffix}".strip()


class ListStyles:
    """The list styles of a document, by name, and the style of its headings."""

    def __init__(self, *roots: etree._Element) -> None:
        self._styles = {
            each.get(f"{STYLE}name", ""): _parse_levels(each)
            for root in roots
            for each in root.iter(f"{TEXT}list-style")
        }
        outline = next((each for root in roots for each in root.iter(f"{TEXT}outline-style")), None)
        self.headings = ListCounter({} if outline is None else _parse_levels(outline))
        self._last: dict[str, ListCounter] = {}

    def get_list_counter(self, element: etree._Element, style_name: str) -> ListCounter:
        """Return the counter for a list, which continues the last list of its style if the list says so."""
        goes_on = element.get(f"{TEXT}continue-numbering") == "true" or element.get(f"{TEXT}continue-list")
        if not goes_on or style_name not in self._last:
            self._last[style_name] = ListCounter(self._styles.get(style_name, {}))
        return self._last[style_name]


def _parse_levels(style: etree._Element) -> dict[int, _ListLevel]:
    levels: dict[int, _ListLevel] = {}
    for each in style.iterchildren():
        number = parse_whole_number(each.get(f"{TEXT}level"), 0)
        if not isinstance(each.tag, str) or not 0 < number <= _MAX_LEVELS:
            continue
        levels[number - 1] = _ListLevel(
            form=_FORMS.get(each.get(f"{STYLE}num-format", "")),
            has_bullet=f"{TEXT}bullet-char" in each.attrib or each.tag == f"{TEXT}list-level-style-image",
            prefix=each.get(f"{STYLE}num-prefix", ""),
            suffix=each.get(f"{STYLE}num-suffix", ""),
            shown_levels=parse_whole_number(each.get(f"{TEXT}display-levels"), 1),
            start=parse_whole_number(each.get(f"{TEXT}start-value"), 1),
        )
    return levels
