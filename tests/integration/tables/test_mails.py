"""Questions with a scripted planner about a mailbox, whose messages say who sent them and when."""

from collections.abc import Iterator
from typing import Any

import pytest

from ingest.intake import UploadRequest
from ingest.parsing.isolation.sandbox import ParserSandbox
from ingest.storage.documents.records import VersionState
from rlm.corpus.corpus import Corpus, open_corpus
from rlm.requests import AnswerScope
from rlm.tables.catalog import TableCatalog
from rlm.tables.sql import SqlEngine
from tests.support.containers import mailbox_of, message
from tests.support.table_questions import TableQuestion, plan
from tests.support.worker_fixture import WorkerFixture
from workers.tasks.ingest import IngestTask

ANN, BOB = "Ann Poe <ann@example.org>", "Bob <bob@example.org>"
MAILS = [
    (ANN, "Sat, 31 Jan 2026 23:30:00 -0500"),
    (BOB, "Sun, 1 Feb 2026 09:00:00 +0100"),
    (ANN, "Thu, 5 Feb 2026 10:00:00 +0000"),
    (ANN, "Sun, 1 Mar 2026 00:10:00 +0100"),
]


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerFixture]:
    made = WorkerFixture(tmp_path_factory.mktemp("home"))
    with ParserSandbox() as parser:
        made.ingest = IngestTask(made.deps, parser)
        with made.intake.receive_upload(UploadRequest("ann", "default", "crew.mbox")) as upload:
            upload.write(mailbox_of(*(message("Re: Docking", sender=sender, date=date) for sender, date in MAILS)))
            mailbox = upload.accept().document
        made.work_off()
    assert made.state(mailbox) is VersionState.READY
    yield made
    made.engine.dispose()


@pytest.fixture
def corpus(worker: WorkerFixture) -> Corpus:
    return open_corpus(worker.catalog, worker.texts, AnswerScope("ann"))


@pytest.mark.parametrize(
    ("sql", "wanted"),
    [
        (
            "SELECT mail_sender, count(*) AS mails FROM documents WHERE mail_sender > '' GROUP BY 1 ORDER BY 2 DESC",
            [{"mail_sender": "Ann Poe", "mails": 3}, {"mail_sender": "Bob", "mails": 1}],
        ),
        ("SELECT count(*) FROM documents WHERE month(mail_date) = 2 AND year(mail_date) = 2026", 2),
        ("SELECT mail_sender FROM documents ORDER BY mail_date_utc DESC NULLS LAST LIMIT 1", "Ann Poe"),
        ("SELECT count(DISTINCT mail_subject) FROM documents WHERE mail_sender_address = 'ann@example.org'", 1),
    ],
)
def test_mails_are_counted_without_reading_them(worker: WorkerFixture, corpus: Corpus, sql: str, wanted: Any) -> None:  # noqa: ANN401
    question = TableQuestion(corpus, worker.deps.tables, [plan(sql)], sql=SqlEngine())
    draft = question.ask("How many mails did each send?")
    assert draft.result is not None
    assert draft.result.value == wanted
    assert [call.purpose for call in question.planned] == ["plan"]


def test_the_mailbox_is_no_table_beside_its_mails(worker: WorkerFixture, corpus: Corpus) -> None:
    tables = TableCatalog(worker.deps.tables).list_tables(corpus)
    assert [table.name for table in tables.tables] == ["documents", "sections"]
    assert corpus.load_text(corpus.documents[0].handle) == "A mailbox of 4 messages."


def test_mails_of_one_thread_are_cited_by_sender_and_day(corpus: Corpus) -> None:
    titles = [document.title for document in corpus.documents]
    assert titles == [
        "crew.mbox",
        "Re: Docking (Ann Poe, 2026-01-31)",
        "Re: Docking (Bob, 2026-02-01)",
        "Re: Docking (Ann Poe, 2026-02-05)",
        "Re: Docking (Ann Poe, 2026-03-01)",
    ]
