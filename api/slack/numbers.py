"""Formats numbers as people write them in a language."""

from babel.numbers import format_decimal

from api.languages.catalogue import Texts


def format_number(number: float, texts: Texts) -> str:
    """Format a number in the language of the texts: "2,000" in English, "2.000" in German."""
    return format_decimal(number, locale=texts.language)
