"""Plans for questions whose shape is plain: counting, ranking, comparing, grouping and pairing by label, field or date.

Each shape is a pattern over the question proper and a function that makes the plan's answer from the match, or None
where the match does not mean it after all. The first that fits counts, so the more special ones come first. A question
of no such shape gets no plan here.
"""

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

from rlm.corpus.records import SplitBy
from rlm.operators.aggregate import Amount, Key, Required, Than, Unit
from rlm.operators.labels import LabelSet
from rlm.operators.reading import YES
from rlm.operators.table import LABEL, Condition, Op
from rlm.plan import shapes
from rlm.plan.layout import Layout
from rlm.plan.leftover import left_over, parts
from rlm.plan.pairing import THAN, pair_task
from rlm.plan.plan import (
    MATCHES,
    Aggregation,
    Classify,
    Compare,
    Count,
    CountGroups,
    Filter,
    JudgePairs,
    Listing,
    Measure,
    Pairs,
    Plan,
    Rank,
    RecordPairs,
    Step,
)
from rlm.plan.wording import (
    UnreadableError,
    Wording,
    date_column,
    dates_in,
    field_conditions,
    find_labels,
    label_conditions,
    mentioned,
    negated,
    take_apart,
)

_OF_LABELS = re.compile(r"\b(?:labels?|categor(?:y|ies)|class(?:es)?|kinds?|topics?|types?)\b", re.IGNORECASE)
# Pairs are alike in this, whatever it is; a field that is written says it for itself, and an hour no model knows.
_NOT_SHARED = re.compile(r"\b(?:share|the same (?:day|date|week|month|year|time|hour))\b", re.IGNORECASE)
# Words for labels, without their last "s".
_KINDS = {
    "label": "label",
    "clas": "class",
    "class": "class",
    "classe": "class",
    "category": "category",
    "categorie": "category",
    "type": "type",
    "kind": "kind",
}


@dataclass(frozen=True)
class _Reading:
    """A question with what is known to read it by; `defines` is whether it names the labels itself."""

    wording: Wording
    layout: Layout
    labels: LabelSet | None
    defines: bool = True

    @property
    def asked(self) -> str:
        return self.wording.asked

    def key(self, word: str) -> Key | None:
        """What a word groups records by: months and dates, labels, or a written field.

        A field that is called `Category` goes before labels that the question does not define.
        """
        bare = word.casefold().strip().removesuffix("s")
        kind = _KINDS.get(bare)
        if kind is not None and self.labels is not None and self.defines:
            return Key(LABEL)
        if bare in ("month", "date", "day") and self.layout.dates:
            return Key(date_column(self.layout, self.asked), Unit.MONTH if bare == "month" else Unit.DAY)
        column = self.layout.column(word) or self.layout.column(kind or "")
        if column is None and kind is not None and self.labels is not None:
            column = LABEL
        return None if column is None else Key(column)

    @property
    def besides_labels(self) -> str:
        """The question without the names and definitions of labels: what these say is no condition."""
        labels = self.labels.labels if self.labels is not None else ()
        asked = self.asked
        for text in sorted(
            (text for label in labels for text in (label.definition, label.name)), key=len, reverse=True
        ):
            asked = asked.replace(text, " ") if text else asked
        return asked

    @property
    def after_noun(self) -> str | None:
        """What follows "how many records", by whatever name they are called; None where something else is counted."""
        match = re.search(r"\bhow many (?:of (?:the |these )?)?([\w-]+)", self.asked, re.IGNORECASE)
        return self.asked[match.end() :] if match is not None and self.layout.counts(match[1]) else None

    def where(self, text: str | None = None) -> tuple[Condition, ...]:
        text = self.asked if text is None else text
        return (*label_conditions(self.labels, text), *field_conditions(self.layout, text))


def plan_by_rules(question: str, layout: Layout) -> Plan | None:
    """The plan of a question of a known shape, or None. Labels that it does not define are looked for in the corpus."""
    wording = take_apart(question)
    defined = find_labels(question)
    labels = defined or _of_documents(layout)
    reading = _Reading(wording, layout, labels, defines=defined is not None)
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
        judged = _judged(reading)
        if judged is not None and layout.dates:  # a model that judges the text does not see them
            _require_dates(reading, judged.answer)
        return judged
    except UnreadableError:
        return None


def _of_documents(layout: Layout) -> LabelSet | None:
    """The labels that the documents define, unless each record has its own written in a field of another name."""
    written = {column for kind in _KINDS if (column := layout.column(kind)) is not None} - {LABEL}
    if written or not _OF_LABELS.search(layout.preamble):
        return None
    return find_labels(layout.preamble)


def _require_nothing(unread: Collection[str]) -> None:
    """Raises `UnreadableError` for words that nothing was made of."""
    if unread:
        raise UnreadableError(f"nothing is made of {', '.join(sorted(unread))}")


def _require_labels(reading: _Reading, answer: Aggregation) -> None:
    """Raises `UnreadableError` where a label that the question names is in no condition, or every label is in one."""
    if reading.labels is None:
        return
    chosen = [set(condition.values) for condition in parts(answer, Condition) if condition.column == LABEL]
    if not set(mentioned(reading.labels, reading.asked)).issubset(set().union(*chosen)):
        raise UnreadableError("nothing is made of a label")
    if any(values == set(reading.labels.names) for values in chosen):
        raise UnreadableError("every label is meant")


def _require_dates(reading: _Reading, answer: Aggregation) -> None:
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


def _months_with(reading: _Reading, match: re.Match[str]) -> Aggregation | None:
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


