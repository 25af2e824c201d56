"""Slack workspaces, channels, threads and questions in the catalog.

A question is stored before its event is acknowledged to Slack. The process that leases it writes the reply. The
questions of a thread are answered one at a time, in the order of their messages. If the process dies, its lease
expires. A question whose run waits for a user's decision is not leased and does not block other questions.
"""

import time
import uuid
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Engine, Row, Select, and_, delete, exists, func, insert, or_, select, update

from ingest.storage.accounts.grants import load_access
from ingest.storage.accounts.people import identify_by_address
from ingest.storage.accounts.records import SLACK_KEY_PREFIX, Principal, Scope
from ingest.storage.answers.run_records import RunState
from ingest.storage.audit.records import Action
from ingest.storage.audit.store import record_action
from ingest.storage.db.database import build_upsert, read_transaction, write_transaction
from ingest.storage.db.schema import (
    jobs,
    runs,
    slack_channels,
    slack_files,
    slack_questions,
    slack_seen,
    slack_shares,
    slack_threads,
    slack_workspaces,
    tenants,
)
from ingest.storage.errors import LeaseLostError
from ingest.storage.queue.records import JobKind
from ingest.storage.slack.records import (
    OPEN_SHARE_STATES,
    ChannelSettings,
    IncomingQuestion,
    PostedReply,
    QuestionState,
    SlackQuestion,
    Surface,
    Workspace,
)
from ingest.storage.slack.usage import LEASE_SECONDS, add_channel_usage, record_event_keys

# Maximum time for which a question waits for the files in its message.
_FILE_WAIT_SECONDS = 600.0
_OPEN_STATES = (QuestionState.WAITING, QuestionState.ANSWERING)
_UNENDED_STATES = (*_OPEN_STATES, QuestionState.PAUSED)


