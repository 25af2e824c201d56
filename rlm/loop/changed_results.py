"""Changes results of tools, to see what an answer depends on.

Each result keeps its shape, and handles stay as they are. The two changes of a pair touch different records and lines,
so that what rests on one place moves with one of them alone.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

# Members of results that say where something stands. Tools take them as arguments.
_PLACES = frozenset({"document", "start", "end", "row", "next_cursor", "complete"})
# Tools that return records or texts of the corpus; the others return a value for each record that they are given.
_SOURCES = frozenset({"search", "grep", "outline", "records", "read"})
_COUNTING = "count"
_NOT_SPACE, _LETTER, _DIGIT = re.compile(r"\S"), re.compile(r"[^\W\d_]"), re.compile(r"\d")
# A date in ISO form, of which the year alone is changed, so that it stays a date; or else a number.
_DATE_OR_NUMBER = re.compile(r"\b(\d\d)(\d\d-\d\d-\d\d)\b|\d+(?:[.,]\d+)*")
_ALPHABET = 26


class Kind(StrEnum):
    """How results are changed."""

    NONE = "as they were"
    EMPTY = "nothing at all"
    LESS = "without the last record"
    MORE = "the first record twice"
    COPIED = "the content of a neighbour"
    FIRST = "the content of the first"
    QUARTER = "the content of the one after a quarter"
    MIDDLE = "the content of the one in the middle"
    THREE_QUARTERS = "the content of the one after three quarters"
    LAST = "the content of the last"
    BLANK = "no content"
    RAISED = "greater numbers"
    LOWERED = "smaller numbers"
    RENAMED = "other letters"


# From where in a group each of its members gets its content.
_SOURCE_SHARES: Mapping[Kind, float] = {
    Kind.FIRST: 0.0,
    Kind.QUARTER: 0.25,
    Kind.MIDDLE: 0.5,
    Kind.THREE_QUARTERS: 0.75,
    Kind.LAST: 1.0,
}


@dataclass(frozen=True)
class Change:
    """A change of every result. `group` 0 or 1 restricts it to every other record, line and call; None does not."""

    kind: Kind
    group: int | None = None

    def touches(self, place: int) -> bool:
        return self.group is None or place % 2 == self.group


def change_result(tool: str, result: object, call: int, change: Change) -> Any:  # noqa: ANN401  # as tools return
    """Return the result of a tool's call, the `call`th of its name from 0, with the change in it."""
    if change.kind is Kind.EMPTY:
        return _emptied(result)
    if change.kind in {Kind.LESS, Kind.MORE}:
        if tool == _COUNTING:
            return _counted(result, more=change.kind is Kind.MORE)
        return _resized(result, more=change.kind is Kind.MORE) if tool in _SOURCES else result
    return _changed(result, call, change)


def copy_texts(results: Sequence[object], change: Change) -> Sequence[object]:
    """Return the results of a tool's calls; where each is a text, those of the group have another one's content."""
    are_texts = len(results) > 1 and all(isinstance(each, str) for each in results)
    copied = _copied(results, change) if are_texts else None
    return results if copied is None else copied


def fit(values: Sequence[object], length: int) -> list[object]:
    """Return a value for each of `length` records: the first one stands for those beyond the end."""
    return [values[place if place < len(values) else 0] for place in range(length)] if values else [None] * length


def _emptied(result: object) -> object:
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
            return {name: each if name in _PLACES else _emptied(each) for name, each in result.items()}
    return result


def _counted(result: object, *, more: bool) -> object:
    """Return counts that are one greater or smaller; a count of nought becomes 1 or 2."""
    match result:
        case bool():
            return result
        case int():
            return result + 1 if more else result - 1 if result else 2
        case Mapping():
            return {name: _counted(each, more=more) for name, each in result.items()}
    return result


