"""Questions that are judged by the figures in the passages found."""

from pathlib import Path

import pytest

from retrieval.errors import EvaluationDataError
from retrieval.evaluation.figures import (
    FigureQuestion,
    FigureQuestions,
    FoundPassage,
    extract_figures,
    has_figures,
    judge_figures,
)
from retrieval.evaluation.passages import QuestionPart


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "docs").mkdir()
    for name in ("2022 Q3 ABC.pdf", "2023 Q1 ABC.pdf"):
        (tmp_path / "docs" / name).write_bytes(b"")
    (tmp_path / "questions.csv").write_text(
        "\ufeffQuestion,Source Docs,Question Type,Answer\n"
        'How much was sold in Q3?,*2022 Q3 ABC*,Single,"$1,234 million of $2,500.5 million in 2022, in 12 shops"\n'
        "How did sales change?,*ABC*,Multi,From 1000 to 2000.\n"
        "What is sold?,*2023 Q1 ABC*,Single,Lamps.\n",
        encoding="utf-8",
    )
    return tmp_path


def test_questions_about_one_document_with_figures_in_the_answer_are_asked(folder: Path) -> None:
    assert has_figures(folder)
    data = FigureQuestions(folder)
    assert [(each.text, each.document, each.figures) for each in data.questions] == [
        ("How much was sold in Q3?", "2022 Q3 ABC.pdf", ("1,234", "2,500.5"))
    ]
    assert list(data.documents) == ["2022 Q3 ABC.pdf", "2023 Q1 ABC.pdf"]


def test_years_and_short_numbers_are_no_figures() -> None:
    assert extract_figures("In 2023, 12 of 1,999, or 0.65%, 100 in all, and 1,999 again.") == ("1,999", "0.65", "100")


def test_a_figure_counts_in_a_passage_of_its_document_and_as_a_whole() -> None:
    question = FigureQuestion("1", "", QuestionPart.KEPT, "a", ("1,234", "55.5"))
    found = [FoundPassage("b", "1,234"), FoundPassage("a", "21,234 and 1,234.5"), FoundPassage("a", "| $1,234 |")]
    figures = judge_figures(
        {"1": [*found, *[FoundPassage("a", "")] * 4, FoundPassage("a", "55.5%")]}, [question]
    ).figures
    assert {name: values["1"] for name, values in figures.items()} == {
        "figures@5": 0.5,
        "figures@10": 1.0,
        "all@10": 1.0,
        "mrr@10": (1 / 3 + 1 / 8) / 2,
    }


def test_a_folder_without_such_questions_is_refused_in_words(folder: Path) -> None:
    (folder / "questions.csv").write_text("Question,Source Docs,Answer\nWhat is sold?,*Q1*,Lamps.\n")
    with pytest.raises(EvaluationDataError, match="no question about a single document"):
        FigureQuestions(folder)
    (folder / "questions.csv").write_text("question,references,corpus_id\n")
    assert not has_figures(folder)
