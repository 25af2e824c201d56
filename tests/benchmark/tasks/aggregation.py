"""Aggregation over records: counting, user and timeline questions, after OOLONG (section 2 and appendix B).

A question is drawn first and its gold counted from the records afterwards; it is asked only where the gold is clear.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from tests.benchmark.tasks.corpus import Form, Question
from tests.benchmark.tasks.draws import Draws
from tests.benchmark.tasks.records import DAYS, Records, written_date
from tests.benchmark.tasks.tallies import (
    comparison,
    days_in,
    labels_in,
    month_of,
    months_in,
    ranked,
    slashed_date,
    users_in,
)

TASK = "aggregation"
_TRIES = 40
_SUBSET_USERS = 6

_ANSWER_FORMS = {
    Form.LABEL: "Label: <label>",
    Form.USER: "User: <ID>",
    Form.NUMBER: "Answer: <number>",
    Form.DATE: "Date: <MM/DD/YYYY>",
    Form.MONTH: "Month: <MM/YYYY>",
}


@dataclass(frozen=True)
class Asked:
    """A drawn question with its gold, or with None where the gold is not clear enough to ask for it."""

    text: str
    form: Form
    gold: str | None
    choices: Sequence[str] = ()


Kind = Callable[["Window"], Asked]


class Window:
    """Records, and draws of what can be asked about them."""

    def __init__(self, records: Records, draws: Draws) -> None:
        self.records = records
        self.draws = draws
        self.names = records.labels.names
        counts = users_in(records)
        # Users with one record make poor questions; a window too small for others has to do with them.
        several = sorted(user for user, count in counts.items() if count > 1)
        self.users = several if len(several) >= _SUBSET_USERS else sorted(counts)

    @cached_property
    def months(self) -> dict[str, Counter[int]]:
        """Labels' counts by month, in the order of time."""
        return months_in(self.records)

    def label(self) -> int:
        return self.draws.below(len(self.names))

    def two_labels(self) -> tuple[int, int]:
        one, other = self.draws.sample(range(len(self.names)), 2)
        return one, other

    def some_users(self) -> list[int]:
        return sorted(self.draws.sample(self.users, _SUBSET_USERS))

    def labelled(self, gold: int | None) -> str | None:
        return None if gold is None else self.names[gold]


