"""Questions, answers, files, tokens and cost by Slack channel and day, as they were counted when they came about."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, Row, func, literal, select, union

from ingest.storage.accounts.records import SLACK_KEY
from ingest.storage.db.database import read
from ingest.storage.db.schema import slack_days, usage_days
from ingest.storage.quotas.records import NANODOLLARS


@dataclass(frozen=True)
class ChannelDay:
    """What came of a channel on a day of UTC. What `/ask` and buttons ask in private counts for the asking user's id.

    `documents` are those that its files became.
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


class UsageByChannel:
    """Reads the usage of every tenant's Slack channels; no method sees another tenant's."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def list_days(
        self, tenant_id: str, *, channel: str | None, since: str, until: str, skip: int, limit: int
    ) -> list[ChannelDay]:
        """List usage by day and channel, the newest day first, from `since` to `until`, both included."""
        of_key = func.substr(usage_days.c.key_id, len(SLACK_KEY) + 1)
        counted = select(slack_days.c.day, slack_days.c.channel).where(slack_days.c.tenant_id == tenant_id)
        spent = select(usage_days.c.day, of_key.label("channel")).where(
            usage_days.c.tenant_id == tenant_id, usage_days.c.key_id.like(f"{SLACK_KEY}%")
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
                & (keys.key_id == literal(SLACK_KEY).concat(rows.c.channel)),
            )
            .where(rows.c.day >= since, rows.c.day <= until)
            .order_by(rows.c.day.desc(), rows.c.channel)
            .offset(skip)
            .limit(limit)
        )
        if channel is not None:
            query = query.where(rows.c.channel == channel)
        with read(self._engine) as connection:
            return [_day(row) for row in connection.execute(query).all()]


def _day(row: Row[Any]) -> ChannelDay:
    members = dict(row._mapping)
    dollars = int(members.pop("nanodollars")) / NANODOLLARS
    return ChannelDay(**members, dollars=dollars)
