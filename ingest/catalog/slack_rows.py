"""Reads and writes rows that questions and files from Slack share: leases, events seen, counts by channel and day."""

from collections.abc import Collection

from sqlalchemy import Connection

from ingest.storage.db.database import insert_new, upsert
from ingest.storage.db.schema import slack_days, slack_seen
from ingest.storage.quotas.rows import day_of, sums

LEASE_SECONDS = 30.0


def note(connection: Connection, team_id: str, tenant_id: str, keys: Collection[str], now: float) -> bool:
    """Note keys of an event; false if one of them was noted before.

    They are noted in their order, so that two processes that note the same ones wait in turn.
    """
    new = True
    for key in sorted(keys):
        seen = {"team_id": team_id, "key": key[:120], "tenant_id": tenant_id, "seen_at": now}
        new &= insert_new(connection, slack_seen, **seen)
    return new


def count(connection: Connection, tenant_id: str, channel: str, now: float, **amounts: int) -> None:
    """Add to what was asked, answered and shared in a channel on the day of an instant."""
    zeros = {"questions": 0, "answers": 0, "files": 0}
    of_day = {"tenant_id": tenant_id, "day": day_of(now), "channel": channel}
    row = upsert(connection, slack_days).values(**of_day, **{**zeros, **amounts})
    connection.execute(row.on_conflict_do_update(index_elements=list(of_day), set_=sums(slack_days.c, **amounts)))
