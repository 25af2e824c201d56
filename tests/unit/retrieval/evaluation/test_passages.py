import csv
import json
from pathlib import Path
from typing import Any

import pytest

from ingest.storage.texts.normalize import normalize
from retrieval.errors import EvaluationDataError
from retrieval.evaluation.passages import (
    DocumentSpan,
    QuestionPart,
    assign_question_part,
    has_located_questions,
    judge_passages,
    open_located_questions,
)

TEXT = "\ufeff# Ships\n\nThe Pequod sailed.  \n\nThe whale dived. The whale rose.\n"
ASKED = "Where did the whale go?"


def lines(folder: Path, *entries: dict[str, Any]) -> Path:
    (folder / "ships.md").write_text(TEXT, encoding="utf-8")
    file = folder / "questions.jsonl"
    file.write_text("".join(json.dumps(entry) + "\n\n" for entry in entries))
    return file


def excerpt(text: str, *, document: str = "ships.md") -> dict[str, Any]:
    start = TEXT.index(text)
    return {"document": document, "start": start, "end": start + len(text)}


def test_excerpts_are_located_in_the_normalized_text(tmp_path: Path) -> None:
    file = lines(tmp_path, {"id": "q", "question": ASKED, "references": [excerpt("The whale rose.")]})
    text = normalize(TEXT)

    (place,) = open_located_questions(file, None).locate_answers({"ships.md": text})["q"]

    assert place.start != TEXT.index("The whale rose.")
    assert text[place.start : place.end] == "The whale rose."


def test_the_same_words_twice_are_located_by_their_offset(tmp_path: Path) -> None:
    second = TEXT.rindex("The whale")
    reference = {"document": "ships.md", "start": second, "end": second + len("The whale")}
    text = normalize(TEXT)

    (place,) = open_located_questions(
        lines(tmp_path, {"question": ASKED, "references": [reference]}), None
    ).locate_answers({"ships.md": text})["1"]

    assert place.start == text.rindex("The whale")


def test_an_excerpt_that_the_text_does_not_have_is_an_error(tmp_path: Path) -> None:
    placed = open_located_questions(
        lines(tmp_path, {"question": ASKED, "references": [excerpt("The whale rose.")]}), None
    )
    with pytest.raises(EvaluationDataError, match="was not found in the normalized text"):
        placed.locate_answers({"ships.md": "another text"})


def test_pages_are_judged_by_their_number_and_only_if_asked_where_there_are_excerpts(tmp_path: Path) -> None:
    entry = {"question": ASKED, "references": [excerpt("The whale")], "pages": [{"document": "ships.md", "page": 3}]}
    file = lines(tmp_path, entry)

    assert open_located_questions(file, tmp_path).questions[0].places[0].page is None
    assert open_located_questions(file, tmp_path, use_pages=True).questions[0].places == (
        DocumentSpan("ships.md", page=3),
    )


def test_the_format_of_chroma_is_read_and_a_question_asked_twice_is_one(tmp_path: Path) -> None:
    (tmp_path / "corpora").mkdir()
    (tmp_path / "corpora" / "ships.md").write_text(TEXT, encoding="utf-8")
    with (tmp_path / "questions.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["question", "references", "corpus_id"])
        for start, end in ((10, 20), (30, 40)):
            writer.writerow([ASKED, json.dumps([{"content": "", "start_index": start, "end_index": end}]), "ships"])

    assert has_located_questions(tmp_path)
    (question,) = open_located_questions(tmp_path, None).questions
    assert (question.text, [(place.start, place.end) for place in question.places]) == (ASKED, [(10, 20), (30, 40)])


@pytest.mark.parametrize(
    "entry",
    [
        {"question": ASKED},
        {"references": [{"document": "ships.md", "page": 1}]},
        {"question": ASKED, "references": [{"document": "ships.md"}]},
        {"question": ASKED, "part": "best", "references": [{"document": "ships.md", "page": 1}]},
        {"question": ASKED, "references": [{"document": "gone.md", "page": 1}]},
    ],
)
def test_a_question_without_a_usable_place_is_an_error(tmp_path: Path, entry: dict[str, Any]) -> None:
    with pytest.raises(EvaluationDataError):
        open_located_questions(lines(tmp_path, entry), None)


def test_a_part_is_the_files_or_that_of_a_hash(tmp_path: Path) -> None:
    place = {"references": [{"document": "ships.md", "page": 1}]}
    other = {QuestionPart.KEPT: "choosing", QuestionPart.CHOOSING: "kept"}[assign_question_part(ASKED)]
    first, second = open_located_questions(
        lines(tmp_path, {"question": ASKED, **place}, {"question": ASKED, "part": other, **place}), None
    ).questions
    assert (first.part, second.part) == (assign_question_part(ASKED), QuestionPart(other))
    halves = [assign_question_part(str(number)) for number in range(200)]
    assert 60 < halves.count(QuestionPart.KEPT) < 140


WANTED = DocumentSpan("a", 100, 200)


@pytest.mark.parametrize(
    ("passage", "holds"),
    [
        (DocumentSpan("a", 0, 1000), True),
        (DocumentSpan("a", 120, 130), True),
        (DocumentSpan("a", 0, 150), True),
        (DocumentSpan("a", 0, 149), False),
        (DocumentSpan("a", 200, 300), False),
        (DocumentSpan("b", 100, 200), False),
    ],
)
def test_a_passage_holds_a_place_if_it_shares_half_of_the_shorter_one(passage: DocumentSpan, holds: bool) -> None:
    assert passage.covers(WANTED) is holds


def test_a_passage_holds_a_page_that_it_begins_on() -> None:
    assert DocumentSpan("a", 0, 10, page=3).covers(DocumentSpan("a", page=3))
    assert not DocumentSpan("a", 0, 10, page=2).covers(DocumentSpan("a", page=3))
    assert not DocumentSpan("a", 0, 10).covers(DocumentSpan("a", page=3))


def test_questions_are_judged_by_the_first_passage_and_by_the_share_of_places_found() -> None:
    other, third = DocumentSpan("b", 0, 50), DocumentSpan("c", 0, 50)
    rankings = {"both": [third, WANTED, other], "one": [third] * 5 + [WANTED]}
    wanted = {"both": [WANTED, other], "one": [WANTED, other], "none": [WANTED]}

    figures = judge_passages(rankings, wanted).figures

    assert figures["mrr@10"] == {"both": 1 / 2, "one": 1 / 6, "none": 0}
    assert figures["found@1"] == {"both": 0, "one": 0, "none": 0}
    assert figures["found@5"] == {"both": 1, "one": 0, "none": 0}
    assert figures["found@10"] == {"both": 1, "one": 1, "none": 0}
    assert figures["recall@10"] == {"both": 1, "one": 0.5, "none": 0}
