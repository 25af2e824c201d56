"""Changes the results of tools to find out which results an answer depends on.

Each result keeps its structure, and handles stay unchanged. The two changes of a pair affect different records and
lines, so a value read in a single place changes with only one of them. Some changes keep dates valid, because code that
reads dates often fails on anything else, and a failed run reveals nothing.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from rlm.loop.literals import NUMBER, extract_digits

# Names of position fields in results. These fields are never changed, because tools accept them as arguments.
_POSITION_FIELDS = frozenset({"document", "start", "end", "row", "next_cursor", "complete"})
# Tools that return records or text of the corpus. All other tools return a value for each record passed to them.
_SOURCE_TOOLS = frozenset({"search", "grep", "outline", "records", "read"})
_COUNT_TOOL = "count"
_NOT_SPACE, _LETTER, _DIGIT = re.compile(r"\S"), re.compile(r"[^\W\d_]"), re.compile(r"\d")
_NUMBER = r"\d+(?:[.,]\d+)*"
# Matches an ISO date or, elsewhere, a number. Only the year of a date is changed, so that the date stays valid.
_DATE_OR_NUMBER = re.compile(rf"\b(?P<century>\d\d)(?P<rest>\d\d-\d\d-\d\d)\b|{_NUMBER}")
# Matches a four-digit year with an adjacent day and month, in digits or in words of any language, or else a number. The
# year may come after the day and month ("12.7.2031", "12 July 2031", "July 12, 2031", "12 de julio de 2031"), before
# the day and month ("2031-07-12", "2031. július 12."), or alone ("July 2031"). A two-digit year comes last ("12.7.31").
_BEFORE = r"\d{1,2}[^\d\n]{1,3}\d{1,2}[^\d\n]{1,3}|\d{1,2}[^\d\n]{1,20}"
_AFTER = r"[^\d\n]{1,3}\d{1,2}[^\d\n]{1,3}\d{1,2}(?!\d)|[^\w\n]{1,3}[^\W\d_]{3,15}[^\w\n]{1,3}\d{1,2}(?!\d)"
_YEAR = r"[12]\d{3}"
_YEAR_OR_NUMBER = re.compile(
    rf"(?<![\d.,])(?:(?P<first>{_YEAR})(?P<after>{_AFTER})"
    rf"|(?P<before>(?:{_BEFORE})?)(?P<year>{_YEAR})(?![.,]?\d)"
    r"|(?P<day>\d{1,2}[./-]\d{1,2}[./-])(?P<short>\d\d)(?![.,]?\d))"
    rf"|{_NUMBER}"
)
# Match the day of a date. Before a year, the day is either the only number, or a number followed by a full stop and the
# month. After a year, the day is the last number.
_DAY_BEFORE = re.compile(r"\A\d+(?=\.\s?\d|\D+\Z)")
_DAY_AFTER = re.compile(r"\d+(?=\D*\Z)")
_ALPHABET = 26
_QUARTERS = 4


class ChangeKind(StrEnum):
    """The kinds of changes to results. Each value describes the changed result."""

    NONE = "as they were"
    EMPTY = "nothing at all"
    LESS = "without the last record or line"
    FEWER = "without the last record"
    MORE = "the first record or line twice"
    COPIED = "the content of a neighbour"
    FIRST = "the content of the first"
    QUARTER = "the content of the one after a quarter"
    MIDDLE = "the content of the one in the middle"
    THREE_QUARTERS = "the content of the one after three quarters"
    LAST = "the content of the last"
    BLANK = "no content"
    RAISED = "greater numbers"
    LOWERED = "smaller numbers"
    LATER = "greater numbers, and later years of the same century"
    EARLIER = "smaller numbers, and earlier years of the same century"
    RENAMED = "other letters"


# Kinds of copies. Each kind gives all members of a group the content of one member, which is at this fraction of the
# group's length.
_SOURCE_SHARES: Mapping[ChangeKind, float] = {
    ChangeKind.FIRST: 0.0,
    ChangeKind.QUARTER: 0.25,
    ChangeKind.MIDDLE: 0.5,
    ChangeKind.THREE_QUARTERS: 0.75,
    ChangeKind.LAST: 1.0,
}


@dataclass(frozen=True)
class Change:
    """A change that is applied to every result.

    A `group` of 0 or 1 restricts the change to every second record, line and call. `spared`, from 0 to 3, excludes
    every fourth record, line and call. `number` restricts the change to numbers with these digits.
    """

    kind: ChangeKind
    group: int | None = None
    spared: int | None = None
    number: str = ""

    @property
    def parity(self) -> int:
        """The group, or 0 if the change has no group."""
        return self.group or 0

    def applies_to_position(self, position: int) -> bool:
        if self.spared is not None:
            return position % _QUARTERS != self.spared
        return self.group is None or position % 2 == self.group


def change_result(tool_name: str, result: object, call_index: int, call_count: int, change: Change) -> Any:  # noqa: ANN401  # as tools return
    """Return the result of a tool call with the change applied.

    `call_index` is the index of the call among the tool's `call_count`.
    """
    if change.number:
        return _raise_numbers(result, change.number)
    if change.kind is ChangeKind.EMPTY:
        return _clear_result(result)
    if change.kind in {ChangeKind.LESS, ChangeKind.FEWER, ChangeKind.MORE}:
        if tool_name == _COUNT_TOOL:
            return _shift_counts(result, is_increase=change.kind is ChangeKind.MORE)
        return _resize_result(result, change.kind) if tool_name in _SOURCE_TOOLS else result
    return _change_value(result, call_index, call_count, change)


def copy_strings(results: Sequence[object], change: Change) -> Sequence[object]:
    """Return a copy of a tool's results in which one call's string replaces those of the whole group.

    Results that are not all strings are returned unchanged. Strings with more lines than there are calls also stay
    unchanged, because `change_result` changes them line by line.
    """
    are_texts = len(results) > 1 and all(isinstance(each, str) for each in results)
    copied = _copy_values(results, change) if are_texts else None
    if copied is None:
        return results
    return [
        result if _is_grouped_by_lines(result, len(results)) else copy
        for result, copy in zip(results, copied, strict=True)
    ]


def fit_to_length(values: Sequence[object], length: int) -> list[object]:
    """Return `length` values: the given ones, truncated or padded with the first value, or with None if empty."""
    return [values[place if place < len(values) else 0] for place in range(length)] if values else [None] * length


def _raise_numbers(result: object, digits: str) -> object:
    """Return the result, with a greater number in place of every number that has these digits."""

    def raise_number(match: re.Match[str]) -> str:
        return f"9{match[0]}" if extract_digits(match[0]) == digits else match[0]

    match result:
        case list() | tuple():
            return [_raise_numbers(each, digits) for each in result]
        case Mapping():
            return {
                name: each if name in _POSITION_FIELDS else _raise_numbers(each, digits)
                for name, each in result.items()
            }
        case str():
            return NUMBER.sub(raise_number, result)
        case bool():
            return result
        case int() | float() if extract_digits(str(result)) == digits:
            return _change_number(result, Change(ChangeKind.RAISED))
    return result


def _clear_result(result: object) -> object:
    match result:
        case bool() | None:
            return result
        case int() | float():
            return 0
        case str():
            return ""
        case list() | tuple():
            return []
        case Mapping():
            return {name: each if name in _POSITION_FIELDS else _clear_result(each) for name, each in result.items()}
    return result


def _shift_counts(result: object, *, is_increase: bool) -> object:
    """Return the counts, each increased or decreased. A count of 0 becomes 1 or 2."""
    match result:
        case bool():
            return result
        case int():
            return result + 1 if is_increase else result - 1 if result else 2
        case Mapping():
            return {name: _shift_counts(each, is_increase=is_increase) for name, each in result.items()}
    return result


def _resize_result(result: object, kind: ChangeKind) -> object:
    """Return the result with its first record repeated, or without its last record.

    The lines of a string are treated like records. `ChangeKind.FEWER` leaves strings unchanged.
    """
    match result:
        case str():
            lines = result.splitlines(keepends=True)
            if len(lines) < 2 or kind is ChangeKind.FEWER:
                return result
            return "".join([*lines[:1], *lines] if kind is ChangeKind.MORE else lines[:-1])
        case list() if result and all(isinstance(each, str) for each in result):
            return [_resize_result(each, kind) for each in result]
        case list():
            return [*result[:1], *result] if kind is ChangeKind.MORE else result[:-1]
        case Mapping():
            return {
                name: _resize_result(each, kind) if isinstance(each, list) else each for name, each in result.items()
            }
    return result


def _is_grouped_by_lines(value: object, sibling_count: int) -> bool:
    """Return whether groups consist of lines within a string rather than of whole strings.

    A position belongs to the same group for all kinds of change. Otherwise, a value read at this position would change
    with both groups.
    """
    return isinstance(value, str) and sum(map(bool, map(str.strip, value.splitlines()))) > sibling_count


def _change_value(result: object, position: int, sibling_count: int, change: Change) -> object:
    """Return the result with the change applied. `position` is the index of the result among its siblings."""
    match result:
        case list() | tuple():
            copied = _copy_values(result, change)
            return [
                _change_value(each, number, len(result), change)
                if copied is None or _is_grouped_by_lines(each, len(result))
                else copied[number]
                for number, each in enumerate(result)
            ]
        case Mapping():
            return {
                name: each if name in _POSITION_FIELDS else _change_value(each, position, sibling_count, change)
                for name, each in result.items()
            }
        case str() if _is_grouped_by_lines(result, sibling_count):
            return _change_lines(result, change)
        case str() if sibling_count == 1 and change.spared is not None and change.applies_to_position(position):
            return ""
        case str() if change.applies_to_position(position):
            return "".join(_change_line(line, position, change) for line in result.splitlines(keepends=True))
        case bool():
            return not result if change.kind is ChangeKind.BLANK and change.applies_to_position(position) else result
        case int() | float() if change.applies_to_position(position):
            return _change_number(result, change)
    return result


def _change_number(number: float, change: Change) -> float:
    match change.kind:
        case ChangeKind.BLANK:
            return 0
        case ChangeKind.LATER | ChangeKind.EARLIER if isinstance(number, int) and re.fullmatch(_YEAR, str(number)):
            return int(_select_other_year(str(number), change))
        case ChangeKind.RAISED | ChangeKind.LATER:
            return 7 * abs(number) + 13
        case ChangeKind.LOWERED | ChangeKind.EARLIER:
            return -7 * abs(number) - 13
    return number


def _change_lines(text: str, change: Change) -> str:
    lines = text.splitlines(keepends=True)
    written = [number for number, line in enumerate(lines) if line.strip()]
    copied = _copy_values([lines[number] for number in written], change)
    for place, number in enumerate(written):
        if copied is not None:
            lines[number] = str(copied[place])
        elif change.applies_to_position(place):
            lines[number] = _change_line(lines[number], place, change)
    return "".join(lines)


def _change_line(line: str, position: int, change: Change) -> str:
    match change.kind:
        case ChangeKind.BLANK:
            return _NOT_SPACE.sub(" ", line)
        case ChangeKind.RAISED | ChangeKind.LOWERED:
            return _DATE_OR_NUMBER.sub(lambda found: _change_century_or_number(found, change), line)
        case ChangeKind.LATER | ChangeKind.EARLIER:
            return _YEAR_OR_NUMBER.sub(lambda found: _change_year_or_number(found, change), line)
        case ChangeKind.RENAMED:
            # Make equal records different. If both groups received equally many new names, a count of the names would
            # change to the same value for both groups.
            steps = 1 + position // (2 + position % 2 * 2) % (_ALPHABET - 1)
            return _LETTER.sub(lambda found: _shift_letter(found[0], steps), line)
    return line


def _change_century_or_number(match: re.Match[str], change: Change) -> str:
    is_greater = change.kind is ChangeKind.RAISED
    if match["century"]:
        # If the number is a year, both replacements are leap years.
        return f"{28 if is_greater else 16}{match['rest']}"
    return _change_digits(match[0], change, is_greater=is_greater)


def _change_year_or_number(match: re.Match[str], change: Change) -> str:
    is_later = change.kind is ChangeKind.LATER
    # Give the two groups different days, just as they get different digits and years.
    day = str((28 if is_later else 11) - change.parity)
    if year := match["year"]:
        return f"{_DAY_BEFORE.sub(day, match['before'])}{_select_other_year(year, change)}"
    if year := match["short"]:
        return f"{_DAY_BEFORE.sub(day, match['day'])}{_select_other_short_year(year, is_later=is_later)}"
    if year := match["first"]:
        return f"{_select_other_year(year, change)}{_DAY_AFTER.sub(day, match['after'])}"
    return _change_digits(match[0], change, is_greater=is_later)


def _change_digits(number: str, change: Change, *, is_greater: bool) -> str:
    if not is_greater:
        return _DIGIT.sub("0", number)
    # A year keeps four digits. Other numbers grow by one digit, so that they exceed the unchanged numbers. The two
    # groups get different digits, so that a maximum that occurs in both groups takes a different new value for each
    # group.
    return f"{'' if len(number) == 4 else '9'}{_DIGIT.sub('98'[change.parity], number)}"


def _select_other_year(year: str, change: Change) -> str:
    """Return another year, which is a leap year so that every day exists in it.

    The year is in the same century if that century has a later or earlier leap year.
    """
    century, years = divmod(int(year), 100)
    if change.kind is ChangeKind.LATER:
        later = 96 - 4 * change.parity
        return str(100 * (century + (years >= later)) + later)
    earlier = 4 + 4 * change.parity
    return str(100 * (century - (years <= earlier)) + earlier)


def _select_other_short_year(year: str, *, is_later: bool) -> str:
    """Return a leap year in the same century. As in Python's `%y`, years from 69 belong to the 20th century."""
    if is_later:
        return "68" if year < "68" else "96"
    return "72" if year > "72" else "04"


