import json
import math

import pytest

from rlm.answers import (
    Answer,
    AnswerStatus,
    CitationList,
    Coverage,
    Result,
    Searched,
    SearchedDocument,
    answer_json,
    searched,
)
from rlm.usage import Usage
from tests.fakes.passages import passage


def test_citations_are_numbered_from_one_and_keep_their_numbers() -> None:
    citations = CitationList()
    one = passage("First sentence. Second sentence.", start=100)
    assert [citations.cite(one, 0, 15), citations.cite(one, 16, 32), citations.cite(one, 0, 15)] == [1, 2, 1]
    assert [citation.number for citation in citations.citations] == [1, 2]


def test_a_citation_gives_the_span_in_its_version_and_the_words_that_stand_there() -> None:
    citations = CitationList()
    text = "Überall gilt: Zürich."
    citations.cite(passage(text, start=100, page=7, heading_path=("Orte",)), 14, 20)
    (citation,) = citations.citations
    assert (citation.start, citation.end, citation.quote) == (114, 120, "Zürich")
    assert (citation.page, citation.heading_path, citation.verified) == (7, ("Orte",), True)


def test_the_same_span_read_in_two_passages_is_one_citation() -> None:
    citations = CitationList()
    assert citations.cite(passage("abc def", start=10), 4, 7) == citations.cite(passage("def", start=14), 0, 3)


def test_what_was_searched_is_counted_by_document_best_first() -> None:
    found = [
        passage("a", document="two", title="Two"),
        passage("b", document="one", title="One"),
        passage("c", document="two", title="Two"),
    ]
    scope = searched(found, read=found[:1])
    assert (scope.passages, scope.read) == (3, 1)
    assert scope.documents == (SearchedDocument("two", "Two", 2, 1), SearchedDocument("one", "One", 1, 0))


def test_usage_adds_up() -> None:
    assert Usage(1, 20, 3) + Usage(1, 5, 1) == Usage(2, 25, 4)


def test_coverage_says_how_much_of_the_scope_was_read_and_what_failed() -> None:
    coverage = Coverage(11_000_000, 10_900_000, 2_400, 2_397, slices_failed=3, tokens_failed=100_000)
    assert coverage.sentence() == "10.9 of 11.0 million tokens in scope read, 3 slices failed"
    assert not coverage.complete


def test_coverage_names_what_a_classifier_labelled() -> None:
    coverage = Coverage(900, 300, 30, 10, slices_inferred=20, tokens_inferred=600, unit="record")
    assert coverage.sentence() == (
        "300 of 900 tokens in scope read, 20 records labelled by a classifier trained on what was read"
    )
    assert coverage.complete


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
        AnswerStatus.ANSWERED, "3", (), (), "recursive", None, Searched(0, 0, ()), result=Result("list", value)
    )
    body = answer_json(answer)
    assert body["result"]["value"] == written
    assert body["status"] == "answered"
    assert json.loads(json.dumps(body, allow_nan=False, ensure_ascii=False).encode()) == body
