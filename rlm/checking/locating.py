"""Locates a sentence of an answer in its passages: by the model's own quotation, or else by the closest sentences."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ingest.places import Location
from retrieval.passages import Passage
from rlm.answers import OfferedQuote, Quote
from rlm.checking.markers import without_markers
from rlm.checking.quotes import QuotedText
from rlm.checking.sentences import sentence_spans

_WORD = re.compile(r"\w+")
_STEM_CHARS = 5


@dataclass(frozen=True)
class LocatedQuote:
    """A span `passage.text[start:end]`; `offered` is true where the model quoted it, false where code chose it."""

    start: int
    end: int
    offered: bool


class PassageQuotes:
    """One cited passage with its sentences and the model's quotations from it, located once."""

    def __init__(self, number: int, passage: Passage, offered: Iterable[OfferedQuote]) -> None:
        self._number = number
        self._passage = passage
        source = QuotedText(passage.text)
        spans = [source.locate(each.text) for each in offered if each.number == number]
        self._offered = [span for span in spans if span is not None]
        self.lost = len(spans) - len(self._offered)
        self._sentences = sentence_spans(passage.text)

    def best_for(self, sentence: str) -> LocatedQuote:
        """Return the span that the sentence rests on: the model's quotation sharing most words with it, or else the
        passage's closest sentence; the whole passage if no sentence shares a word, as between two languages."""
        wanted = stems(without_markers(sentence))
        if self._offered:
            start, end = max(self._offered, key=lambda span: _shared(wanted, self._passage.text[slice(*span)]))
            return LocatedQuote(start, end, offered=True)
        best = max(self._sentences, key=lambda span: _likeness(wanted, self._passage.text[slice(*span)]), default=None)
        if best is None or not _shared(wanted, self._passage.text[slice(*best)]):
            return LocatedQuote(0, len(self._passage.text), offered=False)
        return LocatedQuote(*best, offered=False)

    def quote(self, located: LocatedQuote, location: Location) -> Quote:
        start = self._passage.start
        text = self._passage.text[located.start : located.end]
        return Quote(self._number, start + located.start, start + located.end, text, location.page, location.words)


def stems(text: str) -> frozenset[str]:
    """Return the beginnings of a text's words, which inflected forms share."""
    return frozenset(word[:_STEM_CHARS].casefold() for word in _WORD.findall(text))


def _shared(wanted: frozenset[str], text: str) -> int:
    return len(wanted & stems(text))


def _likeness(wanted: frozenset[str], text: str) -> float:
    """Return the Dice coefficient of the two sets of stems, so that the longest sentence does not always win."""
    found = stems(text)
    return 2 * len(wanted & found) / (len(wanted) + len(found)) if wanted and found else 0.0


def offered_quotes(block: str, numbers: Sequence[tuple[int, int]]) -> list[OfferedQuote]:
    """Read the quotations of a `<support>` block, one a line: `[3] "words"`. `numbers` pairs a passage's number in
    the prompt and its number in the answer."""
    renamed = dict(numbers)
    found: list[OfferedQuote] = []
    for match in _SUPPORT_LINE.finditer(block):
        number = renamed.get(int(match[1]))
        text = match[2].strip().strip("\"'“”„‘’«»").strip()
        if number is not None and text:
            found.append(OfferedQuote(number, text))
    return found


_SUPPORT_LINE = re.compile(r"^[ \t>*-]*[\[【](?:passage\s+)?(\d{1,4})[\]】]:?[ \t]*(\S[^\n]*)$", re.MULTILINE | re.I)
