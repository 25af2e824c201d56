"""Formats numbers as people write them in a language."""

from babel.numbers import format_decimal

from api.languages.catalogue import Texts

_UNIT = 1_024


def format_number(number: float, texts: Texts) -> str:
    """Format a number in the language of the texts: "2,000" in English, "2.000" in German."""
    return format_decimal(number, locale=texts.language)


def format_size(size_bytes: int, texts: Texts) -> str:
    """Format a number of bytes in the largest unit that fits, such as "512 MB", with 1,024 bytes in a KB."""
    size, unit = float(size_bytes), "bytes"
    for larger in ("KB", "MB", "GB", "TB"):
        if size < _UNIT:
            break
        size, unit = size / _UNIT, larger
    return f"{format_decimal(round(size, 1), locale=texts.language)} {unit}"
