"""Batches: made, closed, cancelled, counted and listed. What they hold is recorded with each upload."""

import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace

from sqlalchemy import Connection, Engine, func, insert, select, update

from ingest.batches import Batch, BatchFailure, BatchProgress, BatchState
from ingest.catalog import corpus_versions, waiting
from ingest.catalog.batch_entries import (
    batch_of,
    cancel_unfinished,
    enter_refused,
    lock_batch,
    read_batch,
    require_open,
    tallies,
)
from ingest.catalog.database import read, write
from ingest.catalog.locking import lock_tenant
from ingest.catalog.tables import batch_entries, batches, versions
from ingest.documents import Failure, JobKind, VersionState
from ingest.errors import BatchStateError
from ingest.feed import Announce, to_nobody
from ingest.progress import Queue, batch_paused, batch_seconds_left


class Batches:
    """Every tenant's batches; methods see nothing of another tenant. Each is one transaction.

    The states of a batch's documents are counted when somebody asks, over its entries: ten thousand take some 20 ms.
    Counters would be written at every change of a document, in the same row by every worker.
    """

    def __init__(self, engine: Engine, *, announce: Announce = to_nobody) -> None:
        self._engine = engine
        self._announce = announce

    def create(
        self, tenant_id: str, *, name: str = "", expected: int | None = None, idempotency_key: str | None = None
    ) -> tuple[Batch, bool]:
        """A new, open batch, or the one that was made with this key before; whether it is new.

        Raises `BatchStateError` when the key was used for a batch of another name or size.
        """
        with write(self._engine) as connection:
            lock_tenant(connection, tenant_id)
            of_tenant = batches.c.tenant_id == tenant_id
            if idempotency_key is not None:
                known = select(batches).where(of_tenant, batches.c.idempotency_key == idempotency_key)
                if (row := connection.execute(known).first()) is not None:
                    return _same(batch_of(row), name, expected), False
            last = connection.execute(select(func.max(batches.c.sequence)).where(of_tenant)).scalar()
            identifier = str(uuid.uuid4())
            connection.execute(
                insert(batches).values(
                    id=identifier,
                    sequence=(last or 0) + 1,
                    tenant_id=tenant_id,
                    name=name,
                    idempotency_key=idempotency_key,
                    expected=expected,
                    received=0,
                    duplicates=0,
                    refused=0,
                    created_at=time.time(),
                )
            )
            return read_batch(connection, tenant_id, identifier), True

    def require_open(self, tenant_id: str, identifier: str) -> None:
        """Raises `BatchNotFoundError`, and `BatchStateError` for one that takes no more files."""
        with read(self._engine) as connection:
            require_open(read_batch(connection, tenant_id, identifier))

    def progress(self, tenant_id: str, identifier: str) -> BatchProgress:
        """Raises `BatchNotFoundError`."""
        with read(self._engine) as connection:
            batch = read_batch(connection, tenant_id, identifier)
            return _progress(connection, tenant_id, [batch])[0]

    def latest(self, tenant_id: str, *, before: int | None = None, limit: int = 20) -> list[BatchProgress]:
        """Newest first, those with a `sequence` below `before`."""
        query = select(batches).where(batches.c.tenant_id == tenant_id)
        if before is not None:
            query = query.where(batches.c.sequence < before)
        with read(self._engine) as connection:
            rows = connection.execute(query.order_by(batches.c.sequence.desc()).limit(limit)).all()
            return _progress(connection, tenant_id, [batch_of(row) for row in rows])

    def close(self, tenant_id: str, identifier: str) -> BatchProgress:
        """No more files come; closing again changes nothing. Raises `BatchNotFoundError`."""
        with write(self._engine) as connection:
            batch = lock_batch(connection, tenant_id, identifier)
            if batch.closed_at is None:
                _close(connection, identifier)
        self._announce(tenant_id, None)
        return self.progress(tenant_id, identifier)

    def cancel(self, tenant_id: str, identifier: str) -> BatchProgress:
        """Close a batch and stop what is being made of its files, all in one commit; what is ready stays.

        Bytes that were there before it, and those that another batch sent too and still wants, are left alone.
        Cancelling again changes nothing. Raises `BatchNotFoundError`, and `BatchStateError` for a completed one.
        """
        with write(self._engine) as connection:
            batch = lock_batch(connection, tenant_id, identifier)
            if batch.cancelled_at is None:
                if _progress(connection, tenant_id, [batch])[0].ended:
                    raise BatchStateError(
                        "The batch is completed: there is nothing to cancel.",
                        hint="Delete the documents that you don't want.",
                    )
                _close(connection, identifier, cancelled_at=time.time())
                cancel_unfinished(connection, identifier)
                corpus_versions.count_up(connection, [tenant_id])
        self._announce(tenant_id, None)
        return self.progress(tenant_id, identifier)

    def refuse(self, tenant_id: str, identifier: str, name: str, failure: Failure) -> None:
        """Record a file that was sent into a batch and not accepted. Raises as `require_open` does."""
        with write(self._engine) as connection:
            enter_refused(connection, lock_batch(connection, tenant_id, identifier), name, failure)
        self._announce(tenant_id, None)

    def failures(self, tenant_id: str, identifier: str, *, after: int = 0, limit: int = 50) -> list[BatchFailure]:
        """Files that were refused, or whose documents failed, in order of arrival, with a `number` above `after`.

        Raises `BatchNotFoundError`.
        """
        failed = (versions.c.state == VersionState.FAILED) | batch_entries.c.error_code.is_not(None)
        query = (
            select(
                batch_entries.c.number,
                batch_entries.c.name,
                batch_entries.c.document_id,
                func.coalesce(batch_entries.c.error_code, versions.c.error_code).label("code"),
                func.coalesce(batch_entries.c.error_detail, versions.c.error_detail, "").label("detail"),
                func.coalesce(batch_entries.c.error_hint, versions.c.error_hint, "").label("hint"),
            )
            .outerjoin(versions, versions.c.id == batch_entries.c.version_id)
            .where(batch_entries.c.batch_id == identifier, batch_entries.c.number > after, failed)
            .order_by(batch_entries.c.number)
            .limit(limit)
        )
        with read(self._engine) as connection:
            read_batch(connection, tenant_id, identifier)
            rows = connection.execute(query).all()
        return [
            BatchFailure(row.number, row.name, row.document_id, Failure(row.code, row.detail, row.hint)) for row in rows
        ]


