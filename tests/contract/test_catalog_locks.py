"""Transactions of a catalog on PostgreSQL lock rows in one order, so that none waits for one that waits for it."""

import threading
import time
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import Connection, Engine, delete, select, text, update

from ingest.storage.answers.conversations import Conversations
from ingest.storage.answers.pending import PendingAnswers
from ingest.storage.answers.pending_records import AnswerLease, NewPendingAnswer
from ingest.storage.answers.records import StoredAnswer
from ingest.storage.db.database import open_database, write_transaction
from ingest.storage.db.schema import conversations, pending_answers, versions
from ingest.storage.db.schema import jobs as job_rows
from ingest.storage.documents.catalog import Catalog
from ingest.storage.errors import DocumentNotFoundError, LeaseLostError
from ingest.storage.jobs.jobs import Jobs
from ingest.storage.queue.records import JobKind
from tests.support.catalogs import arrive
from tests.support.postgres import Postgres, disposed

pytestmark = pytest.mark.slow


@pytest.fixture
def engine(postgres: Postgres) -> Iterator[Engine]:
    with disposed(open_database(postgres.catalog_database())) as engine:
        Catalog(engine).ensure_tenant("ann")
        yield engine


def wait_for_lock(connection: Connection) -> None:
    """Wait until another transaction waits for a lock."""
    waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
    until = time.monotonic() + 120
    while not connection.execute(waiting).scalar_one() and time.monotonic() < until:
        time.sleep(0.01)


def test_a_deletion_waits_for_the_job_of_a_worker_before_it_changes_the_version(engine: Engine) -> None:
    catalog = Catalog(engine)
    arrive(catalog)
    (job,) = Jobs(engine).claim(JobKind.INGEST)
    deletion = threading.Thread(target=catalog.delete_document, args=("ann", job.document_id))
    with write_transaction(engine) as worker:  # in the order of a worker that reports progress
        worker.execute(select(job_rows.c.id).where(job_rows.c.id == job.id).with_for_update())
        deletion.start()
        wait_for_lock(worker)
        worker.execute(update(versions).where(versions.c.id == job.version_id).values(chunks=1))
    deletion.join()
    with pytest.raises(DocumentNotFoundError):
        catalog.load_document("ann", job.document_id)


@pytest.mark.parametrize("changing", ["store", "delete"])
def test_a_question_waits_for_the_deletion_of_its_conversation_before_it_is_changed(
    engine: Engine, changing: str
) -> None:
    stores, pending = Conversations(engine), PendingAnswers(engine)
    conversation, lease = stores.start_conversation("ann", "Why?"), AnswerLease("ann", "a", "first")
    pending.start(NewPendingAnswer("a", "ann", conversation, "Why?"), lease)
    answer = StoredAnswer("a", "ann", conversation, None, "Why?", {"text": "So."}, (), 1.0)
    ends: list[object] = []
    changes: dict[str, Callable[[], object]] = {
        "store": lambda: stores.store_answer(answer, lease=lease),
        "delete": lambda: pending.delete("ann", "a", with_empty_conversation=True),
    }

    def change() -> None:
        try:
            ends.append(changes[changing]())
        except LeaseLostError:
            ends.append(False)

    thread = threading.Thread(target=change)
    with write_transaction(engine) as deletion:  # a deletion locks the conversation, and then its questions
        deletion.execute(select(conversations.c.id).where(conversations.c.id == conversation).with_for_update())
        thread.start()
        wait_for_lock(deletion)
        deletion.execute(delete(pending_answers).where(pending_answers.c.conversation_id == conversation))
        deletion.execute(delete(conversations).where(conversations.c.id == conversation))
    thread.join()
    assert not ends[0]
