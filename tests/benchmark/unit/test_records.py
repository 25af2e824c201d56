"""Tasks over records. Golds are derived a second time, from the words of the question and the lines of the document."""

import re
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from tests.benchmark.tasks.aggregation import KINDS, clear, comparison, ranked
from tests.benchmark.tasks.draws import Draws
from tests.benchmark.tasks.folder import TaskFolder
from tests.benchmark.tasks.generate import Spec, generate
from tests.benchmark.tasks.labels import LABEL_SETS, label_set
from tests.benchmark.tasks.programs import compute
from tests.benchmark.tasks.records import label_counts
from tests.benchmark.tasks.scoring import score

LINE = re.compile(r"^Date: (\w{3} \d\d, \d{4}) \|\| User: (\d{5}) \|\| Instance: (.+)$", re.MULTILINE)
Task = Callable[[str], TaskFolder]


def rows(folder: TaskFolder) -> list[dict[str, str]]:
    """Date and user as the document has them; the label from the file of labels, by place."""
    (text,) = folder.texts().values()
    labels = {record["start"]: record["label"] for record in folder.read_records()}
    found = LINE.finditer(text)
    return [{"label": labels[each.start()], "user": each[2], "date": each[1]} for each in found]


@pytest.mark.parametrize("name", ["aggregation", "pairs"])
def test_every_gold_follows_from_the_documents(task: Task, name: str) -> None:
    table = rows(task(name))
    for question in task(name).questions():
        assert score(question, compute(question.kind, question.text, table)) == 1.0, question.text


def test_every_kind_is_asked_and_right_over_many_windows(tmp_path: Path) -> None:
    kinds: set[str] = set()
    for seed in range(4):
        folder = generate(Spec("aggregation", 8_000, seed=seed, count=40), tmp_path)
        table = rows(folder)
        for question in folder.questions():
            kinds.add(question.kind)
            assert score(question, compute(question.kind, question.text, table)) == 1.0, question.text
    assert kinds == KINDS.keys()


def test_the_document_holds_the_records_that_it_says_and_spans_are_their_lines(task: Task) -> None:
    (text,) = task("aggregation").texts().values()
    records = list(task("aggregation").read_records())
    assert f"The following lines contain {len(records)} records" in text
    assert text.count("|| Instance: ") == len(records)
    assert all(LINE.fullmatch(text[record["start"] : record["end"]]) for record in records)


def test_labels_of_records_are_those_of_their_templates(task: Task) -> None:
    """The texts are matched against the templates, without the labels that were drawn."""
    (text,) = task("aggregation").texts().values()
    patterns = {
        label.name: re.compile("|".join(re.sub(r"\\\{\w+\\\}", ".+?", re.escape(each)) for each in label.templates))
        for label in label_set("questions").labels
    }
    for record in task("aggregation").read_records():
        instance = text[record["start"] : record["end"]].split("|| Instance: ")[1]
        assert patterns[record["label"]].fullmatch(instance), record


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
    assert (clear(100, 98), clear(100, 97)) == (False, True)
    assert comparison(100, 99) is None
    assert (comparison(7, 7), comparison(0, 0), comparison(2, 1), comparison(1, 2)) == ("same", None, "more", "less")
    assert ranked(Counter(a=100, b=99), 1) is None
    assert ranked(Counter(a=100, b=90, c=89), 2) is None
    assert ranked(Counter(a=100, b=90, c=80), 2) == "b"


def test_no_gold_of_pairs_is_empty_or_most_of_all(task: Task) -> None:
    for question in task("pairs").questions():
        low, high = re.findall(r"\b\d{5}\b", question.text.split("Question: ")[1])
        users = {row["user"] for row in rows(task("pairs")) if low <= row["user"] <= high}
        assert 0 < len(question.gold) <= len(users) * (len(users) - 1) / 4


@pytest.mark.parametrize("name", LABEL_SETS)
def test_no_template_belongs_to_two_labels_and_every_slot_can_be_filled(name: str) -> None:
    labels = label_set(name)
    templates = [template for label in labels.labels for template in label.templates]
    assert len(set(templates)) == len(templates)
    assert set(re.findall(r"\{(\w+)\}", " ".join(templates))) <= labels.slots.keys()
    assert all(label.definition for label in labels.labels)