class SlackStore:
    """The workspaces, channel settings and questions of all tenants. `clock` returns seconds since the epoch."""

    def __init__(self, engine: Engine, *, clock: Callable[[], float] = time.time) -> None:
        self._engine = engine
        self._clock = clock

    def install_workspace(self, workspace: Workspace) -> None:
        """Add a workspace, or update its token and scopes.

        A workspace of another tenant is moved to this tenant.
        """
        values = {
            "tenant_id": workspace.tenant_id,
            "name": workspace.name,
            "bot_user_id": workspace.bot_user_id,
            "token_sealed": workspace.token,
            "scopes": list(workspace.scopes),
            "installed_by": workspace.installed_by,
            "installed_at": self._clock(),
        }
        with write_transaction(self._engine) as connection:
            known = _find_workspace(connection, workspace.team_id)
            if known is not None and known.tenant_id != workspace.tenant_id:
                _remove_workspace_rows(connection, workspace.team_id)
            row = build_upsert(connection, slack_workspaces).values(team_id=workspace.team_id, **values)
            connection.execute(row.on_conflict_do_update(index_elements=[slack_workspaces.c.team_id], set_=values))
            about = f"slack:{workspace.team_id}"
            record_action(connection, Action.SLACK_INSTALLED, about, tenant_id=workspace.tenant_id, name=workspace.name)

    def reseal_token(self, workspace: Workspace, token: str) -> None:
        """Store a workspace's resealed token, unless the token has changed in the meantime."""
        unchanged = (
            slack_workspaces.c.team_id == workspace.team_id,
            slack_workspaces.c.token_sealed == workspace.token,
        )
        with write_transaction(self._engine) as connection:
            connection.execute(update(slack_workspaces).where(*unchanged).values(token_sealed=token))

    def remove_workspace(self, team_id: str) -> bool:
        """Remove a workspace with its channels, threads and questions. Return false if it does not exist."""
        with write_transaction(self._engine) as connection:
            known = _find_workspace(connection, team_id)
            if known is None:
                return False
            _remove_workspace_rows(connection, team_id)
            record_action(
                connection, Action.SLACK_REMOVED, f"slack:{team_id}", tenant_id=known.tenant_id, name=known.name
            )
        return True

    def find_workspace(self, team_id: str) -> Workspace | None:
        """Find a workspace. Return None if it does not exist or its tenant is suspended."""
        with read_transaction(self._engine) as connection:
            return _find_workspace(connection, team_id)

    def list_workspaces(self, tenant_id: str | None = None) -> list[Workspace]:
        """List the workspaces of one tenant, or of all tenants, sorted by id."""
        query = select(slack_workspaces).order_by(slack_workspaces.c.team_id)
        if tenant_id is not None:
            query = query.where(slack_workspaces.c.tenant_id == tenant_id)
        with read_transaction(self._engine) as connection:
            return [_build_workspace(row) for row in connection.execute(query)]

    def load_channel_settings(self, team_id: str, channel: str) -> ChannelSettings:
        """Load a channel's settings, or the defaults if it has none."""
        with read_transaction(self._engine) as connection:
            return _load_channel_settings(connection, team_id, channel)

    def set_channel_settings(self, workspace: Workspace, channel: str, settings: ChannelSettings, user_id: str) -> None:
        """Set a channel's settings on behalf of the Slack user `user_id`."""
        values = {"settings": settings.to_json(), "changed_by": user_id, "changed_at": self._clock()}
        with write_transaction(self._engine) as connection:
            row = build_upsert(connection, slack_channels).values(
                team_id=workspace.team_id, channel=channel, tenant_id=workspace.tenant_id, **values
            )
            key = [slack_channels.c.team_id, slack_channels.c.channel]
            connection.execute(row.on_conflict_do_update(index_elements=key, set_=values))
            about = f"slack:{workspace.team_id}:{channel}"
            record_action(
                connection,
                Action.SLACK_CHANNEL_SET,
                about,
                tenant_id=workspace.tenant_id,
                by=user_id,
                **settings.to_json(),
            )

    def record_event(self, workspace: Workspace, keys: Collection[str]) -> bool:
        """Record the keys of an event that is not a question. Return false if one of them was already recorded."""
        with write_transaction(self._engine) as connection:
            return record_event_keys(connection, workspace.team_id, workspace.tenant_id, keys, self._clock())

    def store_question(self, question: IncomingQuestion, keys: Collection[str]) -> str | None:
        """Store a question and return its id. From then on, the bot takes part in the question's thread.

        Returns None if one of the question's event keys was already recorded.
        """
        identifier, now = str(uuid.uuid4()), self._clock()
        of_thread = {"team_id": question.team_id, "channel": question.channel, "thread_ts": question.thread_ts}
        with write_transaction(self._engine) as connection:
            if not record_event_keys(connection, question.team_id, question.tenant_id, keys, now):
                return None
            thread = build_upsert(connection, slack_threads).values(
                tenant_id=question.tenant_id, created_at=now, **of_thread
            )
            connection.execute(thread.on_conflict_do_nothing())
            connection.execute(
                insert(slack_questions).values(
                    id=identifier,
                    tenant_id=question.tenant_id,
                    message_ts=question.message_ts,
                    user_id=question.user_id,
                    surface=question.surface,
                    text=question.text,
                    confirmed=question.confirmed,
                    stopped=False,
                    state=QuestionState.WAITING,
                    messages=[],
                    attempt=0,
                    fence=0,
                    not_before=now,
                    created_at=now,
                    **of_thread,
                )
            )
            add_channel_usage(connection, question.tenant_id, question.channel, now, questions=1)
        return identifier

    def has_joined_thread(self, team_id: str, channel: str, thread_ts: str) -> bool:
        """Return whether the bot takes part in a thread."""
        query = select(slack_threads.c.created_at).where(
            *_build_thread_conditions(slack_threads, team_id, channel, thread_ts)
        )
        with read_transaction(self._engine) as connection:
            return connection.execute(query).first() is not None

    def record_conversation(self, question: IncomingQuestion, conversation_id: str) -> None:
        """Record the conversation of a question's thread, unless the thread already has one."""
        of_thread = _build_thread_conditions(slack_threads, question.team_id, question.channel, question.thread_ts)
        unset = slack_threads.c.conversation_id.is_(None)
        with write_transaction(self._engine) as connection:
            connection.execute(update(slack_threads).where(*of_thread, unset).values(conversation_id=conversation_id))

    def claim(self, *, limit: int = 1, lease_seconds: float = LEASE_SECONDS) -> list[SlackQuestion]:
        """Lease up to `limit` questions that no process holds, oldest first.

        Only a thread's first unfinished question can be leased. A paused question can be leased once its run is no
        longer paused, because it was resumed or has ended.
        """
        with write_transaction(self._engine) as connection:
            now = self._clock()
            rows = connection.execute(_build_claimable_query(now).limit(limit).with_for_update(skip_locked=True)).all()
            found = []
            for row in rows:
                # guard: slack-one-question-per-thread
                if not _lock_thread_if_free(connection, row, now):
                    continue
                was_paused = row.state == QuestionState.PAUSED
                taken = {
                    "state": QuestionState.ANSWERING,
                    "fence": row.fence + 1,
                    "attempt": 1 if was_paused else row.attempt + 1,
                    "resumed_at": now if was_paused else row.resumed_at,
                    "lease_until": now + lease_seconds,
                }
                connection.execute(update(slack_questions).where(slack_questions.c.id == row.id).values(**taken))
                found.append(_build_question(connection, row, taken))
        return found

    def renew(self, question: SlackQuestion, lease_seconds: float = LEASE_SECONDS) -> None:
        """Extend the lease. Raises `LeaseLostError` if it was lost."""
        self._update_question(question, lease_until=self._clock() + lease_seconds)

    def record_run(self, question: SlackQuestion, run_id: str) -> SlackQuestion:
        """Record the run that answers the question. Raises `LeaseLostError` if the lease was lost."""
        self._update_question(question, run_id=run_id)
        return replace(question, run_id=run_id)

    def mark_posting_started(self, question: SlackQuestion) -> SlackQuestion:
        """Record that another message is about to be posted. Raises `LeaseLostError` if the lease was lost."""
        since = self._clock()
        self._update_question(question, posting_since=since)
        return replace(question, posted=replace(question.posted, since=since))

    def record_posted_messages(self, question: SlackQuestion, messages: tuple[str, ...]) -> SlackQuestion:
        """Record the posted messages of the reply, and that no message is being posted.

        Raises `LeaseLostError` if the lease was lost.
        """
        self._update_question(question, messages=list(messages), posting_since=None)
        return replace(question, posted=PostedReply(messages))

    def pause(self, question: SlackQuestion) -> None:
        """Release the question until its run is no longer paused. Raises `LeaseLostError` if the lease was lost."""
        self._update_question(question, state=QuestionState.PAUSED, lease_until=None)

    def requeue(self, question: SlackQuestion, delay_seconds: float) -> None:
        """Release the question, so that it can be claimed again after a delay.

        Raises `LeaseLostError` if the lease was lost.
        """
        self._update_question(
            question, state=QuestionState.WAITING, lease_until=None, not_before=self._clock() + max(0.0, delay_seconds)
        )

    def end_question(self, question: SlackQuestion, state: QuestionState, error_code: str | None = None) -> None:
        """End a question. It counts as answered if its run has an answer.

        Raises `LeaseLostError` if the lease was lost.
        """
        now, asked = self._clock(), question.asked
        ended = {"state": state, "lease_until": None, "error_code": error_code, "ended_at": now}
        with self._open_held_transaction(question) as connection:
            connection.execute(update(slack_questions).where(slack_questions.c.id == question.id).values(**ended))
            run = select(runs.c.id).where(runs.c.id == question.run_id, runs.c.ended_as == RunState.COMPLETED)
            if state is QuestionState.ANSWERED and connection.execute(run).first() is not None:
                add_channel_usage(connection, asked.tenant_id, asked.channel, now, answers=1)

    def find_question(self, identifier: str) -> SlackQuestion | None:
        with read_transaction(self._engine) as connection:
            row = connection.execute(_build_questions_query().where(slack_questions.c.id == identifier)).first()
            return None if row is None else _build_question(connection, row, row._mapping)

    def count_open_questions(self) -> int:
        """Count the questions that are neither finished nor paused."""
        query = select(func.count()).where(slack_questions.c.state.in_(_OPEN_STATES))
        with read_transaction(self._engine) as connection:
            return connection.execute(query).scalar_one()

    def list_unfinished_questions(self, team_id: str, channel: str, thread_ts: str) -> list[SlackQuestion]:
        """List a thread's unfinished questions, in message order."""
        of_thread = _build_thread_conditions(slack_questions, team_id, channel, thread_ts)
        query = _build_questions_query().where(*of_thread, slack_questions.c.state.in_(_UNENDED_STATES))
        with read_transaction(self._engine) as connection:
            rows = connection.execute(query.order_by(slack_questions.c.message_ts)).all()
            return [_build_question(connection, row, row._mapping) for row in rows]

    def stop_questions(self, team_id: str, channel: str, thread_ts: str) -> list[SlackQuestion]:
        """Mark a thread's unfinished questions as stopped and return them."""
        of_thread = _build_thread_conditions(slack_questions, team_id, channel, thread_ts)
        with write_transaction(self._engine) as connection:
            connection.execute(
                update(slack_questions)
                .where(*of_thread, slack_questions.c.state.in_(_UNENDED_STATES))
                .values(stopped=True)
            )
        return self.list_unfinished_questions(team_id, channel, thread_ts)

    def is_question_stopped(self, question: SlackQuestion) -> bool:
        query = select(slack_questions.c.stopped).where(slack_questions.c.id == question.id)
        with read_transaction(self._engine) as connection:
            return bool(connection.execute(query).scalar())

    def build_principal(
        self,
        workspace: Workspace,
        channel: str,
        mail: str | None,
        groups: frozenset[str],
        scopes: frozenset[Scope],
        *,
        is_confirmed: bool = True,
    ) -> Principal:
        """Build the principal of a Slack user, with its current access to collections.

        A user with the mail address of a person, or of a user with keys, has the same rights, in addition to `groups`.
        Requests count against the channel in the same way as against a key.
        """
        principal = Principal(
            workspace.tenant_id, f"{SLACK_KEY_PREFIX}{channel}", f"Slack {channel}", groups=groups, scopes=scopes
        )
        with read_transaction(self._engine) as connection:
            if mail:
                principal = identify_by_address(connection, principal, mail, self._clock(), is_confirmed=is_confirmed)
            return load_access(connection, principal)

    def delete_old_records(self, cutoff: float) -> int:
        """Delete event keys, finished questions and threads older than this time. Return the number of rows."""
        old = (
            delete(slack_seen).where(slack_seen.c.seen_at < cutoff),
            delete(slack_questions).where(slack_questions.c.ended_at < cutoff),
            delete(slack_threads).where(
                slack_threads.c.created_at < cutoff, ~_build_recent_questions_condition(cutoff)
            ),
        )
        with write_transaction(self._engine) as connection:
            return sum(connection.execute(statement).rowcount for statement in old)

    def _update_question(self, question: SlackQuestion, **values: Any) -> None:  # noqa: ANN401 - columns
        with self._open_held_transaction(question) as connection:
            connection.execute(update(slack_questions).where(slack_questions.c.id == question.id).values(**values))

    @contextmanager
    def _open_held_transaction(self, question: SlackQuestion) -> Iterator[Connection]:
        held = (
            select(slack_questions.c.id)
            .where(
                slack_questions.c.id == question.id,
                slack_questions.c.fence == question.fence,
                slack_questions.c.state == QuestionState.ANSWERING,
            )
            .with_for_update()
        )
        with write_transaction(self._engine) as connection:
            if connection.execute(held).first() is None:
                raise LeaseLostError(f"The lease of Slack question {question.id} was lost.")
            yield connection


