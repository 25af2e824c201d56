"""Finds the names that a document is about: runs of capitalized words, by the way in which the document writes them."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ingest.describing.dates import capitalizes_nouns, is_month_name

_WORD = re.compile(r"[^\W\d_](?:[\w’'-]*\w)?")
_MAX_WORDS = 6
_MIN_CHARS = 3


class WordUse:
    """The words of a text: those that it also writes in lower case, and how often words follow each other."""

    def __init__(self, text: str) -> None:
        self._text = text
        words = _WORD.findall(text)
        self.common = frozenset(word for word in words if word[0].islower())
        self._joined = f" {' '.join(words)} "
        self._folded = self._joined.casefold()
        self._counts = Counter(self._folded.split())

    def count_run(self, words: Sequence[str]) -> int:
        """Count how often these words follow each other, in upper or lower case."""
        folded = [word.casefold() for word in words]
        fewest = min((self._counts[word] for word in folded), default=0)
        return fewest if fewest < 2 or len(words) == 1 else self._folded.count(f" {' '.join(folded)} ")

    def is_inside_sentence(self, word: str) -> bool:
        """Return whether the word stands somewhere after another word of the same sentence."""
        at = self._text.find(f" {word}", 1)
        while at > 0:
            before = self._text[max(0, at - 2) if self._text[at - 1] in ",;)" else at - 1]
            after = self._text[at + 1 + len(word) : at + 2 + len(word)]
            if before.isalpha() and not (after.isalnum() or after == "_"):
                return True
            at = self._text.find(f" {word}", at + 1)
        return False

    def has_repeated_run(self, words: Sequence[str]) -> bool:
        """Return whether these words follow each other twice, as they are written."""
        return self._joined.count(f" {' '.join(words)} ") > 1


@dataclass(frozen=True)
class _Run:
    """Capitalized words next to each other on a line."""

    words: tuple[str, ...]
    text: str
    start: int


def find_subjects(
    page: str,
    use: WordUse,
    *,
    short_lines: str,
    name: str,
    people: Sequence[str] = (),
    language: str | None = None,
    limit: int,
) -> list[str]:
    """Return the `people` and the names on the first page, best first, up to `limit`.

    A name is a run of words that the text never writes in lower case, and that recurs in the text, stands in the file's
    name, or has at least two words and stands in `short_lines`. A single word must also stand in the file's name or
    inside a sentence, and is no name in a language that capitalizes all nouns. In scripts without upper case, nothing
    is found.
    """
    named = {word.casefold() for word in _WORD.findall(name)}
    ranked: dict[str, tuple[bool, bool, int, int, str]] = {}
    for run in _iter_runs(page, use, language):
        key = run.text.casefold()
        if key in ranked:
            continue
        is_named = all(word.casefold() in named for word in run.words)
        count, is_single = use.count_run(run.words), len(run.words) == 1
        if is_single and (capitalizes_nouns(language) or not (is_named or use.is_inside_sentence(run.text))):
            continue
        if is_named or count > 1 or (not is_single and run.text in short_lines):
            ranked[key] = (not is_named, is_single, -count, run.start, run.text)
    found = {person: use.count_run(_WORD.findall(person)) + 1 for person in people}
    for _, _, negative, _, shown in sorted(ranked.values()):
        if not any(_is_same_name(shown, -negative, each, count) for each, count in found.items()):
            found[shown] = -negative
    return list(found)[:limit]


def _is_same_name(name: str, count: int, better: str, better_count: int) -> bool:
    """Return whether a name is part of a better one and hardly stands alone, or is a better one with a word before it.

    The word before a name is a greeting or a title: `Dear Ann Lee` is not better than `Ann Lee`.
    """
    name, better = name.casefold(), better.casefold()
    is_part = name in better and count <= better_count + 1
    return is_part or (name.endswith(f" {better}") and count <= better_count)


def _iter_runs(page: str, use: WordUse, language: str | None) -> Iterator[_Run]:
    """Yield runs of capitalized words that are no names of months."""
    matches: list[re.Match[str]] = []
    for match in _WORD.finditer(page):
        word = match[0]
        is_near = bool(matches) and page[matches[-1].end() : match.start()] in (" ", " & ")
        is_name = word[0].isupper() and not is_month_name(word, language)
        if matches and not (is_name and is_near and len(matches) < _MAX_WORDS):
            yield from _split_run(matches, page, use)
            matches = []
        if is_name:
            matches.append(match)
    if matches:
        yield from _split_run(matches, page, use)


def _split_run(matches: Sequence[re.Match[str]], page: str, use: WordUse) -> Iterator[_Run]:
    """Yield the parts of a run between words that the text also writes in lower case.

    Such words belong to a run after its first word if the whole run recurs, or if two other words precede them.
    """
    while matches and matches[0][0].casefold() in use.common:
        matches = matches[1:]
    if not matches:
        return
    words = [match[0] for match in matches]
    end = next((at for at, word in enumerate(words) if word.casefold() in use.common), len(words))
    if end < len(words):
        is_mixed = not page[matches[0].start() : matches[-1].end()].isupper()
        if is_mixed and (end > 1 or use.has_repeated_run(words)):
            end = len(words)
        else:
            yield from _split_run(matches[end:], page, use)
    text = page[matches[0].start() : matches[end - 1].end()]
    if sum(map(str.isalpha, text)) >= _MIN_CHARS:
        yield _Run(tuple(words[:end]), text, matches[0].start())
