"""Golds are derived a second time, from the text of the question and of the document alone, with plain loops."""

import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from tests.benchmark.tasks.aggregation import KINDS
from tests.benchmark.tasks.corpus import BenchmarkFolder, Question
from tests.benchmark.tasks.draws import Draws
from tests.benchmark.tasks.generate import Spec, generate
from tests.benchmark.tasks.labels import label_set
from tests.benchmark.tasks.records import label_counts
from tests.benchmark.tasks.tallies import clear, comparison, ranked
from tests.unit.tests.benchmark.tasks.conftest import read_documents

LINE = re.compile(r"^Date: (\w{3} \d\d, \d{4}) \|\| User: (\d{5}) \|\| Instance: (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Row:
    day: date
    user: str
    label: str

    @property
    def month(self) -> tuple[int, int]:
        return self.day.year, self.day.month


def rows(folder: BenchmarkFolder) -> list[Row]:
    """Date and user as the document has them; the label from the file of labels, by place."""
    (text,) = read_documents(folder).values()
    labels = {record["start"]: record["label"] for record in folder.read_records()}
    return [
        Row(datetime.strptime(found[1], "%b %d, %Y").date(), found[2], labels[found.start()])
        for found in LINE.finditer(text)
    ]


def test_every_gold_follows_from_the_documents(aggregation: BenchmarkFolder) -> None:
    table = rows(aggregation)
    for question in aggregation.questions():
        assert (derive(question, table),) == question.gold, question.text.split("Question: ")[1]


def test_every_kind_is_asked_and_right_over_many_windows(tmp_path: Path) -> None:
    kinds: set[str] = set()
    for seed in range(6):
        folder = generate(Spec("aggregation", 8_000, seed=seed, count=40), tmp_path)
        table = rows(folder)
        for question in folder.questions():
            kinds.add(question.kind)
            assert (derive(question, table),) == question.gold, question.text.split("Question: ")[1]
    assert kinds == KINDS.keys()


def test_the_document_holds_the_records_that_it_says(aggregation: BenchmarkFolder) -> None:
    (text,) = read_documents(aggregation).values()
    table = rows(aggregation)
    assert f"The following lines contain {len(table)} records" in text
    assert text.count("|| Instance: ") == len(table)
    assert f"The preceding lines contain {len(table)} records" in text


def test_spans_of_records_are_their_lines(aggregation: BenchmarkFolder) -> None:
    (text,) = read_documents(aggregation).values()
    for record in aggregation.read_records():
        assert LINE.fullmatch(text[record["start"] : record["end"]])


def test_users_and_dates_are_spread_as_described(aggregation: BenchmarkFolder) -> None:
    table = rows(aggregation)
    by_user = Counter(row.user for row in table)
    pool = len(table) // 10
    in_pool = sum(count for _, count in by_user.most_common(pool))
    assert 0.7 < in_pool / len(table) < 0.9
    assert len({row.month for row in table}) == 40


def test_questions_say_what_the_labels_mean_and_how_to_answer(aggregation: BenchmarkFolder) -> None:
    for question in aggregation.questions():
        assert len(question.text) < 4_000
        assert all(label.definition in question.text for label in label_set("questions").labels)
        assert "Give the final answer as '" in question.text


@pytest.mark.parametrize("temperature", [1.0, 2.0, 6.0])
def test_label_counts_sum_up_and_are_the_softmax(temperature: float) -> None:
    for seed in range(20):
        counts = label_counts(6, 1000, Draws(seed), temperature)
        draws = Draws(seed)
        weights = [(Decimal(draws.between(1, 30)) ** (1 / Decimal(str(temperature)))).exp() for _ in range(6)]
        assert sum(counts) == 1000
        assert min(counts) >= 0
        for count, weight in zip(counts[1:], weights[1:], strict=True):
            assert abs(count - 1000 * weight / sum(weights)) <= 3


def test_more_is_asked_only_where_it_is_clear() -> None:
    assert clear(100, 98) is False
    assert clear(100, 97) is True
    assert comparison(100, 99) is None
    assert (comparison(7, 7), comparison(0, 0), comparison(2, 1), comparison(1, 2)) == ("same", None, "more", "less")
    assert ranked(Counter(a=100, b=99), 1) is None
    assert ranked(Counter(a=100, b=90, c=89), 2) is None
    assert ranked(Counter(a=100, b=90, c=80), 2) == "b"
    assert ranked(Counter(a=1), 2) is None


def derive(question: Question, table: list[Row]) -> str:
    """The answer, worked out anew: the question's own words are all that is known of it."""
    asked = question.text.split("Question: ")[1].split(" Give the final answer as")[0]
    return DERIVATIONS[question.kind](asked, table)


def labels_of(asked: str) -> list[str]:
    return [label for label in re.findall(r"'([^']+)'", asked) if label in label_set("questions").names]


def users_of(asked: str) -> set[str]:
    return set(re.findall(r"\b\d{5}\b", asked))


def worded(text: str) -> list[date]:
    return [datetime.strptime(each, "%b %d, %Y").date() for each in re.findall(r"[A-Z][a-z]{2} \d\d, \d{4}", text)]


def best(counts: dict[str, int] | Counter[str], place: int = 0) -> str:
    return sorted(counts, key=lambda value: -counts[value])[place]


def verdict(one: int, other: int) -> str:
    return "same" if one == other else "more" if one > other else "less"


def count_label(asked: str, table: list[Row]) -> str:
    users, days, months = users_of(asked), worded(asked), re.findall(r"(\d\d)/(\d{4})", asked)
    total = 0
    for row in table:
        wanted = row.label == labels_of(asked)[0]
        wanted = wanted and (not users or row.user in users)
        wanted = wanted and (not days or days[0] <= row.day <= days[1])
        wanted = wanted and (not months or row.month == (int(months[0][1]), int(months[0][0])))
        total += wanted
    return str(total)


def by_month(table: list[Row], label: str) -> Counter[tuple[int, int]]:
    return Counter(row.month for row in table if row.label == label)


def all_months(table: list[Row]) -> list[tuple[int, int]]:
    return sorted({row.month for row in table})


def first_month(asked: str, table: list[Row]) -> str:
    one, other = (by_month(table, label) for label in labels_of(asked))
    year, month = next(month for month in all_months(table) if one[month] > other[month])
    return f"{month:02d}/{year}"


def months_more(asked: str, table: list[Row]) -> str:
    one, other = (by_month(table, label) for label in labels_of(asked))
    return str(len([month for month in all_months(table) if one[month] > other[month]]))


def months_leading(asked: str, table: list[Row]) -> str:
    counts = {label: by_month(table, label) for label in label_set("questions").names}
    label = labels_of(asked)[0]
    return str(
        len([m for m in all_months(table) if all(counts[label][m] > counts[o][m] for o in counts if o != label)])
    )


def before_and_after(asked: str, table: list[Row]) -> str:
    label, limit = labels_of(asked)[0], worded(asked)[0]
    before = len([row for row in table if row.label == label and row.day < limit])
    after = len([row for row in table if row.label == label and row.day > limit])
    return verdict(before, after)


def compare_users(asked: str, table: list[Row]) -> str:
    one, other = re.findall(r"user (\d{5})", asked)
    counts = Counter(row.user for row in table if row.label == labels_of(asked)[0])
    return verdict(counts[one], counts[other])


def compare_labels(asked: str, table: list[Row]) -> str:
    one, other = labels_of(asked)
    counts = Counter(row.label for row in table)
    return verdict(counts[one], counts[other])


def subset_label(asked: str, table: list[Row]) -> str:
    return best(Counter(row.label for row in table if row.user in users_of(asked)))


def user_of_label(asked: str, table: list[Row]) -> str:
    return best(Counter(row.user for row in table if row.label == labels_of(asked)[0]))


def dates_with_count(asked: str, table: list[Row]) -> str:
    found = re.search(r"exactly (\d+) record", asked)
    assert found
    by_day = Counter(row.day for row in table)
    return str(len([day for day in by_day if by_day[day] == int(found[1])]))


def best_date(place: int) -> Callable[[str, list[Row]], str]:
    return lambda _, table: best(Counter(f"{row.day:%m/%d/%Y}" for row in table), place)


DERIVATIONS: dict[str, Callable[[str, list[Row]], str]] = {
    "most_common_label": lambda _, table: best(Counter(row.label for row in table)),
    "least_common_label": lambda _, table: best(Counter(row.label for row in table), -1),
    "compare_labels": compare_labels,
    "count_label": count_label,
    "most_records": lambda _, table: best(Counter(row.user for row in table)),
    "second_most_records": lambda _, table: best(Counter(row.user for row in table), 1),
    "subset_label": subset_label,
    "subset_count": count_label,
    "user_of_label": user_of_label,
    "compare_users": compare_users,
    "most_common_date": best_date(0),
    "second_most_common_date": best_date(1),
    "dates_with_count": dates_with_count,
    "before_and_after": before_and_after,
    "count_in_month": count_label,
    "count_in_range": count_label,
    "first_month": first_month,
    "months_more": months_more,
    "months_leading": months_leading,
}


def test_every_kind_has_a_second_derivation() -> None:
    assert DERIVATIONS.keys() == KINDS.keys()


def test_labels_of_records_are_those_of_their_templates(aggregation: BenchmarkFolder) -> None:
    """The texts are matched against the templates, without the labels that were drawn."""
    (text,) = read_documents(aggregation).values()
    patterns = {
        label.name: re.compile("|".join(re.sub(r"\\\{\w+\\\}", ".+?", re.escape(each)) for each in label.templates))
        for label in label_set("questions").labels
    }
    for record in aggregation.read_records():
        instance = text[record["start"] : record["end"]].split("|| Instance: ")[1]
        assert patterns[record["label"]].fullmatch(instance), json.dumps(record)
