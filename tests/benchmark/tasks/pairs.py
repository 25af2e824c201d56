"""Pairs of users over records: the twenty tasks of OOLONG-Pairs (arXiv 2512.24601, appendix D.1).

A task asks for every unordered pair of two different users where both meet one condition, or where one of them meets
the first condition and the other the second. "All of the records with label X are after D" holds for a user without
such a record; the question says so.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from itertools import combinations

from tests.benchmark.tasks.aggregation import describe
from tests.benchmark.tasks.draws import Draws
from tests.benchmark.tasks.folder import Form, Question
from tests.benchmark.tasks.records import FIRST_DAY, Record, Records, written_date

LABELS = "questions"  # the tasks are about this label set
_MOST_USERS = 60
_LARGEST_SHARE = 0.5

_SHORT = {
    "abb": "abbreviation",
    "ent": "entity",
    "desc": "description and abstract concept",
    "hum": "human being",
    "loc": "location",
    "num": "numeric value",
}


@dataclass(frozen=True)
class Amount:
    """So many records with a label; `exactly` or at least."""

    label: str
    count: int
    exactly: bool = False


@dataclass(frozen=True)
class Dated:
    """All of a user's records with a label are after, or before, a day."""

    label: str
    after: bool
    day: date


@dataclass(frozen=True)
class Condition:
    """What a user must have: any of some labels, every one of some amounts, and dates of a label."""

    any_of: tuple[str, ...] = ()
    amounts: tuple[Amount, ...] = ()
    dated: Dated | None = None


@dataclass(frozen=True)
class PairTask:
    """Both users meet `one`, or, where there is an `other`, one of them meets each."""

    number: int
    one: Condition
    other: Condition | None = None


def _either(first: str, second: str, dated: Dated | None = None) -> Condition:
    return Condition(any_of=(first, second), dated=dated)


def _has(*amounts: tuple[str, int] | tuple[str, int, str]) -> Condition:
    return Condition(amounts=tuple(Amount(each[0], each[1], len(each) > 2) for each in amounts))


def _after(label: str, *day: int) -> Dated:
    return Dated(label, True, date(*day))


def _before(label: str, *day: int) -> Dated:
    return Dated(label, False, date(*day))


_ONLY = "exactly"

PAIR_TASKS = (
    PairTask(1, _either("num", "loc")),
    PairTask(2, _either("ent", "hum")),
    PairTask(3, _either("desc", "abb")),
    PairTask(4, _either("hum", "loc", _after("hum", 2023, 1, 6))),
    PairTask(5, _either("ent", "num", _before("ent", 2023, 3, 15))),
    PairTask(6, _either("loc", "abb")),
    PairTask(7, _either("desc", "num", _after("num", 2023, 2, 1))),
    PairTask(8, _either("hum", "desc")),
    PairTask(9, _either("ent", "loc", _after("loc", 2023, 4, 10))),
    PairTask(10, _either("num", "abb", _before("abb", 2023, 5, 20))),
    PairTask(11, _has(("ent", 1), ("abb", 1)), _has(("ent", 1, _ONLY))),
    PairTask(12, _has(("num", 2)), _has(("loc", 1), ("hum", 1))),
    PairTask(13, _has(("desc", 1, _ONLY)), _has(("abb", 1), ("ent", 1))),
    PairTask(14, _has(("hum", 1), ("num", 1)), _has(("loc", 2, _ONLY))),
    PairTask(15, _has(("ent", 1), ("loc", 1), ("abb", 1)), _has(("num", 1, _ONLY))),
    PairTask(16, _has(("desc", 1), ("hum", 1)), _has(("ent", 2), ("abb", 1, _ONLY))),
    PairTask(17, _has(("num", 1, _ONLY)), _has(("loc", 1), ("desc", 1))),
    PairTask(18, _has(("abb", 1), ("hum", 1, _ONLY)), _has(("ent", 1), ("num", 1))),
    PairTask(19, _has(("loc", 2), ("ent", 1)), _has(("desc", 1, _ONLY), ("abb", 1, _ONLY))),
    PairTask(20, _has(("num", 1), ("hum", 1)), _has(("loc", 1), ("ent", 1), ("abb", 1, _ONLY))),
)


