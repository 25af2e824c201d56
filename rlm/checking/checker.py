"""Turns a draft into an answer: splits sentences with their citations, locates quotations, and marks each sentence.

A check only marks. It never deletes or rewrites a sentence, nor turns an answer into "not found".
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from enum import StrEnum

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
    sources = {
        number: CitedPassage(number, passage, () if mode is CheckMode.OFF else draft.quotes)
        for number, passage in draft.evidence.items()
    }
    sentences: list[Sentence] = []
    citations: dict[int, Citation] = {}
    for start, end, numbers in marked_spans(draft.text):
        cited = tuple(number for number in numbers if number in sources)
        sentence = Sentence(draft.text[start:end], start, end, cited)
        quotes: list[Quote] = []
        offered = lost = False
        for number in cited:
            quote, is_offered = sources[number].quote_for(sentence.text, locate)
            quotes.append(quote)
            offered, lost = offered or is_offered, lost or sources[number].lost
            citations.setdefault(number, _citation(draft.evidence[number], quote, verified=is_offered))
        sentences.append(_marked(replace(sentence, quotes=tuple(quotes)), draft, mode, lost=lost and not offered))
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


class CitedPassage:
    """One cited passage with its sentences and the model's quotations from it, located once.

    `lost` says that a quotation stands nowhere in it.
    """

    def __init__(self, number: int, passage: Passage, offered: Iterable[OfferedQuote]) -> None:
        self._number = number
        self._passage = passage
        source = QuotedText(passage.text)
        spans = [source.locate(each.text) for each in offered if each.number == number]
        self._offered = [span for span in spans if span is not None]
        self._sentences = quotable_spans(passage)
        self.lost = len(self._offered) < len(spans)

    def quote_for(self, sentence: str, locate: Locate) -> tuple[Quote, bool]:
        """Return the span that the sentence rests on, and True if the model quoted it.

        It is the model's quotation sharing most words with the sentence, or else the passage's closest sentence; the
        whole passage if no sentence shares a word, as between two languages.
        """
        passage, wanted = self._passage, stems(without_markers(sentence))
        if self._offered:
            start, end = max(self._offered, key=lambda span: _shared(wanted, passage.text[slice(*span)]))
        else:
            best = max(self._sentences, key=lambda span: _likeness(wanted, passage.text[slice(*span)]), default=(0, 0))
            start, end = best if _shared(wanted, passage.text[slice(*best)]) else (0, len(passage.text))
        first, last = passage.start + start, passage.start + end
        location = locate(passage.version_id, first, last)
        quote = Quote(self._number, first, last, passage.text[start:end], location.page, location.words)
        return quote, bool(self._offered)


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


def _shared(wanted: frozenset[str], text: str) -> int:
    return len(wanted & stems(text))


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
