"""Pending answers on each database: their states, their events, and what goes when."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from sqlalchemy import Engine, func, null, select, update

from ingest.storage.accounts.records import Asker
from ingest.storage.answers.conversations import Conversations
from ingest.storage.answers.interrupted import InterruptedAnswers
from ingest.storage.answers.pending import PendingAnswers
from ingest.storage.answers.pending_records import AnswerLease, NewPendingAnswer, PendingState
from ingest.storage.answers.records import StoredAnswer
from ingest.storage.db.database import open_database, read_transaction, write_transaction
from ingest.storage.db.schema import metadata, pending_answers, pending_events
from ingest.storage.documents.catalog import Catalog
from ingest.storage.documents.records import Work
from ingest.storage.errors import AnswerNotFoundError, ConversationNotFoundError, LeaseLostError
from ingest.storage.operations.tenant_data import iter_exported_rows
from ingest.storage.quotas.records import Account, Quota, Spending
from ingest.storage.quotas.store import Quotas
from tests.support.catalogs import arrive
from tests.support.postgres import disposed

NOTHING = Work("a", frozenset())
LEASE = AnswerLease("ann", "a", "first")
ASKER = Asker("ann", "k", "a key", "ann", ("all",), ("ask", "read"), 5.0, "0" * 64)
ANSWER = StoredAnswer("a", "ann", None, None, "Why?", {"text": "So."}, (), 1.0, "user:ann")


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
    readers, options = frozenset({"user:ann"}), {"strategy": "auto"}
    pending.start(NewPendingAnswer("a", "ann", made, "Why?", "user:ann", readers, options, ASKER), LEASE)
    return made


@pytest.fixture
def interrupted(engine: Engine) -> InterruptedAnswers:
    return InterruptedAnswers(engine)


def lapse(engine: Engine) -> None:
    """Make the process of each answer give no sign of life any more."""
    with write_transaction(engine) as connection:
        connection.execute(update(pending_answers).values(alive_at=1.0))


def take_up(interrupted: InterruptedAnswers) -> AnswerLease:
    found = interrupted.find_next()
    assert found is not None
    lease = interrupted.claim(found, found.readers)
    assert lease is not None
    return lease


def count_events(engine: Engine) -> int:
    with read_transaction(engine) as connection:
        return connection.execute(select(func.count()).select_from(pending_events)).scalar_one()


def test_a_pending_answer_is_listed_until_its_answer_is_stored(
    engine: Engine, pending: PendingAnswers, conversation: str
) -> None:
    (found,) = pending.list_by_conversation("ann", conversation)
    assert (found.state, found.question, found.options) == (PendingState.RUNNING, "Why?", {"strategy": "auto"})
    assert [each.id for each in Conversations(engine).list_conversations("ann")] == [conversation]
    assert pending.load_last_states("ann", [conversation, "other"]) == {conversation: PendingState.RUNNING}
    assert pending.append_events(LEASE, [("delta", {"text": "So"}), ("delta", {"text": "."})], NOTHING)
    assert [(each.sequence, each.body) for each in pending.list_events("a", after=1)] == [(2, {"text": "."})]
    answer = StoredAnswer("a", "ann", conversation, None, "Why?", {"text": "So."}, (), 1.0, "user:ann")
    Conversations(engine).store_answer(answer)
    assert pending.list_by_conversation("ann", conversation) == []
    assert pending.load_last_states("ann", [conversation]) == {}
    assert (pending.find("ann", "a"), count_events(engine)) == (None, 0)
    assert not pending.renew(LEASE)
    pending.cancel("ann", "a", "user:ann")


def test_only_its_owner_and_tenant_find_a_pending_answer(pending: PendingAnswers, conversation: str) -> None:
    assert pending.find("ann", "a", "user:ann") is not None
    for tenant, owner in (("ann", "user:eve"), ("bob", None)):
        assert pending.find(tenant, "a", owner) is None
        with pytest.raises(AnswerNotFoundError):
            pending.cancel(tenant, "a", owner)
        assert not pending.delete(tenant, "a", owner)
        assert pending.list_by_conversation(tenant, conversation, owner) == []
    assert pending.load_last_states("bob", [conversation]) == {}
    assert pending.renew(LEASE)


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
    pending.append_events(LEASE, [("delta", {"text": "So"})], NOTHING)
    pending.delete_events("ann", "a")
    assert count_events(engine) == 1
    pending.end(LEASE, PendingState.FAILED, {"code": "away"})
    pending.end(LEASE, PendingState.CANCELLED)
    found = pending.find("ann", "a")
    assert found is not None
    assert (found.state, found.problem) == (PendingState.FAILED, {"code": "away"})
    assert pending.load_last_states("ann", [conversation]) == {conversation: PendingState.FAILED}
    later = StoredAnswer("b", "ann", conversation, None, "Why?", {"text": "So."}, (), found.created_at + 1, "user:ann")
    Conversations(engine).store_answer(later)
    assert pending.load_last_states("ann", [conversation]) == {}
    assert not pending.append_events(LEASE, [("delta", {"text": "."})], NOTHING)
    assert not pending.renew(LEASE)
    pending.delete_events("ann", "a")
    assert count_events(engine) == 0


def test_no_event_is_stored_after_a_document_that_the_answer_used_is_deleted(
    engine: Engine, pending: PendingAnswers, conversation: str
) -> None:
    catalog = Catalog(engine)
    document = arrive(catalog)
    work = Work("a", frozenset({document.version.id}))
    assert pending.append_events(LEASE, [("delta", {"text": "Secret"})], work)
    catalog.delete_document("ann", document.id)
    assert pending.append_events(LEASE, [("delta", {"text": "More"})], work)
    assert pending.list_events("a") == []


def test_an_answer_of_an_earlier_release_without_a_sign_of_life_is_interrupted_and_its_events_are_removed(
    engine: Engine, pending: PendingAnswers, interrupted: InterruptedAnswers, conversation: str
) -> None:
    pending.append_events(LEASE, [("delta", {"text": "So"})], NOTHING)
    assert pending.delete_lapsed_events() == 0
    lapse(engine)
    with write_transaction(engine) as connection:
        connection.execute(update(pending_answers).values(asker=null(), lease=None))
    (found,) = pending.list_by_conversation("ann", conversation)
    assert found.state is PendingState.INTERRUPTED
    assert pending.load_last_states("ann", [conversation]) == {conversation: PendingState.INTERRUPTED}
    assert interrupted.find_next() is None
    assert pending.delete_lapsed_events() == 1


def test_an_interrupted_answer_is_in_progress_and_starts_again_without_its_events(
    engine: Engine, pending: PendingAnswers, interrupted: InterruptedAnswers, conversation: str
) -> None:
    pending.append_events(LEASE, [("delta", {"text": "So"}), ("delta", {"text": "."})], NOTHING)
    assert interrupted.find_next() is None
    lapse(engine)
    found = interrupted.find_next()
    assert found is not None
    assert (found.state, found.asker, found.attempt) == (PendingState.RUNNING, ASKER, 1)
    assert pending.load_last_states("ann", [conversation]) == {conversation: PendingState.RUNNING}
    lease = interrupted.claim(found, frozenset({"user:ann", "group:new"}))
    assert lease is not None
    assert interrupted.find_next() is None
    again = pending.find("ann", "a")
    assert again is not None
    assert (again.attempt, again.readers) == (2, frozenset({"user:ann", "group:new"}))
    assert pending.append_events(lease, [("delta", {"text": "Then"})], NOTHING)
    assert [(each.sequence, each.kind) for each in pending.list_events("a")] == [(3, "restarted"), (4, "delta")]


def test_only_one_process_takes_an_answer_up(
    engine: Engine, interrupted: InterruptedAnswers, conversation: str
) -> None:
    lapse(engine)
    first, second = interrupted.find_next(), interrupted.find_next()
    assert first is not None
    assert second is not None
    lease = interrupted.claim(first, None)
    assert lease is not None
    assert interrupted.claim(second, None) is None
    interrupted.release(lease)
    assert interrupted.claim(second, None) is None  # It has another lease since it was found.


def test_a_process_that_lost_its_lease_changes_and_stores_nothing(
    engine: Engine, pending: PendingAnswers, interrupted: InterruptedAnswers, conversation: str
) -> None:
    stores = Conversations(engine)
    answer = replace(ANSWER, conversation_id=conversation)
    lapse(engine)
    lease = take_up(interrupted)
    assert not pending.renew(LEASE)
    assert not pending.append_events(LEASE, [("delta", {"text": "Old"})], NOTHING)
    pending.end(LEASE, PendingState.FAILED)
    interrupted.release(LEASE)
    with pytest.raises(LeaseLostError):
        stores.store_answer(answer, lease=LEASE)
    found = pending.find("ann", "a")
    assert found is not None
    assert (found.state, found.lease) == (PendingState.RUNNING, lease.token)
    stores.store_answer(answer, lease=lease)
    with pytest.raises(LeaseLostError):
        stores.store_answer(answer, lease=LEASE)
    assert stores.load_conversation("ann", conversation).turns == 1


def test_a_cancelled_answer_is_neither_stored_nor_taken_up(
    engine: Engine, pending: PendingAnswers, interrupted: InterruptedAnswers, conversation: str
) -> None:
    lapse(engine)
    pending.cancel("ann", "a", "user:ann")
    assert interrupted.find_next() is None
    with pytest.raises(LeaseLostError):
        Conversations(engine).store_answer(ANSWER, lease=LEASE)


def test_cancelling_an_answer_that_no_process_works_on_removes_its_text(
    engine: Engine, pending: PendingAnswers, conversation: str
) -> None:
    pending.append_events(LEASE, [("delta", {"text": "So"})], NOTHING)
    pending.start(NewPendingAnswer("b", "ann", conversation, "How?"), AnswerLease.create("ann", "b"))
    lapse(engine)
    pending.cancel("ann", "b")
    assert count_events(engine) == 1
    pending.cancel("ann", "a")
    assert count_events(engine) == 0


def test_an_orderly_shutdown_uses_up_no_attempt_and_needs_no_wait(
    pending: PendingAnswers, interrupted: InterruptedAnswers, conversation: str
) -> None:
    interrupted.release(LEASE)
    assert not pending.renew(LEASE)
    take_up(interrupted)
    found = pending.find("ann", "a")
    assert found is not None
    assert found.attempt == 1
    assert interrupted.release_all() == 1
    take_up(interrupted)
    found = pending.find("ann", "a")
    assert found is not None
    assert found.attempt == 2


def test_the_answer_with_the_fewest_attempts_is_taken_up_first(
    engine: Engine, pending: PendingAnswers, interrupted: InterruptedAnswers, conversation: str
) -> None:
    lapse(engine)
    take_up(interrupted)
    pending.start(NewPendingAnswer("b", "ann", conversation, "How?", asker=ASKER), AnswerLease.create("ann", "b"))
    interrupted.release_all()
    assert [take_up(interrupted).answer_id for _ in range(2)] == ["b", "a"]


def test_spending_that_a_killed_attempt_reported_is_charged_and_its_reservation_is_released(
    engine: Engine, pending: PendingAnswers, interrupted: InterruptedAnswers, conversation: str
) -> None:
    quotas, account = Quotas(engine, tenant_defaults={Quota.TOKENS_PER_DAY: 100}), Account("ann", "k")
    quotas.reserve(account, "answer", LEASE.token, tokens=100, nanodollars=0)
    quotas.extend_reservations({LEASE.token: Spending(1, 20, 5, 0)})
    lapse(engine)
    lease = take_up(interrupted)
    assert quotas.reserve(account, "answer", lease.token, tokens=100, nanodollars=0).tokens == 75


def test_pending_answers_go_with_their_conversation(engine: Engine, pending: PendingAnswers, conversation: str) -> None:
    Conversations(engine).delete_conversation("ann", conversation)
    assert pending.find("ann", "a") is None


def test_a_deleted_question_takes_an_empty_conversation_along_only_if_it_should(
    engine: Engine, pending: PendingAnswers, conversation: str
) -> None:
    assert pending.delete("ann", "a")
    assert Conversations(engine).list_conversations("ann") == []
    assert Conversations(engine).load_conversation("ann", conversation).turns == 0
    pending.start(NewPendingAnswer("b", "ann", conversation, "Why?"), AnswerLease.create("ann", "b"))
    assert pending.delete("ann", "b", with_empty_conversation=True)
    assert not pending.delete("ann", "b")


def test_a_question_is_not_stored_in_a_conversation_that_was_deleted_in_the_meantime(
    engine: Engine, pending: PendingAnswers, conversation: str
) -> None:
    Conversations(engine).delete_conversation("ann", conversation)
    with pytest.raises(ConversationNotFoundError):
        pending.start(NewPendingAnswer("b", "ann", conversation, "How?"), AnswerLease.create("ann", "b"))


def test_an_export_has_the_question_without_the_digest_of_its_session(engine: Engine, conversation: str) -> None:
    (row,) = iter_exported_rows(engine, metadata.tables["pending_answers"], "ann")
    assert row["question"] == "Why?"
    assert ASKER.session_sha256 is not None
    assert ASKER.session_sha256 not in str(row)
