"""Finds dates and periods in text: ISO and numeric dates, and dates with the names of months or quarters.

The names, and the order of numeric dates, come from the Unicode CLDR, for the document's language and for English.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from functools import lru_cache

from babel import Locale, UnknownLocaleError

_YEAR = r"((?:19|20)\d\d)(?!\d)"
_DAY = r"(0?[1-9]|[12]\d|3[01])"
# An ordinal's ending, such as the one of `1st` and `1er`, and a short word such as the ones in `1 de mayo de 2023`.
_ENDING = r"(?:[^\W\d_]{1,2}(?![^\W\d_])|º)?\.?"
_LINK = r"[\s,.]{0,2}(?:(?<=\s)[^\W\d_]{1,3}\s)?"
_DAY_BEFORE = re.compile(rf"(?<![\d.,:/-]){_DAY}{_ENDING}[\s-]?{_LINK}$")
_DAY_AND_YEAR_AFTER = re.compile(rf"\.?[\s-]{_DAY}{_ENDING},?\s+{_YEAR}")
_DAY_AFTER = re.compile(rf"\.?\s{_DAY}(?![\d:])")
_YEAR_AFTER = re.compile(rf"\.?[\s,'’-]{{0,2}}{_LINK}{_YEAR}")
_SHORT_YEAR_AFTER = re.compile(r"[\s'’-]{0,2}(\d\d)(?!\d)")
_YEAR_BEFORE = re.compile(rf"(?<!\d){_YEAR}[\s.,-]{{0,2}}$")
_FISCAL_YEAR_AFTER = re.compile(rf"[\s/,-]{{0,2}}(?:[^\W\d_]{{1,3}}\s?)?{_YEAR}")
_SHORT_FISCAL_YEAR_BEFORE = re.compile(r"(?<![^\W\d_])[^\W\d_]{2}(\d\d)\s?$")
_NUMERIC = re.compile(r"(?<![\d.,/-])(\d{1,4})([./-])(\d{1,2})\2(\d{1,4})(?![\d/])(?![.,-]\d)")
_COMPACT = re.compile(r"(?<!\d)((?:19|20)\d\d)(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])(?!\d)")
_YEAR_AND_MONTH = re.compile(
    rf"(?<![\d.,/-])(?:{_YEAR[:-6]}[-. /](0[1-9]|1[0-2])|(0[1-9]|1[0-2])[-. /]{_YEAR[:-6]})(?![\d.,/-]\d|\d)"
)
_BARE_YEAR = re.compile(rf"(?<![\d.,/§$€£-]){_YEAR}")
# The largest distance of two ends of a range of which only the last one has a year: `1 May to 3 June 2023`.
_RANGE_CHARS = 8
_PATTERN = re.compile(r"y+([^yMd]*)M{1,2}([^yMd]*)d+([^yMd]*)")


@dataclass(frozen=True)
class FoundTime:
    """A date (`2023-04-01`) or a period (`2023`, `2023-H1`, `2023-Q2`, `2023-04`) that is at `text[start:end]`."""

    start: int
    end: int
    value: str
    is_date: bool


@dataclass(frozen=True)
class _Grammar:
    """The names of months and quarters in some languages, in lower case, and the order of numeric dates."""

    months: Mapping[str, int]
    quarters: Mapping[str, str]
    name: re.Pattern[str]
    # The order of the numbers in numeric dates, or empty if countries that share the language differ.
    order: str
    # The pattern of dates in scripts that write a character after each number, such as `2023年4月1日`.
    marked: re.Pattern[str] | None


def find_times(text: str, language: str | None, *, is_name: bool = False) -> list[FoundTime]:
    """Find dates and periods in a text, in the order of their positions.

    A numeric date whose order is uncertain is omitted. If `is_name` is true, the text is the name of a file or a title,
    in which years alone, two-digit years after the name of a month, and dates without separators are found as well.
    """
    grammar = _load_grammar(language)
    found = [*_find_numeric(text, grammar), *_find_named(text, grammar, is_name=is_name)]
    if grammar.marked is not None:
        found += _find_marked(text, grammar.marked)
    if is_name:
        for match in _COMPACT.finditer(text):
            found += _build_date(match, int(match[1]), int(match[2]), int(match[3]))
        for match in _YEAR_AND_MONTH.finditer(text):
            year, month = (match[1], match[2]) if match[1] else (match[4], match[3])
            found.append(FoundTime(*match.span(), f"{year}-{month}", is_date=False))
        found += (FoundTime(*match.span(), match[1], is_date=False) for match in _BARE_YEAR.finditer(text))
    return _drop_overlaps(found)


def _drop_overlaps(found: list[FoundTime]) -> list[FoundTime]:
    """Return the times by position. Of overlapping times, the first in the list is kept, which is more precise."""
    kept: list[FoundTime] = []
    for each in found:
        if all(each.end <= other.start or other.end <= each.start for other in kept):
            kept.append(each)
    return sorted(kept, key=lambda each: each.start)


def _find_named(text: str, grammar: _Grammar, *, is_name: bool) -> Iterator[FoundTime]:
    """Yield dates, months and quarters that are written with their names."""
    waiting: list[tuple[int, int, int, int | None]] = []  # Ends of ranges whose year follows.
    lowered = text.lower()
    for match in grammar.name.finditer(lowered if len(lowered) == len(text) else text):
        name = match[0]
        month = grammar.months.get(name)
        before, after = text[max(0, match.start() - 18) : match.start()], text[match.end() : match.end() + 18]
        if month is None:
            yield from _find_quarter(match, grammar.quarters[name], before, after, is_name=is_name)
            continue
        day = _DAY_BEFORE.search(before)
        start = match.start() - (len(day[0]) if day else 0)
        number: int | None
        if (both := _DAY_AND_YEAR_AFTER.match(after)) is not None:
            end, year, number = match.end() + both.end(), int(both[2]), int(both[1])
            start = match.start()
        elif (later := _YEAR_AFTER.match(after)) is not None:
            end, year, number = match.end() + later.end(), int(later[1]), int(day[1]) if day else None
        elif (earlier := _YEAR_BEFORE.search(before)) is not None:
            then = _DAY_AFTER.match(after)
            start, end = match.start() - len(earlier[0]), match.end() + (then.end() if then else 0)
            year, number = int(earlier[1]), int(then[1]) if then else None
        elif is_name and (short := _SHORT_YEAR_AFTER.match(after)) is not None:
            end, year, number = match.end() + short.end(), 2000 + int(short[1]), int(day[1]) if day else None
        else:
            waiting = [(start, match.end(), month, int(day[1]) if day else None)]
            continue
        for first, last, earlier_month, earlier_day in waiting:
            if 0 < start - last <= _RANGE_CHARS:
                yield from _build_time(first, last, year - (earlier_month > month), earlier_month, earlier_day)
        waiting = []
        yield from _build_time(start, end, year, month, number)


def _find_quarter(match: re.Match[str], quarter: str, before: str, after: str, *, is_name: bool) -> Iterator[FoundTime]:
    later = _FISCAL_YEAR_AFTER.match(after) or (_SHORT_YEAR_AFTER.match(after) if is_name else None)
    earlier = _YEAR_BEFORE.search(before) or _SHORT_FISCAL_YEAR_BEFORE.search(before)
    # A year that stands before the quarter belongs to it, and a later one to something else: `2023 Q1 2022`.
    year = earlier or later
    if year is not None:
        start, end = match.start() - (len(earlier[0]) if earlier else 0), match.end() + (0 if earlier else year.end())
        yield FoundTime(start, end, f"{int(year[1]) + (2000 if len(year[1]) == 2 else 0)}-{quarter}", is_date=False)


def _find_numeric(text: str, grammar: _Grammar) -> Iterator[FoundTime]:
    """Yield numeric dates with a four-digit year.

    The order of days and months is that of a date in the same text that has only one possible order, or else the
    language's.
    """
    uncertain: list[tuple[re.Match[str], int, int, int]] = []
    orders: set[tuple[str, str]] = set()
    for match in _NUMERIC.finditer(text):
        first, second, third = int(match[1]), int(match[3]), int(match[4])
        if len(match[1]) == 4 and len(match[4]) <= 2:
            yield from _build_date(match, first, second, third)
        elif len(match[4]) == 4 and len(match[1]) <= 2:
            if first == second or match[2] == "." or first > 12 or second > 12:
                is_swapped = second > 12
                orders |= {(match[2], "Md" if is_swapped else "dM")} if first != second else set()
                yield from _build_date(match, third, *((first, second) if is_swapped else (second, first)))
            else:
                uncertain.append((match, first, second, third))
    for match, first, second, year in uncertain:
        known = {order for separator, order in orders if separator == match[2]}
        order = known.pop() if len(known) == 1 else grammar.order
        if order:
            yield from _build_date(match, year, *((first, second) if order == "Md" else (second, first)))


def _find_marked(text: str, pattern: re.Pattern[str]) -> Iterator[FoundTime]:
    for match in pattern.finditer(text):
        yield from _build_time(*match.span(), int(match[1]), int(match[2]), int(match[3]) if match[3] else None)


def _build_date(match: re.Match[str], year: int, month: int, day: int) -> Iterator[FoundTime]:
    return _build_time(*match.span(), year, month, day)


def _build_time(start: int, end: int, year: int, month: int, day: int | None) -> Iterator[FoundTime]:
    """Yield a date, or a month if there is no day. An impossible date yields nothing."""
    try:
        first = date(year, month, day or 1)
    except ValueError:
        return
    if 1900 <= year < 2100:
        yield FoundTime(start, end, first.isoformat() if day else f"{first:%Y-%m}", is_date=day is not None)


def is_month_name(word: str, language: str | None) -> bool:
    """Return whether a word is the name of a month, or its abbreviation."""
    return _fold_name(word) in _load_grammar(language).months


@lru_cache(maxsize=64)
def capitalizes_nouns(language: str | None) -> bool:
    """Return whether the language writes nouns in upper case, as it does with the word for a quarter of a year."""
    locale = _parse_locale(language)
    return locale is not None and any(word[0].isupper() for word in locale.quarters["format"]["wide"][1].split())


@lru_cache(maxsize=64)
def _load_grammar(language: str | None) -> _Grammar:
    """Load the names of a language and of English. Of a language that the CLDR does not have, only English is used."""
    english = Locale.parse("en")
    own = _parse_locale(language) or english
    locales = english, Locale.parse("en_GB"), own
    months: dict[str, int] = {}
    tokens = [*(("q", number) for number in range(1, 5)), ("h", 1), ("h", 2)]
    quarters = {name: f"{letter.upper()}{n}" for letter, n in tokens for name in (f"{letter}{n}", f"{n}{letter}")}
    for locale in locales:
        for width in ("abbreviated", "wide"):
            for context in ("format", "stand-alone"):
                months |= {_fold_name(name): number for number, name in locale.months[context][width].items()}
                quarters |= {_fold_name(name): f"Q{number}" for number, name in locale.quarters[context][width].items()}
    months = {name: number for name, number in months.items() if len(name) > 2 and not name[0].isdigit()}
    names = "|".join(sorted(map(re.escape, {*months, *quarters}), key=len, reverse=True))
    # Digits may precede and follow the letters of a name, as in the names of files, but not its own digits.
    name = re.compile(rf"(?<![^\W\d_])(?!(?<=\d)\d)(?:{names})(?![^\W\d_])(?!(?<=\d)\d)")
    short = own.date_formats["short"].pattern
    order = "" if own.language == "en" else "dM" if short.index("d") < short.index("M") else "Md"
    return _Grammar(months, quarters, name, order, _build_marked_pattern(own))


def _parse_locale(language: str | None) -> Locale | None:
    try:
        return Locale.parse(language) if language else None
    except (UnknownLocaleError, ValueError):
        return None


def _fold_name(name: str) -> str:
    return name.casefold().rstrip(".")


def _build_marked_pattern(locale: Locale) -> re.Pattern[str] | None:
    """Build the pattern of a language's long dates, if a character follows each number."""
    found = _PATTERN.fullmatch(locale.date_formats["long"].pattern)
    if found is None or not all(each.strip() and each.strip()[0].isalpha() for each in found.groups()):
        return None
    year, month, day = (rf"\s*{re.escape(each.strip())}\s*" for each in found.groups())
    return re.compile(rf"(?<!\d)((?:19|20)\d\d){year}(1[0-2]|0?[1-9]){month}(?:(3[01]|[12]\d|0?[1-9]){day})?")
