"""Look up the properties that a Word paragraph inherits from its style and base styles."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from lxml import etree

from ingest.parsing.office.names import W, is_property_on
from ingest.parsing.office.numbers import parse_whole_number

_VALUE = f"{W}val"
_MAX_LEVEL = 8
_BODY_TEXT_LEVEL = 9  # The value of `w:outlineLvl` for body text (ECMA-376 part 1, 17.3.1.20).
# Matches the names of the built-in heading styles, which are the same in all languages of Word.
_heading = re.compile(r"heading ?([1-9])", re.IGNORECASE)
_CODE = {"html preformatted", "macro text", "macro", "source code", "preformatted text"}


@dataclass(frozen=True)
class ListMembership:
    """The list of a paragraph, and its level in the list, from 0. `level` is None if a style does not specify it."""

    list_id: str
    level: int | None


class WordStyles:
    """The styles of a document that affect its text, keyed by id."""

    def __init__(self, root: etree._Element | None) -> None:
        self._styles = {} if root is None else {each.get(f"{W}styleId", ""): each for each in root.iter(f"{W}style")}
        self._levels: dict[str, int | None] = {}
        self._lists: dict[str, ListMembership | None] = {}

    @cached_property
    def default_style_id(self) -> str:
        """The id of the style for paragraphs without a stated style."""
        for name, style in self._styles.items():
            if style.get(f"{W}type") == "paragraph" and style.get(f"{W}default") in {"1", "true", "on"}:
                return str(name)
        return ""

    def get_name(self, style_id: str) -> str:
        """Return the name of a style, or its id if the style is not defined."""
        style = self._styles.get(style_id)
        name = None if style is None else style.find(f"{W}name")
        return style_id if name is None else name.get(_VALUE, style_id)

    def get_heading_level(self, style_id: str) -> int | None:
        """Return the level of a heading style (from 1), or None for other styles."""
        if style_id not in self._levels:
            self._levels[style_id] = self._find_level(style_id)
        return self._levels[style_id]

    def get_list_membership(self, style_id: str) -> ListMembership | None:
        """Return the list to which a style adds its paragraphs, or None."""
        if style_id not in self._lists:
            found = None
            for _, style in self._iter_style_chain(style_id):
                found = parse_list_membership(style.find(f"{W}pPr"))
                if found is not None:
                    break
            self._lists[style_id] = found
        return self._lists[style_id]

    def list_style_chain(self, style_id: str) -> list[str]:
        """Return the ids of a style and its base styles."""
        return [each for each, _ in self._iter_style_chain(style_id)]

    def is_hidden(self, style_id: str) -> bool:
        """Return whether text in the style is hidden."""
        for _, style in self._iter_style_chain(style_id):
            vanish = style.find(f"{W}rPr/{W}vanish")
            if vanish is not None:
                return is_property_on(vanish)
        return False

    def is_title(self, style_id: str) -> bool:
        return (
            any(self.get_name(each).casefold() == "title" for each, _ in self._iter_style_chain(style_id))
            or style_id == "Title"
        )

    def is_caption(self, style_id: str) -> bool:
        """Return whether a style is the built-in caption style or based on it."""
        return (
            any(self.get_name(each).casefold() == "caption" for each, _ in self._iter_style_chain(style_id))
            or style_id == "Caption"
        )

    def is_code(self, style_id: str) -> bool:
        """Return whether a style is one that Word, LibreOffice or Pandoc uses for code."""
        return any(self.get_name(each).casefold() in _CODE for each, _ in self._iter_style_chain(style_id))

    def _find_level(self, style_id: str) -> int | None:
        for each, style in self._iter_style_chain(style_id):
            level = parse_outline_level(style.find(f"{W}pPr"))
            if level is not None:
                return level or None
            if named := _heading.fullmatch(self.get_name(each)):
                return int(named[1])
        if style_id not in self._styles and (named := _heading.fullmatch(style_id)):
            return int(named[1])
        return 1 if self.is_title(style_id) else None

    def _iter_style_chain(self, style_id: str) -> Iterator[tuple[str, etree._Element]]:
        seen = set[str]()
        while style_id in self._styles and style_id not in seen:
            seen.add(style_id)
            style = self._styles[style_id]
            yield style_id, style
            base = style.find(f"{W}basedOn")
            style_id = "" if base is None else base.get(_VALUE, "")


def parse_outline_level(properties: etree._Element | None) -> int | None:
    """Return the outline level stated in properties: 0 for body text, or None if there is none."""
    stated = None if properties is None else properties.find(f"{W}outlineLvl")
    level = None if stated is None else parse_whole_number(stated.get(_VALUE), None)
    if level is None:
        return None
    return level + 1 if level < _BODY_TEXT_LEVEL else 0


def parse_list_membership(properties: etree._Element | None) -> ListMembership | None:
    """Return the list stated in properties, or None if there is none. The list id 0 means that there is no list."""
    numbering = None if properties is None else properties.find(f"{W}numPr")
    if numbering is None:
        return None
    number, level = numbering.find(f"{W}numId"), numbering.find(f"{W}ilvl")
    if number is None:
        return None
    stated = None if level is None else parse_whole_number(level.get(_VALUE), None)
    return ListMembership(number.get(_VALUE, "0"), None if stated is None else min(stated, _MAX_LEVEL))
