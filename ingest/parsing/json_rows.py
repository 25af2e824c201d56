"""The record tables of JSON, which are its lists of objects, and of JSON lines."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from ingest.parsing.tables import MAX_COLUMNS, FoundTable, TableRow, unique_names

_DEEPEST_LIST = 3
_decoder = json.JSONDecoder(
    strict=False, parse_constant=lambda _: None
)  # normalizing may have put line ends in strings
_blanks = re.compile(r"[ \t\n]*")


@dataclass(frozen=True)
class _ObjectList:
    """Where a list of objects stands, and the dotted path of members that leads to it."""

    path: str
    start: int
    end: int


def json_tables(text: str) -> list[FoundTable]:
    """Return each list that holds objects alone: the whole document, or a member of an object in it."""
    try:
        start = _skip(text, 0)
        lists: list[_ObjectList] = []
        end = _find_lists(text, start, "", lists)
        if _skip(text, end) != len(text):
            return []
        return [_objects_table(each.path, each.start, each.end, partial(_elements, text, each.start)) for each in lists]
    except (ValueError, RecursionError):
        return []


def json_lines_table(text: str) -> list[FoundTable]:
    """Return the table of a text each of whose lines is an object, two at least."""

    def objects() -> Iterator[tuple[int, int, Any]]:
        at = 0
        while at < len(text):
            end = text.find("\n", at)
            end = len(text) if end < 0 else end
            start = _skip(text, at)
            if start < end:
                value, stop = _decoder.raw_decode(text, start)
                if not isinstance(value, dict) or _skip(text, stop) < end:
                    raise ValueError("a line is not an object")
                yield start, stop, value
            at = end + 1

    try:
        ends = [end for _, end, _ in objects()]
        return [_objects_table("", _skip(text, 0), ends[-1], objects)] if len(ends) > 1 else []
    except (ValueError, RecursionError):
        return []


def _find_lists(text: str, at: int, path: str, lists: list[_ObjectList]) -> int:
    """Collect the lists of objects in the value at `at`, and return its end. Raises `ValueError` for broken JSON."""
    if text[at : at + 1] == "[":
        only_objects, last = True, at + 1
        for _, end, value in _elements(text, at):
            only_objects, last = only_objects and isinstance(value, dict), end
        closed = _skip(text, last) + 1
        if only_objects and last > at + 1:
            lists.append(_ObjectList(path, at, closed))
        return closed
    if text[at : at + 1] != "{" or path.count(".") + bool(path) >= _DEEPEST_LIST:
        return _decoder.raw_decode(text, at)[1]
    at = _skip(text, at + 1)
    while text[at : at + 1] != "}":
        if text[at : at + 1] != '"':
            raise ValueError("an object's member has no name")
        key, at = _decoder.raw_decode(text, at)
        at = _skip(text, at)
        if text[at : at + 1] != ":":
            raise ValueError("an object's member has no value")
        at = _skip(text, _find_lists(text, _skip(text, at + 1), f"{path}.{key}" if path else key, lists))
        at = _after_comma(text, at, "}")
    return at + 1


def _elements(text: str, at: int) -> Iterator[tuple[int, int, Any]]:
    """Yield the span and the value of each element of the list that begins at `at`."""
    at = _skip(text, at + 1)
    while text[at : at + 1] != "]":
        value, end = _decoder.raw_decode(text, at)
        yield at, end, value
        at = _after_comma(text, _skip(text, end), "]")


def _after_comma(text: str, at: int, closing: str) -> int:
    if text[at : at + 1] == ",":
        return _skip(text, at + 1)
    if text[at : at + 1] != closing:
        raise ValueError("a comma is missing")
    return at


def _skip(text: str, at: int) -> int:
    found = _blanks.match(text, at)
    return found.end() if found else at


def _objects_table(
    name: str, start: int, end: int, objects: Callable[[], Iterator[tuple[int, int, Any]]]
) -> FoundTable:
    """Members of members are columns named by dotted path, unless there are too many; lists stay JSON."""
    for nested in (True, False):
        keys: dict[str, None] = {}
        for _, _, value in objects():
            keys.update(dict.fromkeys(_flat(value, nested=nested)))
        if len(keys) <= MAX_COLUMNS:
            break
    paths = list(keys)[:MAX_COLUMNS]

    def rows() -> Iterator[TableRow]:
        for begin, stop, value in objects():
            flat = _flat(value, nested=nested)
            yield TableRow(begin, stop, [flat.get(path, "") for path in paths])

    return FoundTable(name, unique_names(paths, len(paths)), start, end, start, rows)


def _flat(value: dict[str, Any], *, nested: bool, prefix: str = "") -> dict[str, str]:
    cells: dict[str, str] = {}
    for key, member in value.items():
        if isinstance(member, dict) and member and nested:
            cells.update(_flat(member, nested=nested, prefix=f"{prefix}{key}."))
        else:
            cells[prefix + key] = _cell(member)
    return cells


def _cell(value: object) -> str:
    match value:
        case None:
            return ""
        case str():
            return value.strip()
        case _:
            return json.dumps(value, ensure_ascii=False)
