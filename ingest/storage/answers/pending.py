"""Stores questions whose answers are in progress, so that any process can show them and nobody loses them.

The events of an answer may contain the text of documents. They are stored only while the answer is in progress, and
only as long as all document versions that the answer used still exist.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Row, delete, exists, insert, select, update

from ingest.storage.accounts.access import build_owner_condition
from ingest.storage.accounts.records import Asker
from ingest.storage.answers.pending_records import (
    LAPSE_SECONDS,
    AnswerLease,
    NewPendingAnswer,
    PendingAnswer,
    PendingEvent,
    PendingState,
)
from ingest.storage.db.database import (
    build_clock_expression,
    lock_derived_content,
    read_clock,
    read_transaction,
    write_transaction,
)
from ingest.storage.db.schema import answers, conversations, pending_answers, pending_events
from ingest.storage.documents.records import Work
from ingest.storage.documents.works import record_versions
from ingest.storage.errors import AnswerNotFoundError, ConversationNotFoundError, LeaseLostError
from ingest.storage.feed.feed import Announce, announce_to_nobody

_LISTED = 100


class PendingAnswers:
    """The pending answers of all tenants.

    If `owner` is given, a method finds only that owner's answers. `announce` is called with the id of each answer that
    changes.
    """

    def __init__(self, engine: Engine, *, announce: Announce = announce_to_nobody) -> None:
        self._engine = engine
        self._announce = announce

    def start(self, pending: NewPendingAnswer, lease: AnswerLease) -> None:
        """Store a question whose answer is being started under a new lease. The conversation counts as used now.

        If the question is already stored because an earlier attempt at the same request failed, it is started again.
        Raises `ConversationNotFoundError` if the conversation has been deleted in the meantime.
        """
        with write_transaction(self._engine) as connection:
            now = read_clock(connection)
            # Transactions lock the conversation before its questions, in the same order as its deletion.
            of_conversation = conversations.c.id == pending.conversation_id
            used = update(conversations).where(of_conversation).values(updated_at=now)
            if not connection.execute(used).rowcount:
                raise ConversationNotFoundError(f"Conversation {pending.conversation_id!r} not found.")
            connection.execute(delete(pending_answers).where(_is_pending(pending.tenant_id, pending.id)))
            connection.execute(
                insert(pending_answers).values(
                    id=pending.id,
                    tenant_id=pending.tenant_id,
                    conversation_id=pending.conversation_id,
                    owner=pending.owner,
                    readers=None if pending.readers is None else sorted(pending.readers),
                    question=pending.question,
                    options=dict(pending.options),
                    asker=None if pending.asker is None else pending.asker.to_columns(),
                    request=None if pending.request is None else dict(pending.request),
                    lease=lease.token,
                    attempt=1,
                    state=PendingState.RUNNING.value,
                    events=0,
                    alive_at=now,
                    created_at=now,
                )
            )
        self._announce(pending.tenant_id, {pending.id})

    def append_events(self, lease: AnswerLease, events: Sequence[tuple[str, Mapping[str, Any]]], work: Work) -> bool:
        """Append events, each with its kind and body, and return whether the lease is still held.

        `work` contains the document versions used so far. If one of them no longer exists, no event is stored, and the
        events stored so far are removed.
        """
        with write_transaction(self._engine) as connection:
            lock_derived_content(connection, lease.tenant_id)
            mine = build_lease_condition(lease)
            locked = select(pending_answers.c.events).where(mine).with_for_update()
            last = connection.execute(locked).scalar()
            if last is None:
                return False
            # guard: pending-events-of-gone-documents
            if not record_versions(connection, work):
                connection.execute(delete(pending_events).where(pending_events.c.answer_id == lease.answer_id))
                return True
            rows = [
                {"answer_id": lease.answer_id, "sequence": number, "kind": kind, "body": dict(body)}
                for number, (kind, body) in enumerate(events, last + 1)
            ]
            if rows:
                connection.execute(insert(pending_events), rows)
            changed = {"events": last + len(rows), "alive_at": build_clock_expression(connection)}
            connection.execute(update(pending_answers).where(mine).values(**changed))
        self._announce(lease.tenant_id, {lease.answer_id})
        return True

    def renew(self, lease: AnswerLease) -> bool:
        """Extend the lease. Return false if the answer was cancelled, deleted or taken up by another process."""
        with write_transaction(self._engine) as connection:
            alive = update(pending_answers).where(build_lease_condition(lease))
            return bool(connection.execute(alive.values(alive_at=build_clock_expression(connection))).rowcount)

    def end(self, lease: AnswerLease, state: PendingState, problem: Mapping[str, Any] | None = None) -> None:
        """End an answer without a result. Nothing changes if the lease is no longer held.

        Its followers can still get its last events. Call `delete_events` shortly afterwards.
        """
        with write_transaction(self._engine) as connection:
            ended = update(pending_answers).where(build_lease_condition(lease))
            connection.execute(ended.values(state=state.value, problem=None if problem is None else dict(problem)))
        self._announce(lease.tenant_id, {lease.answer_id})

    def delete_events(self, tenant_id: str, identifier: str) -> None:
        """Remove the events of an answer, unless the answer has been started again."""
        ended = select(pending_answers.c.id).where(
            _is_pending(tenant_id, identifier), pending_answers.c.state != PendingState.RUNNING.value
        )
        with write_transaction(self._engine) as connection:
            connection.execute(delete(pending_events).where(pending_events.c.answer_id.in_(ended)))

    def cancel(self, tenant_id: str, identifier: str, owner: str | None = None) -> None:
        """Cancel an answer in progress. Its process stops the work within about a second.

        Raises `AnswerNotFoundError` if there is neither such a pending answer nor such a stored answer.
        """
        with read_transaction(self._engine) as connection:
            if _find_pending(connection, tenant_id, identifier, owner) is None:
                stored = answers.c.tenant_id == tenant_id, answers.c.id == identifier
                mine = select(answers.c.id).where(*stored, build_owner_condition(answers, owner))
                if connection.execute(mine).first() is None:
                    raise AnswerNotFoundError(f"Answer {identifier!r} not found.")
        with write_transaction(self._engine) as connection:
            running = pending_answers.c.state == PendingState.RUNNING.value
            cancelled = update(pending_answers).where(_is_pending(tenant_id, identifier), running)
            connection.execute(cancelled.values(state=PendingState.CANCELLED.value))
            delete_lapsed_events(connection, _is_pending(tenant_id, identifier))  # No process is left to remove them.
        self._announce(tenant_id, {identifier})

    def find(self, tenant_id: str, identifier: str, owner: str | None = None) -> PendingAnswer | None:
        """Find a pending answer. Return None if there is none with this id, or if its answer is stored."""
        with read_transaction(self._engine) as connection:
            return _find_pending(connection, tenant_id, identifier, owner)

    def list_by_conversation(
        self, tenant_id: str, conversation_id: str, owner: str | None = None
    ) -> list[PendingAnswer]:
        """List the last pending answers of a conversation, oldest first."""
        query = (
            select(pending_answers)
            .where(
                pending_answers.c.tenant_id == tenant_id,
                pending_answers.c.conversation_id == conversation_id,
                build_owner_condition(pending_answers, owner),
                ~exists().where(answers.c.id == pending_answers.c.id),
            )
            .order_by(pending_answers.c.created_at.desc())
            .limit(_LISTED)
        )
        with read_transaction(self._engine) as connection:
            now = read_clock(connection)
            return [build_pending_answer(row, now) for row in connection.execute(query).all()][::-1]

    def load_last_states(self, tenant_id: str, conversation_ids: Collection[str]) -> dict[str, PendingState]:
        """Return the state of the last question of each of these conversations, keyed by conversation.

        Conversations whose last question is answered are left out. If any question is being answered, the state is
        `RUNNING`.
        """
        is_answered = exists().where(
            answers.c.conversation_id == pending_answers.c.conversation_id,
            (answers.c.id == pending_answers.c.id) | (answers.c.created_at > pending_answers.c.created_at),
        )
        query = (
            select(pending_answers, is_answered.label("is_answered"))
            .where(pending_answers.c.tenant_id == tenant_id, pending_answers.c.conversation_id.in_(conversation_ids))
            .order_by(pending_answers.c.created_at)
        )
        states: dict[str, PendingState] = {}
        with read_transaction(self._engine) as connection:
            now = read_clock(connection)
            for row in connection.execute(query).all():
                state = build_pending_answer(row, now).state
                is_running = state is PendingState.RUNNING
                if is_running or not (row.is_answered or states.get(row.conversation_id) is PendingState.RUNNING):
                    states[row.conversation_id] = state
        return states

    def list_events(self, identifier: str, *, after: int = 0, limit: int = 500) -> list[PendingEvent]:
        """List the events of an answer in progress after event number `after`, in order."""
        query = (
            select(pending_events.c.sequence, pending_events.c.kind, pending_events.c.body)
            .where(pending_events.c.answer_id == identifier, pending_events.c.sequence > after)
            .order_by(pending_events.c.sequence)
            .limit(limit)
        )
        with read_transaction(self._engine) as connection:
            return [PendingEvent(*row) for row in connection.execute(query).all()]

    def delete(
        self, tenant_id: str, identifier: str, owner: str | None = None, *, with_empty_conversation: bool = False
    ) -> bool:
        """Delete a question without an answer, and stop its work. Return whether there was one.

        With `with_empty_conversation`, a conversation that has no other question is deleted too.
        """
        with write_transaction(self._engine) as connection:
            mine = _is_pending(tenant_id, identifier), build_owner_condition(pending_answers, owner)
            conversation = connection.execute(select(pending_answers.c.conversation_id).where(*mine)).scalar()
            if conversation is None:
                return False
            lock_conversation(connection, conversation)
            if not connection.execute(delete(pending_answers).where(*mine)).rowcount:
                return False  # It was answered or deleted while this transaction waited.
            is_empty = (
                conversations.c.turns == 0,
                ~exists().where(pending_answers.c.conversation_id == conversations.c.id),
            )
            if with_empty_conversation:
                connection.execute(delete(conversations).where(conversations.c.id == conversation, *is_empty))
        self._announce(tenant_id, {identifier})
        return True

    def delete_lapsed_events(self) -> int:
        """Remove the events of answers whose process was stopped. Return how many were removed."""
        with write_transaction(self._engine) as connection:
            return delete_lapsed_events(connection)


def build_pending_condition() -> ColumnElement[bool]:
    """Build the condition that a conversation has questions without an answer."""
    return exists().where(pending_answers.c.conversation_id == conversations.c.id)


def delete_lapsed_events(connection: Connection, *of_answers: ColumnElement[bool]) -> int:
    """Remove the events of answers whose process was stopped, within the caller's transaction."""
    lapsed = pending_answers.c.alive_at < read_clock(connection) - LAPSE_SECONDS
    of_lapsed = select(pending_answers.c.id).where(lapsed, *of_answers)
    return connection.execute(delete(pending_events).where(pending_events.c.answer_id.in_(of_lapsed))).rowcount


