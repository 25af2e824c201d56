"""Turns a draft into an answer.

It splits the draft into sentences with citations, finds the quotations, and marks each sentence. A check never deletes
or rewrites a sentence, and never turns an answer into "not found".
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property
from itertools import product

from ingest.storage.tables.places import Location
from retrieval.search.requests import Passage
from rlm.answers import AnswerStatus, Check, Citation, Draft, OfferedQuote, Quote, ResultTable, Sentence, Support
from rlm.checking.judging import (
    ASSESSMENT,
    COLLECTION,
    NOT_SUPPORTED,
    PARTLY,
    SUPPORTED,
    Judgement,
    JudgeVerdict,
)
from rlm.checking.levels import ABOUT_ALL, PARTLY_PREFIX, states_nothing
from rlm.checking.markers import iter_marked_spans, remove_markers
from rlm.checking.nearest import PassageSpans, extract_stems, is_header_row
from rlm.checking.quotes import QuotedText, Span
from rlm.checking.reading import NOTHING_KNOWN, ReadShare

Locate = Callable[[str, int, int], Location]
QUOTE_NOT_FOUND = "The words that the model quoted for this sentence are not in the passage."
COMPUTED_FROM_VALUES = "Code computed this from values that the model read in the records."
UNCITED = "This sentence cites nothing, so it could not be checked."
ABSENT = "This sentence cites nothing, because no passage can show what the documents do not say."
NOT_SAID = "The cited passage does not say this."
SAID_AFTER_ALL = "A passage that was read says it after all."
_CONSTANT = re.compile(r"'((?:[^']|'')+)'")  # Matches a string literal in an SQL query.
# Maximum number of quotations shown for one sentence from one passage.
_MAX_QUOTES = 5
_NAMED_PASSAGE = r"^[ \t>*-]*[\[【](?:passage\s+)?(\d{1,4})[\]】]:?[ \t]*"
# Minimum length of a long quotation, in characters and words. A shorter quotation may occur in another passage by
# chance.
_LONG_QUOTE_CHARS, _LONG_QUOTE_WORDS = 30, 3
_MARKS = "\"'“”„‘’«»"
# Matches a quotation in the model's block of quotations. A quotation ends at the end of its line, and a quotation of
# table rows ends at the last quotation mark of these rows.
_SUPPORT = re.compile(
    rf"{_NAMED_PASSAGE}([\"“„«](?:(?!{_NAMED_PASSAGE}|</)[\s\S])*?[\"”“»][ \t]*$|\S[^\n]*$)", re.MULTILINE | re.I
)


class CheckMode(StrEnum):
    """The thoroughness of the checks on an answer."""

    JUDGE = "judge"  # Find the quotations, and ask a model to judge each sentence.
    QUOTES = "quotes"  # Only find the quotations.
    OFF = "off"  # Keep the citations, but do not verify any of them.


def locate_citations(
    draft: Draft, locate: Locate, mode: CheckMode = CheckMode.JUDGE
) -> tuple[list[Sentence], list[Citation]]:
    """Split a draft into sentences with quotes, and return the sentences and the citations in order of number.

    No sentence has been judged yet. Each row of a table, except for the header, counts as a sentence.
    """
    spans = [
        (start, end, [number for number in numbers if number in draft.evidence])
        for start, end, numbers in iter_marked_spans(draft.text, _iter_result_strings(draft.table))
        if numbers or not is_header_row(draft.text, start, end)
    ]
    shown: dict[int, Iterator[list[_ShownQuote]]] = {}
    for number, passage in draft.evidence.items():
        offered = () if mode is CheckMode.OFF else draft.quotes
        citing = [draft.text[start:end] for start, end, cited in spans if number in cited]
        cited_passage = CitedPassage(number, passage, offered, is_record=draft.table is not None)
        shown[number] = iter(cited_passage.select_quotes(citing, locate))
    sentences: list[Sentence] = []
    citations: dict[int, Citation] = {}
    for start, end, cited in spans:
        parts = [part for number in cited for part in next(shown[number])]
        for part in parts:
            number = part.quote.number
            if number not in citations or (part.is_offered and not citations[number].verified):
                citations[number] = _build_citation(draft.evidence[number], part.quote, verified=part.is_offered)
        quotes = tuple(part.quote for part in parts if part.quote.text)
        sentence = Sentence(draft.text[start:end], start, end, tuple(cited), quotes=quotes)
        sentences.append(_check_sentence(sentence, draft, mode, parts))
    if citations and mode is not CheckMode.OFF:
        reason = ABSENT if draft.status is AnswerStatus.NOT_FOUND else UNCITED
        sentences = [_set_uncited_reason(each, reason) for each in sentences]
    return sentences, [citations[number] for number in sorted(citations)]


def _set_uncited_reason(sentence: Sentence, reason: str) -> Sentence:
    """Set `reason` on a sentence that makes a statement without citing anything."""
    is_uncited = sentence.check is Check.UNCHECKED and not sentence.citations
    return replace(sentence, reason=reason) if is_uncited and not states_nothing(sentence.text) else sentence


def apply_judgement(
    sentences: list[Sentence], judgement: Judgement, read: ReadShare = NOTHING_KNOWN
) -> tuple[Sentence, ...]:
    """Apply the judge's verdicts; sentences without a verdict are unchanged.

    A statement about the whole collection is verified only if all of the documents were `read`.
    """
    return tuple(_apply_verdict(each, judgement.verdicts.get(place), read) for place, each in enumerate(sentences))


def _iter_result_strings(table: ResultTable | None) -> Iterator[str]:
    """Yield the strings in a result table and the string literals in its query.

    Full stops inside them do not end a sentence.
    """
    if table is None:
        return
    yield from (value for row in table.rows for value in row if isinstance(value, str))
    for constant in _CONSTANT.findall(table.sql):
        yield constant.replace("''", "'").strip("%")


def _check_sentence(
    sentence: Sentence, draft: Draft, mode: CheckMode, shown_quotes: Sequence["_ShownQuote"]
) -> Sentence:
    # guard: stated-sentence-not-computed
    is_stated = sentence.text in draft.stated and not states_nothing(sentence.text)
    if draft.computed and not is_stated and (draft.table is not None or not sentence.citations):
        has_read = draft.table is not None and draft.table.semantic_columns and not sentence.text.startswith("|")
        # The remaining text of an answer that a program wrote consists of quotations from documents, so a judge checks
        # it.
        return replace(sentence, check=Check.COMPUTED, reason=COMPUTED_FROM_VALUES if has_read else "")
    if not sentence.citations or mode is CheckMode.OFF:
        return sentence
    is_lost = any(part.is_lost for part in shown_quotes)
    is_quoted = not is_lost or any(part.is_own for part in shown_quotes)
    check = Check.QUOTED if is_quoted else Check.UNCHECKED
    # guard: invented-quotation-noticed
    return replace(sentence, check=check, reason=QUOTE_NOT_FOUND if is_lost else "")


def _apply_verdict(sentence: Sentence, verdict: JudgeVerdict | None, read: ReadShare) -> Sentence:
    """Apply a verdict to a sentence.

    A sentence with an invented quotation is rated `quoted` at best and keeps its reason. A statement about all
    documents has partial support if some of them were not read.
    """
    if verdict is None:
        return sentence
    if not sentence.citations:
        # Nothing shows what documents lack except that all of them were read.
        support = COLLECTION if verdict.support != NOT_SUPPORTED else verdict.support
        sentence, verdict = replace(sentence, reason=""), replace(verdict, support=support)
    # guard: collection-read-whole
    if verdict.support == COLLECTION and not read.is_whole:
        reason = f"{ABOUT_ALL} {read.sentence}." if read.sentence else ABOUT_ALL
        check = Check.QUOTED if sentence.citations else sentence.check  # Without a citation, no text was found.
        return replace(sentence, check=check, reason=sentence.reason or reason, support=Support.PARTIAL)
    if verdict.support in (SUPPORTED, ASSESSMENT, COLLECTION):
        # guard: invented-quotation-unverified
        check = Check.QUOTED if sentence.reason == QUOTE_NOT_FOUND else Check.VERIFIED
        return replace(sentence, check=check, support=Support.FULL)
    if verdict.support == PARTLY:
        reason = f"{PARTLY_PREFIX}{verdict.reason}" if verdict.reason else sentence.reason
        return replace(sentence, check=Check.QUOTED, reason=reason, support=Support.PARTIAL)
    reason = verdict.reason or (NOT_SAID if sentence.citations else SAID_AFTER_ALL)
    return replace(sentence, check=Check.UNSUPPORTED, reason=reason, support=Support.NONE)


def _build_citation(passage: Passage, quote: Quote, *, verified: bool) -> Citation:
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
class _ShownQuote:
    """A quotation shown for one sentence.

    `is_offered` is true if the model gave the quotation, and `is_own` if the model gave it for this sentence. `is_lost`
    is true if the words that the model quoted for the sentence are not in the passage.
    """

    quote: Quote
    is_offered: bool
    is_own: bool
    is_lost: bool


class CitedPassage:
    """One cited passage, the sentences that cite it, and the model's quotations from it.

    Each quotation is located only once.
    """

    def __init__(
        self, number: int, passage: Passage, offered_quotes: Iterable[OfferedQuote], *, is_record: bool = False
    ) -> None:
        """Create the passage.

        `is_record` is true if the passage is a table record, in which case all of its text supports the answer.
        """
        self._number = number
        self._passage = passage
        self._is_record = is_record
        source = QuotedText(passage.text)
        self._offered = [(each.text, source.locate(each.text)) for each in offered_quotes if each.number == number]
        self._found = [span for _, span in self._offered if span]

    @cached_property
    def _spans(self) -> PassageSpans:
        return PassageSpans(self._passage)

    def select_quotes(self, sentences: Sequence[str], locate: Locate) -> list[list[_ShownQuote]]:
        """Return the supporting spans for each of the `sentences`, all of which cite this passage.

        Sentences and quotations are in the order of the answer, and shared words decide which quotation belongs to
        which sentence. Extra quotations go to a neighbouring sentence. A sentence without a quotation gets the most
        similar quotation or span of the passage. If nothing is similar, for example because the languages differ, the
        sentence gets any quotation. If there is no quotation either, it gets the location of the passage without any
        words.
        """
        wanted = [extract_stems(remove_markers(sentence)) for sentence in sentences]
        quotations = [extract_stems(text) for text, _ in self._offered]
        own = pair_sentences_with_quotations(wanted, quotations)
        more = assign_extra_quotations(wanted, quotations, own)
        return [
            self._list_shown_quotes(each, at, rest, locate) for each, at, rest in zip(wanted, own, more, strict=True)
        ]

    def _list_shown_quotes(
        self, stems: frozenset[str], paired_index: int | None, extra_indexes: Sequence[int], locate: Locate
    ) -> list[_ShownQuote]:
        offered = [self._offered[at][1] for at in (paired_index, *extra_indexes) if at is not None]
        found = [span for span in offered if span]
        is_lost = not found and bool(self._offered) and (bool(offered) or not self._found)
        spans = found or [self._select_nearest_span(stems)]
        return [
            _ShownQuote(self._build_quote(span, locate), span in self._found, bool(found), is_lost)
            for span in list(dict.fromkeys(spans))[:_MAX_QUOTES]
        ]

    def _build_quote(self, span: Span, locate: Locate) -> Quote:
        passage = self._passage
        first, last = passage.start + span[0], passage.start + span[1]
        if first == last:
            return Quote(self._number, first, last, "", passage.page, passage.place)
        location = locate(passage.version_id, first, last)
        return Quote(self._number, first, last, passage.text[slice(*span)], location.page, location.words)

    def _select_nearest_span(self, stems: frozenset[str]) -> Span:
        """Return the span most similar to the sentence, or an empty span if nothing is similar."""
        return self._spans.find_nearest_span(stems, self._found) or (
            0,
            len(self._passage.text) if self._is_record else 0,
        )


def pair_sentences_with_quotations(
    sentences: Sequence[frozenset[str]], quotations: Sequence[frozenset[str]]
) -> list[int | None]:
    """Pair sentences with quotations, and return each sentence's quotation index or None.

    Sentences and quotations are given as sets of stems. As many pairs as possible are formed without changing the
    order. Among these pairings, the one with the most shared words is chosen. Source: Needleman & Wunsch, 1970.
    """
    words = [[len(sentence & quotation) for quotation in quotations] for sentence in sentences]
    # `best[i][j]` describes the best pairing of the sentences from i with the quotations from j: its number of pairs,
    # and its number of shared words.
    best = [[(0, 0)] * (len(quotations) + 1) for _ in range(len(sentences) + 1)]
    for i, j in product(reversed(range(len(sentences))), reversed(range(len(quotations)))):
        best[i][j] = max(_add_pair(best[i + 1][j + 1], words[i][j]), best[i + 1][j], best[i][j + 1])
    found: list[int | None] = [None] * len(sentences)
    i = j = 0
    while i < len(sentences) and j < len(quotations):
        if best[i][j] == _add_pair(best[i + 1][j + 1], words[i][j]):
            found[i] = j
            i, j = i + 1, j + 1
        elif best[i][j] == best[i + 1][j]:
            i += 1
        else:
            j += 1
    return found


def assign_extra_quotations(
    sentences: Sequence[frozenset[str]], quotations: Sequence[frozenset[str]], pairing: Sequence[int | None]
) -> list[list[int]]:
    """Assign the quotations that are not in `pairing` to sentences, and return their indexes for each sentence.

    `pairing` is the result of `pair_sentences_with_quotations`. Each of them is assigned to the preceding or following
    sentence, whichever shares more words with it. In a tie, the preceding sentence gets it.
    """
    more: list[list[int]] = [[] for _ in sentences]
    paired = [(at, place) for place, at in enumerate(pairing) if at is not None]
    for at in sorted(set(range(len(quotations))) - {at for at, _ in paired}):
        before = [place for position, place in paired if position < at][-1:]
        after = [place for position, place in paired if position > at][:1]
        if beside := before + after:
            more[max(beside, key=lambda place: len(sentences[place] & quotations[at]))].append(at)
    return more


def _add_pair(totals: tuple[int, int], shared_words: int) -> tuple[int, int]:
    return totals[0] + 1, totals[1] + shared_words


def parse_offered_quotes(block: str, numbers: Mapping[int, int]) -> tuple[OfferedQuote, ...]:
    """Parse the quotations of a `<support>` block, each on its own line: `[3] "words"`.

    `numbers` maps a passage's number in the prompt to its number in the answer.
    """
    read = (
        (numbers.get(int(match[1])), _strip_quotation_marks(match[2].strip())) for match in _SUPPORT.finditer(block)
    )
    return tuple(OfferedQuote(number, text) for number, text in read if number is not None and text.strip(_MARKS))


def _strip_quotation_marks(line: str) -> str:
    """Remove one enclosing pair of quotation marks, or one unpaired quotation mark."""
    if len(line) > 1 and line[0] in _MARKS and line[-1] in _MARKS:
        # guard: one-pair-of-quotation-marks
        return line[1:-1].strip()
    return line.strip(_MARKS).strip() if sum(char in _MARKS for char in line) == 1 else line


def correct_evidence(
    evidence: Mapping[int, Passage], offered_quotes: Sequence[OfferedQuote], read_passages: Iterable[Passage]
) -> dict[int, Passage]:
    """Return the passages by number, corrected where the model gave the number of the wrong passage.

    A number is corrected if none of its quotations occurs in its passage, and all of them occur in exactly one other
    passage that was read. At least one of the quotations must be long.
    """
    sources = [(each, QuotedText(each.text)) for each in read_passages]
    found = dict(evidence)
    for number, passage in evidence.items():
        texts = [each.text for each in offered_quotes if each.number == number]
        # guard: renumber-long-quotation
        if not any(map(_is_long_quotation, texts)) or any(map(QuotedText(passage.text).locate, texts)):
            continue
        holding = [each for each, source in sources if all(map(source.locate, texts))]
        # guard: renumber-only-holder
        if len(holding) == 1:
            found[number] = holding[0]
    return found


def _is_long_quotation(quotation: str) -> bool:
    return len(quotation) >= _LONG_QUOTE_CHARS and len(quotation.split()) >= _LONG_QUOTE_WORDS
