"""Derives the level of proof of each sentence from its check, for display to users.

The levels apply to answers as JSON, in the form of the REST API, because the command line reads nothing else. The
portal derives the same levels in `api/portal/assets/marks.js`; `tests/unit/rlm/checking/levels.json` has cases for
both.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from rlm.answers import AnswerStatus, Check, Support

PARTLY_PREFIX = "Supported in part: "
ABOUT_ALL = "This is about all of the documents, and not all of them were read."
# Matches headings, bold words at the start of a paragraph or item, and a formula alone.
_TITLE = re.compile(r"[>\s]*(?:#{1,6}\s|(?:[-*+]\s+|\d{1,9}[.)]\s+)?(\*\*|__)[^*_]+\1[.:]?\s*$|\$\$[^$]*\$\$[.,\s]*$)")
# The beginning of `WITHHELD_TEXT` and `CLOSED_TEXT` in `ingest.storage.answers.redaction`. The Python client imports
# this module, and cannot import that one because of its database.
_WITHHELD = "[withheld: "


class Level(StrEnum):
    """The level of proof of a sentence."""

    PROVEN = "proven"  # A judge found that the cited text supports the sentence, or code computed it.
    PARTLY_PROVEN = "partly proven"  # A judge found that the cited text supports a part of it.
    FOUND = "found"  # The cited words exist, but no judge said whether they prove the sentence.
    LOST = "lost"  # The words that the model quoted for the sentence are not in the cited text.
    UNSUPPORTED = "unsupported"  # A judge found that the cited text does not support it.
    UNCITED = "uncited"  # There is no source.


@dataclass(frozen=True)
class Verdict:
    """The number of statements of an answer at each level.

    If `is_checked` is false, no judge gave a verdict on any statement, so the counts tell users nothing.
    """

    counts: Counter[Level]
    is_checked: bool


def states_nothing(text: str) -> bool:
    """Return whether a sentence makes no statement: a heading, the introduction of the next lines, or signs alone."""
    return _TITLE.match(text) is not None or _ends_with_colon_or_signs(text)


def _ends_with_colon_or_signs(text: str) -> bool:
    """Return whether a colon, or no letter or digit at all, precedes the signs at the end of a text."""
    # A loop takes time in proportion to the text. A regular expression would not: a model can write many colons.
    for char in reversed(text):
        if char in ":：" or char.isalnum() or char == "_":
            return char in ":："
    return True


def insert_after_sentences(text: str, marked: Iterable[tuple[int, str]]) -> str:
    """Insert words after the sentences that end at these positions; in a table, into the row's last cell."""
    pieces, last = list[str](), 0
    for end, words in sorted(marked):
        at = last + len(text[last:end].rstrip().removesuffix("|").rstrip())
        pieces += [text[last:at], f" {words}"]
        last = at
    return "".join([*pieces, text[last:]])


def infer_support(sentence: Mapping[str, Any]) -> Support | None:
    """Return the judge's verdict on a stored sentence. Answers of earlier releases contain it only by implication."""
    if sentence.get("support") is not None:
        return Support(sentence["support"])
    match sentence["check"]:
        case Check.VERIFIED:
            return Support.FULL
        case Check.UNSUPPORTED:
            return Support.NONE
        case Check.QUOTED if sentence["reason"].startswith((PARTLY_PREFIX, ABOUT_ALL)):
            return Support.PARTIAL
    return None


def find_levels(answer: Mapping[str, Any]) -> list[Level | None]:
    """Return the level of each sentence of an answer, or None for a sentence that needs no mark.

    Sentences without a statement need no mark, nor do the rows of a computed table. If the answer was not found, only
    sentences that a judge contradicts have a mark, because no passage proves what the documents do not say. If no judge
    gave a verdict, only sentences whose quotations were not found in their sources have a mark.
    """
    is_checked = _is_checked(answer)
    return [
        _find_level(sentence) if is_statement and (is_checked or _has_lost_quotation(sentence)) else None
        for sentence, is_statement in _iter_sentences(answer)
    ]


def build_verdict(answer: Mapping[str, Any]) -> Verdict:
    """Count the statements of an answer by the result of their checks."""
    levels = (_find_level(sentence) for sentence, is_statement in _iter_sentences(answer) if is_statement)
    return Verdict(Counter(levels), _is_checked(answer))


def _iter_sentences(answer: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], bool]]:
    """Yield each sentence, and whether it makes a statement that users expect to be checked."""
    is_absence = answer["status"] == AnswerStatus.NOT_FOUND
    for sentence in answer["sentences"]:
        text, is_cited = sentence["text"], bool(sentence["citations"])
        is_row = answer["table"] is not None and text.lstrip().startswith("|")
        # A judge reads headings and introductions that cite something, so its verdict on them is shown.
        is_empty = not is_cited and (states_nothing(text) or text.startswith(_WITHHELD))
        # guard: absence-proves-nothing
        is_unproven = is_absence and sentence["check"] != Check.UNSUPPORTED
        yield sentence, not (is_row or is_empty or is_unproven)


def _is_checked(answer: Mapping[str, Any]) -> bool:
    """Return whether a judge or code gave a verdict on any statement, or no statement has a source to check."""
    statements = [sentence for sentence, is_statement in _iter_sentences(answer) if is_statement]
    judged = (Check.VERIFIED, Check.COMPUTED, Check.UNSUPPORTED)
    has_verdict = any(each["check"] in judged or each.get("support") is not None for each in statements)
    return has_verdict or not any(each["citations"] for each in statements)


def _has_lost_quotation(sentence: Mapping[str, Any]) -> bool:
    return _find_level(sentence) is Level.LOST


def _find_level(sentence: Mapping[str, Any]) -> Level:
    match sentence["check"]:
        case Check.VERIFIED | Check.COMPUTED:
            return Level.PROVEN
        case Check.UNSUPPORTED:
            return Level.UNSUPPORTED
        case Check.QUOTED if sentence.get("support") == Support.PARTIAL:
            return Level.PARTLY_PROVEN
    # The check itself gives a reason only for quotations that it did not find.
    if sentence["citations"] and sentence["reason"]:
        return Level.LOST
    return Level.FOUND if sentence["check"] == Check.QUOTED else Level.UNCITED