def _different(reading: _Reading, match: re.Match[str]) -> Aggregation | None:
    """`How many different customers are there?`, of a field that is written; `How many customers are there?` too."""
    key, rest = reading.key(match["unit"]), match["rest"]
    if key is None or key.column == LABEL or reading.layout.counts(match["unit"]):
        return None
    if not (match["different"] or shapes.NOTHING_MORE.fullmatch(rest)):
        return None
    return CountGroups(key, Required(), field_conditions(reading.layout, rest))


def _groups_of_size(reading: _Reading, match: re.Match[str]) -> Aggregation | None:
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


def _rank_of_group(reading: _Reading, match: re.Match[str]) -> Aggregation | None:
    """`Which user has the second most records with the label X?`"""
    key = reading.key(match["unit"])
    if key is None:
        return None
    rest = reading.asked[match.end("most") :]
    if re.search(r"\b(?:most|fewest|least)\b|^\s*(?:\w+\s+)?(?:days|dates|months)\b", rest):
        return None
    least = match["most"].casefold() in ("fewest", "least")
    return Rank(key, reading.where(rest), shapes.ORDINALS[(match["ordinal"] or "").casefold()], least)


def _rank_of_label(reading: _Reading, match: re.Match[str]) -> Aggregation | None:
    """`Which of the labels is the most common?`, among some records or all."""
    # "Of the labels that occur, which one is the least common?"
    named = re.search(r"\b(labels|classes|categories)\b", reading.asked) if match["unit"] == "one" else None
    key = reading.key(named[1] if named else match["unit"])
    if key is None:
        return None
    where = field_conditions(reading.layout, reading.asked)
    least = match["most"].casefold() in ("least", "rarest")
    return Rank(key, where, shapes.ORDINALS[(match["ordinal"] or "").casefold()], least)


def _comparison(reading: _Reading, match: re.Match[str]) -> Aggregation | None:
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


def _more_than(reading: _Reading, match: re.Match[str]) -> Aggregation | None:
    """`Are there more A than B?`"""
    sides = [reading.where(match["one"]), reading.where(match["other"])]
    if not sides[0] or not sides[1] or sides[0] == sides[1] or not _alike(*sides):
        return None
    return Compare(sides[0], sides[1], (match["one"].strip(), match["other"].strip(" ?.")))


def _count(reading: _Reading, _match: re.Match[str]) -> Aggregation | None:
    """`How many records have the label X?`, `How many are X?`; without a label, conditions on fields must be there.

    Or nothing is said but that records are meant: `How many tickets are there?`.
    """
    where = reading.where()
    rest = reading.after_noun
    labelled = any(condition.column == LABEL for condition in where)
    # A piece of a text by itself is nothing that anybody counts.
    told = labelled or (rest is not None and reading.layout.records.splitting.by is not SplitBy.CHUNK)
    return Count(where) if told and (where or shapes.NOTHING_MORE.fullmatch(rest or "?")) else None


def _measure(reading: _Reading, match: re.Match[str]) -> Aggregation | None:
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


def _pairs(reading: _Reading, match: re.Match[str]) -> Aggregation | None:
    key = reading.key(match["unit"])
    task = pair_task(reading.labels, reading.layout, match["rest"])
    if key is None or task is None:
        return None
    users = reading.asked[match.start("unit") : match.start("rest")]
    return Pairs(key, task[0], task[1], field_conditions(reading.layout, users))


Make = Callable[[_Reading, re.Match[str]], Aggregation | None]
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


def _judged(reading: _Reading) -> Plan | None:
    """`How many of the reviews mention the staff?`: a yes/no question about each record, counted or listed.

    Of no single record can be said whether it is the most common one.
    """
    if pairs := shapes.RECORD_PAIRS.match(reading.asked):
        return _judged_pairs(reading, pairs)
    match = shapes.CRITERION.match(reading.asked)
    if match is None or reading.labels is not None:
        return None
    if shapes.NOT_OF_ONE.search(reading.asked) or shapes.ASKING.search(match["noun"]):
        return None
    layout = reading.layout
    where = _certain_conditions(reading)
    met = (Condition(MATCHES, Op.IS, (YES,)), *where)
    answer = Count(met) if match["how"].casefold() == "how many" else Listing(met)
    criterion = (
        f"The record is one of the {match['noun']} that are wanted: “{reading.asked.rstrip('?. ')}”. Does it count?"
    )
    return Plan(layout.records.splitting, answer, (Filter(criterion),), where, _shown(layout, where))


def _certain_conditions(reading: _Reading) -> tuple[Condition, ...]:
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


def _shown(layout: Layout, where: tuple[Condition, ...]) -> str | None:
    """The part of a record that is judged: the whole of one that has more than its text, what it is called by and what
    conditions were made of. A model that is not shown a field does not know it."""
    told = {condition.column for condition in where} | layout.identifiers | {layout.text_column}
    return layout.text_column if told.issuperset(layout.columns) else None


def _judged_pairs(reading: _Reading, match: re.Match[str]) -> Plan | None:
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
    same = (Condition(columns_named, Op.IS, ("",)) for columns_named in columns)
    return Plan(layout.records.splitting, answer, (step,), where, _shown(layout, (*where, *same)))


def noun_judged(asked: str) -> str:
    """Of a question that a yes/no question about each record, or each pair, would answer: what it counts or lists."""
    match = shapes.RECORD_PAIRS.match(asked) or shapes.CRITERION.match(asked)
    return re.split(r" (?:of|from|in|by|for|on) ", match["noun"])[0].split()[-1] if match is not None else ""
