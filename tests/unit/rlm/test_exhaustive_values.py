"""Values that are taken out of records, or stand in them, and what is computed from them."""

import re
from collections import Counter

import pytest

from rlm.answers import AnswerStatus
from tests.support.labelled_records import label_of
from tests.support.whole_questions import RECORDS, filled, first_line


def words_in(text: str) -> int:
    match = re.search(r"in (\d+) words", text)
    assert match is not None
    return int(match[1])


NUMBERS = [words_in(record.text) for record in RECORDS]


@pytest.mark.parametrize(
    ("compute", "expected"),
    [
        ("sum", sum(NUMBERS)),
        ("average", sum(NUMBERS) / len(NUMBERS)),
        ("minimum", min(NUMBERS)),
        ("maximum", max(NUMBERS)),
    ],
)
def test_values_are_taken_out_of_every_record_and_measured(compute: str, expected: float) -> None:
    answer = filled(lambda text: {"words": str(words_in(text))}, values=["words"], compute=compute, column="words")
    assert answer.result is not None
    assert answer.result.value == pytest.approx(expected)
    assert float(first_line(answer).replace(",", "")) == pytest.approx(expected, rel=1e-5)
    assert answer.status is AnswerStatus.ANSWERED
    assert answer.coverage is not None
    assert answer.coverage.slices_read == len(RECORDS)


def test_values_that_are_no_numbers_are_left_out_of_a_sum_and_told() -> None:
    def rule(text: str) -> object:
        return {"words": "many" if "cat" in text else "NaN" if "owl" in text else str(words_in(text))}

    answer = filled(rule, values=["words"], compute="sum", column="words")
    counted = [words_in(record.text) for record in RECORDS if not re.search("cat|owl", record.text)]
    assert answer.result is not None
    assert answer.result.value == sum(counted)
    assert f"over {len(counted):,} records" in answer.text


def test_a_sum_of_nothing_is_not_found() -> None:
    answer = filled(lambda text: {"words": None}, values=["words"], compute="sum", column="words")
    assert answer.status is AnswerStatus.NOT_FOUND
    assert "No record has a number for words." in answer.text


def test_written_numbers_of_some_records_are_measured_without_a_model() -> None:
    where = [{"column": "Date", "op": "before", "value": "Jul 01, 2022"}]
    answer = filled(lambda text: None, compute="maximum", column="User", where=where)
    assert answer.result is not None
    assert answer.result.value == max(record.user for record in RECORDS if record.when.isoformat() < "2022-07-01")
    assert answer.model == "scripted"  # it made the plan
    assert answer.usage.calls == 1


def test_the_most_common_of_values_that_were_taken_out() -> None:
    words = Counter(record.text.split()[4] for record in RECORDS)
    answer = filled(lambda text: {"thing": text.split()[4]}, values=["thing"], compute="most_common", column="thing")
    assert answer.result is not None
    assert answer.result.table == dict(words)


def test_different_values_are_listed_with_how_often_they_come() -> None:
    words = Counter(record.text.split()[4] for record in RECORDS)
    answer = filled(lambda text: {"thing": text.split()[4]}, values=["thing"], compute="list", column="thing")
    assert answer.result is not None
    assert answer.result.kind == "values"
    assert answer.result.table == dict(words)
    assert all(f"{word} ({count})" in first_line(answer) for word, count in words.items())


def test_records_are_listed_with_the_first_of_them_quoted() -> None:
    plants = [record.line for record in RECORDS if record.label == "plant"]
    answer = filled(
        lambda text: "yes" if label_of(text) == "plant" else "no",
        yes_no_question="Is it about a plant?",
        compute="list",
    )
    assert answer.result is not None
    assert (answer.result.kind, answer.result.value) == ("records", len(plants))
    assert [citation.quote for citation in answer.citations] == plants[:50]
    assert "[50]" in answer.text
    assert "The first 50 are quoted" in answer.text


def test_a_list_of_nothing_is_not_found() -> None:
    answer = filled(lambda text: "no", yes_no_question="Is it a ship?", compute="list")
    assert answer.status is AnswerStatus.NOT_FOUND
    assert answer.citations == ()
