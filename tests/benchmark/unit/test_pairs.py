"""Golds of pairs are derived a second time, from the words of the question and the lines of the document."""

import re
from collections import defaultdict
from datetime import date
from itertools import combinations

import pytest

from tests.benchmark.tasks.corpus import BenchmarkFolder
from tests.benchmark.tasks.labels import label_set
from tests.benchmark.tasks.pairs import PAIR_TASKS, pair_questions
from tests.unit.tests.benchmark.tasks.test_aggregation import Row, rows, worded


def meets(condition: str, records: list[Row]) -> bool:
    dated = re.search(r", and all of a user's records with the label '(.+?)' are (after|before) (.+?) \(", condition)
    if dated:
        (limit,) = worded(dated[3])
        days = [row.day for row in records if row.label == dated[1]]
        if any((day <= limit) if dated[2] == "after" else (day >= limit) for day in days):
            return False
        condition = condition[: dated.start()]
    either = re.fullmatch(r"at least one record with the label '(.+)' or the label '(.+)'", condition)
    if either:
        return any(row.label in either.groups() for row in records)
    amounts = re.findall(r"(at least|exactly) (\d) records? with the label '(.+?)'", condition)
    assert amounts, condition
    for how, wanted, label in amounts:
        count = len([row for row in records if row.label == label])
        if count < int(wanted) or (how == "exactly" and count != int(wanted)):
            return False
    return True


def derive(text: str, table: list[Row]) -> list[str]:
    asked = text.split("Question: ")[1].split(". Give every pair once")[0]
    by_user: dict[str, list[Row]] = defaultdict(list)
    scope = re.search(r"with an ID from (\d+) to (\d+)", asked)
    for row in table:
        if not scope or int(scope[1]) <= int(row.user) <= int(scope[2]):
            by_user[row.user].append(row)
    both = re.search(r"where both users have (.+)$", asked)
    found = re.search(r"where one of the two has (.+), and the other has (.+)$", asked)
    gold = []
    for low, high in combinations(sorted(by_user), 2):
        if both:
            right = meets(both[1], by_user[low]) and meets(both[1], by_user[high])
        else:
            assert found
            one, other = found.groups()
            right = (meets(one, by_user[low]) and meets(other, by_user[high])) or (
                meets(other, by_user[low]) and meets(one, by_user[high])
            )
        if right:
            gold.append(f"{low},{high}")
    return gold


def test_every_gold_follows_from_the_documents(pairs: BenchmarkFolder) -> None:
    table = rows(pairs)
    questions = pairs.questions()
    assert len(questions) >= 14
    for question in questions:
        assert derive(question.text, table) == list(question.gold), question.kind


def test_there_are_ten_symmetric_and_ten_asymmetric_tasks() -> None:
    assert [task.number for task in PAIR_TASKS] == list(range(1, 21))
    assert [task.other is None for task in PAIR_TASKS] == [True] * 10 + [False] * 10


def test_no_gold_is_empty_or_most_of_all_pairs(pairs: BenchmarkFolder) -> None:
    for question in pairs.questions():
        scope = re.search(r"with an ID from (\d+) to (\d+)", question.text)
        users = {row.user for row in rows(pairs) if not scope or int(scope[1]) <= int(row.user) <= int(scope[2])}
        assert 0 < len(question.gold) <= len(users) * (len(users) - 1) / 4


def test_a_condition_on_dates_holds_for_users_without_such_a_record() -> None:
    condition = (
        "at least one record with the label 'human being' or the label 'location', and all of a user's records with "
        "the label 'human being' are after Jan 06, 2023 (also true if there is none)"
    )
    here = Row(date(2022, 5, 1), "10000", "location")
    assert meets(condition, [here])
    assert not meets(condition, [here, Row(date(2023, 1, 6), "10000", "human being")])


@pytest.mark.parametrize("count", [1, 3])
def test_no_more_questions_than_asked_for(count: int) -> None:
    from tests.benchmark.tasks.draws import Draws
    from tests.benchmark.tasks.records import Record, Records

    records = Records(label_set("questions"))
    draws = Draws(4)
    for _ in range(300):
        records.append(Record(draws.below(1200), 10_000 + draws.below(40), draws.below(6)))
    assert len(pair_questions(records, draws, count)) == count