def _shift_letter(letter: str, steps: int) -> str:
    """Return another letter.

    A Latin letter is replaced by one from the same alphabet. Any other letter is replaced by a later one in Unicode, if
    there is a letter at that position.
    """
    if not letter.isascii():
        other = chr(min(ord(letter) + steps, 0x10FFFF))
        return other if other.isalpha() else letter
    first = ord("a" if letter.islower() else "A")
    return chr(first + (ord(letter) - first + steps) % _ALPHABET)


def _copy_values(values: Sequence[object], change: Change) -> list[object] | None:
    """Return the values, with the content of another value copied into each member of the group.

    Returns None if the change is not a copy.
    """
    if change.kind is not ChangeKind.COPIED and change.kind not in _SOURCE_SHARES:
        return None
    group = [place for place in range(len(values)) if change.applies_to_position(place)]
    result = list(values)
    if change.spared is not None:
        return _copy_from_positions(
            values, [place for place in range(len(values)) if not change.applies_to_position(place)]
        )
    for order, place in enumerate(group):
        if change.kind is ChangeKind.COPIED:
            source = group[min(order ^ 1, len(group) - 1)]
        else:
            source = group[int((len(group) - 1) * _SOURCE_SHARES[change.kind])]
        result[place] = _replace_content(values[place], values[source])
    return result


def _copy_from_positions(values: Sequence[object], positions: Sequence[int]) -> list[object]:
    """Return the values, each with the content of one of the values at `positions`, in turn.

    If there are no places, the values get no content.
    """
    if not positions:
        return [_clear_result(each) for each in values]
    sources = (values[positions[min(number // _QUARTERS, len(positions) - 1)]] for number in range(len(values)))
    return [_replace_content(value, source) for value, source in zip(values, sources, strict=True)]


def _replace_content(value: object, replacement: object) -> object:
    """Return `replacement`, with the position fields of `value` if both are records."""
    if isinstance(value, Mapping) and isinstance(replacement, Mapping):
        return {**replacement, **{name: each for name, each in value.items() if name in _POSITION_FIELDS}}
    return replacement
