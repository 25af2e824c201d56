"""Read the paragraphs of a text frame, with their bullets and numbers, which may be inherited."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from lxml import etree

from ingest.parsing.office.docx_numbering import format_number
from ingest.parsing.office.equations import linearize_equation
from ingest.parsing.office.names import A, M, P
from ingest.parsing.office.numbers import parse_whole_number
from ingest.parsing.office.spacing import apply_spacing, mark_spacing

_auto = re.compile(r"(?P<form>arabic|alphaLc|alphaUc|romanLc|romanUc)(?P<mark>Period|ParenR|ParenBoth|Plain)")
_FORMS = {
    "arabic": "decimal",
    "alphaLc": "lowerLetter",
    "alphaUc": "upperLetter",
    "romanLc": "lowerRoman",
    "romanUc": "upperRoman",
}
_MARKS = {"Period": "{}.", "ParenR": "{})", "ParenBoth": "({})", "Plain": "{}"}
_TEXT_STYLES = {"title": "titleStyle", "ctrTitle": "titleStyle"}
_MAX_LEVEL = 8
_OTHER_TEXT = frozenset({"dt", "ftr", "sldNum", "hdr"})


@dataclass(frozen=True)
class Paragraph:
    """A paragraph: its text, its mark if it is a list item, and its level, from 0."""

    text: str
    mark: str | None
    level: int


class Bullets:
    """The bullets and numbers of the paragraphs in one shape, from their properties or else from inherited styles."""

    def __init__(
        self,
        body: etree._Element,
        inherited_shapes: tuple[etree._Element, ...],
        master: etree._Element | None,
        placeholder: str | None,
    ) -> None:
        styles = [body.find(f"{A}lstStyle"), *(each.find(f"{P}txBody/{A}lstStyle") for each in inherited_shapes)]
        if master is not None and placeholder is not None and placeholder not in _OTHER_TEXT:
            styles.append(master.find(f"{P}txStyles/{P}{_TEXT_STYLES.get(placeholder, 'bodyStyle')}"))
        self._styles = [style for style in styles if style is not None]
        self._counts: dict[int, tuple[str, int]] = {}

    def assign_mark(self, properties: etree._Element | None, level: int) -> str | None:
        """Count a paragraph and return its mark, or None if it is not in a list."""
        own = [] if properties is None else [properties]
        levels = (style.find(f"{A}lvl{level + 1}pPr") for style in self._styles)
        for source in (*own, *(each for each in levels if each is not None)):
            for child in source.iterchildren():
                if child.tag in (f"{A}buChar", f"{A}buBlip"):
                    self._reset_counts(level)
                    return "-"
                if child.tag == f"{A}buAutoNum":
                    return self._format_number(child, level)
                if child.tag == f"{A}buNone":
                    self._reset_counts(level)
                    return None
        self._reset_counts(level)
        return None

    def _format_number(self, definition: etree._Element, level: int) -> str:
        kind = definition.get("type", "arabicPeriod")
        found = _auto.match(kind)
        start = parse_whole_number(definition.get("startAt"), 1)
        before = self._counts.get(level)
        count = before[1] + 1 if before is not None and before[0] == kind else start
        self._reset_counts(level)
        self._counts[level] = kind, count
        if found is None:
            return f"{count}."
        return _MARKS[found["mark"]].format(format_number(count, _FORMS[found["form"]]))

    def _reset_counts(self, level: int) -> None:
        self._counts = {each: count for each, count in self._counts.items() if each < level}


def iter_paragraphs(body: etree._Element, bullets: Bullets) -> Iterator[Paragraph]:
    """Yield the paragraphs of a text frame, except empty ones."""
    for paragraph in body.iterchildren(f"{A}p"):
        text = extract_paragraph_text(paragraph)
        if text.strip():
            properties = paragraph.find(f"{A}pPr")
            level = 0 if properties is None else min(parse_whole_number(properties.get("lvl"), 0), _MAX_LEVEL)
            yield Paragraph(text, bullets.assign_mark(properties, level), level)


def extract_paragraph_text(paragraph: etree._Element) -> str:
    """Return the text of a paragraph with its line breaks. Equations are on one line."""
    parts: list[str] = []
    for child in paragraph.iterchildren():
        if child.tag in (f"{A}r", f"{A}fld"):
            parts.append(child.findtext(f"{A}t", ""))
        elif child.tag == f"{A}br":
            parts.append("\n")
        else:
            parts.extend(mark_spacing(linearize_equation(math)) for math in child.iter(f"{M}oMath"))
    return apply_spacing("".join(parts))
