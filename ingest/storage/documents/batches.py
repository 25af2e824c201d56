"""Creates, fills, closes, cancels, counts and lists batches.

The commit that accepts a file also adds an entry for it to the batch. The progress of a batch is counted from the
states of its entries' versions.
"""

import time
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from sqlalchemy import Connection, Engine, Row, and_, exists, func, insert, select, update

from ingest.storage.accounts.access import Readers, build_access_condition, build_owner_condition
from ingest.storage.audit.records import Action
from ingest.storage.audit.store import record_action
from ingest.storage.db.database import (
    bump_corpus_versions,
    iter_slices,
    lock_documents,
    lock_tenant,
    read_transaction,
    write_transaction,
)
from ingest.storage.db.schema import batch_entries, batches, documents, versions
from ingest.storage.documents.batch_records import Batch, BatchFailure, BatchProgress, BatchState, BatchTally
from ingest.storage.documents.deletions import delete_orphaned_entries
from ingest.storage.documents.progress import compute_fraction, estimate_batch_seconds, list_paused_kinds
from ingest.storage.documents.records import IN_PROGRESS, VersionState
from ingest.storage.documents.rows import AcceptedUpload, build_version
from ingest.storage.documents.versions import cancel_versions
from ingest.storage.errors import BatchNotFoundError, BatchStateError
from ingest.storage.feed.feed import Announce, announce_to_nobody
from ingest.storage.queue.records import Failure, JobKind, TenantQueue
from ingest.storage.queue.statistics import load_tenant_queues