def _resized(result: object, *, more: bool) -> object:
    """Return the result with its first record, or the first line of a text, twice; or without its last one."""
    match result:
        case str():
            lines = result.splitlines(keepends=True)
            if len(lines) < 2:
                return result
            return "".join([*lines[:1], *lines] if more else lines[:-1])
        case list() if result and all(isinstance(each, str) for each in result):
            return [_resized(each, more=more) for each in result]
        case list():
            return [*result[:1], *result] if more else result[:-1]
        case Mapping():
            return {
                name: _resized(each, more=more) if isinstance(each, list) else each for name, each in result.items()
            }
    return result


def _changed(result: object, place: int, change: Change) -> object:
    match result:
        case list() | tuple():
            copied = _copied(result, change)
            return [_changed(each, number, change) for number, each in enumerate(result)] if copied is None else copied
        case Mapping():
            return {name: each if name in _PLACES else _changed(each, place, change) for name, each in result.items()}
        case str():
            return _changed_text(result, place, change)
        case bool():
            return not result if change.kind is Kind.BLANK and change.touches(place) else result
        case int() | float() if change.touches(place):
            return _changed_number(result, change.kind)
    return result


def _changed_number(number: float, kind: Kind) -> float:
    match kind:
        case Kind.BLANK:
            return 0
        case Kind.RAISED:
            return 7 * abs(number) + 13
        case Kind.LOWERED:
            return -7 * abs(number) - 13
    return number


def _changed_text(text: str, place: int, change: Change) -> str:
    lines = text.splitlines(keepends=True)
    written = [number for number, line in enumerate(lines) if line.strip()]
    copied = _copied([lines[number] for number in written], change) if len(written) > 1 else None
    if copied is not None:
        for number, line in zip(written, copied, strict=True):
            lines[number] = str(line)
        return "".join(lines)
    return "".join(
        _changed_line(line, place + number, change.kind) if change.touches(place + number) else line
        for number, line in enumerate(lines)
    )


def _changed_line(line: str, place: int, kind: Kind) -> str:
    match kind:
        case Kind.BLANK:
            return _NOT_SPACE.sub(" ", line)
        case Kind.RAISED:
            return _DATE_OR_NUMBER.sub(_raised, line)
        case Kind.LOWERED:
            return _DATE_OR_NUMBER.sub(lambda found: f"16{found[2]}" if found[1] else _DIGIT.sub("0", found[0]), line)
        case Kind.RENAMED:
            # Records that are alike become different.
            steps = 1 + place // 2 % (_ALPHABET - 1)
            return _LETTER.sub(lambda found: _letter_after(found[0], steps), line)
    return line


def _raised(found: re.Match[str]) -> str:
    if found[1]:
        return f"28{found[2]}"
    # A year has four digits, and others grow by one, so that they outdo those that stay.
    return f"{'' if len(found[0]) == 4 else '9'}{_DIGIT.sub('9', found[0])}"


def _letter_after(letter: str, steps: int) -> str:
    """Return another letter: of the same alphabet if it is Latin, else from further on in Unicode, if that is one."""
    if not letter.isascii():
        other = chr(min(ord(letter) + steps, 0x10FFFF))
        return other if other.isalpha() else letter
    first = ord("a" if letter.islower() else "A")
    return chr(first + (ord(letter) - first + steps) % _ALPHABET)


def _copied(values: Sequence[object], change: Change) -> list[object] | None:
    """Return values of which those of the group have another one's content; None if the change is no copy."""
    if change.kind is not Kind.COPIED and change.kind not in _SOURCE_SHARES:
        return None
    group = [place for place in range(len(values)) if change.touches(place)]
    result = list(values)
    for order, place in enumerate(group):
        if change.kind is Kind.COPIED:
            source = group[min(order ^ 1, len(group) - 1)]
        else:
            source = group[int((len(group) - 1) * _SOURCE_SHARES[change.kind])]
        result[place] = _with_content(values[place], values[source])
    return result


def _with_content(value: object, other: object) -> object:
    """Return the other value, with the place of the first where both are records."""
    if isinstance(value, Mapping) and isinstance(other, Mapping):
        return {**other, **{name: each for name, each in value.items() if name in _PLACES}}
    return other