def _build_claimable_query(now: float) -> Select[Any]:
    earlier = slack_questions.alias("earlier")
    mine = slack_questions.c
    before_it = exists().where(
        earlier.c.team_id == mine.team_id,
        earlier.c.channel == mine.channel,
        earlier.c.thread_ts == mine.thread_ts,
        earlier.c.message_ts < mine.message_ts,
        earlier.c.state.in_(_OPEN_STATES),
    )
    waits = and_(mine.state == QuestionState.WAITING, mine.not_before <= now)
    lost = and_(mine.state == QuestionState.ANSWERING, mine.lease_until < now)
    run_waits = exists().where(jobs.c.kind == JobKind.RUN, jobs.c.version_id == mine.run_id, jobs.c.state == "paused")
    # guard: slack-question-awaits-run
    goes_on = and_(mine.state == QuestionState.PAUSED, ~run_waits)
    files_come = exists().where(
        slack_shares.c.team_id == mine.team_id,
        slack_shares.c.channel == mine.channel,
        slack_shares.c.message_ts == mine.message_ts,
        slack_shares.c.state.in_(OPEN_SHARE_STATES),
        slack_shares.c.created_at > now - _FILE_WAIT_SECONDS,
    )
    # guard: slack-question-awaits-files
    takable = or_(and_(or_(waits, lost), ~before_it, ~files_come), goes_on)
    return select(slack_questions).where(takable).order_by(mine.created_at)


