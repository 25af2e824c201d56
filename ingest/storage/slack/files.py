"""Records of the files that users share with the bot in Slack.

A message with files is stored before its event is acknowledged to Slack. The process that leases the message processes
it one step at a time: it downloads a file, checks the progress of the file's document, or deletes documents whose files
were deleted in Slack. If the process dies, its lease expires and another process continues.
"""

import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import Any

from sqlalchemy import Connection, Engine, Row, and_, delete, exists, insert, or_, select, update

from ingest.storage.db.database import insert_row_if_absent, read_transaction, write_transaction
from ingest.storage.db.schema import documents, slack_files, slack_seen, slack_shares, slack_threads
from ingest.storage.errors import LeaseLostError
from ingest.storage.queue.records import Failure
from ingest.storage.slack.records import (
    OPEN_SHARE_STATES,
    Audience,
    FileShare,
    IncomingShare,
    SharedFile,
    SharedFileState,
    ShareState,
)
from ingest.storage.slack.usage import LEASE_SECONDS, add_channel_usage, record_event_keys


class SlackFiles:
    """The files shared in all Slack workspaces. `clock` returns seconds since the epoch."""

    def __init__(self, engine: Engine, *, clock: Callable[[], float] = time.time) -> None:
        self._engine = engine
        self._clock = clock

    def store_message(self, message: IncomingShare, files: Sequence[SharedFile], *, join_thread: bool) -> bool:
        """Store a message and its files. Return false if it is already stored or was deleted earlier.

        If `join_thread` is true, the bot joins the message's thread, and from then on answers questions in it.
        """
        identifier, now = str(uuid.uuid4()), self._clock()
        of_thread = {"team_id": message.team_id, "channel": message.channel, "thread_ts": message.thread_ts}
        with write_transaction(self._engine) as connection:
            deleted = (
                slack_seen.c.team_id == message.team_id,
                slack_seen.c.key == _format_deletion_key(message.channel, message.message_ts),
            )
            if connection.execute(select(slack_seen.c.key).where(*deleted)).first() is not None:
                return False
            is_new = insert_row_if_absent(
                connection,
                slack_shares,
                id=identifier,
                tenant_id=message.tenant_id,
                message_ts=message.message_ts,
                user_id=message.user_id,
                state=ShareState.WAITING,
                shown="",
                failures=0,
                fence=0,
                not_before=now,
                created_at=now,
                **of_thread,
            )
            if not is_new:
                return False
            if join_thread:
                insert_row_if_absent(
                    connection, slack_threads, tenant_id=message.tenant_id, created_at=now, **of_thread
                )
            for position, file in enumerate(files):
                connection.execute(insert(slack_files).values(**_build_file_row(identifier, position, message, file)))
            add_channel_usage(connection, message.tenant_id, message.channel, now, files=len(files))
        return True

    def claim(self, *, limit: int = 1, lease_seconds: float = LEASE_SECONDS) -> list[FileShare]:
        """Lease up to `limit` messages that no process holds, oldest first."""
        now = self._clock()
        row = slack_shares.c
        waits = and_(row.state == ShareState.WAITING, row.not_before <= now)
        lost = and_(row.state == ShareState.WORKING, row.lease_until < now)
        query = select(slack_shares).where(or_(waits, lost)).order_by(row.not_before, row.id).limit(limit)
        with write_transaction(self._engine) as connection:
            found = []
            for each in connection.execute(query.with_for_update(skip_locked=True)).all():
                taken = {"state": ShareState.WORKING, "fence": each.fence + 1, "lease_until": now + lease_seconds}
                connection.execute(update(slack_shares).where(row.id == each.id).values(**taken))
                found.append(replace(_load_share(connection, each), fence=each.fence + 1))
        return found

    def renew(self, share: FileShare, lease_seconds: float = LEASE_SECONDS) -> None:
        """Extend the lease. Raises `LeaseLostError` if it was lost."""
        self._update_share(share, lease_until=self._clock() + lease_seconds)

    def mark_posting_started(self, share: FileShare) -> FileShare:
        """Record that the status message is about to be posted. Raises `LeaseLostError` if the lease was lost."""
        since = self._clock()
        self._update_share(share, posting_since=since)
        return replace(share, posting_since=since)

    def record_posted_status(self, share: FileShare, reply_ts: str | None) -> FileShare:
        """Record the posted status message. `reply_ts` is None if it was certainly not posted.

        Raises `LeaseLostError` if the lease was lost.
        """
        self._update_share(share, reply_ts=reply_ts, posting_since=None)
        return replace(share, reply_ts=reply_ts, posting_since=None)

    def record_status_digest(self, share: FileShare, digest: str) -> FileShare:
        """Record the digest of the current text of the status message.

        Raises `LeaseLostError` if the lease was lost.
        """
        self._update_share(share, shown=digest)
        return replace(share, shown=digest)

    def update_file(self, share: FileShare, file: SharedFile) -> FileShare:
        """Record the new state of a file, unless the file is recorded as deleted in Slack.

        Raises `LeaseLostError` if the lease was lost.
        """
        values = {
            "name": file.name,
            "state": file.state,
            "document_id": file.document_id,
            "audience": file.audience,
            "said": asdict(file.said),
        }
        with self._open_held_transaction(share) as connection:
            of_file = slack_files.c.share_id == share.id, slack_files.c.file_id == file.file_id
            connection.execute(update(slack_files).where(*of_file).values(**values))
        files = tuple(file if each.file_id == file.file_id else each for each in share.files)
        return replace(share, files=files)

    def requeue(self, share: FileShare, delay_seconds: float, *, has_failed: bool = False) -> None:
        """Release the message, so that it can be claimed again after a delay. Set `has_failed` if the attempt failed.

        Raises `LeaseLostError` if the lease was lost.
        """
        failures = share.failures + 1 if has_failed else 0
        later = self._clock() + max(0.0, delay_seconds)
        with self._open_held_transaction(share) as connection:
            if _has_unfinished_files(connection, share.id, only_deleted=True):
                later = self._clock()
            values = {"state": ShareState.WAITING, "lease_until": None, "not_before": later, "failures": failures}
            connection.execute(update(slack_shares).where(slack_shares.c.id == share.id).values(**values))

    def end_share(self, share: FileShare, state: ShareState, error_code: str | None = None) -> None:
        """End a message, or requeue it if one of its files was deleted in the meantime.

        Raises `LeaseLostError` if the lease was lost.
        """
        now = self._clock()
        ended = {"state": state, "lease_until": None, "error_code": error_code, "ended_at": now, "failures": 0}
        with self._open_held_transaction(share) as connection:
            if state is ShareState.ENDED and _has_unfinished_files(connection, share.id):
                ended = {"state": ShareState.WAITING, "lease_until": None, "not_before": now, "failures": 0}
            connection.execute(update(slack_shares).where(slack_shares.c.id == share.id).values(**ended))

    def mark_file_deleted(self, team_id: str, file_id: str) -> int:
        """Record that a file was deleted in Slack. Return the number of messages with this file."""
        return self._mark_files_deleted(team_id, slack_files.c.file_id == file_id)

    def mark_message_deleted(self, team_id: str, tenant_id: str, channel: str, message_ts: str) -> int:
        """Record that a message was deleted in Slack together with its files. Return the number of changed messages."""
        of_message = (
            slack_shares.c.team_id == team_id,
            slack_shares.c.channel == channel,
            slack_shares.c.message_ts == message_ts,
        )
        with write_transaction(self._engine) as connection:
            record_event_keys(
                connection, team_id, tenant_id, {_format_deletion_key(channel, message_ts)}, self._clock()
            )
        return self._mark_files_deleted(
            team_id, slack_files.c.share_id.in_(select(slack_shares.c.id).where(*of_message))
        )

    def is_shared_document(self, document_id: str) -> bool:
        """Return whether a document was created from a file that still exists in Slack."""
        live = slack_files.c.document_id == document_id, slack_files.c.gone_at.is_(None)
        with read_transaction(self._engine) as connection:
            return connection.execute(select(slack_files.c.file_id).where(*live).limit(1)).first() is not None

    def list_restricted_channels(self, team_id: str) -> set[str]:
        """List the channels of a workspace with documents that only the channel's members may see."""
        query = (
            select(slack_shares.c.channel)
            .join(slack_files, slack_files.c.share_id == slack_shares.c.id)
            .where(slack_shares.c.team_id == team_id, slack_files.c.audience == Audience.CHANNEL)
            .distinct()
        )
        with read_transaction(self._engine) as connection:
            return set(connection.execute(query).scalars())

    def count_open_shares(self) -> int:
        """Count the unfinished messages with files."""
        query = select(slack_shares.c.id).where(slack_shares.c.state.in_(OPEN_SHARE_STATES))
        with read_transaction(self._engine) as connection:
            return len(connection.execute(query).all())

    def list_shares(self, team_id: str, channel: str) -> list[FileShare]:
        """List a channel's messages with files, in order."""
        of_channel = slack_shares.c.team_id == team_id, slack_shares.c.channel == channel
        query = select(slack_shares).where(*of_channel).order_by(slack_shares.c.message_ts)
        with read_transaction(self._engine) as connection:
            return [_load_share(connection, row) for row in connection.execute(query).all()]

    def delete_ended_shares(self, cutoff: float) -> int:
        """Delete up to 1,000 messages that ended before this time and whose documents no longer exist.

        Returns the number of deleted messages.
        """
        alive = exists().where(
            slack_files.c.share_id == slack_shares.c.id,
            documents.c.id == slack_files.c.document_id,
            documents.c.deleted_at.is_(None),
        )
        with write_transaction(self._engine) as connection:
            old = select(slack_shares.c.id).where(slack_shares.c.ended_at < cutoff, ~alive)
            some = list(connection.execute(old.limit(1_000)).scalars())
            connection.execute(delete(slack_files).where(slack_files.c.share_id.in_(some)))
            return connection.execute(delete(slack_shares).where(slack_shares.c.id.in_(some))).rowcount

    def _mark_files_deleted(self, team_id: str, condition: Any) -> int:  # noqa: ANN401 - a condition
        now = self._clock()
        live = slack_files.c.team_id == team_id, condition, slack_files.c.gone_at.is_(None)
        with write_transaction(self._engine) as connection:
            found = set(connection.execute(select(slack_files.c.share_id).where(*live)).scalars())
            # Messages are locked before files, in the same order as in the process that holds a message, to avoid
            # deadlocks.
            locked = select(slack_shares.c.id).where(slack_shares.c.id.in_(found)).order_by(slack_shares.c.id)
            connection.execute(locked.with_for_update())
            connection.execute(update(slack_files).where(*live).values(gone_at=now))
            again = slack_shares.c.id.in_(found), slack_shares.c.state != ShareState.WORKING
            connection.execute(
                update(slack_shares).where(*again).values(state=ShareState.WAITING, not_before=now, ended_at=None)
            )
        return len(found)

    def _update_share(self, share: FileShare, **values: Any) -> None:  # noqa: ANN401 - columns
        with self._open_held_transaction(share) as connection:
            connection.execute(update(slack_shares).where(slack_shares.c.id == share.id).values(**values))

    @contextmanager
    def _open_held_transaction(self, share: FileShare) -> Iterator[Connection]:
        row = slack_shares.c
        held = row.id == share.id, row.fence == share.fence, row.state == ShareState.WORKING
        with write_transaction(self._engine) as connection:
            if connection.execute(select(row.id).where(*held).with_for_update()).first() is None:
                raise LeaseLostError(f"The lease of Slack message {share.id} was lost.")
            yield connection


