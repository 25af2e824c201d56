"""Plans for questions whose shape is plain: counting, ranking, comparing, grouping and pairing by label, field or date.

Each shape is a pattern over the question proper and a function that makes the plan's answer from the match, or None
where the match does not mean it after all. The first that fits counts, so the more special ones come first. A question
of no such shape gets no plan here.
"""

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

from rlm.corpus.records import SplitBy
from rlm.operators.aggregate import Amount, Required, Than
from rlm.operators.labels import LabelSet
from rlm.operators.table import LABEL, Condition, Op
from rlm.plan import shapes
from rlm.plan.judging import judged_plan
from rlm.plan.layout import Layout
from rlm.plan.leftover import left_over, parts
from rlm.plan.pairing import THAN, pair_task
from rlm.plan.plan import (
    Aggregation,
    Classify,
    Compare,
    Count,
    CountGroups,
    Measure,
    Pairs,
    Plan,
    Rank,
    Step,
)
from rlm.plan.reading import KINDS, Reading
from rlm.plan.wording import (
    UnreadableError,
    dates_in,
    field_conditions,
    find_labels,
    label_conditions,
    mentioned,
    take_apart,
)

_OF_LABELS = re.compile(r"\b(?:labels?|categor(?:y|ies)|class(?:es)?|kinds?|topics?|types?)\b", re.IGNORECASE)


def plan_by_rules(question: str, layout: Layout) -> Plan | None:
    """The plan of a question of a known shape, or None. Labels that it does not define are looked for in the corpus."""
    wording = take_apart(question)
    defined = find_labels(question)
    labels = defined or _of_documents(layout)
    reading = Reading(wording, layout, labels, defines=defined is not None)
    if shapes.TWO_QUESTIONS.search(reading.besides_labels):
        return None
    written = defined is None and LABEL in layout.columns
    try:
        for pattern, make in _SHAPES:
            match = pattern.search(wording.asked)
            answer = make(reading, match) if match else None
            if answer is not None:
                _require_dates(reading, answer)
                unread = left_over(reading.besides_labels, answer, layout, labels)
                if unread and isinstance(answer, Count):  # a yes/no question about each record has all words in it
                    continue
                _require_nothing(unread)
                _require_labels(reading, answer)
                steps = () if written else _steps(answer, labels)
                return Plan(layout.records.splitting, answer, steps, _before(answer), layout.text_column)
        judged = judged_plan(reading)
        if judged is not None and layout.dates:  # a model that judges the text does not see them
            _require_dates(reading, judged.answer)
        return judged
    except UnreadableError:
        return None


def _of_documents(layout: Layout) -> LabelSet | None:
    """The labels that the documents define, unless each record has its own written in a field of another name."""
    written = {column for kind in KINDS if (column := layout.column(kind)) is not None} - {LABEL}
    if written or not _OF_LABELS.search(layout.preamble):
        return None
    return find_labels(layout.preamble)


def _require_nothing(unread: Collection[str]) -> None:
    """Raises `UnreadableError` for words that nothing was made of."""
    if unread:
        raise UnreadableError(f"nothing is made of {', '.join(sorted(unread))}")


def _require_labels(reading: Reading, answer: Aggregation) -> None:
    """Raises `UnreadableError` where a label that the question names is in no condition, or every label is in one."""
    if reading.labels is None:
        return
    chosen = [set(condition.values) for condition in parts(answer, Condition) if condition.column == LABEL]
    if not set(mentioned(reading.labels, reading.asked)).issubset(set().union(*chosen)):
        raise UnreadableError("nothing is made of a label")
    if any(values == set(reading.labels.names) for values in chosen):
        raise UnreadableError("every label is meant")


def _require_dates(reading: Reading, answer: Aggregation) -> None:
    """Raises `UnreadableError` where a date that the question names, not as a part of a label, is in no condition."""
    conditions = repr(replace(answer, names=("", "")) if isinstance(answer, Compare) else answer)
    for named in dates_in(reading.besides_labels):
        if named not in conditions:
            raise UnreadableError(f"nothing is made of {named!r}")


def _steps(answer: Aggregation, labels: LabelSet | None) -> tuple[Step, ...]:
    """Records are classified only where the answer looks at labels."""
    return (Classify(labels),) if labels is not None and LABEL in repr(answer) else ()