def _lock_thread_if_free(connection: Connection, row: Row[Any], now: float) -> bool:
    """Lock a question's thread until the commit, and return whether no other question of it is being answered.

    Returns false if another transaction has locked the thread.
    """
    of_thread = _build_thread_conditions(slack_threads, row.team_id, row.channel, row.thread_ts)
    thread = select(slack_threads.c.created_at).where(*of_thread).with_for_update(skip_locked=True)
    if connection.execute(thread).first() is None:
        return False
    others = slack_questions.c
    answered = select(others.id).where(
        *_build_thread_conditions(slack_questions, row.team_id, row.channel, row.thread_ts),
        others.id != row.id,
        others.state == QuestionState.ANSWERING,
        others.lease_until >= now,
    )
    return connection.execute(answered).first() is None


def _build_questions_query() -> Select[Any]:
    return select(slack_questions)


def _build_question(connection: Connection, row: Row[Any], current_values: Any) -> SlackQuestion:  # noqa: ANN401 - a mapping of columns
    of_thread = _build_thread_conditions(slack_threads, row.team_id, row.channel, row.thread_ts)
    conversation = connection.execute(select(slack_threads.c.conversation_id).where(*of_thread)).scalar()
    asked = IncomingQuestion(
        row.team_id,
        row.tenant_id,
        row.channel,
        row.thread_ts,
        row.message_ts,
        row.user_id,
        Surface(row.surface),
        row.text,
        row.confirmed,
    )
    return SlackQuestion(
        row.id,
        asked,
        QuestionState(current_values["state"]),
        conversation,
        row.run_id,
        PostedReply(tuple(row.messages), row.posting_since),
        current_values["attempt"],
        current_values["fence"],
        row.created_at,
        current_values["resumed_at"] or row.created_at,
        _load_channel_settings(connection, row.team_id, row.channel),
    )