@dataclass(frozen=True)
class UserRange:
    """The users a question is about; None stands for all of them.

    An answer lists pairs, and their number grows with the square of the users': over long windows a question is about
    so many users with neighbouring IDs that the list stays one that can be written.
    """

    low: int
    high: int

    def __contains__(self, user: int) -> bool:
        return self.low <= user <= self.high


def pair_questions(records: Records, draws: Draws, count: int) -> list[Question]:
    """Up to `count` questions; tasks whose gold is empty or has more than half of all pairs are left out."""
    scope = _user_range(records, draws)
    by_user = _by_user(records, scope)
    possible = len(by_user) * (len(by_user) - 1) // 2
    questions: list[Question] = []
    for task in draws.sample(PAIR_TASKS, len(PAIR_TASKS)):
        gold = sorted(pairs(task, by_user, records.labels.names))
        if gold and len(gold) <= _LARGEST_SHARE * possible and len(questions) < count:
            written = tuple(f"{low},{high}" for low, high in gold)
            text = f"{describe(records)}\n\nQuestion: {ask(task, scope)}"
            questions.append(Question(f"pairs-{task.number}", f"task_{task.number}", text, Form.PAIRS, written))
    return questions


def pairs(task: PairTask, by_user: dict[int, list[Record]], names: tuple[str, ...]) -> Iterator[tuple[int, int]]:
    """The pairs of a task, the lower ID first."""
    one = {user for user, records in by_user.items() if _meets(task.one, records, names)}
    if task.other is None:
        yield from combinations(sorted(one), 2)
        return
    other = {user for user, records in by_user.items() if _meets(task.other, records, names)}
    for low, high in combinations(sorted(one | other), 2):
        if (low in one and high in other) or (low in other and high in one):
            yield low, high


def ask(task: PairTask, scope: UserRange | None) -> str:
    """A task in words."""
    users = f" with an ID from {scope.low} to {scope.high}" if scope else ""
    if task.other is None:
        wanted = f"where both users have {_condition(task.one)}"
    else:
        wanted = f"where one of the two has {_condition(task.one)}, and the other has {_condition(task.other)}"
    return (
        f"List all pairs of two different users{users} {wanted}. Give every pair once, as (lower ID, higher ID), one "
        "pair per line."
    )


def _meets(condition: Condition, records: list[Record], names: tuple[str, ...]) -> bool:
    counts = {label: sum(names[record.label] == _SHORT[label] for record in records) for label in _SHORT}
    if condition.any_of and not any(counts[label] for label in condition.any_of):
        return False
    for amount in condition.amounts:
        if counts[amount.label] < amount.count or (amount.exactly and counts[amount.label] != amount.count):
            return False
    dated = condition.dated
    if dated is None:
        return True
    limit = (dated.day - FIRST_DAY).days
    days = [record.day for record in records if names[record.label] == _SHORT[dated.label]]
    return all(day > limit if dated.after else day < limit for day in days)


def _condition(condition: Condition) -> str:
    if condition.any_of:
        first, second = (_SHORT[label] for label in condition.any_of)
        text = f"at least one record with the label '{first}' or the label '{second}'"
    else:
        text = " and ".join(_amount(amount) for amount in condition.amounts)
    if condition.dated is None:
        return text
    when = "after" if condition.dated.after else "before"
    label, day = _SHORT[condition.dated.label], written_date((condition.dated.day - FIRST_DAY).days)
    return f"{text}, and all of a user's records with the label '{label}' are {when} {day} (also true if there is none)"


def _amount(amount: Amount) -> str:
    how = "exactly" if amount.exactly else "at least"
    return f"{how} {amount.count} record{'' if amount.count == 1 else 's'} with the label '{_SHORT[amount.label]}'"


def _user_range(records: Records, draws: Draws) -> UserRange | None:
    users = sorted(set(records.users))
    if len(users) <= _MOST_USERS:
        return None
    first = draws.below(len(users) - _MOST_USERS + 1)
    return UserRange(users[first], users[first + _MOST_USERS - 1])


def _by_user(records: Records, scope: UserRange | None) -> dict[int, list[Record]]:
    by_user: dict[int, list[Record]] = {}
    for record in records:
        if scope is None or record.user in scope:
            by_user.setdefault(record.user, []).append(record)
    return by_user
