"""What the two of a pair must be, read from words: `both users have at least one record with the label X …`."""

import re
from itertools import pairwise

from rlm.negation import negated
from rlm.operators.aggregate import Always, Amount, Required, Requirement, Than
from rlm.operators.dates import WRITTEN
from rlm.operators.labels import LabelSet
from rlm.operators.table import LABEL, Condition, Op
from rlm.plan.layout import Layout
from rlm.plan.shapes import read_number
from rlm.plan.wording import mentioned, read_condition

_AMOUNT = re.compile(
    r"\b(?:(?P<how>exactly|at least|at most|more than|fewer than|less than) (?P<number>\d+|one|two|three|four|five)\b"
    r"|(?:have|has|wrote|sent) (?:an?|any|some)\b(?! total))",
    re.IGNORECASE,
)
_ALWAYS = re.compile(
    r"\ball (?:of )?[^,.]*?(?P<what>record[^,.]*?) (?:are|is|were) (?:dated )?"
    rf"(?P<when>after|before) (?P<day>{WRITTEN})",
    re.IGNORECASE,
)
THAN = {
    "exactly": Than.EXACTLY,
    "at least": Than.AT_LEAST,
    "at most": Than.AT_MOST,
    "more than": Than.MORE,
    "fewer than": Than.FEWER,
    "less than": Than.FEWER,
}


def pair_task(labels: LabelSet | None, layout: Layout, text: str) -> tuple[Required, Required | None] | None:
    """What both must be, or what one and what the other; None where that cannot be read.

    Raises `UnreadableError` for a day that is none.
    """
    if labels is None:
        return None
    text = re.split(r"\.\s+(?:Give|List|Write|Return)\b", text)[0]
    sides = re.split(r",? (?:and|while) the other(?: one| user)?\b", text, maxsplit=1)
    required = [_required(labels, layout, side) for side in sides]
    if any(each is None for each in required):
        return None
    one, *others = [each for each in required if each is not None]
    return one, others[0] if others else None


def _required(labels: LabelSet, layout: Layout, text: str) -> Required | None:
    """None for a side that says what must not be: "at most" and "exactly 0" say the same and can be read."""
    if negated(text):
        return None
    always = _always(labels, layout, text)
    body = _ALWAYS.sub("", text)
    starts = [match.start() for match in _AMOUNT.finditer(body)]
    pieces = [body[start:end] for start, end in pairwise([*starts, len(body)])]
    amounts: list[Requirement] = []
    any_of: tuple[Requirement, ...] = ()
    for piece in pieces:
        match = _AMOUNT.match(piece)
        names = mentioned(labels, piece)
        if match is None or not names:
            return None
        how, number = _amount(match)
        made = tuple(Amount((_is(name),), how, number) for name in names)
        if len(names) > 1 and re.search(r"\bor\b", piece):
            any_of += made
        else:
            amounts += made
    if not amounts and not any_of:
        return None
    return Required(any_of, (*amounts, *always))


def _amount(match: re.Match[str]) -> tuple[Than, int]:
    """Of `a record`, at least one."""
    if match["how"] is None:
        return Than.AT_LEAST, 1
    return THAN[match["how"].casefold()], read_number(match["number"]) or 0


def _always(labels: LabelSet, layout: Layout, text: str) -> tuple[Requirement, ...]:
    found: list[Requirement] = []
    for match in _ALWAYS.finditer(text):
        names = mentioned(labels, match["what"])
        if names and layout.dates:
            op = Op.AFTER if match["when"].casefold() == "after" else Op.BEFORE
            found.append(Always((_is(names[0]),), (read_condition(layout.dates[0], op, match["day"]),)))
    return tuple(found)


def _is(name: str) -> Condition:
    return Condition(LABEL, Op.IS, (name,))
