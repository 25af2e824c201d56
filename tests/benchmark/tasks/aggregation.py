"""Aggregation over records: counting, user and timeline questions, after OOLONG (section 2 and appendix B).

A question is drawn first and its gold counted from the records afterwards; it is asked only where the gold is clear.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import TypeVar

from tests.benchmark.tasks.draws import Draws
from tests.benchmark.tasks.folder import Form, Question
from tests.benchmark.tasks.records import DAYS, FIRST_DAY, Records, written_date

Value = TypeVar("Value")
Ask = Callable[[Records, Draws, int], list[Question]]

# "Most" and "more" are asked for only where the difference is more than this share of the larger count.
CLEAR_SHARE = 0.02
_ROUNDS = 20
_SUBSET_USERS = 6
_ANSWER_FORMS = {
    Form.LABEL: "Label: <label>",
    Form.USER: "User: <ID>",
    Form.NUMBER: "Answer: <number>",
}


@dataclass(frozen=True)
class Asked:
    """A drawn question with its gold, or with None where the gold is not clear enough to ask for it."""

    text: str
    form: Form
    gold: str | int | None
    choices: Sequence[str] = ()

    @property
    def answer_form(self) -> str:
        if self.form is Form.COMPARISON:
            one, other = self.choices
            return f"Answer: {one} is <more common than|less common than|same frequency as> {other}"
        return _ANSWER_FORMS[self.form]


class Window:
    """Records, and draws of what can be asked about them."""

    def __init__(self, records: Records, draws: Draws) -> None:
        self.records = records
        self.draws = draws
        self.names = records.labels.names
        counts = self.users()
        # Users with one record make poor questions; a window too small for others has to do with them.
        several = sorted(user for user, count in counts.items() if count > 1)
        self._asked_users = several if len(several) >= _SUBSET_USERS else sorted(counts)

    def labels(self, users: Collection[int] = ()) -> Counter[int]:
        """Records by label; of all users, or only of some."""
        return Counter(each.label for each in self.records if not users or each.user in users)

    def users(self, label: int | None = None) -> Counter[int]:
        """Records by user; of all labels, or only of one."""
        return Counter(each.user for each in self.records if label is None or each.label == label)

    @cached_property
    def months(self) -> dict[str, Counter[int]]:
        """Labels' counts by month."""
        by_month: dict[str, Counter[int]] = {}
        for each in self.records:
            by_month.setdefault(f"{FIRST_DAY + timedelta(each.day):%m/%Y}", Counter())[each.label] += 1
        return by_month

    def label(self) -> int:
        return self.draws.below(len(self.names))

    def some_users(self) -> list[int]:
        return sorted(self.draws.sample(self._asked_users, _SUBSET_USERS))

    def named(self, label: int | None) -> str | None:
        return None if label is None else self.names[label]


def aggregation_questions(records: Records, draws: Draws, count: int) -> list[Question]:
    """Up to `count` questions, all different, over as many kinds as there are; fewer where too little is clear."""
    window = Window(records, draws)
    preamble = describe(records)
    questions: dict[str, Question] = {}
    for _ in range(max(_ROUNDS, count)):
        for kind in draws.sample(list(KINDS), len(KINDS)):
            asked = KINDS[kind](window)
            text = f"{preamble}\n\nQuestion: {asked.text} Give the final answer as '{asked.answer_form}'."
            if asked.gold is None or text in questions:
                continue
            identifier = f"aggregation-{len(questions) + 1}"
            questions[text] = Question(identifier, kind, text, asked.form, (str(asked.gold),), tuple(asked.choices))
            if len(questions) == count:
                return list(questions.values())
    return list(questions.values())


def describe(records: Records) -> str:
    """What a reader of the question must know: what a record looks like, and what the labels mean."""
    labels = records.labels
    return (
        "The documents hold records, one per line, like "
        f"'Date: {written_date(0)} || User: 10000 || Instance: <{labels.noun}>'. An instance is {labels.describes}. "
        f"Every instance has exactly one of these labels, which is not written in the record: {labels.definitions()}."
    )


