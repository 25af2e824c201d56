"""Turns a draft into an answer: splits sentences with their citations, locates quotations, and marks each sentence.

A check only marks. It never deletes or rewrites a sentence, nor turns an answer into "not found".
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import product

from ingest.places import Location
from retrieval.passages import Passage
from rlm.answers import Check, Citation, Draft, OfferedQuote, Quote, Sentence
from rlm.checking.judging import PARTLY, SUPPORTED, Judgement, Verdict
from rlm.checking.markers import marked_spans, sentence_spans, without_markers
from rlm.checking.quotes import QuotedText

Locate = Callable[[str, int, int], Location]
_LOST = "The words that the model quoted for this stand nowhere in the passage."
_PARTLY = "Supported in part: "
_LINE = re.compile(r"\S[^\n]*")
_WORD = re.compile(r"\w+")
_STEM_CHARS = 5
_SUPPORT_LINE = re.compile(r"^[ \t>*-]*[\[【](?:passage\s+)?(\d{1,4})[\]】]:?[ \t]*(\S[^\n]*)$", re.MULTILINE | re.I)


class CheckMode(StrEnum):
    """How far answers are checked."""

    JUDGE = "judge"  # quotations are located, and a model judges each sentence
    QUOTES = "quotes"  # quotations are located
    OFF = "off"  # citations name passages, and nothing is looked up


def located(draft: Draft, locate: Locate, mode: CheckMode = CheckMode.JUDGE) -> tuple[list[Sentence], list[Citation]]:
    """Return a draft's sentences with their quotes, and its citations by number; none is judged yet."""
    spans = [
        (start, end, [number for number in numbers if number in draft.evidence])
        for start, end, numbers in marked_spans(draft.text)
    ]
    shown: dict[int, Iterator[_Shown]] = {}
    for number, passage in draft.evidence.items():
        offered = () if mode is CheckMode.OFF else draft.quotes
        citing = [draft.text[start:end] for start, end, cited in spans if number in cited]
        shown[number] = iter(CitedPassage(number, passage, offered).quotes_for(citing, locate))
    sentences: list[Sentence] = []
    citations: dict[int, Citation] = {}
    for start, end, cited in spans:
        parts = [next(shown[number]) for number in cited]
        for part in parts:
            number = part.quote.number
            citations.setdefault(number, _citation(draft.evidence[number], part.quote, verified=part.is_offered))
        quotes = tuple(part.quote for part in parts)
        lost = any(part.is_lost for part in parts) and not any(part.is_offered for part in parts)
        sentence = Sentence(draft.text[start:end], start, end, tuple(cited), quotes=quotes)
        sentences.append(_marked(sentence, draft, mode, lost=lost))
    return sentences, [citations[number] for number in sorted(citations)]


def judged(sentences: list[Sentence], judgement: Judgement) -> tuple[Sentence, ...]:
    """Return the sentences with the judge's verdicts; those without a verdict stay as they were."""
    return tuple(_with_verdict(each, judgement.verdicts.get(place)) for place, each in enumerate(sentences))


def _marked(sentence: Sentence, draft: Draft, mode: CheckMode, *, lost: bool) -> Sentence:
    if draft.computed and (draft.table is not None or not sentence.citations):
        return replace(sentence, check=Check.COMPUTED)  # anything else a program wrote quotes documents, and is judged
    if not sentence.citations or mode is CheckMode.OFF:
        return sentence
    return replace(sentence, reason=_LOST) if lost else replace(sentence, check=Check.QUOTED)


def _with_verdict(sentence: Sentence, verdict: Verdict | None) -> Sentence:
    if verdict is None:
        return sentence
    if verdict.support == SUPPORTED:
        return replace(sentence, check=Check.VERIFIED, reason="")
    if verdict.support == PARTLY:
        return replace(sentence, check=Check.QUOTED, reason=f"{_PARTLY}{verdict.reason}" if verdict.reason else "")
    reason = verdict.reason or "The cited passage does not say this."
    return replace(sentence, check=Check.UNSUPPORTED, reason=reason)


def _citation(passage: Passage, quote: Quote, *, verified: bool) -> Citation:
    return Citation(
        number=quote.number,
        document_id=passage.document_id,
        version_id=passage.version_id,
        title=passage.title,
        heading_path=passage.heading_path,
        page=quote.page,
        place=quote.place,
        start=quote.start,
        end=quote.end,
        quote=quote.text,
        verified=verified,
    )


@dataclass(frozen=True)
class _Shown:
    """The quotation shown for one sentence.

    It is the model's own if `is_offered`. If `is_lost`, the model's own words stand nowhere in the passage.
    """

    quote: Quote
    is_offered: bool
    is_lost: bool


