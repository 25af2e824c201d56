"""Whether an answer rests on the right places: overlap of spans with the gold spans."""

from collections.abc import Sequence

from tests.benchmark.tasks.corpus import GoldSpan

# Whoever cites a chapter has not said where it stands.
LONGEST_CITATION_CHARS = 2_000
_COVERED_SHARE = 0.5


def recall(gold: Sequence[GoldSpan], spans: Sequence[GoldSpan]) -> float | None:
    """The share of gold spans of which half or more lies in one of `spans`; None where there is no gold."""
    if not gold:
        return None
    return sum(any(_overlap(each, span) >= _COVERED_SHARE * _length(each) for span in spans) for each in gold) / len(
        gold
    )


def precision(gold: Sequence[GoldSpan], citations: Sequence[GoldSpan]) -> float | None:
    """The share of citations that touch a gold span and are short enough to point at it; None without citations."""
    if not gold or not citations:
        return None
    right = sum(
        _length(citation) <= LONGEST_CITATION_CHARS and any(_overlap(each, citation) > 0 for each in gold)
        for citation in citations
    )
    return right / len(citations)


def _overlap(one: GoldSpan, other: GoldSpan) -> int:
    if one.document != other.document:
        return 0
    return max(0, min(one.end, other.end) - max(one.start, other.start))


def _length(span: GoldSpan) -> int:
    return span.end - span.start
