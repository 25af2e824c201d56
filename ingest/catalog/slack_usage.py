"""Questions, answers, files, tokens and cost by Slack channel and day, as they were counted when they came about."""

from dataclasses import dataclass

from sqlalchemy import ColumnElement, Engine, func, literal, select, union

from ingest.catalog.database import read
from ingest.catalog.tables import slack_days, usage_days
from ingest.quotas import NANODOLLARS
from ingest.slack import SLACK_KEY


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


def usage_by_channel(
    engine: Engine, tenant_id: str, *, channel: str | None, since: str, until: str, skip: int, limit: int
) -> list[ChannelDay]:
    """List usage by day and channel, the newest day first, from `since` to `until`, both included."""
    of_key = func.substr(usage_days.c.key_id, len(SLACK_KEY) + 1)
    counted = select(slack_days.c.day, slack_days.c.channel).where(slack_days.c.tenant_id == tenant_id)
    spent = select(usage_days.c.day, of_key.label("channel")).where(
        usage_days.c.tenant_id == tenant_id, usage_days.c.key_id.like(f"{SLACK_KEY}%")
    )
    rows = union(counted, spent).subquery()
    days, keys = slack_days.c, usage_days.c

    def or_none(column: ColumnElement[int]) -> ColumnElement[int]:
        return func.coalesce(column, 0)

    query = (
        select(
            rows.c.day,
            rows.c.channel,
            or_none(days.questions),
            or_none(days.answers),
            or_none(days.files),
            or_none(keys.documents),
            or_none(keys.calls),
            or_none(keys.prompt_tokens),
            or_none(keys.completion_tokens),
            or_none(keys.nanodollars),
        )
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
    with read(engine) as connection:
        return [ChannelDay(*row[:-1], int(row[-1]) / NANODOLLARS) for row in connection.execute(query).all()]
