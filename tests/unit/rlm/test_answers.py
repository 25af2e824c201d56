import json
import math

import pytest

from rlm.answers import (
    Answer,
    AnswerStatus,
    Coverage,
    Result,
    SearchedDocument,
    SearchSummary,
    build_answer_json,
    summarize_search,
)
from rlm.llm.budgets import Usage
from tests.fakes.passages import passage


def test_what_was_searched_is_counted_by_document_best_first() -> None:
    found = [
        passage("a", document="two", title="Two"),
        passage("b", document="one", title="One"),
        passage("c", document="two", title="Two"),
    ]
    scope = summarize_search(found, read_passages=found[:1])
    assert (scope.passages, scope.read) == (3, 1)
    assert scope.documents == (SearchedDocument("two", "Two", 2, 1), SearchedDocument("one", "One", 1, 0))


def test_usage_adds_up() -> None:
    assert Usage(1, 20, 3) + Usage(1, 5, 1) == Usage(2, 25, 4)


def test_coverage_says_what_a_model_read_what_code_searched_and_what_was_not_opened() -> None:
    coverage = Coverage(11_000_000, 200_000, 10_000_000, units=24, units_read=3, units_searched=21, units_failed=1)
    assert coverage.tokens_unopened == 800_000
    said = coverage.to_sentence()
    assert all(figure in said for figure in ("11,000,000", "200,000", "10,000,000", "800,000", "1 document failed"))
    assert not coverage.is_complete


def test_coverage_names_what_a_classifier_labelled() -> None:
    coverage = Coverage(900, 300, 600, units=30, units_read=10, units_inferred=20, unit="record")
    assert "20 records labelled by a classifier" in coverage.to_sentence()
    assert coverage.is_complete


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ({"b", "a", 3}, ["a", "b", 3]),
        ({("a", "b"): 3, 4: (1, {"x"})}, {"(a, b)": 3, "4": [1, ["x"]]}),
        (math.inf, None),
        ([math.nan, 1.5, True], [None, 1.5, True]),
        ("half \ud800", "half ?"),
    ],
    ids=["set", "table", "infinite", "no number", "half a character"],
)
def test_an_answer_is_json_whatever_a_program_computed(value: object, written: object) -> None:
    answer = Answer(
        AnswerStatus.ANSWERED, "3", (), (), "recursive", None, SearchSummary(0, 0, ()), result=Result("list", value)
    )
    body = build_answer_json(answer)
    assert body["result"]["value"] == written
    assert body["status"] == "answered"
    assert json.loads(json.dumps(body, allow_nan=False, ensure_ascii=False).encode()) == body