class Batches:
    """The batches of all tenants. Each method is one transaction on the batches of a single tenant.

    A batch belongs to its `owner`. If `owner` is None, a method finds the batches of all owners.

    The states of a batch's documents are counted on demand, which takes about 20 ms for ten thousand entries. Counters
    would be slower: every worker would have to update the same row whenever a document changes.
    """

    def __init__(self, engine: Engine, *, announce: Announce = announce_to_nobody) -> None:
        self._engine = engine
        self._announce = announce

    def create(
        self,
        tenant_id: str,
        *,
        name: str = "",
        expected_files: int | None = None,
        idempotency_key: str | None = None,
        collection: str | None = None,
        owner: str | None = None,
    ) -> tuple[Batch, bool]:
        """Create an open batch and return it with true, or return an earlier batch with the same key and false.

        `collection` is set if the batch adds its files to a collection. Raises `BatchStateError` if the key was used
        for a batch with another name or size.
        """
        with write_transaction(self._engine) as connection:
            lock_tenant(connection, tenant_id)
            of_tenant = batches.c.tenant_id == tenant_id
            if idempotency_key is not None:
                known = select(batches).where(of_tenant, batches.c.idempotency_key == idempotency_key)
                if (row := connection.execute(known).first()) is not None:
                    return _require_same_request(_build_batch(row), name, expected_files), False
            last = connection.execute(select(func.max(batches.c.sequence)).where(of_tenant)).scalar()
            identifier = str(uuid.uuid4())
            connection.execute(
                insert(batches).values(
                    id=identifier,
                    sequence=(last or 0) + 1,
                    tenant_id=tenant_id,
                    name=name,
                    idempotency_key=idempotency_key,
                    expected=expected_files,
                    collection=collection,
                    owner=owner,
                    received=0,
                    duplicates=0,
                    refused=0,
                    entries=0,
                    created_at=time.time(),
                )
            )
            return load_batch(connection, tenant_id, identifier), True

    def require_open_batch(self, tenant_id: str, identifier: str) -> None:
        """Raise `BatchStateError` if the batch accepts no more files, and `BatchNotFoundError` if it does not exist."""
        with read_transaction(self._engine) as connection:
            require_open_batch(load_batch(connection, tenant_id, identifier))

    def load_progress(self, tenant_id: str, identifier: str, owner: str | None = None) -> BatchProgress:
        """Count a batch's documents by state. Raises `BatchNotFoundError` if there is no such batch."""
        with read_transaction(self._engine) as connection:
            batch = load_batch(connection, tenant_id, identifier, owner)
            return _load_batch_progress(connection, tenant_id, [batch])[0]

    def list_latest(
        self, tenant_id: str, *, before: int | None = None, limit: int = 20, owner: str | None = None
    ) -> list[BatchProgress]:
        """List batches with a `sequence` below `before`, newest first."""
        # guard: batch-listing-owner
        query = select(batches).where(batches.c.tenant_id == tenant_id, build_owner_condition(batches, owner))
        if before is not None:
            query = query.where(batches.c.sequence < before)
        with read_transaction(self._engine) as connection:
            rows = connection.execute(query.order_by(batches.c.sequence.desc()).limit(limit)).all()
            return _load_batch_progress(connection, tenant_id, [_build_batch(row) for row in rows])

    def close(self, tenant_id: str, identifier: str, owner: str | None = None) -> BatchProgress:
        """Stop accepting files into a batch. Closing it again changes nothing.

        Raises `BatchNotFoundError` if there is no such batch.
        """
        with write_transaction(self._engine) as connection:
            batch = lock_batch(connection, tenant_id, identifier, owner)
            if batch.closed_at is None:
                _close_batch(connection, identifier)
        self._announce(tenant_id, None)
        return self.load_progress(tenant_id, identifier)

    def cancel(
        self, tenant_id: str, identifier: str, *, readers: Readers = None, owner: str | None = None
    ) -> BatchProgress:
        """Close a batch and cancel its versions in progress, in one commit. Ready versions are not changed.

        A version is not cancelled if it existed before the batch, belongs to another batch that is not cancelled, or
        belongs to a document that these readers may not see. Cancelling again changes nothing. Raises
        `BatchNotFoundError` if there is no such batch, and `BatchStateError` if it is completed.
        """
        with write_transaction(self._engine) as connection:
            batch = lock_batch(connection, tenant_id, identifier, owner)
            if batch.cancelled_at is None:
                if _load_batch_progress(connection, tenant_id, [batch])[0].has_ended:
                    raise BatchStateError(
                        "The batch is already completed and cannot be cancelled.",
                        hint="Delete the unwanted documents instead.",
                    )
                _close_batch(connection, identifier, cancelled_at=time.time())
                cancelled = _cancel_unfinished_versions(connection, identifier, readers)
                delete_orphaned_entries(connection, tenant_id, cancelled)
                record_action(connection, Action.BATCH_CANCELLED, f"batch:{identifier}", tenant_id=tenant_id)
                bump_corpus_versions(connection, [tenant_id])
        self._announce(tenant_id, None)
        return self.load_progress(tenant_id, identifier)

    def record_rejected_file(self, tenant_id: str, identifier: str, name: str, failure: Failure) -> None:
        """Record a rejected file of a batch. Raises `BatchNotFoundError` if there is no such batch."""
        with write_transaction(self._engine) as connection:
            _add_rejected_file(connection, lock_batch(connection, tenant_id, identifier), name, failure)
        self._announce(tenant_id, None)

    def list_failures(
        self,
        tenant_id: str,
        identifier: str,
        *,
        after: int = 0,
        limit: int = 50,
        readers: Readers = None,
        owner: str | None = None,
    ) -> list[BatchFailure]:
        """List the files that were rejected or whose documents failed, in order of arrival, starting after `after`.

        Documents that these readers may not see are omitted. Raises `BatchNotFoundError` if there is no such batch.
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
                batch_entries.c.error_remarks.label("of_entry"),
                versions.c.error_remarks.label("of_version"),
            )
            .outerjoin(versions, versions.c.id == batch_entries.c.version_id)
            .outerjoin(documents, documents.c.id == batch_entries.c.document_id)
            .where(batch_entries.c.batch_id == identifier, batch_entries.c.number > after, failed)
            .where(batch_entries.c.document_id.is_(None) | build_access_condition(readers))
            .order_by(batch_entries.c.number)
            .limit(limit)
        )
        with read_transaction(self._engine) as connection:
            load_batch(connection, tenant_id, identifier, owner)
            rows = connection.execute(query).all()
        return [
            BatchFailure(
                row.number,
                row.name,
                row.document_id,
                Failure.from_columns(row.code, row.detail, row.hint, row.of_entry or row.of_version),
            )
            for row in rows
        ]


def load_batch(
    connection: Connection, tenant_id: str, identifier: str, owner: str | None = None, *, lock: bool = False
) -> Batch:
    """Load a batch, and lock it if `lock` is true.

    Raises `BatchNotFoundError` if it does not exist or belongs to another owner.
    """
    # guard: batch-owner
    mine = batches.c.id == identifier, batches.c.tenant_id == tenant_id, build_owner_condition(batches, owner)
    query = select(batches).where(*mine)
    row = connection.execute(query.with_for_update(key_share=True) if lock else query).first()
    if row is None:
        raise BatchNotFoundError(f"Batch {identifier!r} not found.")
    return _build_batch(row)


def lock_batch(connection: Connection, tenant_id: str, identifier: str, owner: str | None = None) -> Batch:
    """Lock a batch until the commit, so that no entry can be added to it and it cannot be cancelled.

    Raises `BatchNotFoundError` if there is no such batch.
    """
    return load_batch(connection, tenant_id, identifier, owner, lock=True)


def require_open_batch(batch: Batch) -> None:
    """Raise `BatchStateError` if the batch accepts no more files."""
    if batch.closed_at is not None:
        ended = "cancelled" if batch.cancelled_at is not None else "closed"
        raise BatchStateError(f"The batch {batch.id!r} is {ended} and accepts no more files.")


def add_accepted_file(connection: Connection, batch: Batch, name: str, upload: AcceptedUpload) -> None:
    """Add an accepted file to a locked batch.

    A file that is sent again, for example after a lost response, is added only once. By then it may belong to another
    version.
    """
    document = upload.document
    again = connection.execute(
        update(batch_entries)
        .where(
            batch_entries.c.document_id == document.id,
            batch_entries.c.batch_id == batch.id,
            batch_entries.c.name == name,
        )
        .values(version_id=document.version.id)
    ).rowcount
    if not again:
        _add_entry(
            connection,
            batch,
            name=name,
            document_id=document.id,
            version_id=document.version.id,
            duplicate=not upload.created,
        )


def lock_batches(connection: Connection, version_ids: Collection[str]) -> None:
    """Lock the batches for which these versions were created. The locks last until the commit."""
    made_for = select(batch_entries.c.batch_id).where(batch_entries.c.version_id.in_(list(version_ids)))
    query = select(batches.c.id).where(batches.c.id.in_(made_for)).order_by(batches.c.id)
    connection.execute(query.with_for_update(key_share=True)).all()


def add_entries(connection: Connection, container_version_id: str, entry_rows: Sequence[tuple[str, str, str]]) -> None:
    """Add a container's entries to the batches of the container's version, which must be locked.

    Each entry is a document name, a document id and a version id. A closed batch accepts entries too, because they came
    with a file that was already in the batch.
    """
    made_for = batch_entries.c.version_id == container_version_id, batch_entries.c.duplicate.is_(False)
    query = select(batches).where(batches.c.id.in_(select(batch_entries.c.batch_id).where(*made_for)))
    for batch in map(_build_batch, connection.execute(query).all()):
        rows = [
            {
                "batch_id": batch.id,
                "number": number,
                "name": name,
                "document_id": document,
                "version_id": version,
                "duplicate": False,
            }
            for number, (name, document, version) in enumerate(entry_rows, start=batch.received + 1)
        ]
        for some in iter_slices(rows):
            connection.execute(insert(batch_entries), list(some))
        received, entries = batches.c.received + len(rows), batches.c.entries + len(rows)
        counted = update(batches).where(batches.c.id == batch.id)
        connection.execute(counted.values(received=received, entries=entries))


def _require_same_request(batch: Batch, name: str, expected_files: int | None) -> Batch:
    if (batch.name, batch.expected) != (name, expected_files):
        raise BatchStateError(
            "The Idempotency-Key was already used for a different batch.", hint="Use a new key for each new batch."
        )
    return batch


def _close_batch(connection: Connection, identifier: str, *, cancelled_at: float | None = None) -> None:
    closed_at = func.coalesce(batches.c.closed_at, time.time())
    of_batch = batches.c.id == identifier
    connection.execute(update(batches).where(of_batch).values(closed_at=closed_at, cancelled_at=cancelled_at))


def _load_batch_progress(
    connection: Connection, tenant_id: str, loaded_batches: Sequence[Batch]
) -> list[BatchProgress]:
    counted = _count_files_by_state(connection, [batch.id for batch in loaded_batches])
    found = [BatchProgress(batch, counted[batch.id]) for batch in loaded_batches]
    in_progress = any(not progress.has_ended for progress in found)
    queues = load_tenant_queues(connection, tenant_id) if in_progress else {}
    return [_add_estimate(progress, queues) for progress in found]


def _add_estimate(progress: BatchProgress, queues: Mapping[JobKind, TenantQueue]) -> BatchProgress:
    if progress.has_ended:
        return replace(progress, seconds_left=0.0 if progress.state is BatchState.COMPLETED else None)
    missing = progress.total_count - progress.batch.received
    unsearchable, unfinished = progress.tally.unsearchable_count + missing, progress.tally.unfinished_count + missing
    return replace(
        progress,
        seconds_left=estimate_batch_seconds(unsearchable, unfinished, queues),
        paused=list_paused_kinds(unsearchable, unfinished, queues),
    )


def _add_rejected_file(connection: Connection, batch: Batch, name: str, failure: Failure) -> None:
    """Add a rejected file to a locked batch. If the same file is sent again, it is added only once."""
    known = (
        batch_entries.c.document_id.is_(None),
        batch_entries.c.batch_id == batch.id,
        batch_entries.c.name == name,
        batch_entries.c.error_code == failure.code,
    )
    if connection.execute(select(batch_entries.c.number).where(*known)).first() is not None:
        return
    _add_entry(
        connection,
        batch,
        name=name,
        duplicate=False,
        error_code=failure.code,
        error_detail=failure.detail,
        error_hint=failure.hint,
        error_remarks=failure.remarks,
    )


def _count_files_by_state(connection: Connection, identifiers: Sequence[str]) -> dict[str, BatchTally]:
    """Count the accepted files of each batch by the states of their versions, in one query."""
    query = (
        select(
            batch_entries.c.batch_id,
            versions.c.state,
            func.count().label("documents"),
            func.coalesce(func.sum(versions.c.chunks), 0).label("chunks"),
            func.coalesce(func.sum(versions.c.chunks_embedded), 0).label("chunks_embedded"),
            func.coalesce(func.sum(versions.c.tokens), 0).label("tokens"),
        )
        .join(versions, versions.c.id == batch_entries.c.version_id)
        .where(batch_entries.c.batch_id.in_(identifiers))
        .group_by(batch_entries.c.batch_id, versions.c.state)
    )
    found: dict[str, list[Row[Any]]] = {identifier: [] for identifier in identifiers}
    for row in connection.execute(query).all():
        found[row[0]].append(row)
    return {identifier: _build_tally(rows) for identifier, rows in found.items()}


def _cancel_unfinished_versions(connection: Connection, identifier: str, readers: Readers) -> list[str]:
    """Cancel the versions in progress of a locked, cancelled batch. Return the ids of their documents.

    A version is cancelled if it was created for a cancelled batch and all batches that contain it are cancelled.
    """
    ids = list(connection.execute(_build_cancellable_query(identifier, readers, batch_entries.c.document_id)).scalars())
    lock_documents(connection, set(ids))
    # Query again under the lock. PostgreSQL cannot compare JSON, so only ids are distinct.
    found = _build_cancellable_query(identifier, readers, versions.c.id)
    rows = connection.execute(select(versions).where(versions.c.id.in_(found))).all()
    cancel_versions(connection, [build_version(row) for row in rows])
    return ids


def _build_batch(row: Row[Any]) -> Batch:
    return Batch(**{field.name: row._mapping[field.name] for field in fields(Batch)})


def _build_tally(rows: Sequence[Row[Any]]) -> BatchTally:
    work = (
        row.documents * compute_fraction(VersionState(row.state), int(row.chunks), int(row.chunks_embedded))
        for row in rows
    )
    return BatchTally(
        documents={VersionState(row.state): row.documents for row in rows},
        # PostgreSQL returns sums of big integers as decimals.
        chunks=int(sum(row.chunks for row in rows)),
        chunks_embedded=int(sum(row.chunks_embedded for row in rows)),
        tokens=int(sum(row.tokens for row in rows)),
        work=sum(work),
    )


def _build_cancellable_query(identifier: str, readers: Readers, *columns: Any) -> Any:  # noqa: ANN401 - SQLAlchemy's own overloads
    other, its = batch_entries.alias("other"), batches.alias("its")
    sharing = select(other.c.number).join(its, its.c.id == other.c.batch_id).where(other.c.version_id == versions.c.id)
    return (
        select(*columns)
        .select_from(batch_entries)
        .join(versions, versions.c.id == batch_entries.c.version_id)
        .join(documents, and_(documents.c.id == versions.c.document_id, documents.c.latest_version_id == versions.c.id))
        .where(
            batch_entries.c.batch_id == identifier,
            build_access_condition(readers),
            versions.c.state.in_(IN_PROGRESS),
            exists(sharing.where(other.c.duplicate.is_(False), its.c.cancelled_at.is_not(None))),
            ~exists(sharing.where(its.c.cancelled_at.is_(None))),
        )
        .distinct()
    )


def _add_entry(connection: Connection, batch: Batch, *, duplicate: bool, **entry: Any) -> None:  # noqa: ANN401 - columns
    number = batch.received + 1
    connection.execute(insert(batch_entries).values(batch_id=batch.id, number=number, duplicate=duplicate, **entry))
    connection.execute(
        update(batches)
        .where(batches.c.id == batch.id)
        .values(
            received=number,
            duplicates=batch.duplicates + duplicate,
            refused=batch.refused + ("error_code" in entry),
        )
    )