def _same(batch: Batch, name: str, expected: int | None) -> Batch:
    if (batch.name, batch.expected) != (name, expected):
        raise BatchStateError(
            "The Idempotency-Key was used for another batch.", hint="Send a new key with every new batch."
        )
    return batch


def _close(connection: Connection, identifier: str, *, cancelled_at: float | None = None) -> None:
    closed_at = func.coalesce(batches.c.closed_at, time.time())
    of_batch = batches.c.id == identifier
    connection.execute(update(batches).where(of_batch).values(closed_at=closed_at, cancelled_at=cancelled_at))


def _progress(connection: Connection, tenant_id: str, some: Sequence[Batch]) -> list[BatchProgress]:
    counted = tallies(connection, [batch.id for batch in some])
    found = [BatchProgress(batch, counted[batch.id]) for batch in some]
    going_on = any(not progress.ended for progress in found)
    queues = waiting.queues(connection, tenant_id) if going_on else {}
    return [_with_estimate(progress, queues) for progress in found]


def _with_estimate(progress: BatchProgress, queues: Mapping[JobKind, Queue]) -> BatchProgress:
    if progress.ended:
        return replace(progress, seconds_left=0.0 if progress.state is BatchState.COMPLETED else None)
    missing = progress.total - progress.batch.received
    unsearchable, unfinished = progress.tally.unsearchable + missing, progress.tally.unfinished + missing
    return replace(
        progress,
        seconds_left=batch_seconds_left(unsearchable, unfinished, queues),
        paused=batch_paused(unsearchable, unfinished, queues),
    )
