"""Pending answers on each database: their states, their events, and what goes when."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, func, select, update

from ingest.storage.answers.conversations import Conversations
from ingest.storage.answers.pending import PendingAnswers
from ingest.storage.answers.pending_records import NewPendingAnswer, PendingState
from ingest.storage.answers.records import StoredAnswer
from ingest.storage.db.database import open_database, read_transaction, write_transaction
from ingest.storage.db.schema import pending_answers, pending_events
from ingest.storage.documents.catalog import Catalog
from ingest.storage.documents.records import Work
from ingest.storage.errors import AnswerNotFoundError
from tests.support.catalogs import arrive
from tests.support.postgres import disposed

NOTHING = Work("a", frozenset())


@pytest.fixture
def engine(catalog_url: str) -> Iterator[Engine]:
    with disposed(open_database(catalog_url)) as engine:
        for tenant in ("ann", "bob"):
            Catalog(engine).ensure_tenant(tenant)
        yield engine


@pytest.fixture
def pending(engine: Engine) -> PendingAnswers:
    return PendingAnswers(engine)


@pytest.fixture
def conversation(engine: Engine, pending: PendingAnswers) -> str:
    made = Conversations(engine).start_conversation("ann", "Why?", "user:ann")
    pending.start(NewPendingAnswer("a", "ann", made, "Why?", "user:ann", frozenset({"user:ann"}), {"strategy": "auto"}))
    return made


def count_events(engine: Engine) -> int:
    with read_transaction(engine) as connection:
        return connection.execute(select(func.count()).select_from(pending_events)).scalar_one()


def test_a_pending_answer_is_listed_until_its_answer_is_stored(
    engine: Engine, pending: PendingAnswers, conversation: str
) -> None:
    (found,) = pending.list_by_conversation("ann", conversation)
    assert (found.state, found.question, found.options) == (PendingState.RUNNING, "Why?", {"strategy": "auto"})
    assert [each.id for each in Conversations(engine).list_conversations("ann")] == [conversation]
    assert pending.list_running_conversations("ann", [conversation, "other"]) == {conversation}
    assert pending.append_events("ann", "a", [("delta", {"text": "So"}), ("delta", {"text": "."})], NOTHING)
    assert [(each.sequence, each.body) for each in pending.list_events("a", after=1)] == [(2, {"text": "."})]
    answer = StoredAnswer("a", "ann", conversation, None, "Why?", {"text": "So."}, (), 1.0, "user:ann")
    Conversations(engine).store_answer(answer)
    assert pending.list_by_conversation("ann", conversation) == []
    assert pending.list_running_conversations("ann", [conversation]) == set()
    assert (pending.find("ann", "a"), count_events(engine)) == (None, 0)
    assert not pending.renew("ann", "a")
    pending.cancel("ann", "a", "user:ann")


def test_only_its_owner_and_tenant_find_a_pending_answer(pending: PendingAnswers, conversation: str) -> None:
    assert pending.find("ann", "a", "user:ann") is not None
    for tenant, owner in (("ann", "user:eve"), ("bob", None)):
        assert pending.find(tenant, "a", owner) is None
        with pytest.raises(AnswerNotFoundError):
            pending.cancel(tenant, "a", owner)
        assert not pending.delete(tenant, "a", owner)
        assert pending.list_by_conversation(tenant, conversation, owner) == []
    assert pending.list_running_conversations("bob", [conversation]) == set()
    assert pending.renew("ann", "a")


def test_only_readers_of_everything_that_the_author_reads_may_see_its_events(
    pending: PendingAnswers, conversation: str
) -> None:
    found = pending.find("ann", "a")
    assert found is not None
    assert found.is_readable_by(None)
    assert found.is_readable_by(frozenset({"user:ann", "group:more"}))
    assert not found.is_readable_by(frozenset({"user:root"}))


def test_an_answer_ends_once_and_takes_no_more_events(
    engine: Engine, pending: PendingAnswers, conversation: str
) -> None:
    pending.append_events("ann", "a", [("delta", {"text": "So"})], NOTHING)
    pending.delete_events("ann", "a")
    assert count_events(engine) == 1
    pending.end("ann", "a", PendingState.FAILED, {"code": "away"})
    pending.end("ann", "a", PendingState.CANCELLED)
    found = pending.find("ann", "a")
    assert found is not None
    assert (found.state, found.problem) == (PendingState.FAILED, {"code": "away"})
    assert not pending.append_events("ann", "a", [("delta", {"text": "."})], NOTHING)
    assert not pending.renew("ann", "a")
    pending.delete_events("ann", "a")
    assert count_events(engine) == 0


def test_no_event_is_stored_after_a_document_that_the_answer_used_is_deleted(
    engine: Engine, pending: PendingAnswers, conversation: str
) -> None:
    catalog = Catalog(engine)
    document = arrive(catalog)
    work = Work("a", frozenset({document.version.id}))
    assert pending.append_events("ann", "a", [("delta", {"text": "Secret"})], work)
    catalog.delete_document("ann", document.id)
    assert pending.append_events("ann", "a", [("delta", {"text": "More"})], work)
    assert pending.list_events("a") == []


def test_an_answer_without_a_sign_of_life_is_interrupted_and_its_events_are_removed(
    engine: Engine, pending: PendingAnswers, conversation: str
) -> None:
    pending.append_events("ann", "a", [("delta", {"text": "So"})], NOTHING)
    assert pending.delete_lapsed_events() == 0
    with write_transaction(engine) as connection:
        connection.execute(update(pending_answers).values(alive_at=0.0))
    (found,) = pending.list_by_conversation("ann", conversation)
    assert found.state is PendingState.INTERRUPTED
    assert pending.delete_lapsed_events() == 1


def test_pending_answers_go_with_their_conversation(engine: Engine, pending: PendingAnswers, conversation: str) -> None:
    Conversations(engine).delete_conversation("ann", conversation)
    assert pending.find("ann", "a") is None


def test_a_deleted_question_takes_an_empty_conversation_along_only_if_it_should(
    engine: Engine, pending: PendingAnswers, conversation: str
) -> None:
    assert pending.delete("ann", "a")
    assert Conversations(engine).list_conversations("ann") == []
    assert Conversations(engine).load_conversation("ann", conversation).turns == 0
    pending.start(NewPendingAnswer("b", "ann", conversation, "Why?"))
    assert pending.delete("ann", "b", with_empty_conversation=True)
    assert not pending.delete("ann", "b")
