"""Rows of sources and synchronizations: loaded, queued and ended within a transaction."""

import time
import uuid
from collections.abc import Collection
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, delete, false, func, insert, select, update

from ingest.storage.db.schema import source_items, source_syncs, sources
from ingest.storage.documents.rows import parse_readers
from ingest.storage.errors import SourceNotFoundError
from ingest.storage.queue.queue import enqueue_job
from ingest.storage.queue.records import Failure, JobKind, JobPriority
from ingest.storage.sources.failed_documents import count_failed_documents
from ingest.storage.sources.records import (
    KEPT_SYNCS,
    UNFINISHED_STATES,
    SourceItemRecord,
    SourceRecord,
    Sync,
    SyncCounts,
    SyncState,
)
from ingest.storage.webhooks.outbox import publish_event
from ingest.storage.webhooks.records import EventType

COUNT_NAMES = ("listed", "added", "changed", "removed", "unchanged", "refused")
# The error code of the event of a synchronization that waits for an approval.
_NEEDS_APPROVAL = "needs_approval"


def load_source_row(connection: Connection, tenant_id: str, source_id: str, *, locks: bool = False) -> Row[Any]:
    """Load the row of a source. Raises `SourceNotFoundError` if it does not exist."""
    mine = sources.c.id == source_id, sources.c.tenant_id == tenant_id, sources.c.deleted_at.is_(None)
    query = select(sources).where(*mine)
    row = connection.execute(query.with_for_update() if locks else query).first()
    if row is None:
        raise SourceNotFoundError(f"Source {source_id!r} not found.")
    return row


def build_sources(connection: Connection, rows: Collection[Row[Any]]) -> list[SourceRecord]:
    """Build the sources of one tenant from rows, with their counts and their latest synchronizations."""
    if not rows:
        return []
    ids, failed = [row.id for row in rows], count_failed_documents(connection, next(iter(rows)).tenant_id)
    items, refused = _count_items(connection, ids), _count_items(connection, ids, refused=True)
    latest = select(source_syncs).join(
        sources, (sources.c.id == source_syncs.c.source_id) & (sources.c.round == source_syncs.c.number)
    )
    syncs = {row.source_id: build_sync(row) for row in connection.execute(latest.where(sources.c.id.in_(ids)))}
    return [
        SourceRecord(
            row.id,
            row.tenant_id,
            row.collection,
            row.kind,
            row.name,
            row.options,
            tuple(row.credential_names),
            row.interval_seconds,
            row.is_paused,
            row.next_sync_at,
            row.created_at,
            row.created_by,
            items.get(row.id, 0),
            refused.get(row.id, 0),
            failed.get(row.id, 0),
            syncs.get(row.id),
        )
        for row in rows
    ]


def _count_items(connection: Connection, source_ids: list[str], *, refused: bool = False) -> dict[str, int]:
    query = select(source_items.c.source_id, func.count()).where(source_items.c.source_id.in_(source_ids))
    if refused:
        query = query.where(source_items.c.error_code.is_not(None))
    return {row[0]: row[1] for row in connection.execute(query.group_by(source_items.c.source_id))}


def build_sync(row: Row[Any]) -> Sync:
    """Build a synchronization from its row."""
    return Sync(
        row.id,
        row.source_id,
        row.number,
        SyncState(row.state),
        row.created_at,
        row.started_at,
        row.ended_at,
        SyncCounts(*(row._mapping[name] for name in COUNT_NAMES)),
        row.pending_removals,
        row.approved_removals,
        _build_failure(row),
    )


def build_item(row: Row[Any]) -> SourceItemRecord:
    """Build an item from its row."""
    return SourceItemRecord(
        row.key,
        row.item_id,
        row.version,
        row.document_id,
        row.name,
        row.path,
        row.url,
        row.author,
        row.modified_at,
        row.size_bytes,
        parse_readers(row.readers),
        row.round,
        _build_failure(row),
        row.is_retried,
    )


def _build_failure(row: Row[Any]) -> Failure | None:
    return Failure(row.error_code, row.error_detail or "", row.error_hint or "") if row.error_code else None


def find_latest_sync(connection: Connection, source_id: str) -> Row[Any] | None:
    """Return the row of a source's latest synchronization, if it has one."""
    query = select(source_syncs).where(source_syncs.c.source_id == source_id)
    return connection.execute(query.order_by(source_syncs.c.number.desc()).limit(1)).first()


def build_unapproved_condition(latest: Row[Any] | None) -> ColumnElement[bool]:
    """Build the condition on the items of a source whose removal waits until its latest synchronization is approved."""
    if latest is None or latest.state != SyncState.NEEDS_APPROVAL:
        return false()
    return source_items.c.gone_round.is_not(None) if latest.lists_changes else source_items.c.round < latest.number


def queue_sync(connection: Connection, source: Row[Any], priority: JobPriority = JobPriority.BULK) -> str:
    """Queue a synchronization of a locked source that has none in progress, and return its id."""
    identifier, number, now = str(uuid.uuid4()), source.round + 1, time.time()
    due = now + source.interval_seconds if source.interval_seconds and not source.is_paused else None
    connection.execute(update(sources).where(sources.c.id == source.id).values(round=number, next_sync_at=due))
    connection.execute(
        insert(source_syncs).values(
            id=identifier,
            source_id=source.id,
            tenant_id=source.tenant_id,
            number=number,
            state=SyncState.QUEUED,
            created_at=now,
            is_listed=False,
            lists_changes=False,
            approved_removals=0,
            **dict.fromkeys(COUNT_NAMES, 0),
        )
    )
    old = source_syncs.c.source_id == source.id, source_syncs.c.number <= number - KEPT_SYNCS
    connection.execute(delete(source_syncs).where(*old))
    enqueue_source_job(connection, source, priority)
    return identifier


def enqueue_source_job(connection: Connection, source: Row[Any], priority: JobPriority = JobPriority.BULK) -> None:
    """Queue the only job of a source. If a worker holds it, the worker loses its lease."""
    enqueue_job(
        connection,
        JobKind.SYNC,
        tenant_id=source.tenant_id,
        document_id=source.id,
        version_id=source.id,
        priority=priority,
    )


def end_sync(
    connection: Connection,
    tenant_id: str,
    source_id: str,
    state: SyncState,
    failure: Failure | None = None,
    *,
    pending_removals: int | None = None,
) -> None:
    """End the synchronization in progress of a source, if there is one, and tell the webhooks."""
    latest = find_latest_sync(connection, source_id)
    if latest is None or latest.state not in UNFINISHED_STATES:
        return
    connection.execute(
        update(source_syncs)
        .where(source_syncs.c.id == latest.id)
        .values(
            state=state,
            ended_at=time.time(),
            pending_removals=pending_removals,
            error_code=failure and failure.code,
            error_detail=failure and failure.detail,
            error_hint=failure and failure.hint,
        )
    )
    about: dict[str, Any] = {"source": source_id, "sync": latest.id, "state": state.value}
    change = f":{latest.id}:{latest.approved_removals}"
    if state is SyncState.SUCCEEDED:
        about |= {name: latest._mapping[name] for name in COUNT_NAMES}
        publish_event(connection, tenant_id, EventType.SOURCE_SYNCED, [about], change=change)
    elif state in (SyncState.FAILED, SyncState.NEEDS_APPROVAL):
        about |= {"code": failure.code if failure else _NEEDS_APPROVAL}
        publish_event(connection, tenant_id, EventType.SOURCE_FAILED, [about], change=change)
