"""Plans that ask a yes/no question about each record, or each pair of records: for what is written in no field."""

import re
from collections.abc import Iterable

from rlm.negation import negated
from rlm.operators.aggregate import Key
from rlm.operators.reading import YES
from rlm.operators.table import Condition, Op
from rlm.plan import shapes
from rlm.plan.layout import Layout
from rlm.plan.plan import MATCHES, Count, Filter, JudgePairs, Listing, Plan, RecordPairs
from rlm.plan.reading import Reading
from rlm.plan.wording import UnreadableError, field_conditions

# Pairs are alike in this, whatever it is; a field that is written says it for itself, and an hour no model knows.
_NOT_SHARED = re.compile(r"\b(?:share|the same (?:day|date|week|month|year|time|hour))\b", re.IGNORECASE)

# What is said of the records by a clause, or by what they are about.
_RELATIVE = re.compile(r"(?:that|which|who|about|with)\b", re.IGNORECASE)
_VERB = re.compile(r"^(?:(?:that|which|who) \w+|about|with) ", re.IGNORECASE)


def judged_plan(reading: Reading) -> Plan | None:
    """`How many of the reviews mention the staff?`: a yes/no question about each record, counted or listed.

    Of no single record can be said whether it is the most common one.
    """
    if pairs := shapes.RECORD_PAIRS.match(reading.asked):
        return _pairs_plan(reading, pairs)
    match = shapes.CRITERION.match(reading.asked)
    if match is None or reading.labels is not None:
        return None
    if shapes.NOT_OF_ONE.search(reading.asked) or shapes.ASKING.search(match["noun"]):
        return None
    layout = reading.layout
    where = _certain_conditions(reading)
    met = (Condition(MATCHES, Op.IS, (YES,)), *where)
    answer = Count(met) if match["how"].casefold() == "how many" else Listing(met)
    return Plan(layout.records.splitting, answer, (_asked_of_each(match),), where, _shown(layout, where))


def _asked_of_each(match: re.Match[str]) -> Filter:
    """`Is this one of the reviews that mention the staff?`, and what that is about: `the staff`."""
    what = match["what"].rstrip("?. ")
    clause, _, rest = (what if _RELATIVE.match(what) else f"that {what}").partition("?")
    criterion = f"Is this one of the {match['noun']} {clause}?{rest}{'.' if rest else ''}"
    return Filter(criterion, subject=_VERB.sub("", clause))


def _certain_conditions(reading: Reading) -> tuple[Condition, ...]:
    """Conditions on written fields that a question with other conditions has besides, and that hold of all it asks for.

    Not where the question says what is not so, this or that, or at what time of a day.
    """
    if negated(reading.asked) or re.search(r"\bor\b|\d:\d\d", reading.asked, re.IGNORECASE):
        return ()
    try:
        found = field_conditions(reading.layout, reading.asked)
    except UnreadableError:
        return ()
    unsure = set(reading.layout.dates) if shapes.ANOTHER_TIME.search(reading.asked) else set()
    unsure |= reading.layout.identifiers if shapes.MENTIONED.search(reading.asked) else set()
    return tuple(condition for condition in found if condition.column not in unsure)


def _shown(layout: Layout, where: Iterable[Condition], same: Iterable[str] = ()) -> str | None:
    """The part of a record that is judged: the whole of one that has more than its text, what it is called by, what
    conditions were made of and what is the `same` in both. A model that is not shown a field does not know it."""
    told = {condition.column for condition in where} | layout.identifiers | {layout.text_column, *same}
    return layout.text_column if told.issuperset(layout.columns) else None


def _pairs_plan(reading: Reading, match: re.Match[str]) -> Plan | None:
    """`Which pairs of reports describe the same fault?`; of the same field that is written, code finds the pairs.

    A question that says what the two have not in common, or of each something else, would be asked of the wrong pairs.
    """
    what, layout = match["what"], reading.layout
    columns = {column for same in shapes.SAME.finditer(what) if (column := layout.column(same[1]))}
    if reading.labels is not None or shapes.UNLIKE.search(what) or negated(what) or len(columns) > 1:
        return None
    if _NOT_SHARED.search(what) and not columns:
        return None
    where = field_conditions(layout, what)
    criterion = f"Are these two such a pair as is asked for here: “{reading.asked.rstrip('?. ')}”?"
    step = JudgePairs(criterion, Key(next(iter(columns))) if columns else None)
    answer = RecordPairs(where, count=match["how"].casefold() == "how many")
    return Plan(layout.records.splitting, answer, (step,), where, _shown(layout, where, columns))


def noun_judged(asked: str) -> str:
    """Of a question that a yes/no question about each record, or each pair, would answer: what it counts or lists."""
    match = shapes.RECORD_PAIRS.match(asked) or shapes.CRITERION.match(asked)
    return re.split(r" (?:of|from|in|by|for|on) ", match["noun"])[0].split()[-1] if match is not None else ""