def aggregation_questions(records: Records, draws: Draws, count: int) -> list[Question]:
    """Up to `count` questions, all different, over as many kinds as there are; fewer where too little is clear."""
    window = Window(records, draws)
    preamble = describe(records)
    questions: dict[str, Question] = {}
    for kind, asked in _clear_questions(window, rounds=max(3, 3 * count // len(KINDS))):
        text = f"{preamble}\n\nQuestion: {asked.text} Give the final answer as '{_answer_form(asked)}'."
        if text not in questions and asked.gold is not None:
            questions[text] = Question(
                f"{TASK}-{len(questions) + 1}", TASK, kind, text, asked.form, (asked.gold,), tuple(asked.choices)
            )
        if len(questions) == count:
            break
    return list(questions.values())


def describe(records: Records) -> str:
    """What a reader of the question must know: what a record looks like, and what the labels mean."""
    labels = records.labels
    return (
        "The documents hold records, one per line, like "
        f"'Date: {written_date(0)} || User: 10000 || Instance: <{labels.noun}>'. An instance is {labels.describes}. "
        f"Every instance has exactly one of these labels, which is not written in the record: {labels.definitions()}."
    )


def _clear_questions(window: Window, rounds: int) -> Iterator[tuple[str, Asked]]:
    order = list(KINDS)
    for _ in range(rounds):
        window.draws.shuffle(order)
        for name in order:
            for _ in range(_TRIES if name in _DRAWN_KINDS else 1):
                asked = KINDS[name](window)
                if asked.gold is not None:
                    yield name, asked
                    break


def _answer_form(asked: Asked) -> str:
    if asked.form is Form.COMPARISON:
        one, other = asked.choices
        return f"Answer: {one} is <more common than|less common than|same frequency as> {other}"
    return _ANSWER_FORMS[asked.form]


def _most_common_label(window: Window) -> Asked:
    counts = labels_in(window.records)
    gold = window.labelled(ranked(counts, 1))
    return Asked("Which of the labels is the most common?", Form.LABEL, gold, window.names)


def _least_common_label(window: Window) -> Asked:
    counts = labels_in(window.records)
    gold = window.labelled(ranked(counts, len(counts)))
    text = "Of the labels that occur at least once, which one is the least common?"
    return Asked(text, Form.LABEL, gold, window.names)


def _compare_labels(window: Window) -> Asked:
    one, other = window.two_labels()
    counts = labels_in(window.records)
    sides = (f"label '{window.names[one]}'", f"label '{window.names[other]}'")
    text = f"Is {sides[0]} more common, less common or as common as {sides[1]}?"
    return Asked(text, Form.COMPARISON, comparison(counts[one], counts[other]), sides)


def _count_label(window: Window) -> Asked:
    label = window.label()
    gold = labels_in(window.records)[label]
    return Asked(f"How many records have the label '{window.names[label]}'?", Form.NUMBER, str(gold))


def _most_records(window: Window) -> Asked:
    return Asked("Which user has the most records?", Form.USER, _user(ranked(users_in(window.records), 1)))


def _second_most_records(window: Window) -> Asked:
    return Asked("Which user has the second most records?", Form.USER, _user(ranked(users_in(window.records), 2)))


def _subset_label(window: Window) -> Asked:
    users = window.some_users()
    gold = window.labelled(ranked(labels_in(window.records, set(users)), 1))
    text = f"Among the records of the users {_listed(users)}, which label is the most common?"
    return Asked(text, Form.LABEL, gold, window.names)


def _subset_count(window: Window) -> Asked:
    users, label = window.some_users(), window.label()
    gold = labels_in(window.records, set(users))[label]
    text = f"How many records of the users {_listed(users)} have the label '{window.names[label]}'?"
    return Asked(text, Form.NUMBER, str(gold))


def _user_of_label(window: Window) -> Asked:
    label = window.label()
    gold = ranked(users_in(window.records, label), 1)
    return Asked(f"Which user has the most records with the label '{window.names[label]}'?", Form.USER, _user(gold))


def _compare_users(window: Window) -> Asked:
    label = window.label()
    one, other = window.draws.sample(window.users, 2)
    counts = users_in(window.records, label)
    sides = (f"user {one}", f"user {other}")
    text = (
        f"Among records with the label '{window.names[label]}', is {sides[0]} more common, less common or as common "
        f"as {sides[1]}?"
    )
    return Asked(text, Form.COMPARISON, comparison(counts[one], counts[other]), sides)


def _most_common_date(window: Window) -> Asked:
    gold = ranked(days_in(window.records), 1)
    return Asked("Which date has the most records?", Form.DATE, None if gold is None else slashed_date(gold))


def _second_most_common_date(window: Window) -> Asked:
    gold = ranked(days_in(window.records), 2)
    return Asked("Which date has the second most records?", Form.DATE, None if gold is None else slashed_date(gold))


def _dates_with_count(window: Window) -> Asked:
    by_day = days_in(window.records)
    times = window.draws.choice(sorted(set(by_day.values())))
    gold = sum(count == times for count in by_day.values())
    return Asked(f"How many dates have exactly {times} record{_s(times)}?", Form.NUMBER, str(gold))


def _before_and_after(window: Window) -> Asked:
    label = window.label()
    day = window.draws.between(DAYS // 5, DAYS - DAYS // 5)
    before = sum(record.label == label and record.day < day for record in window.records)
    after = sum(record.label == label and record.day > day for record in window.records)
    sides = (f"the label before {written_date(day)}", f"the label after {written_date(day)}")
    text = (
        f"Counting records with the label '{window.names[label]}', is {sides[0]} more common, less common or as "
        f"common as {sides[1]}?"
    )
    return Asked(text, Form.COMPARISON, comparison(before, after), sides)


def _count_in_month(window: Window) -> Asked:
    label, month = window.label(), month_of(window.draws.below(DAYS))
    gold = window.months.get(month, Counter())[label]
    text = f"How many records of the month {month} (MM/YYYY) have the label '{window.names[label]}'?"
    return Asked(text, Form.NUMBER, str(gold))


def _count_in_range(window: Window) -> Asked:
    label = window.label()
    first = window.draws.below(DAYS - 60)
    last = window.draws.between(first + 30, DAYS - 1)
    gold = sum(record.label == label and first <= record.day <= last for record in window.records)
    text = (
        f"How many records from {written_date(first)} to {written_date(last)}, both included, have the label "
        f"'{window.names[label]}'?"
    )
    return Asked(text, Form.NUMBER, str(gold))


def _first_month(window: Window) -> Asked:
    one, other = window.two_labels()
    gold = next((m for m, counts in window.months.items() if counts[one] > counts[other]), None)
    text = (
        f"Which is the first month in which the label '{window.names[one]}' has more records than the label "
        f"'{window.names[other]}'?"
    )
    return Asked(text, Form.MONTH, gold)


def _months_more(window: Window) -> Asked:
    one, other = window.two_labels()
    gold = sum(counts[one] > counts[other] for counts in window.months.values())
    text = (
        f"In how many months does the label '{window.names[one]}' have more records than the label "
        f"'{window.names[other]}'?"
    )
    return Asked(text, Form.NUMBER, str(gold))


def _months_leading(window: Window) -> Asked:
    label = window.label()
    gold = 0
    for counts in window.months.values():
        others = max((count for other, count in counts.items() if other != label), default=0)
        gold += counts[label] > others
    text = f"In how many months does the label '{window.names[label]}' have more records than every other label?"
    return Asked(text, Form.NUMBER, str(gold))


def _user(user: int | None) -> str | None:
    return None if user is None else str(user)


def _listed(users: Sequence[int]) -> str:
    return f"{', '.join(map(str, users[:-1]))} and {users[-1]}" if len(users) > 1 else str(users[0])


def _s(count: int) -> str:
    return "" if count == 1 else "s"


KINDS: dict[str, Kind] = {
    "most_common_label": _most_common_label,
    "least_common_label": _least_common_label,
    "compare_labels": _compare_labels,
    "count_label": _count_label,
    "most_records": _most_records,
    "second_most_records": _second_most_records,
    "subset_label": _subset_label,
    "subset_count": _subset_count,
    "user_of_label": _user_of_label,
    "compare_users": _compare_users,
    "most_common_date": _most_common_date,
    "second_most_common_date": _second_most_common_date,
    "dates_with_count": _dates_with_count,
    "before_and_after": _before_and_after,
    "count_in_month": _count_in_month,
    "count_in_range": _count_in_range,
    "first_month": _first_month,
    "months_more": _months_more,
    "months_leading": _months_leading,
}
# Asking one of the others again would only ask the same question.
_FIXED_KINDS = frozenset(
    {
        "most_common_label",
        "least_common_label",
        "most_records",
        "second_most_records",
        "most_common_date",
        "second_most_common_date",
    }
)
_DRAWN_KINDS = frozenset(KINDS) - _FIXED_KINDS
