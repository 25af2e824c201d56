"""Compute the numbers of list items and headings, which Word does not store in the file.

Source: ECMA-376 part 1, 17.9.
"""

import re
from dataclasses import dataclass, field

from lxml import etree

from ingest.parsing.office.names import W, is_property_on
from ingest.parsing.office.numbers import parse_whole_number

_VALUE = f"{W}val"
_LEVEL_COUNT = 9
BULLET = "-"
_place = re.compile(r"%([1-9])")
_ROMAN = (
    *((1000, "m"), (900, "cm"), (500, "d"), (400, "cd"), (100, "c"), (90, "xc"), (50, "l"), (40, "xl")),
    *((10, "x"), (9, "ix"), (5, "v"), (4, "iv"), (1, "i")),
)
_MAX_ROMAN = 5_000
_ORDINALS = {1: "st", 2: "nd", 3: "rd"}


@dataclass
class _NumberingLevel:
    """One level of a list definition."""

    form: str = "decimal"
    text: str = ""
    start: int = 1
    # This level's numbering restarts after an item on a level whose number is lower than `restart`, or on any outer
    # level if `restart` is None.
    restart: int | None = None
    plain_digits: bool = False
    style: str = ""


@dataclass
class _ListDefinition:
    """A list definition, with the counters that its lists share."""

    levels: dict[int, _NumberingLevel] = field(default_factory=dict)
    counts: list[int | None] = field(default_factory=lambda: [None] * _LEVEL_COUNT)


@dataclass
class _ListInstance:
    definition: _ListDefinition
    levels: dict[int, _NumberingLevel] = field(default_factory=dict)
    # Start numbers by level. Each start number is used once, for the first item of its level.
    starts: dict[int, int] = field(default_factory=dict)

    def get_level(self, level_number: int) -> _NumberingLevel | None:
        return self.levels.get(level_number) or self.definition.levels.get(level_number)


class ListNumbering:
    """Counts the items of all lists in a document, in reading order."""

    def __init__(self, root: etree._Element | None) -> None:
        self._instances: dict[str, _ListInstance] = {}
        if root is None:
            return
        abstract = {each.get(f"{W}abstractNumId", ""): each for each in root.iter(f"{W}abstractNum")}
        linked = {
            _get_value(each, "styleLink"): number
            for number, each in abstract.items()
            if each.find(f"{W}styleLink") is not None
        }
        lists = {number: _ListDefinition(_parse_levels(each)) for number, each in abstract.items()}
        for each in root.iterchildren(f"{W}num"):
            number = _get_value(each, "abstractNumId")
            if number in abstract and not lists[number].levels:
                number = linked.get(_get_value(abstract[number], "numStyleLink"), number)
            if number in lists:
                self._instances[each.get(f"{W}numId", "")] = _parse_instance(each, lists[number])

    def get_style_level(self, list_id: str, style_ids: list[str]) -> int:
        """Return the level that a list assigns to the first of these styles for which it has one, or 0."""
        instance = self._instances.get(list_id)
        if instance is not None:
            for style_id in style_ids:
                for number, level in instance.definition.levels.items():
                    if level.style == style_id:
                        return number
        return 0

    def count_item(self, list_id: str, level_number: int) -> str | None:
        """Count a list item and return its formatted number, which may be empty.

        Returns `BULLET` for a bullet, and None if the list does not exist.
        """
        instance = self._instances.get(list_id)
        level = None if instance is None else instance.get_level(level_number)
        if instance is None or level is None:
            return None
        self._advance_counts(instance, level_number, level)
        if level.form == "bullet":
            return BULLET
        return " ".join(
            _place.sub(lambda found: self._format_level(instance, int(found[1]) - 1, level), level.text).split()
        )

    def _advance_counts(self, instance: _ListInstance, level_number: int, level: _NumberingLevel) -> None:
        counts = instance.definition.counts
        for above in range(level_number):  # The counters of skipped levels start too.
            if counts[above] is None:
                counts[above] = (instance.get_level(above) or level).start
        start = instance.starts.pop(level_number, None)
        if start is not None:
            counts[level_number] = start
        else:
            count = counts[level_number]
            counts[level_number] = level.start if count is None else count + 1
        for deeper in range(level_number + 1, _LEVEL_COUNT):
            definition = instance.get_level(deeper)
            restart = definition.restart if definition is not None else None
            if restart is None or level_number < restart:
                counts[deeper] = None

    def _format_level(self, instance: _ListInstance, level_number: int, item_level: _NumberingLevel) -> str:
        level = instance.get_level(level_number) or _NumberingLevel()
        count = instance.definition.counts[level_number]
        value = level.start if count is None else count
        return format_number(value, "decimal" if item_level.plain_digits else level.form)


def format_number(value: int, number_format: str) -> str:
    """Format a number in one of Word's number formats. Unknown formats use digits."""
    if number_format in {"upperRoman", "lowerRoman"} and 0 < value < _MAX_ROMAN:
        roman = ""
        for amount, letters in _ROMAN:
            roman, value = roman + letters * (value // amount), value % amount
        return roman.upper() if number_format == "upperRoman" else roman
    if number_format in {"upperLetter", "lowerLetter"} and 0 < value < _MAX_ROMAN:
        repeats, letter = divmod(value - 1, 26)
        letters = chr(ord("a") + letter) * (repeats + 1)
        return letters.upper() if number_format == "upperLetter" else letters
    if number_format == "ordinal":
        return f"{value}{'th' if value % 100 in (11, 12, 13) else _ORDINALS.get(value % 10, 'th')}"
    if number_format == "decimalZero":
        return f"{value:02d}"
    return "" if number_format == "none" else str(value)


def _parse_instance(element: etree._Element, definition: _ListDefinition) -> _ListInstance:
    instance = _ListInstance(definition)
    for override in element.iterchildren(f"{W}lvlOverride"):
        number = parse_whole_number(override.get(f"{W}ilvl", ""), 0)
        instance.levels |= _parse_levels(override)
        start = override.find(f"{W}startOverride")
        if start is not None:
            instance.starts[number] = parse_whole_number(start.get(_VALUE, ""), 1)
    return instance


def _parse_levels(element: etree._Element) -> dict[int, _NumberingLevel]:
    levels: dict[int, _NumberingLevel] = {}
    for each in element.iterchildren(f"{W}lvl"):
        number = parse_whole_number(each.get(f"{W}ilvl", ""), 0)
        if number < _LEVEL_COUNT:
            restart = each.find(f"{W}lvlRestart")
            levels[number] = _NumberingLevel(
                form=_get_number_format(each),
                text=_get_value(each, "lvlText"),
                start=parse_whole_number(_get_value(each, "start"), 1),
                restart=None if restart is None else parse_whole_number(restart.get(_VALUE, ""), 0),
                plain_digits=is_property_on(each.find(f"{W}isLgl")),
                style=_get_value(each, "pStyle"),
            )
    return levels


def _get_number_format(level: etree._Element) -> str:
    """Return the number format of a level, which may be nested in an alternative for newer versions of Word."""
    found = level.find(f".//{W}numFmt")
    return "decimal" if found is None else found.get(_VALUE, "decimal")


def _get_value(element: etree._Element, name: str) -> str:
    found = element.find(f"{W}{name}")
    return "" if found is None else found.get(_VALUE, "")