def ranked(counts: Counter[Value], rank: int) -> Value | None:
    """The value at `rank` (from 1, most first), or None unless it is clear of both its neighbours."""
    ordered = counts.most_common(rank + 1)
    if len(ordered) < rank:
        return None
    value, count = ordered[rank - 1]
    above = rank == 1 or clear(ordered[rank - 2][1], count)
    below = len(ordered) == rank or clear(count, ordered[rank][1])
    return value if above and below else None


def clear(one: int, other: int) -> bool:
    """True if two counts differ enough to be compared."""
    return abs(one - other) > CLEAR_SHARE * max(one, other)


def comparison(one: int, other: int) -> str | None:
    """`more`, `less` or `same`; None where the difference is too small to ask about, or both are zero."""
    if one == other:
        return "same" if one else None
    if not clear(one, other):
        return None
    return "more" if one > other else "less"


def _most_common_label(window: Window) -> Asked:
    gold = window.named(ranked(window.labels(), 1))
    return Asked("Which of the labels is the most common?", Form.LABEL, gold, window.names)


def _least_common_label(window: Window) -> Asked:
    counts = window.labels()
    text = "Of the labels that occur at least once, which one is the least common?"
    return Asked(text, Form.LABEL, window.named(ranked(counts, len(counts))), window.names)


def _compare_labels(window: Window) -> Asked:
    one, other = window.draws.sample(range(len(window.names)), 2)
    counts = window.labels()
    sides = (f"label '{window.names[one]}'", f"label '{window.names[other]}'")
    text = f"Is {sides[0]} more common, less common or as common as {sides[1]}?"
    return Asked(text, Form.COMPARISON, comparison(counts[one], counts[other]), sides)


def _count_label(window: Window) -> Asked:
    label = window.label()
    text = f"How many records have the label '{window.names[label]}'?"
    return Asked(text, Form.NUMBER, window.labels()[label])


def _most_records(window: Window) -> Asked:
    return Asked("Which user has the most records?", Form.USER, ranked(window.users(), 1))


def _subset_label(window: Window) -> Asked:
    users = window.some_users()
    text = f"Among the records of the users {_listed(users)}, which label is the most common?"
    return Asked(text, Form.LABEL, window.named(ranked(window.labels(users), 1)), window.names)


def _subset_count(window: Window) -> Asked:
    users, label = window.some_users(), window.label()
    text = f"How many records of the users {_listed(users)} have the label '{window.names[label]}'?"
    return Asked(text, Form.NUMBER, window.labels(users)[label])


def _user_of_label(window: Window) -> Asked:
    label = window.label()
    text = f"Which user has the most records with the label '{window.names[label]}'?"
    return Asked(text, Form.USER, ranked(window.users(label), 1))


def _count_in_month(window: Window) -> Asked:
    label, month = window.label(), window.draws.choice(sorted(window.months))
    text = f"How many records of the month {month} (MM/YYYY) have the label '{window.names[label]}'?"
    return Asked(text, Form.NUMBER, window.months[month][label])


def _count_in_range(window: Window) -> Asked:
    label = window.label()
    first = window.draws.below(DAYS - 60)
    last = window.draws.between(first + 30, DAYS - 1)
    text = (
        f"How many records from {written_date(first)} to {written_date(last)}, both included, have the label "
        f"'{window.names[label]}'?"
    )
    gold = sum(each.label == label and first <= each.day <= last for each in window.records)
    return Asked(text, Form.NUMBER, gold)


def _months_more(window: Window) -> Asked:
    one, other = window.draws.sample(range(len(window.names)), 2)
    text = (
        f"In how many months does the label '{window.names[one]}' have more records than the label "
        f"'{window.names[other]}'?"
    )
    return Asked(text, Form.NUMBER, sum(counts[one] > counts[other] for counts in window.months.values()))


def _listed(users: Iterable[int]) -> str:
    *first, last = map(str, users)
    return f"{', '.join(first)} and {last}" if first else last


KINDS: dict[str, Callable[[Window], Asked]] = {
    "most_common_label": _most_common_label,
    "least_common_label": _least_common_label,
    "compare_labels": _compare_labels,
    "count_label": _count_label,
    "most_records": _most_records,
    "subset_label": _subset_label,
    "subset_count": _subset_count,
    "user_of_label": _user_of_label,
    "count_in_month": _count_in_month,
    "count_in_range": _count_in_range,
    "months_more": _months_more,
}
