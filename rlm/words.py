"""The words of a text as citations are checked by them: content words, numbers and names.

Stemming and stop words are English; words of other languages are compared as they are written, and scripts without
spaces by pairs of characters.
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache

# Letters, and the marks by which Hebrew, Arabic, Indic and Thai words are spelled, which `\w` leaves out.
_LETTERS = (
    r"(?:[^\W\d_]|[\u0300-\u036f\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0900-\u0963\u0971-\u0dff\u0e31-\u0e4e])+"
)
_WORD = re.compile(rf"\d+(?:[.,]\d+)*|{_LETTERS}(?:['’]{_LETTERS})*")
_SENTENCE_END = re.compile(r"[.!?:;。！？\n][\"'”’)\]*_]*\s*$")
_FRACTION = re.compile(r"(?<=\d)(?=[¼-¾⅐-⅞])")
_UNSPACED = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+")
_POSSESSIVE = re.compile(r"['’]s?$")

_STOP = """a about after all also an and any are as at be because been before being between both but by can could did do
    does doing during each either for from further had has have having he her hers him his how i if in into is it its
    itself just me more most much my no nor not of off on one only or other our out over own same she should so some
    such than that the their them then there these they this those through to too under until up upon very was we were
    what when where which while who whom whose why will with within without would yes you your s t"""
_STOP_WORDS = frozenset(_STOP.split())
_SMALL_NUMBERS = """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen
    sixteen seventeen eighteen nineteen twenty"""
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_NUMBER_WORDS = {word: value for value, word in enumerate(_SMALL_NUMBERS.split())} | {
    word: 10 * value for value, word in enumerate(_TENS.split(), start=2)
}
# Longer runs of digits are identifiers, compared as written.
_LONGEST_NUMBER = 24
_MAGNITUDES = {"hundred": 10**2, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}


@dataclass(frozen=True)
class Words:
    """What a text says: stems of its content words, its numbers, its names.

    `numbers` maps each number as written to the values it may mean ("1.308" is 1.308 or 1308; "3 million" is 3000000).
    `names` maps each capitalised word as written to its stem; a sentence's first word is none unless another follows.
    `stems` maps each stem to the word as first written.
    """

    stems: dict[str, str]
    numbers: dict[str, frozenset[str]]
    names: dict[str, str]

    @property
    def values(self) -> frozenset[str]:
        """Every value that any of the numbers may mean, with and without a "million" after it."""
        return frozenset().union(*self.numbers.values(), *map(_written_values, self.numbers))


@dataclass(frozen=True)
class _Token:
    written: str
    folded: str
    opens_sentence: bool


def words(text: str) -> Words:
    """The words of `text`; time is linear."""
    text = unicodedata.normalize("NFKC", _FRACTION.sub(" ", text))
    tokens = list(_tokens(text))
    stems: dict[str, str] = {}
    numbers: dict[str, frozenset[str]] = {}
    names: dict[str, str] = {}
    for index, token in enumerate(tokens):
        following = tokens[index + 1] if index + 1 < len(tokens) else None
        values = _values(token, following)
        if values:
            numbers[token.written] = numbers.get(token.written, frozenset()) | values
        elif token.folded in _STOP_WORDS:
            continue
        elif _UNSPACED.search(token.folded):
            stems.update((part, part) for part in _parts(token.folded))
        else:
            root = stem(token.folded)
            stems.setdefault(root, token.written)
            if _is_name(token, following):
                names[token.written] = root
    return Words(stems, numbers, names)


def coverage(wanted: Words, given: Words) -> float:
    """The share of `wanted`'s content words and numbers that `given` has, in [0, 1]; a number counts twice.

    1.0 when nothing is wanted.
    """
    total = len(wanted.stems) + 2 * len(wanted.numbers)
    values = given.values
    found = len(wanted.stems.keys() & given.stems.keys()) + 2 * sum(
        not meant.isdisjoint(values) for meant in wanted.numbers.values()
    )
    return found / total if total else 1.0


@lru_cache(maxsize=8192)
def stem(word: str) -> str:
    """A case-folded word without its commonest English endings; words of up to three letters stay as they are."""
    for ending, instead in (
        ("ies", "y"),
        ("ily", "y"),
        ("sses", "ss"),
        ("ing", ""),
        ("ed", ""),
        ("es", ""),
        ("ly", ""),
        ("s", ""),
    ):
        if word.endswith(ending) and not word.endswith("ss") and len(word) - len(ending) >= 3:
            word = word[: -len(ending)] + instead
            break
    if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "aeiouls":
        word = word[:-1]
    return word[:-1] if len(word) > 3 and word[-1] in "ey" else word


def _tokens(text: str) -> Iterator[_Token]:
    end = 0
    for match in _WORD.finditer(text):
        opens = bool(_SENTENCE_END.search(text[end : match.start()])) if end else True
        end = match.end()
        folded = _POSSESSIVE.sub("", match[0].casefold())
        yield _Token(match[0], folded, opens)


def _values(token: _Token, following: _Token | None) -> frozenset[str]:
    """The values a number may mean; empty for a word that is no number."""
    magnitude = _MAGNITUDES.get(following.folded, 1) if following else 1
    # "One" is a pronoun more often than a number.
    return _written_values(token.folded, magnitude) if token.folded != "one" else frozenset()


@lru_cache(maxsize=4096)
def _written_values(number: str, magnitude: int = 1) -> frozenset[str]:
    word = _NUMBER_WORDS.get(number.casefold())
    if word is not None:
        return frozenset({_canonical(Decimal(word * magnitude))})
    if not number[0].isdecimal():
        return frozenset()
    if len(number) > _LONGEST_NUMBER:
        return frozenset({number})
    return frozenset(_canonical(value * magnitude) for value in _readings(number))


def _readings(number: str) -> Iterator[Decimal]:
    """English and continental readings of separators: 1,308 and 1.308 may both be 1308."""
    parts = re.split(r"[.,]", number)
    if len(parts) == 1 or re.fullmatch(r"\d{1,3}(?:[.,]\d{3})+", number):
        yield Decimal("".join(parts))
    if len(parts) > 1:
        yield Decimal("".join(parts[:-1]) + "." + parts[-1])


def _canonical(value: Decimal) -> str:
    return str(value.normalize())


def _is_name(token: _Token, following: _Token | None) -> bool:
    if not token.written[0].isupper():
        return False
    if not token.opens_sentence:
        return True
    return bool(following and following.written[0].isupper() and following.folded not in _STOP_WORDS)


def _parts(word: str) -> Iterator[str]:
    """Pairs of neighbouring characters of the parts without spaces, and the other parts whole."""
    for run in _UNSPACED.findall(word):
        yield from (run[at : at + 2] for at in range(max(1, len(run) - 1)))
    yield from map(stem, _UNSPACED.sub(" ", word).split())
