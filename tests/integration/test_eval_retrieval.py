"""`leadline eval retrieval` on a small collection, with the real encoder."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from api.cli.main import app
from api.client import ServiceError

pytestmark = pytest.mark.slow

TEXTS = {
    "whale": ("Whales", "The blue whale has a heart of four hundred pounds."),
    "ship": ("Ships", "The Pequod sailed from Nantucket with a crew of thirty."),
    "same": ("Ships", "The Pequod sailed from Nantucket with a crew of thirty."),
    "empty": ("", "\n"),
}
QUERIES = {"1": ("How heavy is a whale's heart?", ["whale"]), "2": ("harbour of the Pequod", ["ship", "same"])}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "small"
    (made / "qrels").mkdir(parents=True)
    corpus = [{"_id": identifier, "title": title, "text": text} for identifier, (title, text) in TEXTS.items()]
    (made / "corpus.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in corpus))
    queries = [{"_id": identifier, "text": text} for identifier, (text, _) in QUERIES.items()]
    (made / "queries.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in queries))
    judgements = [f"{query}\t{document}\t1" for query, (_, found) in QUERIES.items() for document in found]
    (made / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n" + "\n".join(judgements) + "\n")
    return made


@pytest.fixture(autouse=True)
def _models(monkeypatch: pytest.MonkeyPatch, encoder_files: Path) -> None:
    monkeypatch.setenv("LEADLINE_MODELS", str(encoder_files))
    monkeypatch.setenv("LEADLINE_MIN_FREE_BYTES", "0")


def test_figures_of_every_search_are_measured_kept_and_compared(folder: Path, tmp_path: Path) -> None:
    index, kept = tmp_path / "index", tmp_path / "run.json"
    first = CliRunner().invoke(app, ["eval", "retrieval", str(folder), "--index", str(index), "--json"])
    assert first.exit_code == 0, first.output
    found = json.loads(first.stdout)
    assert (found["collection"], found["queries"]) == ("small", 2)
    assert {name: search["ndcg@10"]["mean"] for name, search in found["searches"].items()} == {
        "bm25": 1.0, "dense": 1.0, "rrf": 1.0, "hybrid": 1.0, "feedback": 1.0,
    }  # fmt: skip
    assert found["searches"]["hybrid"]["stages_ms"]["embed"] > 0

    again = CliRunner().invoke(app, ["eval", "retrieval", str(folder), "--index", str(index), "-o", str(kept)])
    assert again.exit_code == 0, again.output
    assert "documents" not in again.stderr  # found there, and not uploaded again
    assert "hybrid" in again.stdout
    compared = CliRunner().invoke(app, ["eval", "compare", f"{kept}:bm25", str(kept)], env={"COLUMNS": "300"})
    assert "not significant" in compared.output


def test_questions_about_places_of_files_are_judged_by_the_passages_that_hold_them(tmp_path: Path) -> None:
    (tmp_path / "books").mkdir()
    text = "# Ships\n\n" + "The wind was fair that day.  \n\n" * 60 + "The Pequod sailed from Nantucket.\n"
    (tmp_path / "books" / "ships.md").write_text(text)
    start = text.index("The Pequod")
    reference = {"document": "ships.md", "start": start, "end": len(text) - 1}
    question = {"id": "q", "question": "harbour of the Pequod", "part": "kept", "references": [reference]}
    file = tmp_path / "questions.jsonl"
    file.write_text(json.dumps(question))
    command = ["eval", "retrieval", str(file), "--documents", str(tmp_path / "books"), "-s", "bm25", "--json"]

    done = CliRunner().invoke(app, [*command, "--part", "kept"])

    assert done.exit_code == 0, done.output
    figures = json.loads(done.stdout)["searches"]["bm25"]
    assert [figures[name]["mean"] for name in ("mrr@10", "found@1", "recall@10")] == [1, 1, 1]
    none = CliRunner().invoke(app, [*command, "--part", "choosing"])
    assert (none.exit_code, "questions is empty" in " ".join(none.output.split())) == (2, True)


def test_answers_with_figures_are_judged_by_the_figures_found_in_all_documents_or_in_theirs(tmp_path: Path) -> None:
    folder = tmp_path / "filings"
    (folder / "docs").mkdir(parents=True)
    for year, sales in ((2021, "1,204"), (2022, "1,307")):
        (folder / "docs" / f"{year}.md").write_text(
            f"# Sales\n\n| shop | sales |\n| --- | --- |\n| Harbour | {sales} |\n"
        )
    (folder / "questions.csv").write_text(
        'Question,Source Docs,Answer\nWhat were the sales of the Harbour shop?,*2022*,"They were 1,307."\n'
    )
    command = ["eval", "retrieval", str(folder), "-s", "bm25", "--index", str(tmp_path / "index"), "--json"]

    everywhere = CliRunner().invoke(app, command)
    within = CliRunner().invoke(app, [*command, "--within"])

    assert (everywhere.exit_code, within.exit_code) == (0, 0), everywhere.output + within.output
    figures = [json.loads(done.stdout)["searches"]["bm25"] for done in (everywhere, within)]
    assert [each["figures@5"]["mean"] for each in figures] == [1, 1]
    assert figures[0]["mrr@10"]["mean"] in (0.5, 1)
    assert figures[1]["mrr@10"]["mean"] == 1


def test_chunk_sizes_are_measured_by_what_they_bring_of_the_excerpts(tmp_path: Path) -> None:
    text = "# Ships\n\n" + "The wind was fair that day. " * 60 + "\n\nThe Pequod sailed from Nantucket.\n"
    (tmp_path / "ships.md").write_text(text)
    start = text.index("The Pequod")
    reference = {"document": "ships.md", "start": start, "end": len(text) - 1}
    file = tmp_path / "questions.jsonl"
    file.write_text(json.dumps({"question": "harbour of the Pequod", "references": [reference]}))

    done = CliRunner().invoke(
        app, ["eval", "chunks", str(file), "--size", "100", "--size", "1000", "--characters", "1000", "--json"]
    )

    assert done.exit_code == 0, done.output
    sizes = json.loads(done.stdout)["sizes"]
    assert sizes["100"]["recall"]["mean"] == sizes["1000"]["recall"]["mean"] == 1
    assert sizes["100"]["best precision"]["mean"] > sizes["1000"]["best precision"]["mean"]


def test_an_index_of_another_corpus_is_refused_in_words(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "index").mkdir()
    (tmp_path / "index" / "judged.json").write_text(json.dumps({"corpus": "another", "owners": {}}))

    done = CliRunner().invoke(app, ["eval", "retrieval", str(folder), "--index", str(tmp_path / "index")])

    assert isinstance(done.exception, ServiceError)
    assert "documents that are not in this corpus" in str(done.exception)


def test_texts_of_a_corpus_cannot_be_searched_within(folder: Path) -> None:
    done = CliRunner().invoke(app, ["eval", "retrieval", str(folder), "--within"])
    assert (done.exit_code, "--within" in done.output) == (2, True)


def test_a_search_that_does_not_exist_is_a_usage_error(folder: Path) -> None:
    done = CliRunner().invoke(app, ["eval", "retrieval", str(folder), "-s", "luck"])

    assert (done.exit_code, "hybrid" in done.output) == (2, True)
