"""Questions in SQuAD's format, and which format a folder is in."""

import json
from pathlib import Path
from typing import Any

import pytest

from retrieval.errors import EvaluationDataError
from retrieval.evaluation.judged import BeirFolder, CorpusEntry, SquadFolder, open_judged_folder

ARTICLES = [
    {
        "title": "Sounding_lines",
        "paragraphs": [
            {
                "context": "A leadline measures depth.",
                "qas": [
                    {"id": "q1", "question": " What measures depth? ", "answers": [{"text": "A leadline"}]},
                    {"id": "q2", "question": "What measures speed?", "is_impossible": True},
                ],
            },
            {"context": "It has marks.", "qas": []},
        ],
    },
    {"paragraphs": [{"context": "Whales sing.", "qas": [{"id": 7, "question": "Who sings?"}]}]},
]


def write(folder: Path, content: Any) -> Path:  # noqa: ANN401 - JSON
    (folder / "questions.json").write_text(json.dumps(content))
    return folder


def test_paragraphs_are_texts_under_their_articles_title_and_questions_are_judged_by_theirs(tmp_path: Path) -> None:
    data = SquadFolder(write(tmp_path, {"data": ARTICLES}))

    assert list(data.iter_corpus()) == [
        CorpusEntry("1", "Sounding lines", "A leadline measures depth."),
        CorpusEntry("2", "Sounding lines", "It has marks."),
        CorpusEntry("3", "", "Whales sing."),
    ]
    assert data.queries == {"q1": "What measures depth?", "7": "Who sings?"}
    assert {query: dict(grades) for query, grades in data.qrels.items()} == {"q1": {"1": 1}, "7": {"3": 1}}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"data": [{"paragraphs": [{"context": "x"}]}]}, "is not in SQuAD format"),
        ([], "is not in SQuAD format"),
        ({"data": []}, "contains no questions"),
    ],
)
def test_another_file_is_refused_with_what_the_format_is(tmp_path: Path, content: object, said: str) -> None:
    with pytest.raises(EvaluationDataError, match=said) as caught:
        SquadFolder(write(tmp_path, content))
    assert "SQuAD" in caught.value.hint


def test_the_format_is_told_by_the_files(tmp_path: Path) -> None:
    assert isinstance(open_judged_folder(write(tmp_path, {"data": ARTICLES})), SquadFolder)
    (tmp_path / "qrels").mkdir()
    (tmp_path / "corpus.jsonl").write_text('{"_id": "1", "text": "x"}\n')
    (tmp_path / "queries.jsonl").write_text('{"_id": "q", "text": "x"}\n')
    (tmp_path / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq\t1\t1\n")
    assert isinstance(open_judged_folder(tmp_path), BeirFolder)


def test_a_folder_without_any_of_the_files_names_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(EvaluationDataError, match=r"queries\.jsonl cannot be read"):
        open_judged_folder(tmp_path)
