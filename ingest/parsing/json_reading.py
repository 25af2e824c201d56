"""Read JSON value by value, and lists element by element. Numbers keep their digits as written."""

import json
import re
from collections.abc import Iterator
from typing import Any


class Number(str):
    """A number, as the string of its digits."""

    __slots__ = ()


Json = dict[str, Any] | list[Any] | str | bool | None

_decoder = json.JSONDecoder(strict=False, parse_constant=lambda _: None, parse_float=Number, parse_int=Number)
_blanks = re.compile(r"[ \t\n\r\ufeff]*")


def parse_value(text: str, position: int) -> tuple[Json, int]:
    """Return the value that starts at `position`, and its end.

    Raises `ValueError` for invalid JSON, and `RecursionError` if values are nested too deeply.
    """
    value, end = _decoder.raw_decode(text, position)
    return value, end


def skip_white_space(text: str, position: int) -> int:
    """Return the first position from `position` that is not white space."""
    found = _blanks.match(text, position)
    return found.end() if found else position


def iter_elements(text: str, position: int) -> Iterator[tuple[int, Json]]:
    """Yield the end and value of each element in the list that starts at `position`.

    Raises `ValueError` for invalid JSON.
    """
    position = skip_white_space(text, position + 1)
    while text[position : position + 1] != "]":
        value, end = parse_value(text, position)
        yield end, value
        position = _skip_comma(text, skip_white_space(text, end), "]")


def iter_values(text: str) -> Iterator[tuple[int, Json]]:
    """Yield the start and value of each value in a concatenated stream. Raises `ValueError` for invalid JSON."""
    at = skip_white_space(text, 0)
    while at < len(text):
        value, end = parse_value(text, at)
        yield at, value
        at = skip_white_space(text, end)


def iter_lines(text: str) -> Iterator[tuple[int, int]]:
    """Yield the start and end of each line that is not blank."""
    at = 0
    while at < len(text):
        end = text.find("\n", at)
        end = len(text) if end < 0 else end
        if skip_white_space(text, at) < end:
            yield at, end
        at = end + 1


def _skip_comma(text: str, position: int, closing_bracket: str) -> int:
    if text[position : position + 1] == ",":
        return skip_white_space(text, position + 1)
    if text[position : position + 1] != closing_bracket:
        raise json.JSONDecodeError("missing comma", text, position)
    return position
