"""The words of a text as citations are checked by them: content words, numbers and names.

Stemming and stop words are English; words of other languages are compared as they are written, and scripts without
spaces by pairs of characters.
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

_WORD = re.compile(r"\d+(?:[.,]\d+)*|[^\W\d_]+(?:['’][^\W\d_]+)*")
_SENTENCE_END = re.compile(r"[.!?:;。！？\n][\"'”’)\]*_]*\s*$|^\s*$")
_FRACTION = re.compile(r"(?<=\d)(?=[¼-¾⅐-⅞])")
_UNSPACED = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+")
_POSSESSIVE = re.compile(r"['’]s?$")

_STOP = """a about after all also an and any are as at be because been before being between both but by can could did do
    does doing during each either for from further had has have having he her hers him his how i if in into is it its
    itself just me more most much my no nor not of off on one only or other our out over own same she should so some
    such than that the their them then there these they this those through to too under until up upon very was we were
    what when where which while who whom whose why will with within without would you your s t"""
_STOP_WORDS = frozenset(_STOP.split())
_SMALL_NUMBERS = """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen
    sixteen seventeen eighteen nineteen twenty"""
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_NUMBER_WORDS = {word: value for value, word in enumerate(_SMALL_NUMBERS.split())} | {
    word: 10 * value for value, word in enumerate(_TENS.split(), start=2)
}
_MAGNITUDES = {"hundred": 10**2, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}


@dataclass(frozen=True)
class Words:
    """What a text says, as sets: stems of its content words, its numbers, its names.

    `numbers` maps each number as written to the values it may mean ("1.308" is 1.308 or 1308; "3 million" is 3000000).
    `names` maps each capitalised word as written to its stem; a sentence's first word is none unless another follows.
    """

    stems: frozenset[str]
    numbers: dict[str, frozenset[str]]
    names: dict[str, str]

    @property
    def values(self) -> frozenset[str]:
        """Every value that any of the numbers may mean."""
        return frozenset().union(*self.numbers.values())


@dataclass(frozen=True)
class _Token:
    written: str
    folded: str
    opens_sentence: bool


def words(text: str) -> Words:
    """The words of `text`; time is linear."""
    text = unicodedata.normalize("NFKC", _FRACTION.sub(" ", text))
    tokens = list(_tokens(text))
    stems: set[str] = set()
    numbers: dict[str, frozenset[str]] = {}
    names: dict[str, str] = {}
    for index, token in enumerate(tokens):
        following = tokens[index + 1] if index + 1 < len(tokens) else None
        values = _values(token, following)
        if values:
            numbers[token.written] = numbers.get(token.written, frozenset()) | values
        elif token.folded in _STOP_WORDS:
            continue
        elif unspaced := _UNSPACED.findall(token.folded):
            stems.update(pair for run in unspaced for pair in _pairs(run))
        else:
            stems.add(stem(token.folded))
            if _is_name(token, following):
                names[token.written] = stem(token.folded)
    return Words(frozenset(stems), numbers, names)


def coverage(wanted: Words, given: Words) -> float:
    """The share of `wanted`'s content words and numbers that `given` has, in [0, 1]; a number counts twice.

    1.0 when nothing is wanted.
    """
    total = len(wanted.stems) + 2 * len(wanted.numbers)
    values = given.values
    found = len(wanted.stems & given.stems) + 2 * sum(not meant.isdisjoint(values) for meant in wanted.numbers.values())
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
    if token.folded in _NUMBER_WORDS and token.folded != "one":
        return frozenset({_plain(float(_NUMBER_WORDS[token.folded] * magnitude))})
    if not token.written[0].isdigit():
        return frozenset()
    return frozenset(_plain(value * magnitude) for value in _readings(token.written))


def _readings(number: str) -> Iterator[float]:
    """English and continental readings of separators: 1,308 and 1.308 may both be 1308."""
    whole = re.sub(r"[.,]", "", number)
    if re.fullmatch(r"\d{1,3}(?:[.,]\d{3})+", number):
        yield float(whole)
    parts = re.split(r"[.,]", number)
    if len(parts) == 1:
        yield float(whole)
    else:
        yield float("".join(parts[:-1]) + "." + parts[-1])


def _plain(value: float) -> str:
    return f"{value:.15g}"


def _is_name(token: _Token, following: _Token | None) -> bool:
    if not token.written[0].isupper():
        return False
    if not token.opens_sentence:
        return True
    return bool(following and following.written[0].isupper() and following.folded not in _STOP_WORDS)


def _pairs(run: str) -> Iterator[str]:
    yield from (run[at : at + 2] for at in range(max(1, len(run) - 1)))