def _build_thread_conditions(table: Any, team_id: str, channel: str, thread_ts: str) -> tuple[Any, ...]:  # noqa: ANN401 - a Table
    return table.c.team_id == team_id, table.c.channel == channel, table.c.thread_ts == thread_ts


def _load_channel_settings(connection: Connection, team_id: str, channel: str) -> ChannelSettings:
    of_channel = slack_channels.c.team_id == team_id, slack_channels.c.channel == channel
    body = connection.execute(select(slack_channels.c.settings).where(*of_channel)).scalar()
    return ChannelSettings.from_json(body or {})


def _find_workspace(connection: Connection, team_id: str) -> Workspace | None:
    row = connection.execute(
        select(slack_workspaces)
        .join(tenants, tenants.c.id == slack_workspaces.c.tenant_id)
        .where(slack_workspaces.c.team_id == team_id, tenants.c.suspended_at.is_(None))
    ).first()
    return None if row is None else _build_workspace(row)


def _build_workspace(row: Row[Any]) -> Workspace:
    return Workspace(
        row.team_id, row.tenant_id, row.name, row.bot_user_id, row.token_sealed, tuple(row.scopes), row.installed_by
    )


def _remove_workspace_rows(connection: Connection, team_id: str) -> None:
    for table in (
        slack_questions,
        slack_files,
        slack_shares,
        slack_seen,
        slack_threads,
        slack_channels,
        slack_workspaces,
    ):
        connection.execute(delete(table).where(table.c.team_id == team_id))


def _build_recent_questions_condition(cutoff: float) -> Any:  # noqa: ANN401 - a condition
    return exists().where(
        slack_questions.c.team_id == slack_threads.c.team_id,
        slack_questions.c.channel == slack_threads.c.channel,
        slack_questions.c.thread_ts == slack_threads.c.thread_ts,
        or_(slack_questions.c.ended_at.is_(None), slack_questions.c.ended_at >= cutoff),
    )
