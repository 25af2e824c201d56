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
from rlm.answers import Check, Citation, Draft, OfferedQuote, Quote, ResultTable, Sentence
from rlm.checking.judging import PARTLY, SUPPORTED, Judgement, Verdict
from rlm.checking.markers import marked_spans, sentence_spans, without_markers
from rlm.checking.quotes import QuotedText

Locate = Callable[[str, int, int], Location]
_LOST = "The words that the model quoted for this stand nowhere in the passage."
_READ = "Code computed this from values that the model read out of the records."
_UNCITED = "Nothing is cited for this sentence, so nobody could check it."
# Headings, bold words that begin a paragraph or an item, and sentences that introduce what comes next, state nothing.
_STATES_NOTHING = re.compile(r"#{1,6}\s|(?:[-*+]\s+|\d{1,9}[.)]\s+)?(\*\*|__)[^*_]+\1[.:]?$|.*[:：]\W*$", re.DOTALL)
_HEADING = re.compile(r"#{1,6}\s")
# The line below the header of a table.
_RULE = re.compile(r"\s*\|(?:\s*:?-+:?\s*\|)+[ \t]*(?:\n|\Z)")
_CONSTANT = re.compile(r"'((?:[^']|'')+)'")  # of a query
# The quotations that are shown for one sentence from one passage.
_MOST_QUOTES = 5
_PARTLY = "Supported in part: "
_LINE = re.compile(r"\S[^\n]*")
_WORD = re.compile(r"\w+")
_STEM_CHARS = 5
_NAMED_PASSAGE = r"^[ \t>*-]*[\[【](?:passage\s+)?(\d{1,4})[\]】]:?[ \t]*"
# A quotation ends with its line, or, as rows of a table do, at the quotation mark that ends a later one.
_SUPPORT = re.compile(
    rf"{_NAMED_PASSAGE}([\"“„«](?:(?!{_NAMED_PASSAGE}|</)[\s\S])*?[\"”“»][ \t]*$|\S[^\n]*$)", re.MULTILINE | re.I
)


class CheckMode(StrEnum):
    """How far answers are checked."""

    JUDGE = "judge"  # quotations are located, and a model judges each sentence
    QUOTES = "quotes"  # quotations are located
    OFF = "off"  # citations name passages, and nothing is looked up


def located(draft: Draft, locate: Locate, mode: CheckMode = CheckMode.JUDGE) -> tuple[list[Sentence], list[Citation]]:
    """Return a draft's sentences with their quotes, and its citations by number; none is judged yet.

    The rows of a table are sentences, but for its header.
    """
    spans = [
        (start, end, [number for number in numbers if number in draft.evidence])
        for start, end, numbers in marked_spans(draft.text, _values(draft.table))
        if numbers or not _is_header(draft.text, start, end)
    ]
    shown: dict[int, Iterator[list[_Shown]]] = {}
    for number, passage in draft.evidence.items():
        offered = () if mode is CheckMode.OFF else draft.quotes
        citing = [draft.text[start:end] for start, end, cited in spans if number in cited]
        shown[number] = iter(CitedPassage(number, passage, offered).quotes_for(citing, locate))
    sentences: list[Sentence] = []
    citations: dict[int, Citation] = {}
    for start, end, cited in spans:
        parts = [part for number in cited for part in next(shown[number])]
        for part in parts:
            number = part.quote.number
            if number not in citations or (part.is_offered and not citations[number].verified):
                citations[number] = _citation(draft.evidence[number], part.quote, verified=part.is_offered)
        quotes = tuple(part.quote for part in parts if part.quote.text)
        lost = any(part.is_lost for part in parts) and not any(part.is_offered for part in parts)
        sentence = Sentence(draft.text[start:end], start, end, tuple(cited), quotes=quotes)
        sentences.append(_marked(sentence, draft, mode, lost=lost))
    if citations and mode is not CheckMode.OFF:
        sentences = list(map(_with_reason, sentences))
    return sentences, [citations[number] for number in sorted(citations)]


def _is_header(text: str, start: int, end: int) -> bool:
    """True for the names of a table's columns, which are no sentence."""
    return text.startswith("|", start) and _RULE.match(text, end) is not None


def _with_reason(sentence: Sentence) -> Sentence:
    """Say of a sentence among others with citations that it has none, unless it states nothing."""
    is_uncited = sentence.check is Check.UNCHECKED and not sentence.citations
    return replace(sentence, reason=_UNCITED) if is_uncited and not _STATES_NOTHING.match(sentence.text) else sentence


def judged(sentences: list[Sentence], judgement: Judgement) -> tuple[Sentence, ...]:
    """Return the sentences with the judge's verdicts; those without a verdict stay as they were."""
    return tuple(_with_verdict(each, judgement.verdicts.get(place)) for place, each in enumerate(sentences))


def _values(table: ResultTable | None) -> Iterator[str]:
    """Yield the texts of a result and the constants of its query, which are words of records."""
    if table is None:
        return
    yield from (value for row in table.rows for value in row if isinstance(value, str))
    for constant in _CONSTANT.findall(table.sql):
        yield constant.replace("''", "'").strip("%")


