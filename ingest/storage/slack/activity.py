"""A tenant's activity in Slack, from the stored events, questions and files. Nothing here calls Slack."""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, func, select, union, union_all

from ingest.storage.db.database import read_transaction
from ingest.storage.db.schema import (
    slack_channels,
    slack_days,
    slack_files,
    slack_questions,
    slack_seen,
    slack_shares,
    slack_workspaces,
)
from ingest.storage.slack.records import ChannelSettings, SharedFileState

# The usage of a private question has the id of the user as its channel.
_USER_PREFIXES = ("U", "W")


@dataclass(frozen=True)
class InstalledWorkspace:
    """A workspace of the tenant. `scopes` is empty if they are not known, as for the bot token in the settings."""

    team_id: str
    name: str
    scopes: tuple[str, ...]
    installed_at: float


@dataclass(frozen=True)
class ChannelActivity:
    """A channel with its settings and usage. `last_day` is a UTC day, or None if nothing has happened yet."""

    channel: str
    settings: ChannelSettings
    questions: int = 0
    answers: int = 0
    files: int = 0
    last_day: str | None = None


@dataclass(frozen=True)
class SlackFailure:
    """A question or shared message that failed. `code` is the code of the error."""

    code: str
    channel: str
    at: float


@dataclass(frozen=True)
class TenantActivity:
    """A tenant's activity. `users` counts the Slack users who asked or shared files, as far back as these are stored.

    `files` counts shared files by state. Channels with the latest usage come first.
    """

    workspaces: tuple[InstalledWorkspace, ...]
    channels: tuple[ChannelActivity, ...]
    files: Mapping[SharedFileState, int]
    users: int
    last_event_at: float | None
    last_failure: SlackFailure | None
    open_questions: int


class SlackActivity:
    """Reads the activity of single tenants."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def load_activity(self, tenant_id: str) -> TenantActivity:
        with read_transaction(self._engine) as connection:
            return TenantActivity(
                workspaces=_list_workspaces(connection, tenant_id),
                channels=_list_channels(connection, tenant_id),
                files=_count_files(connection, tenant_id),
                users=_count_users(connection, tenant_id),
                last_event_at=connection.execute(
                    select(func.max(slack_seen.c.seen_at)).where(slack_seen.c.tenant_id == tenant_id)
                ).scalar(),
                last_failure=_find_last_failure(connection, tenant_id),
                open_questions=connection.execute(
                    select(func.count()).where(
                        slack_questions.c.tenant_id == tenant_id, slack_questions.c.ended_at.is_(None)
                    )
                ).scalar_one(),
            )


def _list_workspaces(connection: Connection, tenant_id: str) -> tuple[InstalledWorkspace, ...]:
    columns = (slack_workspaces.c[name] for name in ("team_id", "name", "scopes", "installed_at"))
    query = select(*columns).where(slack_workspaces.c.tenant_id == tenant_id).order_by(slack_workspaces.c.installed_at)
    return tuple(
        InstalledWorkspace(row.team_id, row.name, tuple(row.scopes), row.installed_at)
        for row in connection.execute(query)
    )


def _list_channels(connection: Connection, tenant_id: str) -> tuple[ChannelActivity, ...]:
    days = slack_days.c
    sums = (func.sum(days.questions), func.sum(days.answers), func.sum(days.files), func.max(days.day))
    used = connection.execute(
        select(days.channel, *sums).where(days.tenant_id == tenant_id).group_by(days.channel)
    ).all()
    stated = connection.execute(
        select(slack_channels.c.channel, slack_channels.c.settings).where(slack_channels.c.tenant_id == tenant_id)
    ).all()
    settings = {channel: ChannelSettings.from_json(body) for channel, body in stated}
    found = {channel: ChannelActivity(channel, of_channel) for channel, of_channel in settings.items()}
    for channel, questions, answers, files, last_day in used:
        if not channel.startswith(_USER_PREFIXES):
            of_channel = settings.get(channel, ChannelSettings())
            found[channel] = ChannelActivity(channel, of_channel, int(questions), int(answers), int(files), last_day)
    return tuple(sorted(found.values(), key=lambda each: (each.last_day or "", each.channel), reverse=True))


def _count_files(connection: Connection, tenant_id: str) -> dict[SharedFileState, int]:
    query = select(slack_files.c.state, func.count()).where(slack_files.c.tenant_id == tenant_id)
    rows = connection.execute(query.group_by(slack_files.c.state)).all()
    return {SharedFileState(state): count for state, count in rows}


def _count_users(connection: Connection, tenant_id: str) -> int:
    users = union(
        *(select(table.c.user_id).where(table.c.tenant_id == tenant_id) for table in (slack_questions, slack_shares))
    ).subquery()
    return connection.execute(select(func.count()).select_from(users)).scalar_one()


def _find_last_failure(connection: Connection, tenant_id: str) -> SlackFailure | None:
    failures = union_all(
        *(
            select(table.c.error_code, table.c.channel, table.c.ended_at).where(
                table.c.tenant_id == tenant_id, table.c.error_code.is_not(None), table.c.ended_at.is_not(None)
            )
            for table in (slack_questions, slack_shares)
        )
    ).subquery()
    row = connection.execute(select(failures).order_by(failures.c.ended_at.desc()).limit(1)).first()
    return None if row is None else SlackFailure(row.error_code, row.channel, row.ended_at)
