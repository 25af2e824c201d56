"""Management of sources by a tenant's admins: creating, changing and deleting them, and starting synchronizations."""

import time
import uuid
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy import Engine, FromClause, func, insert, select, update

from ingest.storage.audit.records import Action
from ingest.storage.audit.store import record_action
from ingest.storage.db.database import lock_tenant, read_transaction, write_transaction
from ingest.storage.db.schema import jobs, source_items, source_syncs, sources
from ingest.storage.documents.ended_sources import end_sources
from ingest.storage.errors import SourcesFullError, SourceStateError
from ingest.storage.feed.feed import Announce, announce_to_nobody
from ingest.storage.queue.records import JobKind, JobPriority
from ingest.storage.sources.credentials import CredentialCipher
from ingest.storage.sources.failed_documents import (
    build_failed_items,
    count_all_failed_documents,
    load_document_failures,
)
from ingest.storage.sources.records import (
    MAX_SOURCES,
    UNFINISHED_STATES,
    NewSource,
    SourceChange,
    SourceItemRecord,
    SourceRecord,
    SourceTotals,
    Sync,
    SyncState,
)
from ingest.storage.sources.rows import (
    build_item,
    build_sources,
    build_sync,
    build_unapproved_condition,
    end_sync,
    enqueue_source_job,
    find_latest_sync,
    load_source_row,
    queue_sync,
)

# Sources whose synchronizations are queued in one transaction.
_DUE_AT_ONCE = 100


