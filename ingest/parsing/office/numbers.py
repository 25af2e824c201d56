"""Numbers in attributes, which a file may state in any way."""

from typing import overload

_MAX_DIGITS = 9


@overload
def parse_whole_number(text: str | None, default: int) -> int: ...


@overload
def parse_whole_number(text: str | None, default: None) -> int | None: ...


def parse_whole_number(text: str | None, default: int | None) -> int | None:
    """Return the whole number from 0 that a text states; `default` for any other text, and above a billion."""
    return int(text) if text and len(text) <= _MAX_DIGITS and text.isascii() and text.isdecimal() else default
