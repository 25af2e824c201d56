"""Reading judged questions, and saying where a file is wrong."""

from pathlib import Path

import pytest

from retrieval.errors import EvaluationDataError
from retrieval.evaluation.judged import BeirFolder, CorpusEntry

CORPUS = (
    '{"_id": "d1", "title": "Ropes", "text": "A leadline."}\n{"_id": "d2", "text": "Größe\\u2028 5", "metadata": {}}\n'
)
QUERIES = '{"_id": "q1", "text": "How deep?"}\n{"_id": "q2", "text": "Not judged"}\n{"_id": "q3", "text": "Where?"}\n'
QRELS = "query-id\tcorpus-id\tscore\nq3\td1\t2\nq3\td2\t0\nq1\td2\t1\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "qrels").mkdir()
    (tmp_path / "corpus.jsonl").write_text(CORPUS, encoding="utf-8")
    (tmp_path / "queries.jsonl").write_text(QUERIES, encoding="utf-8")
    (tmp_path / "qrels" / "test.tsv").write_text(QRELS, encoding="utf-8")
    return tmp_path


def _corpus(folder: Path) -> list[CorpusEntry]:
    return list(BeirFolder(folder).iter_corpus())


def test_the_corpus_keeps_its_order_and_a_title_may_be_left_out(folder: Path) -> None:
    assert _corpus(folder) == [CorpusEntry("d1", "Ropes", "A leadline."), CorpusEntry("d2", "", "Größe\u2028 5")]


def test_queries_and_grades_are_read(folder: Path) -> None:
    data = BeirFolder(folder)

    assert data.queries == {"q1": "How deep?", "q2": "Not judged", "q3": "Where?"}
    assert {query: dict(grades) for query, grades in data.qrels.items()} == {"q3": {"d1": 2, "d2": 0}, "q1": {"d2": 1}}


def test_only_judged_queries_are_in_the_judgements_in_the_files_order(folder: Path) -> None:
    assert list(BeirFolder(folder).qrels) == ["q3", "q1"]


def test_what_was_read_cannot_be_changed(folder: Path) -> None:
    data = BeirFolder(folder)

    with pytest.raises(TypeError):
        data.qrels["q1"]["d1"] = 1  # type: ignore[index]
    with pytest.raises(TypeError):
        data.queries["q1"] = ""  # type: ignore[index]


def test_the_corpus_is_read_no_further_than_it_is_asked_for(folder: Path) -> None:
    (folder / "corpus.jsonl").write_text(CORPUS + "not JSON\n", encoding="utf-8")
    corpus = BeirFolder(folder).iter_corpus()

    assert [next(corpus).id, next(corpus).id] == ["d1", "d2"]
    with pytest.raises(EvaluationDataError, match=r"corpus\.jsonl, line 3"):
        next(corpus)


def test_byte_order_marks_blank_lines_and_windows_line_ends_are_harmless(folder: Path) -> None:
    expected = _corpus(folder)
    for name, text in (("corpus.jsonl", CORPUS), ("queries.jsonl", QUERIES), ("qrels/test.tsv", QRELS)):
        (folder / name).write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode() + b"\r\n")

    assert _corpus(folder) == expected
    assert BeirFolder(folder).qrels["q1"] == {"d2": 1}


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("{", "line 3: the line is not valid JSON"),
        ("[1]", "line 3: the line is not a JSON object"),
        ('{"text": "x"}', "line 3: _id is missing"),
        ('{"_id": 3, "text": "x"}', "line 3: _id is not a string"),
        ('{"_id": "d3"}', "line 3: text is missing"),
        ('{"_id": "d3", "text": null}', "line 3: text is not a string"),
        ('{"_id": "d3", "title": 1, "text": "x"}', "line 3: title is not a string"),
        ('{"_id": "d1", "text": "x"}', "line 3: _id d1 was already used on an earlier line"),
    ],
)
def test_a_wrong_text_is_named_by_file_and_line(folder: Path, line: str, complaint: str) -> None:
    (folder / "corpus.jsonl").write_text(CORPUS + line, encoding="utf-8")

    with pytest.raises(EvaluationDataError) as caught:
        _corpus(folder)

    assert complaint in caught.value.detail
    assert str(folder / "corpus.jsonl") in caught.value.detail


def test_a_title_of_null_is_none(folder: Path) -> None:
    (folder / "corpus.jsonl").write_text('{"_id": "d1", "title": null, "text": "x"}', encoding="utf-8")

    assert _corpus(folder) == [CorpusEntry("d1", "", "x")]


def test_a_query_that_comes_twice_is_named(folder: Path) -> None:
    (folder / "queries.jsonl").write_text(QUERIES + '{"_id": "q1", "text": "Again"}', encoding="utf-8")

    with pytest.raises(
        EvaluationDataError, match=r"queries\.jsonl, line 4: _id q1 was already used on an earlier line"
    ):
        BeirFolder(folder)


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("q1 d1 1", "line 5: expected 3 fields separated by tabs, not 1"),
        ("q1\t0\td1\t1", "separated by tabs, not 4"),
        ("q1\td1\tyes", "line 5: 'yes' is not a whole number"),
        ("q9\td1\t1", "line 5: query q9 is not in queries.jsonl"),
        ("q1\td2\t1", "line 5: document d2 is already judged for query q1 on an earlier line"),
    ],
)
def test_a_wrong_judgement_is_named_by_file_and_line(folder: Path, line: str, complaint: str) -> None:
    (folder / "qrels" / "test.tsv").write_text(QRELS + line, encoding="utf-8")

    with pytest.raises(EvaluationDataError) as caught:
        BeirFolder(folder)

    assert complaint in caught.value.detail
    assert "test.tsv" in caught.value.detail


def test_a_missing_header_is_refused_rather_than_a_judgement_lost(folder: Path) -> None:
    (folder / "qrels" / "test.tsv").write_text("q1\td1\t1\n", encoding="utf-8")

    with pytest.raises(EvaluationDataError, match="line 1: the first line must be the header"):
        BeirFolder(folder)


@pytest.mark.parametrize(("text", "complaint"), [("", "is empty"), ("query-id\tcorpus-id\tscore\n", "no judgements")])
def test_judgements_that_hold_none_are_refused(folder: Path, text: str, complaint: str) -> None:
    (folder / "qrels" / "test.tsv").write_text(text, encoding="utf-8")

    with pytest.raises(EvaluationDataError, match=complaint):
        BeirFolder(folder)


def test_a_missing_file_is_named(folder: Path) -> None:
    (folder / "qrels" / "test.tsv").unlink()

    with pytest.raises(EvaluationDataError, match=r"test\.tsv cannot be read: No such file"):
        BeirFolder(folder)


def test_a_file_in_another_encoding_is_named(folder: Path) -> None:
    (folder / "queries.jsonl").write_bytes(QUERIES.replace("deep", "groß").encode("latin-1"))

    with pytest.raises(EvaluationDataError, match=r"queries\.jsonl is not UTF-8"):
        BeirFolder(folder)