def _before(answer: Aggregation) -> tuple[Condition, ...]:
    """Conditions on written fields that every counted record must meet: the others need not be judged."""
    return tuple(condition for condition in answer.where if condition.column != LABEL)


def _months_with(reading: Reading, match: re.Match[str]) -> Aggregation | None:
    """`In how many months …` and `Which is the first month in which …` has one label more records than another."""
    if reading.labels is None:
        return None
    key = reading.key(match["unit"])
    names = mentioned(reading.labels, match["what"])
    if key is None or not names:
        return None
    one = (Condition(LABEL, Op.IS, (names[0],)),)
    than = Than.FEWER if re.search(r"\b(?:fewer|less)\b", match["what"]) else Than.MORE
    every_other = re.search(r"\b(?:every|any|all) (?:of the )?others?\b", match["what"])
    told = re.search(r"\b(?:more|fewer|less)\b.*\bthan\b", match["what"])
    if told is None or (every_other is None and len(names) != 2):
        return None
    if every_other and than is Than.MORE:
        amounts: tuple[Amount, ...] = (Amount(one, than, than_every_other=LABEL),)
    else:  # a label that a month has no record of has the fewest there
        others = [name for name in reading.labels.names if name != names[0]] if every_other else names[1:]
        amounts = tuple(Amount(one, than, others=(Condition(LABEL, Op.IS, (other,)),)) for other in others)
    return CountGroups(key, Required(all_of=amounts), first=match["first"] is not None)


def _different(reading: Reading, match: re.Match[str]) -> Aggregation | None:
    """`How many different customers are there?`, of a field that is written; `How many customers are there?` too."""
    key, rest = reading.key(match["unit"]), match["rest"]
    if key is None or key.column == LABEL or reading.layout.counts(match["unit"]):
        return None
    if not (match["different"] or shapes.NOTHING_MORE.fullmatch(rest)):
        return None
    return CountGroups(key, Required(), field_conditions(reading.layout, rest))


def _groups_of_size(reading: Reading, match: re.Match[str]) -> Aggregation | None:
    """`How many dates have exactly 3 records?`"""
    key, number = reading.key(match["unit"]), shapes.read_number(match["number"])
    rest = match["rest"]
    if key is None or number is None or not reading.layout.counts(match["noun"]) or shapes.AMOUNT.search(rest):
        return None
    than = THAN.get((match["how"] or "exactly").casefold(), Than.EXACTLY)
    labels, fields = label_conditions(reading.labels, rest), field_conditions(reading.layout, rest)
    if than.holds(0, number):  # groups that have none of these records have fewer, too
        return CountGroups(key, Required(all_of=(Amount((*labels, *fields), than, number),)))
    return CountGroups(key, Required(all_of=(Amount(labels, than, number),)), fields)


def _rank_of_group(reading: Reading, match: re.Match[str]) -> Aggregation | None:
    """`Which user has the second most records with the label X?`"""
    key = reading.key(match["unit"])
    if key is None:
        return None
    rest = reading.asked[match.end("most") :]
    if re.search(r"\b(?:most|fewest|least)\b|^\s*(?:\w+\s+)?(?:days|dates|months)\b", rest):
        return None
    least = match["most"].casefold() in ("fewest", "least")
    return Rank(key, reading.where(rest), shapes.ORDINALS[(match["ordinal"] or "").casefold()], least)


def _rank_of_label(reading: Reading, match: re.Match[str]) -> Aggregation | None:
    """`Which of the labels is the most common?`, among some records or all."""
    # "Of the labels that occur, which one is the least common?"
    named = re.search(r"\b(labels|classes|categories)\b", reading.asked) if match["unit"] == "one" else None
    key = reading.key(named[1] if named else match["unit"])
    if key is None:
        return None
    where = field_conditions(reading.layout, reading.asked)
    least = match["most"].casefold() in ("least", "rarest")
    return Rank(key, where, shapes.ORDINALS[(match["ordinal"] or "").casefold()], least)


def _comparison(reading: Reading, match: re.Match[str]) -> Aggregation | None:
    """`Is A more common, less common or as common as B?`, of labels, users, or one label before and after a day."""
    names = (match["one"].strip(" ,"), match["other"].strip(" ,?."))
    sides = [reading.where(name) for name in names]
    shared = reading.where(reading.asked[: match.start("one")])
    if not sides[0] or not sides[1] or not _alike(*sides):
        return None
    return Compare(sides[0], sides[1], names, shared)


