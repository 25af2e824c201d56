"""Whether quoted text supports a claim, decided by code, with the reason in words when it does not.

Three things must hold: every number and every name of the claim stands in what it cites; a claim that denies cites a
quotation that denies; and enough of its content words stand there. The passage around a quotation counts too, half as
much, for sentences lean on their neighbours ("They gave up 308 points").
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache

from rlm.operators.dates import WRITTEN, read_date
from rlm.words import Words, coverage, words

# Of true XQuAD answers with their sentence 99 % are supported, put as statements 90 %; by the nearest sentence of
# another paragraph 3 % and 2 %; another question's answer 0 %. At 0.6 another sentence of the same paragraph supports
# half as many again (11 % for 7 %).
THRESHOLD = 0.7

_SURROUNDING_WEIGHT = 0.5
# From this share of the question's words on, a quotation may be what says no to it.
_ON_THE_SUBJECT = 0.5
_LACKS = "What it cites does not have"
_SHOWN = 4
# A question that offers its answers ("the pear or the apple?") is answered with one of them.
_CHOICE = re.compile(r"\bor\b", re.IGNORECASE)
_YES_OR_NO = re.compile(
    r"(?:^|[.?!:;]\s+)(?:is|are|was|were|do|does|did|has|have|had|can|could|will|would|should|may|might|must)\b[^.?!]*\?\s*$",
    re.IGNORECASE,
)
_DAY = re.compile(rf"(?<![\w/.-]){WRITTEN}(?![\w/-])")
_DENIAL = re.compile(r"\b(?:no|not|never|none|nobody|nothing|neither|nor|without|cannot|\w+n['’]t)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Support:
    """`share` is how much of the claim's content words stands in what it cites, in [0, 1]; `reason` is a sentence."""

    supported: bool
    share: float
    reason: str = ""


def judge(claim: str, quotes: Sequence[str], surroundings: Sequence[str] = (), *, question: str = "") -> Support:
    """Whether `quotes`, read with the passages and headings around them, say what `claim` says.

    Words are compared, not meanings: a claim that only rearranges the quotation's words is taken as supported. Words
    that the claim repeats from the question need no support, except names and numbers.
    """
    if not quotes:
        return Support(False, 0.0, "It cites nothing.")
    cited = "\n".join((*quotes, *surroundings))
    said, quoted = _words(_dated_as(claim, cited)), _words("\n".join(quotes))
    if not said.stems and not said.numbers:
        return Support(False, 0.0, "It has no word that could be compared with what it cites.")
    asked = _words(question)
    if _repeats(said, asked) and not _CHOICE.search(question) and not asks_yes_or_no(question):
        return Support(False, 0.0, "It only repeats the question.")
    around = _words(cited)
    news = _news(said, asked)
    near = coverage(news, quoted)
    share = near + _SURROUNDING_WEIGHT * (coverage(news, around) - near)
    reason = _contradiction(claim, said, quotes, around)
    if not reason and share < THRESHOLD:
        reason = f"Only {share:.0%} of its words stand in what it cites."
    return Support(not reason, share, reason)


def asks_yes_or_no(question: str) -> bool:
    """Whether `Yes.` or `No.` would answer it."""
    return _YES_OR_NO.search(question) is not None and not _CHOICE.search(question)


def judge_verdict(affirms: bool, question: str, quotes: Sequence[str], surroundings: Sequence[str] = ()) -> Support:
    """Whether quotations bear out a bare `Yes.` or `No.`: the question's own words are compared with them.

    A "no" cites what denies it, or what has another number or name than the question.
    """
    found = judge(question.rstrip("?! "), quotes, surroundings)
    denied = (_DENIAL.search("\n".join(quotes)) is not None) != (_DENIAL.search(question) is not None)
    if affirms:
        reason = "What it cites denies something." if denied and not found.reason else found.reason
        return Support(not reason, found.share, reason)
    differs = denied or found.reason.startswith(_LACKS)
    if found.share >= _ON_THE_SUBJECT and differs:
        return Support(True, found.share)
    return Support(False, found.share, "What it cites does not say no.")


def _dated_as(claim: str, cited: str) -> str:
    """The claim with its days written as in what it cites, where they stand there in another form."""
    written = {day: match[0] for match in _DAY.finditer(cited) if (day := read_date(match[0]))}
    return _DAY.sub(lambda match: written.get(read_date(match[0]) or date.min, match[0]), claim)


@lru_cache(maxsize=1024)
def _words(text: str) -> Words:
    """Claims of one answer are compared with the same quotations."""
    return words(text)


def _repeats(said: Words, asked: Words) -> bool:
    """Whether every word of a claim is the question's: "Captain Ahab's ship" names no ship."""
    return said.stems.keys() <= asked.stems.keys() and said.values <= asked.values


def _news(said: Words, asked: Words) -> Words:
    """What a claim says beyond the question's words; all of it where nothing is left."""
    stems = {root: written for root, written in said.stems.items() if root not in asked.stems}
    return Words(stems, said.numbers, said.names) if stems or said.numbers else said


def _contradiction(claim: str, said: Words, quotes: Sequence[str], around: Words) -> str:
    missing = [number for number, meant in said.numbers.items() if meant.isdisjoint(around.values)]
    if missing:
        return f"{_LACKS} {_listed('the number', missing)}."
    missing = [name for name, root in said.names.items() if root not in around.stems]
    if missing:
        return f"{_LACKS} {_listed('the name', missing)}."
    if _DENIAL.search(claim) and not any(_DENIAL.search(quote) for quote in quotes):
        return "It denies something, and what it cites denies nothing."
    return ""


def _listed(noun: str, found: Sequence[str]) -> str:
    shown = ", ".join(found[:_SHOWN]) + (", …" if len(found) > _SHOWN else "")
    return f"{noun}{'s' if len(found) > 1 else ''} {shown}"
