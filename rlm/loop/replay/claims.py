"""Finds the parts of an answer that must change with the text it was computed from: its numbers, or whole sentences."""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from textwrap import shorten

from rlm.loop.literals import NUMBER, extract_digits, extract_number_contexts

# Minimum number of digits with which a number is always treated as a claim, wherever it occurs.
MIN_LONG_DIGITS = 3
_VALUE = re.compile(r"[1-9]")
_ITEM = re.compile(r"[-*|]|\d+[.)]\s")
# Maximum length of a sentence quoted in a doubt, in characters.
_MAX_QUOTED_CHARS = 80


def has_value(text: str) -> bool:
    """Return whether a text contains a number other than 0."""
    return _VALUE.search(text) is not None


@dataclass(frozen=True)
class Claim:
    """A number in a sentence that must change. If `index` is None, the claim is the sentence itself.

    `index` is the number's index among the numbers of the sentence.
    """

    sentence: str
    numbers: tuple[str, ...]
    name: str
    index: int | None = None

    @property
    def number(self) -> str:
        return "" if self.index is None else self.numbers[self.index]

    @property
    def has_value(self) -> bool:
        return has_value(self.sentence if self.index is None else self.number)

    @property
    def is_item(self) -> bool:
        return self.index is None and _ITEM.match(self.sentence) is not None


def list_claims(sentence: str, cells: Iterable[str], asked: Collection[str]) -> list[Claim]:
    """Return the numbers in a sentence that must change.

    For a list item, or a sentence without numbers, this is the sentence itself. `cells` are the code of the run, and
    `asked` contains the numbers in the question, which need not change.
    """
    found = list(NUMBER.finditer(sentence))
    numbers = tuple(extract_digits(each[0]) for each in found)
    whole = Claim(sentence, numbers, f'"{shorten(sentence, _MAX_QUOTED_CHARS)}"')
    if _ITEM.match(sentence):
        return [whole]
    words = _find_literal_positions(sentence, cells)
    claims = [
        Claim(sentence, numbers, each[0], index)
        for index, each in enumerate(found)
        if numbers[index] not in asked and numbers[index].strip("0")
        if len(numbers[index]) >= MIN_LONG_DIGITS
        or not (each.start() in words or _is_part_of_name_or_marker(sentence, each))
    ]
    return claims or [whole]


def _find_literal_positions(sentence: str, cells: Iterable[str]) -> set[int]:
    """Return the positions in a sentence covered by a string literal from the code that contains a number."""
    texts = {text for code in cells for text in extract_number_contexts(code) if text in sentence}
    return {
        place
        for text in texts
        for found in re.finditer(re.escape(text), sentence)
        for place in range(found.start(), found.end())
    }


def _is_part_of_name_or_marker(sentence: str, match: re.Match[str]) -> bool:
    """Return whether a number is part of a name, as in "Q1", or of a marker, as in "[1]"."""
    before = sentence[max(match.start() - 1, 0) : match.start()]
    return before.isalpha() or before == "["