class CitedPassage:
    """One cited passage with its sentences and the model's quotations from it, located once."""

    def __init__(self, number: int, passage: Passage, offered: Iterable[OfferedQuote]) -> None:
        self._number = number
        self._passage = passage
        source = QuotedText(passage.text)
        self._offered = [(each.text, source.locate(each.text)) for each in offered if each.number == number]
        self._sentences = quotable_spans(passage)

    def quotes_for(self, sentences: Sequence[str], locate: Locate) -> list[_Shown]:
        """Return the span that each of the sentences rests on; they are those that cite the passage, in order.

        It is the model's own quotation: quotations come in the order of the answer, and where there are fewer or more
        than sentences, shared words say which belong together. A sentence without one has what is closest to it,
        another's quotation or a sentence of the passage; if nothing shares a word, as between two languages, it has a
        quotation, or else the whole passage.
        """
        wanted = [stems(without_markers(sentence)) for sentence in sentences]
        own = in_order(wanted, [stems(text) for text, _ in self._offered])
        return [self._shown(each, at, locate) for each, at in zip(wanted, own, strict=True)]

    def _shown(self, wanted: frozenset[str], own: int | None, locate: Locate) -> _Shown:
        passage = self._passage
        offered = [span for _, span in (self._offered if own is None else self._offered[own : own + 1]) if span]
        start, end = offered[0] if own is not None and offered else self._closest(wanted, offered)
        first, last = passage.start + start, passage.start + end
        location = locate(passage.version_id, first, last)
        quote = Quote(self._number, first, last, passage.text[start:end], location.page, location.words)
        return _Shown(quote, (start, end) in offered, bool(self._offered) and not offered)

    def _closest(self, wanted: frozenset[str], offered: Sequence[tuple[int, int]]) -> tuple[int, int]:
        text, whole = self._passage.text, (0, len(self._passage.text))
        best = max([*offered, *self._sentences], key=lambda span: _likeness(wanted, text[slice(*span)]), default=whole)
        if wanted & stems(text[slice(*best)]):
            return best
        return offered[0] if offered else whole


def in_order(sentences: Sequence[frozenset[str]], quotations: Sequence[frozenset[str]]) -> list[int | None]:
    """Return for each sentence the position of its quotation, or None; both are sets of stems.

    As many are paired as can be without changing an order, and of all such pairings it is the one in which they share
    most words (Needleman and Wunsch 1970).
    """
    words = [[len(sentence & quotation) for quotation in quotations] for sentence in sentences]
    # The most pairs, and the most words, that can be had of what begins at two positions.
    best = [[(0, 0)] * (len(quotations) + 1) for _ in range(len(sentences) + 1)]
    for i, j in product(reversed(range(len(sentences))), reversed(range(len(quotations)))):
        best[i][j] = max(_paired(best[i + 1][j + 1], words[i][j]), best[i + 1][j], best[i][j + 1])
    found: list[int | None] = [None] * len(sentences)
    i = j = 0
    while i < len(sentences) and j < len(quotations):
        if best[i][j] == _paired(best[i + 1][j + 1], words[i][j]):
            found[i] = j
            i, j = i + 1, j + 1
        elif best[i][j] == best[i + 1][j]:
            i += 1
        else:
            j += 1
    return found


def _paired(rest: tuple[int, int], words: int) -> tuple[int, int]:
    return rest[0] + 1, rest[1] + words


def is_of_rows(passage: Passage) -> bool:
    """True for a passage of a file that is one table, such as a CSV: its place is rows alone."""
    return passage.page is None and bool(passage.place)


def quotable_spans(passage: Passage) -> list[tuple[int, int]]:
    """Return the spans of a passage that can be quoted by themselves: its sentences, or the rows of a CSV."""
    if is_of_rows(passage):
        return [found.span() for found in _LINE.finditer(passage.text)]
    return sentence_spans(passage.text)


def stems(text: str) -> frozenset[str]:
    """Return the beginnings of a text's words, which inflected forms share."""
    return frozenset(word[:_STEM_CHARS].casefold() for word in _WORD.findall(text))


def _likeness(wanted: frozenset[str], text: str) -> float:
    """Return the Dice coefficient of the two sets of stems, so that the longest sentence does not always win."""
    found = stems(text)
    return 2 * len(wanted & found) / (len(wanted) + len(found)) if wanted and found else 0.0


def offered_quotes(block: str, numbers: Mapping[int, int]) -> tuple[OfferedQuote, ...]:
    """Read the quotations of a `<support>` block, one a line: `[3] "words"`. `numbers` gives the number in the answer
    for a passage's number in the prompt."""
    lines = (
        (numbers.get(int(match[1])), match[2].strip().strip("\"'“”„‘’«»")) for match in _SUPPORT_LINE.finditer(block)
    )
    return tuple(OfferedQuote(number, text.strip()) for number, text in lines if number is not None and text.strip())
