"""The numbers of list items and headings in Word, which are not in the text: computed as Word does.

Source: ECMA-376 part 1, 17.9.
"""

import re
from dataclasses import dataclass, field

from lxml import etree

from ingest.parsing.office.names import W, is_on
from ingest.parsing.office.numbers import whole

_VALUE = f"{W}val"
_LEVELS = 9
BULLET = "-"
_place = re.compile(r"%([1-9])")
_ROMAN = (
    *((1000, "m"), (900, "cm"), (500, "d"), (400, "cd"), (100, "c"), (90, "xc"), (50, "l"), (40, "xl")),
    *((10, "x"), (9, "ix"), (5, "v"), (4, "iv"), (1, "i")),
)
_MOST_ROMAN = 5_000
_ORDINALS = {1: "st", 2: "nd", 3: "rd"}


@dataclass
class _Level:
    """One level of a list's definition."""

    form: str = "decimal"
    text: str = ""
    start: int = 1
    restart: int | None = None  # restarts after a level below this number; None: after any above it
    plain_digits: bool = False
    style: str = ""


@dataclass
class _List:
    """A definition with the counts of the lists that share it."""

    levels: dict[int, _Level] = field(default_factory=dict)
    counts: list[int | None] = field(default_factory=lambda: [None] * _LEVELS)


@dataclass
class _Instance:
    definition: _List
    levels: dict[int, _Level] = field(default_factory=dict)
    starts: dict[int, int] = field(default_factory=dict)  # each is used up by the first item of its level

    def level(self, number: int) -> _Level | None:
        return self.levels.get(number) or self.definition.levels.get(number)


class Numbering:
    """Counts the items of all lists of a document, in reading order."""

    def __init__(self, root: etree._Element | None) -> None:
        self._instances: dict[str, _Instance] = {}
        if root is None:
            return
        abstract = {each.get(f"{W}abstractNumId", ""): each for each in root.iter(f"{W}abstractNum")}
        linked = {
            _value(each, "styleLink"): number
            for number, each in abstract.items()
            if each.find(f"{W}styleLink") is not None
        }
        lists = {number: _List(_levels(each)) for number, each in abstract.items()}
        for each in root.iterchildren(f"{W}num"):
            number = _value(each, "abstractNumId")
            if number in abstract and not lists[number].levels:
                number = linked.get(_value(abstract[number], "numStyleLink"), number)
            if number in lists:
                self._instances[each.get(f"{W}numId", "")] = _instance(each, lists[number])

    def level_of_style(self, list_id: str, style_ids: list[str]) -> int:
        """Return the level that a list keeps for a style, or for one that it is based on; 0 if for none."""
        instance = self._instances.get(list_id)
        if instance is not None:
            for style_id in style_ids:
                for number, level in instance.definition.levels.items():
                    if level.style == style_id:
                        return number
        return 0

    def next(self, list_id: str, number: int) -> str | None:
        """Count an item, and return its number as it is printed; `BULLET` for a bullet, None for no list.

        The number may be empty.
        """
        instance = self._instances.get(list_id)
        level = None if instance is None else instance.level(number)
        if instance is None or level is None:
            return None
        self._count(instance, number, level)
        if level.form == "bullet":
            return BULLET
        return " ".join(_place.sub(lambda found: self._printed(instance, int(found[1]) - 1, level), level.text).split())

    def _count(self, instance: _Instance, number: int, level: _Level) -> None:
        counts = instance.definition.counts
        for above in range(number):  # a level that was left out has begun all the same
            if counts[above] is None:
                counts[above] = (instance.level(above) or level).start
        start = instance.starts.pop(number, None)
        if start is not None:
            counts[number] = start
        else:
            count = counts[number]
            counts[number] = level.start if count is None else count + 1
        for deeper in range(number + 1, _LEVELS):
            definition = instance.level(deeper)
            restart = definition.restart if definition is not None else None
            if restart is None or number < restart:
                counts[deeper] = None

    def _printed(self, instance: _Instance, number: int, at: _Level) -> str:
        level = instance.level(number) or _Level()
        count = instance.definition.counts[number]
        value = level.start if count is None else count
        return printed_number(value, "decimal" if at.plain_digits else level.form)


def printed_number(value: int, form: str) -> str:
    """Write a number in a form of Word's; unknown forms are digits."""
    if form in {"upperRoman", "lowerRoman"} and 0 < value < _MOST_ROMAN:
        roman = ""
        for amount, letters in _ROMAN:
            roman, value = roman + letters * (value // amount), value % amount
        return roman.upper() if form == "upperRoman" else roman
    if form in {"upperLetter", "lowerLetter"} and 0 < value < _MOST_ROMAN:
        repeats, letter = divmod(value - 1, 26)
        letters = chr(ord("a") + letter) * (repeats + 1)
        return letters.upper() if form == "upperLetter" else letters
    if form == "ordinal":
        return f"{value}{'th' if value % 100 in (11, 12, 13) else _ORDINALS.get(value % 10, 'th')}"
    if form == "decimalZero":
        return f"{value:02d}"
    return "" if form == "none" else str(value)


def _instance(element: etree._Element, definition: _List) -> _Instance:
    instance = _Instance(definition)
    for override in element.iterchildren(f"{W}lvlOverride"):
        number = whole(override.get(f"{W}ilvl", ""), 0)
        instance.levels |= _levels(override)
        start = override.find(f"{W}startOverride")
        if start is not None:
            instance.starts[number] = whole(start.get(_VALUE, ""), 1)
    return instance


def _levels(element: etree._Element) -> dict[int, _Level]:
    levels: dict[int, _Level] = {}
    for each in element.iterchildren(f"{W}lvl"):
        number = whole(each.get(f"{W}ilvl", ""), 0)
        if number < _LEVELS:
            restart = each.find(f"{W}lvlRestart")
            levels[number] = _Level(
                form=_form(each),
                text=_value(each, "lvlText"),
                start=whole(_value(each, "start"), 1),
                restart=None if restart is None else whole(restart.get(_VALUE, ""), 0),
                plain_digits=is_on(each.find(f"{W}isLgl")),
                style=_value(each, "pStyle"),
            )
    return levels


def _form(level: etree._Element) -> str:
    """Return the form of a level's numbers; newer ones stand in an alternative."""
    found = level.find(f".//{W}numFmt")
    return "decimal" if found is None else found.get(_VALUE, "decimal")


def _value(element: etree._Element, name: str) -> str:
    found = element.find(f"{W}{name}")
    return "" if found is None else found.get(_VALUE, "")