def _format_deletion_key(channel: str, message_ts: str) -> str:
    return f"gone:{channel}:{message_ts}"


def _build_file_row(share_id: str, position: int, message: IncomingShare, file: SharedFile) -> dict[str, Any]:
    return {
        "share_id": share_id,
        "position": position,
        "tenant_id": message.tenant_id,
        "team_id": message.team_id,
        "file_id": file.file_id,
        "name": file.name,
        "state": file.state,
        "audience": file.audience,
        "said": asdict(file.said),
    }


def _has_unfinished_files(connection: Connection, share_id: str, *, only_deleted: bool = False) -> bool:
    """Return whether a file of the message still needs work. If `only_deleted` is true, consider only deleted files."""
    row = slack_files.c
    what_follows = and_(row.gone_at.is_not(None), row.state != SharedFileState.GONE)
    more = or_(what_follows, row.state.in_((SharedFileState.WAITING, SharedFileState.TAKEN)))
    query = select(row.file_id).where(row.share_id == share_id, what_follows if only_deleted else more)
    return connection.execute(query.limit(1)).first() is not None


def _load_share(connection: Connection, row: Row[Any]) -> FileShare:
    of_share = select(slack_files).where(slack_files.c.share_id == row.id).order_by(slack_files.c.position)
    files = tuple(
        SharedFile(
            each.file_id,
            each.name,
            SharedFileState(each.state),
            each.document_id,
            Audience(each.audience),
            Failure(**each.said),
            each.gone_at,
        )
        for each in connection.execute(of_share).all()
    )
    shared = IncomingShare(row.team_id, row.tenant_id, row.channel, row.thread_ts, row.message_ts, row.user_id)
    return FileShare(
        row.id, shared, files, row.reply_ts, row.posting_since, row.shown, row.failures, row.fence, row.created_at
    )