class Sources:
    """Sources of all tenants. Each method reads or changes the sources of one tenant in one transaction.

    Methods that take a source raise `SourceNotFoundError` if it does not exist, belongs to another tenant or was
    deleted. `announce` is called with the source's id after each commit.
    """

    def __init__(
        self, engine: Engine, cipher: CredentialCipher | None = None, *, announce: Announce = announce_to_nobody
    ) -> None:
        self._engine = engine
        self._cipher = cipher or CredentialCipher()
        self._announce = announce

    def create(self, tenant_id: str, new: NewSource, *, syncs_now: bool = True) -> SourceRecord:
        """Create a source and, unless `syncs_now` is false, queue its first synchronization.

        Raises `SourcesFullError` if the limit is reached, and `SourceCredentialsError` if there is no key to encrypt
        the credentials with.
        """
        identifier, now = str(uuid.uuid4()), time.time()
        sealed = self._cipher.encrypt(identifier, new.credentials) if new.credentials else None
        with write_transaction(self._engine) as connection:
            lock_tenant(connection, tenant_id)
            mine = sources.c.tenant_id == tenant_id, sources.c.deleted_at.is_(None)
            count = connection.execute(select(func.count()).where(*mine)).scalar_one()
            if count >= MAX_SOURCES:
                raise SourcesFullError(f"The tenant already has {count} sources. The limit is {MAX_SOURCES}.")
            connection.execute(
                insert(sources).values(
                    id=identifier,
                    tenant_id=tenant_id,
                    collection=new.collection,
                    kind=new.kind,
                    name=new.name,
                    options=dict(new.options),
                    credentials_sealed=sealed,
                    credential_names=sorted(new.credentials),
                    interval_seconds=new.interval_seconds,
                    is_paused=False,
                    next_sync_at=now + new.interval_seconds if new.interval_seconds else None,
                    cursor="",
                    round=0,
                    created_at=now,
                    created_by=new.created_by,
                    removes_documents=False,
                )
            )
            row = load_source_row(connection, tenant_id, identifier)
            if syncs_now:
                queue_sync(connection, row, JobPriority.INTERACTIVE)
            about = {"kind": new.kind, "collection": new.collection}
            record_action(connection, Action.SOURCE_CREATED, f"source:{identifier}", tenant_id=tenant_id, **about)
            (created,) = build_sources(connection, [load_source_row(connection, tenant_id, identifier)])
        self._announce(tenant_id, [identifier])
        return created

    def list_sources(self, tenant_id: str) -> list[SourceRecord]:
        """List all sources of a tenant, oldest first."""
        query = select(sources).where(sources.c.tenant_id == tenant_id, sources.c.deleted_at.is_(None))
        with read_transaction(self._engine) as connection:
            rows = connection.execute(query.order_by(sources.c.created_at, sources.c.id)).all()
            return build_sources(connection, rows)

    def load(self, tenant_id: str, source_id: str) -> SourceRecord:
        """Load a source."""
        with read_transaction(self._engine) as connection:
            return build_sources(connection, [load_source_row(connection, tenant_id, source_id)])[0]

    def find_name(self, tenant_id: str, source_id: str) -> str | None:
        """Return the name of a source, or None if it does not exist."""
        mine = sources.c.id == source_id, sources.c.tenant_id == tenant_id, sources.c.deleted_at.is_(None)
        with read_transaction(self._engine) as connection:
            return connection.execute(select(sources.c.name).where(*mine)).scalar()

    def load_credentials(self, tenant_id: str, source_id: str) -> dict[str, str]:
        """Load the credentials of a source, to check changed options. They must not be shown."""
        with read_transaction(self._engine) as connection:
            row = load_source_row(connection, tenant_id, source_id)
        return self._cipher.decrypt(row.id, row.credentials_sealed)

    def change(self, tenant_id: str, source_id: str, change: SourceChange) -> SourceRecord:
        """Change a source. New options take effect with the next synchronization, which reads all items again."""
        with write_transaction(self._engine) as connection:
            row = load_source_row(connection, tenant_id, source_id, locks=True)
            interval = row.interval_seconds if change.interval_seconds is None else change.interval_seconds
            is_paused = row.is_paused if change.is_paused is None else change.is_paused
            values: dict[str, Any] = {"interval_seconds": interval, "is_paused": is_paused}
            if (interval, is_paused) != (row.interval_seconds, row.is_paused):
                values["next_sync_at"] = None if is_paused or not interval else time.time() + interval
            if change.name is not None:
                values["name"] = change.name
            if change.options is not None and dict(change.options) != row.options:
                values |= {"options": dict(change.options), "cursor": ""}
            if change.credentials is not None:
                known = self._cipher.decrypt(row.id, row.credentials_sealed) if row.credentials_sealed else {}
                values |= self._seal_credentials(row.id, {**known, **change.credentials})
            connection.execute(update(sources).where(sources.c.id == source_id).values(**values))
            about = f"source:{source_id}"
            record_action(connection, Action.SOURCE_CHANGED, about, tenant_id=tenant_id, changed=change.changed)
            (changed,) = build_sources(connection, [load_source_row(connection, tenant_id, source_id)])
        self._announce(tenant_id, [source_id])
        return changed

    def _seal_credentials(self, source_id: str, values: Mapping[str, str | None]) -> dict[str, Any]:
        kept = {name: value for name, value in values.items() if value is not None}
        sealed = self._cipher.encrypt(source_id, kept) if kept else None
        return {"credentials_sealed": sealed, "credential_names": sorted(kept)}

    def delete(self, tenant_id: str, source_id: str, *, removes_documents: bool) -> None:
        """Delete a source, which ends its synchronization. Workers remove its items, and its documents if asked to.

        Documents that remain belong to the source's creator, as if they had been uploaded.
        """
        with write_transaction(self._engine) as connection:
            load_source_row(connection, tenant_id, source_id, locks=True)
            end_sources(connection, tenant_id, sources.c.id == source_id, removes_documents=removes_documents)
        self._announce(tenant_id, [source_id])

    def request_sync(self, tenant_id: str, source_id: str) -> Sync:
        """Queue a synchronization, also of a paused source. One that is in progress is returned instead."""
        with write_transaction(self._engine) as connection:
            row = load_source_row(connection, tenant_id, source_id, locks=True)
            latest = find_latest_sync(connection, source_id)
            if latest is not None and latest.state in UNFINISHED_STATES:
                return build_sync(latest)
            queue_sync(connection, row, JobPriority.INTERACTIVE)
            record_action(connection, Action.SOURCE_SYNC_REQUESTED, f"source:{source_id}", tenant_id=tenant_id)
            queued = find_latest_sync(connection, source_id)
            assert queued is not None
        self._announce(tenant_id, [source_id])
        return build_sync(queued)

    def approve_removals(self, tenant_id: str, source_id: str, sync_id: str, count: int) -> Sync:
        """Approve that a synchronization removes `count` documents, the number that it asks for, and continue it.

        If a later synchronization is in progress, it may remove as many. Raises `SourceStateError` if this
        synchronization does not ask for this number, or if a later one has ended.
        """
        with write_transaction(self._engine) as connection:
            row = load_source_row(connection, tenant_id, source_id, locks=True)
            query = select(source_syncs).where(source_syncs.c.source_id == source_id, source_syncs.c.id == sync_id)
            asking, latest = connection.execute(query).first(), find_latest_sync(connection, source_id)
            if asking is None or latest is None or asking.state != SyncState.NEEDS_APPROVAL:
                raise SourceStateError("This synchronization does not wait for an approval.")
            is_superseded = latest.id != sync_id and latest.state not in UNFINISHED_STATES
            if is_superseded or asking.pending_removals != count:
                raise SourceStateError(
                    f"The source has a later synchronization, or the number of removals is not {count:,}.",
                    hint="Load the source again, and approve what its latest synchronization asks for.",
                )
            approved: dict[str, Any] = {"approved_removals": count}
            if latest.id == sync_id:
                approved |= {"state": SyncState.QUEUED, "ended_at": None, "pending_removals": None}
                enqueue_source_job(connection, row, JobPriority.INTERACTIVE)
            connection.execute(update(source_syncs).where(source_syncs.c.id == latest.id).values(**approved))
            about, details = f"source:{source_id}", {"sync": latest.id, "documents": count}
            record_action(connection, Action.SOURCE_REMOVALS_APPROVED, about, tenant_id=tenant_id, **details)
            continued = find_latest_sync(connection, source_id)
            assert continued is not None
        self._announce(tenant_id, [source_id])
        return build_sync(continued)

    def cancel(self, tenant_id: str, source_id: str) -> Sync:
        """Cancel the synchronization in progress. What it has done so far remains.

        Raises `SourceStateError` if there is none.
        """
        with write_transaction(self._engine) as connection:
            load_source_row(connection, tenant_id, source_id, locks=True)
            latest = find_latest_sync(connection, source_id)
            if latest is None or latest.state not in UNFINISHED_STATES:
                raise SourceStateError("No synchronization of this source is in progress.")
            of_source = jobs.c.kind == JobKind.SYNC, jobs.c.version_id == source_id
            ended = {"state": "cancelled", "fence": jobs.c.fence + 1, "lease_until": None}
            connection.execute(update(jobs).where(*of_source).values(**ended))
            end_sync(connection, tenant_id, source_id, SyncState.CANCELLED)
            record_action(connection, Action.SOURCE_SYNC_CANCELLED, f"source:{source_id}", tenant_id=tenant_id)
            cancelled = find_latest_sync(connection, source_id)
            assert cancelled is not None
        self._announce(tenant_id, [source_id])
        return build_sync(cancelled)

    def list_syncs(
        self, tenant_id: str, source_id: str, *, before_number: int | None = None, limit: int = 50
    ) -> list[Sync]:
        """List the synchronizations of a source, newest first; with `before_number`, only those before it."""
        query = select(source_syncs).where(source_syncs.c.source_id == source_id)
        if before_number is not None:
            query = query.where(source_syncs.c.number < before_number)
        with read_transaction(self._engine) as connection:
            load_source_row(connection, tenant_id, source_id)
            rows = connection.execute(query.order_by(source_syncs.c.number.desc()).limit(limit)).all()
        return [build_sync(row) for row in rows]

    def list_items(
        self,
        tenant_id: str,
        source_id: str,
        *,
        only_refused: bool = False,
        only_gone: bool = False,
        only_failed: bool = False,
        after_key: str = "",
        limit: int = 50,
    ) -> list[SourceItemRecord]:
        """List the items of a source in the order of their keys, after `after_key`.

        With `only_gone`, list those whose removal waits for an approval; with `only_failed`, those whose document could
        not be processed.
        """
        query = select(source_items)
        place: FromClause = source_items
        if only_failed:
            failed = build_failed_items(tenant_id)
            of_item = (failed.c.source_id == source_items.c.source_id) & (failed.c.key == source_items.c.key)
            query, place = query.join(failed, of_item), failed
        query = query.where(place.c.source_id == source_id, place.c.key > after_key).order_by(place.c.key)
        if only_refused:
            query = query.where(source_items.c.error_code.is_not(None))
        with read_transaction(self._engine) as connection:
            load_source_row(connection, tenant_id, source_id)
            if only_gone:
                query = query.where(build_unapproved_condition(find_latest_sync(connection, source_id)))
            rows = connection.execute(query.limit(limit)).all()
            failures = load_document_failures(connection, {row.document_id for row in rows} - {None})
        return [replace(build_item(row), document_failure=failures.get(row.document_id)) for row in rows]

    def count_totals(self) -> SourceTotals:
        """Count the sources of all tenants, their refused items, and their failed documents."""
        live, latest = sources.c.deleted_at.is_(None), source_syncs.c.number == sources.c.round
        joined = source_syncs.join(sources, (sources.c.id == source_syncs.c.source_id) & latest)
        states = select(source_syncs.c.state, func.count()).select_from(joined).where(live)
        refused = select(func.count()).join(sources, sources.c.id == source_items.c.source_id)
        due = select(func.min(sources.c.next_sync_at)).where(live, sources.c.is_paused.is_(False))
        with read_transaction(self._engine) as connection:
            by_state = {SyncState(row[0]): row[1] for row in connection.execute(states.group_by(source_syncs.c.state))}
            count = connection.execute(refused.where(live, source_items.c.error_code.is_not(None))).scalar_one()
            failed = count_all_failed_documents(connection)
            due_at = connection.execute(due).scalar()
        overdue_seconds = 0.0 if due_at is None else max(0.0, time.time() - due_at)
        return SourceTotals(by_state, count, failed, overdue_seconds)

    def queue_due_syncs(self) -> int:
        """Queue the synchronizations of all tenants that are due, and return their number.

        Any number of processes may call this. A source whose synchronization is in progress is skipped once.
        """
        now, queued = time.time(), 0
        due = sources.c.next_sync_at <= now, sources.c.deleted_at.is_(None), sources.c.is_paused.is_(False)
        with read_transaction(self._engine) as connection:
            if connection.execute(select(sources.c.id).where(*due).limit(1)).first() is None:
                return 0
        with write_transaction(self._engine) as connection:
            query = select(sources).where(*due).order_by(sources.c.id).limit(_DUE_AT_ONCE)
            for row in connection.execute(query.with_for_update(skip_locked=True)).all():
                latest = find_latest_sync(connection, row.id)
                if latest is None or latest.state not in UNFINISHED_STATES:
                    queue_sync(connection, row)
                    queued += 1
                else:
                    later = now + row.interval_seconds
                    connection.execute(update(sources).where(sources.c.id == row.id).values(next_sync_at=later))
        return queued
