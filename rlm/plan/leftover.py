"""What a question says besides what a plan was made of: a plan that leaves something out answers another question."""

import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import TypeVar

from rlm.operators.labels import LabelSet
from rlm.operators.table import LABEL, Condition, Op
from rlm.plan.layout import Layout, singular
from rlm.plan.plan import Aggregation, Compare, Count, CountGroups, Key, Pairs, Rank, Required, Unit

Part = TypeVar("Part")

_WORD = re.compile(r"\w+")
# How the answer is to be written down, and what is so anyway.
_FORM = re.compile(
    r"\.\s+(?:Give|List|Write|Return|State)\b[^.]*\b(?:answer|as|form|format|line|number|once|pairs?)\b.*$"
    r"|\(also true if there (?:is|are) none\)|\(MM/YYYY\)|\bon or (?=after|before)",
    re.DOTALL,
)


def _words(text: str) -> frozenset[str]:
    return frozenset(map(singular, _WORD.findall(text)))


# Words that say nothing by themselves.
_ANYWHERE = _words(
    "a all altogether am an and any are be been can consider considering could count counting d data dataset did "
    "do does entered far file for from had has have hello her here hi his how i in included into is it its know "
    "like list listed many me my of on only our overall please recorded s so table tell thank thanks that the "
    "their them there these they this those to was we were what which who whom whose with would you your"
)
_OF_LABELS = _words("categories category class classes kind label labeled labelled labels type types")
_OF_DATES = _words(
    "after before between both date dated day during from included made month since until when written year"
)
_OF_CHOICES = _words("either or")
_OF_DIFFERENT = _words("different distinct id unique")
_ORDINALS = _words("second third fourth fifth 2nd 3rd")
_OF_ANSWERS: dict[type, frozenset[str]] = {
    Count: _words("number total"),
    Rank: _words(
        "among appears at common fewest fifth fourth frequent frequently least most number occur occurs often once one "
        "rank second sent third wrote 2nd 3rd"
    ),
    Compare: _words(
        "among as common comparing equally fewer frequency frequent less more number or relative same than"
    ),
    CountGroups: _words(
        "at common different distinct every exactly fewer first id least less more most occur often one other others "
        "sent than unique wrote zero two three four five six seven eight nine ten"
    ),
    Pairs: _words(
        "another at both different distinct each every exactly fewer id in least less more most one other others pair "
        "pairs such than two three four five where while"
    ),
}


def left_over(asked: str, answer: Aggregation, layout: Layout, labels: LabelSet | None) -> set[str]:
    """Words of the question that nothing was made of; `asked` is without the names and definitions of labels.

    Of what is measured the shape itself leaves none over.
    """
    if type(answer) not in _OF_ANSWERS:
        return set()
    conditions = list(parts(answer, Condition))
    columns = {condition.column for condition in conditions} | {key.column for key in parts(answer, Key)}
    known = _ANYWHERE | _vocabulary(answer) | _words(" ".join(_leaves(answer)))
    if labels is not None:
        known |= _OF_LABELS
    if columns & set(layout.dates) or any(key.unit is not Unit.VALUE for key in parts(answer, Key)):
        known |= _OF_DATES
    if any(condition.op is Op.IN for condition in conditions) or isinstance(answer, Pairs):
        known |= _OF_CHOICES
    # Of "IT" and "US" nobody can know that they say nothing.
    names = known if asked.isupper() else known - _ANYWHERE
    said = _WORD.findall(_FORM.sub(" ", asked))
    return {
        word
        for word in said
        if singular(word) not in (names if word.isupper() and len(word) > 1 else known) and not layout.counts(word)
    }


def _vocabulary(answer: Aggregation) -> frozenset[str]:
    """The words of a shape; of one that asks for no size of its groups, and of a first place, fewer."""
    match answer:
        case CountGroups(_, Required((), ())):
            return _OF_DIFFERENT
        case Rank(_, _, 1):
            return _OF_ANSWERS[Rank] - _ORDINALS
    return _OF_ANSWERS[type(answer)]


def _leaves(value: object) -> Iterator[str]:
    """The names and values in an answer, but labels and how the sides of a comparison were called."""
    if isinstance(value, Condition) and value.column == LABEL:
        return
    if is_dataclass(value):
        hidden = "names" if isinstance(value, Compare) else ""
        yield from (
            leaf for field in fields(value) if field.name != hidden for leaf in _leaves(getattr(value, field.name))
        )
    elif isinstance(value, tuple):
        yield from (leaf for each in value for leaf in _leaves(each))
    elif isinstance(value, str | int) and not isinstance(value, Enum | bool):
        yield str(value)


def parts(value: object, kind: type[Part]) -> Iterator[Part]:
    """Everything of a kind in an answer."""
    if isinstance(value, kind):
        yield value
    elif is_dataclass(value):
        yield from (part for field in fields(value) for part in parts(getattr(value, field.name), kind))
    elif isinstance(value, tuple):
        yield from (part for each in value for part in parts(each, kind))
