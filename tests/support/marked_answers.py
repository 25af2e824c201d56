"""Answers whose sentences are divided as the service divides them, with a check for each, for tests of the portal."""

from collections.abc import Callable, Sequence
from typing import Any

from rlm.answers import Answer, Check, Citation, Quote, SearchedDocument, SearchSummary, Sentence, Support
from rlm.checking.markers import iter_marked_spans
from rlm.checking.nearest import is_header_row
from tests.fakes.scripted_answers import answer

Checks = Callable[[int, str, Sequence[int]], tuple[Check, Support | None, str]]


def judge_in_turn(at: int, text: str, numbers: Sequence[int]) -> tuple[Check, Support | None, str]:
    """Give the sentences with sources each kind of mark in turn; `at` counts them from 0."""
    if not numbers:
        return Check.UNCHECKED, None, "This sentence cites nothing, so it could not be checked."
    return (
        (Check.VERIFIED, Support.FULL, ""),
        (Check.QUOTED, Support.PARTIAL, "Supported in part: The source gives no date."),
        (Check.QUOTED, None, ""),
        (Check.UNSUPPORTED, Support.NONE, "The source names another party."),
    )[at % 4]


def build_marked_answer(
    documents: Sequence[dict[str, Any]],
    texts: Sequence[str],
    text: str,
    checks: Checks = judge_in_turn,
    **changes: Any,  # noqa: ANN401
) -> Answer:
    """Build an answer whose source number N quotes the first line of the Nth document's text."""
    quotes = [
        Quote(at, 0, len(each.split("\n")[0]), each.split("\n")[0], 1, "page 1")
        for at, each in enumerate(texts, start=1)
    ]
    spans = [
        (start, end, [number for number in numbers if number <= len(documents)])
        for start, end, numbers in iter_marked_spans(text)
        if numbers or not is_header_row(text, start, end)
    ]
    sentences = []
    cited_before = 0
    for start, end, numbers in spans:
        check, support, reason = checks(cited_before, text[start:end], numbers)
        cited_before += bool(numbers)
        cited = tuple(quotes[number - 1] for number in numbers)
        sentences.append(Sentence(text[start:end], start, end, tuple(numbers), check, reason, cited, support))
    cited_numbers = {number for _, _, numbers in spans for number in numbers}
    citations = tuple(
        Citation(
            at, each["id"], each["active_version"], each.get("title") or each["name"], (), 1, 0, quote.end, quote.text,
            True, "page 1",
        )
        for at, (each, quote) in enumerate(zip(documents, quotes, strict=True), start=1)
        if at in cited_numbers
    )  # fmt: skip
    found = SearchSummary(
        7,
        3,
        tuple(SearchedDocument(each["id"], each["name"], 3, 1) for each in documents),
        ("damages for late delivery",),
    )
    made = answer(documents[0]["id"], text=text, sentences=tuple(sentences), citations=citations, searched=found)
    return Answer(**{**made.__dict__, **changes})
