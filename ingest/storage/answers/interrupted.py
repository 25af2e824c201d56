"""Takes up answers whose process was stopped: finds them, claims them for this process, and gives them back.

As with jobs, a process holds a lease, which it renews, and writes only while it holds the lease.
"""

import uuid

from sqlalchemy import ColumnElement, Engine, delete, insert, select, update

from ingest.storage.accounts.access import Readers
from ingest.storage.answers.pending import build_lease_condition, build_pending_answer
from ingest.storage.answers.pending_records import LAPSE_SECONDS, AnswerLease, PendingAnswer, PendingState
from ingest.storage.db.database import read_clock, read_transaction, write_transaction
from ingest.storage.db.schema import pending_answers, pending_events
from ingest.storage.feed.feed import Announce, announce_to_nobody
from ingest.storage.quotas.rows import charge_lost_reservation

# The event that tells followers to discard all events so far, because the answer starts from its beginning.
RESTARTED = "restarted"


class InterruptedAnswers:
    """The interrupted answers of all tenants. `announce` is called with the id of each answer that changes."""

    def __init__(self, engine: Engine, *, announce: Announce = announce_to_nobody) -> None:
        self._engine = engine
        self._announce = announce

    def find_next(self) -> PendingAnswer | None:
        """Find an answer whose lease has ended, or return None. The one with the fewest attempts comes first."""
        with read_transaction(self._engine) as connection:
            now = read_clock(connection)
            query = (
                select(pending_answers)
                .where(_build_lapsed_condition(now))
                .order_by(pending_answers.c.attempt, pending_answers.c.created_at)
                .limit(1)
            )
            row = connection.execute(query).first()
            return None if row is None else build_pending_answer(row, now)

    def claim(self, found: PendingAnswer, readers: Readers) -> AnswerLease | None:
        """Start the next attempt at an answer of `find_next`. Return None if another process took it up first.

        Followers get the event `restarted` in place of the events so far. `readers` are the subjects whose documents
        the author may read now. Spending that the last attempt reported is charged, and its reservation is released.
        """
        lease = AnswerLease.create(found.tenant_id, found.id)
        number = found.events + 1
        with write_transaction(self._engine) as connection:
            now = read_clock(connection)
            mine = (pending_answers.c.id == found.id) & (pending_answers.c.lease == found.lease)
            claimed = update(pending_answers).where(mine, _build_lapsed_condition(now))
            values = {
                "lease": lease.token,
                "attempt": found.attempt + 1,
                "events": number,
                "alive_at": now,
                "readers": None if readers is None else sorted(readers),
            }
            if not connection.execute(claimed.values(**values)).rowcount:
                return None
            connection.execute(delete(pending_events).where(pending_events.c.answer_id == found.id))
            restarted = {"sequence": number, "kind": RESTARTED, "body": {}}
            connection.execute(insert(pending_events).values(answer_id=found.id, **restarted))
            if found.lease is not None:
                charge_lost_reservation(connection, found.tenant_id, found.lease)
        self._announce(found.tenant_id, {found.id})
        return lease

    def release(self, lease: AnswerLease) -> None:
        """Give an answer back in an orderly shutdown, so that another process takes it up at once.

        The attempt does not count, because the question is not the cause. The lease ends.
        """
        with write_transaction(self._engine) as connection:
            held = update(pending_answers).where(build_lease_condition(lease))
            given_back = {"lease": str(uuid.uuid4()), "alive_at": 0.0, "attempt": pending_answers.c.attempt - 1}
            connection.execute(held.values(**given_back))

    def release_all(self) -> int:
        """End all leases, because no other process works on this catalog. Return the number of answers."""
        running = pending_answers.c.state == PendingState.RUNNING.value
        with write_transaction(self._engine) as connection:
            return connection.execute(update(pending_answers).where(running).values(alive_at=0.0)).rowcount


def _build_lapsed_condition(now: float) -> ColumnElement[bool]:
    return (
        (pending_answers.c.state == PendingState.RUNNING.value)
        & (pending_answers.c.alive_at < now - LAPSE_SECONDS)
        & pending_answers.c.asker.is_not(None)
    )
