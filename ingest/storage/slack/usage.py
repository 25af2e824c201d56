"""Usage by Slack channel and day, and the keys of events that were already handled."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, Row, func, literal, select, union

from ingest.storage.accounts.records import SLACK_KEY_PREFIX
from ingest.storage.db.database import build_upsert, insert_row_if_absent, read_transaction
from ingest.storage.db.schema import slack_days, slack_seen, usage_days
from ingest.storage.quotas.records import NANODOLLARS
from ingest.storage.quotas.rows import build_increments, format_day


@dataclass(frozen=True)
class ChannelDay:
    """A channel's usage on one day (UTC).

    For private questions from `/ask` and buttons, `channel` is the id of the asking user. `documents` is the number of
    documents created from the channel's files.
    """

    day: str
    channel: str
    questions: int
    answers: int
    files: int
    documents: int
    calls: int
    prompt_tokens: int
    completion_tokens: int
    dollars: float


class ChannelUsage:
    """Reads the usage of Slack channels. Each method reads the usage of a single tenant only."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def list_days(
        self, tenant_id: str, *, channel: str | None, start_day: str, end_day: str, skip: int, limit: int
    ) -> list[ChannelDay]:
        """List the usage of each day and channel, newest day first. `start_day` and `end_day` are inclusive."""
        of_key = func.substr(usage_days.c.key_id, len(SLACK_KEY_PREFIX) + 1)
        counted = select(slack_days.c.day, slack_days.c.channel).where(slack_days.c.tenant_id == tenant_id)
        spent = select(usage_days.c.day, of_key.label("channel")).where(
            usage_days.c.tenant_id == tenant_id, usage_days.c.key_id.like(f"{SLACK_KEY_PREFIX}%")
        )
        rows = union(counted, spent).subquery()
        days, keys = slack_days.c, usage_days.c

        figures = [
            *(days[name] for name in ("questions", "answers", "files")),
            *(keys[name] for name in ("documents", "calls", "prompt_tokens", "completion_tokens", "nanodollars")),
        ]
        query = (
            select(rows.c.day, rows.c.channel, *(func.coalesce(each, 0).label(each.name) for each in figures))
            .outerjoin(
                slack_days,
                (days.tenant_id == tenant_id) & (days.day == rows.c.day) & (days.channel == rows.c.channel),
            )
            .outerjoin(
                usage_days,
                (keys.tenant_id == tenant_id)
                & (keys.day == rows.c.day)
                & (keys.key_id == literal(SLACK_KEY_PREFIX).concat(rows.c.channel)),
            )
            .where(rows.c.day >= start_day, rows.c.day <= end_day)
            .order_by(rows.c.day.desc(), rows.c.channel)
            .offset(skip)
            .limit(limit)
        )
        if channel is not None:
            query = query.where(rows.c.channel == channel)
        with read_transaction(self._engine) as connection:
            return [_build_channel_day(row) for row in connection.execute(query).all()]


def _build_channel_day(row: Row[Any]) -> ChannelDay:
    members = dict(row._mapping)
    dollars = int(members.pop("nanodollars")) / NANODOLLARS
    return ChannelDay(**members, dollars=dollars)


LEASE_SECONDS = 30.0


def record_event_keys(connection: Connection, team_id: str, tenant_id: str, keys: Collection[str], now: float) -> bool:
    """Record the keys of an event. Return false if one of them was already recorded.

    Keys are recorded in sorted order, to avoid deadlocks with processes that record the same keys.
    """
    new = True
    for key in sorted(keys):
        seen = {"team_id": team_id, "key": key[:120], "tenant_id": tenant_id, "seen_at": now}
        new &= insert_row_if_absent(connection, slack_seen, **seen)
    return new


def add_channel_usage(connection: Connection, tenant_id: str, channel: str, now: float, **amounts: int) -> None:
    """Add amounts to a channel's counts of questions, answers and files on the day of `now`."""
    zeros = {"questions": 0, "answers": 0, "files": 0}
    of_day = {"tenant_id": tenant_id, "day": format_day(now), "channel": channel}
    row = build_upsert(connection, slack_days).values(**of_day, **{**zeros, **amounts})
    connection.execute(
        row.on_conflict_do_update(index_elements=list(of_day), set_=build_increments(slack_days.c, **amounts))
    )
