"""Parse numbers in attributes, which may contain anything."""

from typing import overload

_MAX_DIGITS = 9


@overload
def parse_whole_number(text: str | None, default: int) -> int: ...


@overload
def parse_whole_number(text: str | None, default: None) -> int | None: ...


def parse_whole_number(text: str | None, default: int | None) -> int | None:
    """Parse a whole number of up to nine digits. Returns `default` for any other text."""
    return int(text) if text and len(text) <= _MAX_DIGITS and text.isascii() and text.isdecimal() else default