def _marked(sentence: Sentence, draft: Draft, mode: CheckMode, *, lost: bool) -> Sentence:
    if draft.computed and (draft.table is not None or not sentence.citations):
        has_read = draft.table is not None and draft.table.semantic_columns and not sentence.text.startswith("|")
        # Anything else a program wrote quotes documents, and is judged.
        return replace(sentence, check=Check.COMPUTED, reason=_READ if has_read else "")
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

    def quotes_for(self, sentences: Sequence[str], locate: Locate) -> list[list[_Shown]]:
        """Return the spans that each of the sentences rests on; they are those that cite the passage, in order.

        They are the model's own quotations, which come in the order of the answer: one belongs to each sentence, the
        first of its spans, and shared words say which; any more belong to a sentence beside them. A sentence without
        one has what is closest to it, another's quotation or a sentence of the passage, with one of its figures if it
        has any; if nothing shares a word, as between two languages, it has a quotation, or else the whole passage.
        """
        wanted = [stems(without_markers(sentence)) for sentence in sentences]
        quotations = [stems(text) for text, _ in self._offered]
        own = in_order(wanted, quotations)
        more = others(wanted, quotations, own)
        return [self._all_shown(each, at, rest, locate) for each, at, rest in zip(wanted, own, more, strict=True)]

    def _all_shown(self, wanted: frozenset[str], own: int | None, more: Sequence[int], locate: Locate) -> list[_Shown]:
        found = [
            self._shown(wanted, at, locate) for at in (own, *more) if at is None or at == own or self._offered[at][1]
        ]
        if any(each.is_offered for each in found):
            found = [each for each in found if each.is_offered]
        spans = {(each.quote.start, each.quote.end): each for each in reversed(found)}
        return list(reversed(spans.values()))[:_MOST_QUOTES]

    def _shown(self, wanted: frozenset[str], own: int | None, locate: Locate) -> _Shown:
        passage = self._passage
        offered = [span for _, span in (self._offered if own is None else self._offered[own : own + 1]) if span]
        start, end = offered[0] if own is not None and offered else self._closest(wanted, offered)
        first, last = passage.start + start, passage.start + end
        if not passage.text:  # what was read whole for what it does not say
            return _Shown(Quote(self._number, first, last, "", None, passage.place), is_offered=False, is_lost=False)
        location = locate(passage.version_id, first, last)
        quote = Quote(self._number, first, last, passage.text[start:end], location.page, location.words)
        return _Shown(quote, (start, end) in offered, bool(self._offered) and not offered)

    def _closest(self, wanted: frozenset[str], offered: Sequence[tuple[int, int]]) -> tuple[int, int]:
        text, whole = self._passage.text, (0, len(self._passage.text))
        figures = frozenset(stem for stem in wanted if any(map(str.isdigit, stem)))
        fitting = [span for span in self._sentences if not figures or figures & stems(text[slice(*span)])]
        found = [*offered, *fitting] or self._sentences
        best = max(found, key=lambda span: _likeness(wanted, text[slice(*span)]), default=whole)
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


def others(
    sentences: Sequence[frozenset[str]], quotations: Sequence[frozenset[str]], own: Sequence[int | None]
) -> list[list[int]]:
    """Return for each sentence the positions of more quotations, which `own`, from `in_order`, gives to none.

    Each goes to one of the two sentences between whose own it stands: the one that shares more of its words, or else
    the one before.
    """
    more: list[list[int]] = [[] for _ in sentences]
    paired = [(at, place) for place, at in enumerate(own) if at is not None]
    for at in sorted(set(range(len(quotations))) - {at for at, _ in paired}):
        before = [place for position, place in paired if position < at][-1:]
        after = [place for position, place in paired if position > at][:1]
        if beside := before + after:
            more[max(beside, key=lambda place: len(sentences[place] & quotations[at]))].append(at)
    return more


def _paired(rest: tuple[int, int], words: int) -> tuple[int, int]:
    return rest[0] + 1, rest[1] + words


def is_of_rows(passage: Passage) -> bool:
    """True for a passage of a file that is one table, such as a CSV: its place is rows alone."""
    return passage.page is None and bool(passage.place)


def quotable_spans(passage: Passage) -> list[tuple[int, int]]:
    """Return the spans of a passage that can be quoted by themselves: its sentences but headings, or rows of a CSV."""
    if is_of_rows(passage):
        return [found.span() for found in _LINE.finditer(passage.text)]
    spans = sentence_spans(passage.text)
    return [span for span in spans if not _HEADING.match(passage.text, *span)] or spans


def stems(text: str) -> frozenset[str]:
    """Return the beginnings of a text's words, which inflected forms share."""
    return frozenset(word[:_STEM_CHARS].casefold() for word in _WORD.findall(text))


def _likeness(wanted: frozenset[str], text: str) -> float:
    """Return the Dice coefficient of the two sets of stems, so that the longest sentence does not always win."""
    found = stems(text)
    return 2 * len(wanted & found) / (len(wanted) + len(found)) if wanted and found else 0.0


def offered_quotes(block: str, numbers: Mapping[int, int]) -> tuple[OfferedQuote, ...]:
    """Read the quotations of a `<support>` block, each begun on a line of its own: `[3] "words"`. `numbers` gives the
    number in the answer for a passage's number in the prompt."""
    read = ((numbers.get(int(match[1])), match[2].strip().strip("\"'“”„‘’«»")) for match in _SUPPORT.finditer(block))
    return tuple(OfferedQuote(number, text.strip()) for number, text in read if number is not None and text.strip())
