"""Changes results of tools, to see what an answer depends on.

Each result keeps its shape, and handles stay as they are.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

# Members of results that say where something stands. Tools take them as arguments.
_PLACES = frozenset({"document", "start", "end", "row", "next_cursor", "complete"})
# Tools that return records or texts of the corpus; the others return a value for each record that they are given.
_SOURCES = frozenset({"search", "grep", "outline", "records", "read"})
_COUNTING = "count"
_DIGIT = re.compile(r"\d")
_NOT_SPACE = re.compile(r"\S")
_Text = Callable[[str], str]
_Number = Callable[[float], float]


class Kind(StrEnum):
    """How results are changed."""

    NONE = "as they were"
    EMPTY = "nothing at all"
    COUNTS_RAISED = "counts plus 1"
    COUNTS_TRIPLED = "counts times 3 plus 7"
    LESS = "without the last record"
    MORE = "the last record twice"
    COPIED = "the content of a neighbour"
    FIRST = "the content of the first"
    LAST = "the content of the last"
    BLANK = "no content"
    RAISED = "greater numbers"
    LOWERED = "smaller numbers"


@dataclass(frozen=True)
class Change:
    """A change of every result. `group` 0 or 1 restricts it to every other record, line and call; None does not."""

    kind: Kind
    group: int | None = None

    def touches(self, place: int) -> bool:
        return self.group is None or place % 2 == self.group


_WITHIN: Mapping[Kind, tuple[_Text, _Number]] = {
    Kind.BLANK: (lambda text: _NOT_SPACE.sub(" ", text), lambda _: 0),
    Kind.RAISED: (lambda text: _DIGIT.sub("9", text), lambda number: 7 * abs(number) + 13),
    Kind.LOWERED: (lambda text: _DIGIT.sub("0", text), lambda number: -7 * abs(number) - 13),
}
_COUNTS: Mapping[Kind, _Number] = {
    Kind.COUNTS_RAISED: lambda number: number + 1,
    Kind.COUNTS_TRIPLED: lambda number: 3 * number + 7,
    Kind.EMPTY: lambda _: 0,
}


def change_result(tool: str, result: object, call: int, change: Change) -> Any:  # noqa: ANN401  # as tools return
    """Return the result of a tool's call, the `call`th of its name from 0, with the change in it."""
    if change.kind is Kind.EMPTY:
        return _emptied(result)
    if change.kind in _COUNTS:
        return _counted(result, _COUNTS[change.kind]) if tool == _COUNTING else result
    if change.kind in {Kind.LESS, Kind.MORE}:
        return _with_end(result, more=change.kind is Kind.MORE) if tool in _SOURCES else result
    return _changed(result, call, change)


def copy_texts(results: Sequence[object], change: Change) -> Sequence[object]:
    """Return the results of a tool's calls; where each is a text, those of the group have another one's content."""
    are_texts = len(results) > 1 and all(isinstance(each, str) for each in results)
    copied = _copied(results, change) if are_texts else None
    return results if copied is None else copied


def fit(values: Sequence[object], length: int) -> list[object]:
    """Return a value for each of `length` records: the last one stands for those beyond the end."""
    return [values[min(place, len(values) - 1)] for place in range(length)] if values else [None] * length


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


def _counted(result: object, count: _Number) -> object:
    match result:
        case bool():
            return result
        case int():
            return count(result)
        case Mapping():
            return {name: _counted(each, count) for name, each in result.items()}
    return result


def _with_end(result: object, *, more: bool) -> object:
    """Return the result with its last record, or the last line of a text, twice or not at all."""
    match result:
        case str():
            lines = result.splitlines(keepends=True)
            return "".join([*lines, "\n", *lines[-1:]] if more else lines[:-1])
        case list() if result and all(isinstance(each, str) for each in result):
            return [_with_end(each, more=more) for each in result]
        case list():
            return [*result, *result[-1:]] if more else result[:-1]
        case Mapping():
            return {
                name: _with_end(each, more=more) if isinstance(each, list) else each for name, each in result.items()
            }
    return result


def _changed(result: object, place: int, change: Change) -> object:
    match result:
        case list() | tuple():
            copied = _copied(result, change)
            return [_changed(each, number, change) for number, each in enumerate(result)] if copied is None else copied
        case Mapping():
            return {name: each if name in _PLACES else _changed(each, place, change) for name, each in result.items()}
        case str() if change.kind in _WITHIN:
            lines = result.splitlines(keepends=True)
            change_text = _WITHIN[change.kind][0]
            return "".join(
                change_text(line) if change.touches(place + number) else line for number, line in enumerate(lines)
            )
        case bool():
            return not result if change.kind is Kind.BLANK and change.touches(place) else result
        case int() | float() if change.kind in _WITHIN and change.touches(place):
            return _WITHIN[change.kind][1](result)
    return result


def _copied(values: Sequence[object], change: Change) -> list[object] | None:
    """Return values of which those of the group have another one's content; None if the change is no such change."""
    last = len(values) - 1
    sources: Mapping[Kind, Callable[[int], int]] = {
        Kind.COPIED: lambda place: min(place ^ 1, last),
        Kind.FIRST: lambda _: 0,
        Kind.LAST: lambda _: last,
    }
    source = sources.get(change.kind)
    if source is None:
        return None
    return [
        _with_content(each, values[source(place)]) if change.touches(place) else each
        for place, each in enumerate(values)
    ]


def _with_content(value: object, other: object) -> object:
    """Return the other value, with the place of the first where both are records."""
    if isinstance(value, Mapping) and isinstance(other, Mapping):
        return {**other, **{name: each for name, each in value.items() if name in _PLACES}}
    return other