def _alike(one: Sequence[Condition], other: Sequence[Condition]) -> bool:
    """Whether two sides are told by the same fields: what is said of the last alone may be meant of both."""
    return {condition.column for condition in one} == {condition.column for condition in other}


def _more_than(reading: Reading, match: re.Match[str]) -> Aggregation | None:
    """`Are there more A than B?`"""
    sides = [reading.where(match["one"]), reading.where(match["other"])]
    if not sides[0] or not sides[1] or sides[0] == sides[1] or not _alike(*sides):
        return None
    return Compare(sides[0], sides[1], (match["one"].strip(), match["other"].strip(" ?.")))


def _count(reading: Reading, _match: re.Match[str]) -> Aggregation | None:
    """`How many records have the label X?`, `How many are X?`; without a label, conditions on fields must be there.

    Or nothing is said but that records are meant: `How many tickets are there?`.
    """
    where = reading.where()
    rest = reading.after_noun
    labelled = any(condition.column == LABEL for condition in where)
    # A piece of a text by itself is nothing that anybody counts.
    told = labelled or (rest is not None and reading.layout.records.splitting.by is not SplitBy.CHUNK)
    return Count(where) if told and (where or shapes.NOTHING_MORE.fullmatch(rest or "?")) else None


def _measure(reading: Reading, match: re.Match[str]) -> Aggregation | None:
    """`What is the average rating?`, of a field of numbers; with conditions on fields and labels."""
    column = reading.layout.column(match["column"])
    if column not in reading.layout.numbers or column is None or not _measurable(reading.layout, column, match["what"]):
        return None
    noun = match["noun"] or ""
    heading = reading.layout.preamble.partition("\n")[0]
    meant = reading.layout.counts(noun) or (reading.layout.column(noun) is None and _stands_in(noun, heading))
    end = match.end() if noun and meant else match.end("column")
    rest = f"{reading.asked[: match.start()]} {reading.asked[end:]}"
    where = reading.where(rest)
    known = " ".join(value for condition in where for value in (condition.column, *condition.values))
    if _words(rest) - _words(known) - shapes.MEASURING_WORDS:
        return None
    return Measure(column, shapes.MEASURES[match["what"].casefold()], where)


def _measurable(layout: Layout, column: str, what: str) -> bool:
    """Not what only numbers records, and no sum of several currencies."""
    if layout.counts(column) or re.search(r"(?:\b|_)(?:id|no|nr|number|code)\b", column, re.IGNORECASE):
        return False
    mixed = any("currency" in each.casefold() for each in layout.columns)
    return not mixed or what.casefold() not in ("total", "sum", "average", "mean")


def _words(text: str) -> set[str]:
    return {
        word if word in shapes.MEASURING_WORDS else word.removesuffix("s")
        for word in re.findall(r"\w+", text.casefold())
    }


def _stands_in(noun: str, text: str) -> bool:
    return re.search(rf"\b{re.escape(noun.removesuffix('s'))}s?\b", text, re.IGNORECASE) is not None


def _pairs(reading: Reading, match: re.Match[str]) -> Aggregation | None:
    key = reading.key(match["unit"])
    task = pair_task(reading.labels, reading.layout, match["rest"])
    if key is None or task is None:
        return None
    users = reading.asked[match.start("unit") : match.start("rest")]
    return Pairs(key, task[0], task[1], field_conditions(reading.layout, users))


Make = Callable[[Reading, re.Match[str]], Aggregation | None]
_SHAPES: tuple[tuple[re.Pattern[str], Make], ...] = (
    (shapes.PAIRS, _pairs),
    (shapes.MONTHS_WITH, _months_with),
    (shapes.DIFFERENT, _different),
    (shapes.GROUPS_OF_SIZE, _groups_of_size),
    (shapes.RANK_OF_GROUP, _rank_of_group),
    (shapes.RANK_OF_LABEL, _rank_of_label),
    (shapes.COMPARISON, _comparison),
    (shapes.MORE_COMMON, _comparison),
    (shapes.MORE_THAN, _more_than),
    (shapes.MEASURE, _measure),
    (shapes.HOW_MANY, _count),
)