def lock_conversation(connection: Connection, identifier: str) -> None:
    """Lock a conversation until the commit. Take this lock before locking its questions, as its deletion does."""
    connection.execute(select(conversations.c.id).where(conversations.c.id == identifier).with_for_update())


def _is_pending(tenant_id: str, identifier: str) -> ColumnElement[bool]:
    return (pending_answers.c.tenant_id == tenant_id) & (pending_answers.c.id == identifier)


def build_lease_condition(lease: AnswerLease) -> ColumnElement[bool]:
    """Build the condition that an answer is in progress, and that the lease is still held."""
    of_answer = _is_pending(lease.tenant_id, lease.answer_id)
    # guard: answer-lease
    held = pending_answers.c.lease == lease.token
    return of_answer & held & (pending_answers.c.state == PendingState.RUNNING.value)


def require_answer_lease(connection: Connection, lease: AnswerLease) -> None:
    """Lock the answer until the commit. Raises `LeaseLostError` if the lease is no longer held."""
    held = select(pending_answers.c.id).where(build_lease_condition(lease))
    if connection.execute(held.with_for_update()).first() is None:
        raise LeaseLostError(f"This process no longer works on the answer {lease.answer_id!r}.")


def _find_pending(connection: Connection, tenant_id: str, identifier: str, owner: str | None) -> PendingAnswer | None:
    # guard: pending-answer-owner
    mine = _is_pending(tenant_id, identifier) & build_owner_condition(pending_answers, owner)
    query = select(pending_answers).where(mine, ~exists().where(answers.c.id == pending_answers.c.id))
    row = connection.execute(query).first()
    return None if row is None else build_pending_answer(row, read_clock(connection))


def build_pending_answer(row: Row[Any], now: float) -> PendingAnswer:
    """Build a pending answer from its row. One whose lease has ended is still in progress if it can be taken up."""
    state = PendingState(row.state)
    if state is PendingState.RUNNING and row.asker is None and row.alive_at < now - LAPSE_SECONDS:
        state = PendingState.INTERRUPTED
    return PendingAnswer(
        row.id,
        row.tenant_id,
        row.conversation_id,
        row.question,
        row.owner,
        None if row.readers is None else frozenset(row.readers),
        row.options,
        None if row.asker is None else Asker.from_columns(row.asker),
        row.request,
        state,
        row.events,
        row.problem,
        row.created_at,
        round(max(0.0, now - row.created_at), 1),
        row.attempt,
        row.lease,
    )
