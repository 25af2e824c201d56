"""Thirty questions over three files with a scripted planner: quoted line ends, 50,000 rows, dates and money."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ingest.parsing.isolation.sandbox import ParserSandbox
from ingest.storage.tables.store import RecordTables
from rlm.answers import Draft
from rlm.corpus.corpus import Corpus
from rlm.tables.sql import SqlEngine
from tests.integration.tables.orders import orders_csv
from tests.support.ingested_tables import ingested
from tests.support.table_questions import TableQuestion, plan

FOLDER = Path(__file__).parent
QUESTIONS = [json.loads(line) for line in (FOLDER / "questions.jsonl").read_text(encoding="utf-8").splitlines()]
MONEY_TOLERANCE = 1e-6


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Corpus, RecordTables]:
    with ParserSandbox() as parser:
        return ingested(
            tmp_path_factory.mktemp("files"),
            {
                "notes.csv": (FOLDER / "notes.csv").read_bytes(),
                "orders.csv": orders_csv(),
                "ledger.csv": (FOLDER / "ledger.csv").read_bytes(),
            },
            parser=parser,
        )


def _flat(value: Any) -> Iterator[Any]:  # noqa: ANN401 - any JSON
    if isinstance(value, list | tuple):
        for each in value:
            yield from _flat(each)
    elif isinstance(value, dict):
        yield from _flat(list(value.values()))
    else:
        yield value


def _computed(draft: Draft) -> list[Any]:
    assert draft.result is not None
    return list(_flat(draft.result.value))


def test_there_are_thirty_questions() -> None:
    assert len({each["question"] for each in QUESTIONS}) == 30


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question["id"])
def test_the_answer_is_exact(files: tuple[Corpus, RecordTables], question: dict[str, Any]) -> None:
    corpus, records = files
    draft = TableQuestion(corpus, records, [plan(question["sql"])], sql=SqlEngine()).ask(question["question"])
    wanted = list(_flat(question["answer"]))
    found = _computed(draft)
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted, strict=True):
        assert one == (pytest.approx(other, abs=MONEY_TOLERANCE) if isinstance(other, float) else other)
    assert draft.rows_behind
    for passage in draft.evidence.values():
        document = corpus.find_document_by_id(passage.document_id)
        assert document is not None
        assert corpus.load_text(document.handle[passage.start : passage.end]) == passage.text
