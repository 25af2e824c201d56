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


def parse_value(text: str, at: int) -> tuple[Json, int]:
    """Return the value that starts at `at`, and its end.

    Raises `ValueError` for invalid JSON, and `RecursionError` if values are nested too deeply.
    """
    value, end = _decoder.raw_decode(text, at)
    return value, end


def skip_white_space(text: str, at: int) -> int:
    """Return the first position from `at` that is not white space."""
    found = _blanks.match(text, at)
    return found.end() if found else at


def iter_elements(text: str, at: int) -> Iterator[tuple[int, Json]]:
    """Yield the end and value of each element in the list that starts at `at`. Raises `ValueError` for invalid JSON."""
    at = skip_white_space(text, at + 1)
    while text[at : at + 1] != "]":
        value, end = parse_value(text, at)
        yield end, value
        at = _skip_comma(text, skip_white_space(text, end), "]")


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


def _skip_comma(text: str, at: int, closing: str) -> int:
    if text[at : at + 1] == ",":
        return skip_white_space(text, at + 1)
    if text[at : at + 1] != closing:
        raise json.JSONDecodeError("missing comma", text, at)
    return at
