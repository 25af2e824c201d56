"""Pairs of users over records, after OOLONG-Pairs (arXiv 2512.24601, appendix D.1).

A question asks for every unordered pair of two different users of whom one has enough records of a label, and the other
enough of another: the answer grows with the square of the users.
"""

from collections import Counter
from itertools import combinations

from tests.benchmark.tasks.aggregation import describe
from tests.benchmark.tasks.draws import Draws
from tests.benchmark.tasks.folder import Form, Question
from tests.benchmark.tasks.records import Records

# A question is about so many users with neighbouring IDs that the list of pairs stays one that can be written.
_MOST_USERS = 60
_MOST_RECORDS = 3
_LARGEST_SHARE = 0.5
_TRIES = 20


def pair_questions(records: Records, draws: Draws, count: int) -> list[Question]:
    """Up to `count` questions, all different; those with no gold or more than half of all pairs are left out."""
    questions: dict[str, Question] = {}
    names = records.labels.names
    for _ in range(_TRIES * count):
        users = _neighbours(records, draws)
        (one, other), least = draws.sample(range(len(names)), 2), [draws.between(1, _MOST_RECORDS) for _ in range(2)]
        text = (
            f"{describe(records)}\n\nQuestion: List all pairs of two different users with an ID from {users[0]} to "
            f"{users[-1]} where one of the two has {_amount(least[0], names[one])}, and the other has "
            f"{_amount(least[1], names[other])}. Give every pair once, as (lower ID, higher ID), one pair per line."
        )
        having, having_other = _users_with(records, one, least[0]), _users_with(records, other, least[1])
        gold = [
            f"{low},{high}"
            for low, high in combinations(users, 2)
            if (low in having and high in having_other) or (high in having and low in having_other)
        ]
        if 0 < len(gold) <= _LARGEST_SHARE * len(users) * (len(users) - 1) / 2:
            questions[text] = Question(f"pairs-{len(questions) + 1}", "pairs", text, Form.PAIRS, tuple(gold))
        if len(questions) == count:
            break
    return list(questions.values())


def _neighbours(records: Records, draws: Draws) -> list[int]:
    users = sorted(set(records.users))
    first = draws.below(max(1, len(users) - _MOST_USERS + 1))
    return users[first : first + _MOST_USERS]


def _users_with(records: Records, label: int, least: int) -> set[int]:
    counts = Counter(each.user for each in records if each.label == label)
    return {user for user, count in counts.items() if count >= least}


def _amount(least: int, label: str) -> str:
    return f"at least {least} record{'' if least == 1 else 's'} with the label '{label}'"
