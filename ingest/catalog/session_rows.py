"""The rows of sessions by their owner, `user:NAME` or `key:ID`: counted, and ended with whoever they are of."""

from collections.abc import Collection

from sqlalchemy import Connection, delete, func, select

from ingest.storage.audit.records import Action
from ingest.storage.audit.store import record
from ingest.storage.db.schema import sessions

SESSION, TICKET = "session", "ticket"


def end_sessions(connection: Connection, tenant_id: str, owner: str) -> int:
    """End an owner's sessions and tickets; returns how many."""
    of_owner = sessions.c.tenant_id == tenant_id, sessions.c.owner == owner
    ended = connection.execute(delete(sessions).where(*of_owner)).rowcount
    record(connection, Action.SESSIONS_ENDED, owner, tenant_id=tenant_id, sessions=ended)
    return ended


def count_sessions(connection: Connection, tenant_id: str, owners: Collection[str], now: float) -> dict[str, int]:
    """Count the live sessions of each owner."""
    live = (
        sessions.c.tenant_id == tenant_id,
        sessions.c.owner.in_(list(owners)),
        sessions.c.purpose == SESSION,
        sessions.c.ends_at > now,
        sessions.c.used_at + sessions.c.idle_seconds > now,
    )
    rows = connection.execute(select(sessions.c.owner, func.count()).where(*live).group_by(sessions.c.owner)).all()
    return {row[0]: row[1] for row in rows}
