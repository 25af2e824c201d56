"""Turns a draft into an answer: splits sentences with their citations, locates quotations, and marks each sentence.

A check only marks. It never deletes or rewrites a sentence, nor turns an answer into "not found".
"""

from collections.abc import Callable
from dataclasses import replace
from enum import StrEnum

from ingest.places import Location
from retrieval.passages import Passage
from rlm.answers import Check, Citation, Draft, Quote, Sentence
from rlm.checking.judging import NOT_SUPPORTED, PARTLY, SUPPORTED, Judgement, Verdict
from rlm.checking.locating import PassageQuotes
from rlm.checking.markers import marked_spans

Locate = Callable[[str, int, int], Location]
_LOST = "The words that the model quoted for this stand nowhere in the passage."
_PARTLY = "Supported in part: "


class CheckMode(StrEnum):
    """How far answers are checked."""

    JUDGE = "judge"  # quotations are located, and a model judges each sentence
    QUOTES = "quotes"  # quotations are located
    OFF = "off"  # citations name passages, and nothing is looked up


def located(draft: Draft, locate: Locate, mode: CheckMode = CheckMode.JUDGE) -> tuple[list[Sentence], list[Citation]]:
    """Return a draft's sentences with their quotes, and its citations by number; none is judged yet."""
    sources = {
        number: PassageQuotes(number, passage, () if mode is CheckMode.OFF else draft.quotes)
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
            found = sources[number].best_for(sentence.text)
            passage = draft.evidence[number]
            location = locate(passage.version_id, passage.start + found.start, passage.start + found.end)
            quote = sources[number].quote(found, location)
            quotes.append(quote)
            offered, lost = offered or found.offered, lost or sources[number].lost > 0
            citations.setdefault(number, _citation(number, passage, quote, verified=found.offered))
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
    match verdict.support:
        case _ if verdict.support == SUPPORTED:
            return replace(sentence, check=Check.VERIFIED, reason="")
        case _ if verdict.support == PARTLY:
            return replace(sentence, check=Check.QUOTED, reason=f"{_PARTLY}{verdict.reason}" if verdict.reason else "")
        case _ if verdict.support == NOT_SUPPORTED:
            reason = verdict.reason or "The cited passage does not say this."
            return replace(sentence, check=Check.UNSUPPORTED, reason=reason)
    return sentence


def _citation(number: int, passage: Passage, quote: Quote, *, verified: bool) -> Citation:
    return Citation(
        number=number,
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
