"""The state of a synchronization in progress, which the worker that holds the source's job writes.

Each method is one transaction. Methods that take a `Job` raise `LeaseLostError` if the worker no longer holds it, and
then change nothing.
"""

import hashlib
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, FromClause, delete, func, insert, or_, select, update

from ingest.storage.db.database import (
    bump_corpus_versions,
    iter_slices,
    lock_documents,
    read_transaction,
    write_transaction,
)
from ingest.storage.db.schema import jobs, source_items, source_syncs, sources
from ingest.storage.documents.rows import load_document
from ingest.storage.errors import LeaseLostError, SourceNotFoundError
from ingest.storage.feed.feed import Announce, announce_to_nobody
from ingest.storage.queue.records import Failure, Job
from ingest.storage.sources.backing import (
    build_owned_condition,
    describe_document,
    find_replaceable_document,
    find_unrecorded_documents,
    hand_over_documents,
    release_documents,
)
from ingest.storage.sources.credentials import CredentialCipher
from ingest.storage.sources.records import FoundItem, SourceItemRecord, SyncState
from ingest.storage.sources.rows import build_item, end_sync, find_latest_sync

_REMOVED_AT_ONCE = 100


@dataclass(frozen=True)
class Round:
    """A synchronization that a worker has started or resumed, and the source's options with its credentials.

    If `is_deleted`, the source was deleted and its items must be removed. If `is_listed`, everything was listed and
    only removals remain. If `is_resumed`, an earlier attempt may have read items at an earlier time.
    """

    source_id: str
    tenant_id: str
    collection: str
    kind: str
    options: Mapping[str, Any]
    cursor: str
    number: int
    is_listed: bool = False
    lists_changes: bool = False
    is_deleted: bool = False
    approved_removals: int = 0
    is_resumed: bool = False


@dataclass(frozen=True)
class RemovalPlan:
    """The number of documents that a round would remove, and of those that the source had before the round."""

    removed: int
    known: int


class SyncRounds:
    """Writes the progress of synchronizations. `announce` is called with the source's id after each commit."""

    def __init__(
        self, engine: Engine, cipher: CredentialCipher | None = None, *, announce: Announce = announce_to_nobody
    ) -> None:
        self._engine = engine
        self._cipher = cipher or CredentialCipher()
        self._announce = announce

    def start_round(self, job: Job) -> Round:
        """Start or resume the synchronization of a claimed job.

        Raises `SourceNotFoundError` if the source was removed, and `SourceCredentialsError` if its credentials cannot
        be decrypted.
        """
        with write_transaction(self._engine) as connection:
            row = connection.execute(select(sources).where(sources.c.id == job.document_id)).first()
            latest = None if row is None else find_latest_sync(connection, row.id)
            if row is None or (latest is None and row.deleted_at is None):
                raise SourceNotFoundError(f"Source {job.document_id!r} not found.")
            if row.deleted_at is None and latest is not None:
                begun = func.coalesce(source_syncs.c.started_at, time.time())
                started: dict[str, Any] = {"state": SyncState.RUNNING, "started_at": begun}
                # Items that an earlier attempt recorded are listed again, but not read again.
                started |= {} if latest.is_listed else {"listed": 0}
                connection.execute(update(source_syncs).where(source_syncs.c.id == latest.id).values(**started))
            _require_held_job(connection, job)
        self._announce(job.tenant_id, [job.document_id])
        secrets = self._cipher.decrypt(row.id, row.credentials_sealed)
        about = (row.id, row.tenant_id, row.collection, row.kind, {**row.options, **secrets}, row.cursor, row.round)
        if row.deleted_at is not None or latest is None:
            return Round(*about, is_deleted=True)
        is_resumed = latest.started_at is not None
        return Round(*about, latest.is_listed, latest.lists_changes, False, latest.approved_removals, is_resumed)

    def load_items(self, sync: Round, item_ids: Collection[str]) -> dict[str, SourceItemRecord]:
        """Load the known items with these ids, keyed by id."""
        keys = {hash_item_id(each): each for each in item_ids}
        found: dict[str, SourceItemRecord] = {}
        with read_transaction(self._engine) as connection:
            for some in iter_slices(list(keys)):
                query = select(source_items).where(_of_source(sync), source_items.c.key.in_(some))
                found |= {keys[row.key]: build_item(row) for row in connection.execute(query)}
        return found

    def record_listed(self, job: Job, sync: Round, listed: int, unchanged_ids: Collection[str]) -> None:
        """Record the progress of the list, and that these items are unchanged."""
        keys = [hash_item_id(each) for each in unchanged_ids]
        with write_transaction(self._engine) as connection:
            _require_held_job(connection, job)
            marked = 0
            for some in iter_slices(keys):
                # A condition on the round would let SQLite search the items of all earlier rounds instead of these.
                these = _of_source(sync), source_items.c.key.in_(some)
                seen = update(source_items).where(*these).values(round=sync.number, gone_round=None)
                marked += connection.execute(seen).rowcount
            self._count(connection, sync, listed=listed, unchanged=marked)
        self._announce(sync.tenant_id, [sync.source_id])

    def record_gone(self, job: Job, sync: Round, item_ids: Iterable[str]) -> None:
        """Record items that the source's list of changes names as removed."""
        keys = [hash_item_id(each) for each in item_ids]
        with write_transaction(self._engine) as connection:
            _require_held_job(connection, job)
            for some in iter_slices(keys):
                these = _of_source(sync), source_items.c.key.in_(some)
                connection.execute(update(source_items).where(*these).values(gone_round=sync.number))

    def find_replaceable_document(
        self, sync: Round, item_id: str, content_sha256: str, readers: frozenset[str] | None
    ) -> str | None:
        """Return the document that this content may replace in place.

        Returns None if the item has no document, if something else stands behind it, or if another document has this
        content already, which the item should join.
        """
        with read_transaction(self._engine) as connection:
            key = hash_item_id(item_id)
            return find_replaceable_document(connection, sync.source_id, sync.collection, key, content_sha256, readers)

    def record_item(
        self, job: Job, sync: Round, item: FoundItem, *, document_id: str | None, is_changed: bool = True
    ) -> None:
        """Record an item whose content a document has, and describe the document after it.

        If the item had another document, that one goes unless something else stands behind it. Raises
        `DocumentNotFoundError` if the document of a changed item was deleted after it was accepted.
        """
        with write_transaction(self._engine) as connection:
            _require_held_job(connection, job, makes_progress=True)
            row = _find_item(connection, sync, item.id)
            lock_documents(connection, {document_id, row and row.document_id} - {None})
            # Another source may have removed the document, which this item joins.
            # guard: item-has-its-document
            if document_id is not None and is_changed:
                load_document(connection, sync.tenant_id, document_id)
            _upsert_item(connection, sync, item, row, document_id=document_id, error_code=None, is_retried=False)
            if row is not None and row.document_id not in (None, document_id):
                release_documents(connection, sync.tenant_id, [row.document_id])
            if document_id is not None:
                describe_document(connection, sync.tenant_id, document_id)
            if row is None or row.round < sync.number:
                kind = "added" if row is None or row.document_id is None else "changed" if is_changed else "unchanged"
                self._count(connection, sync, **{kind: 1})
            bump_corpus_versions(connection, [sync.tenant_id])
        self._announce(sync.tenant_id, [sync.source_id, *([document_id] if document_id else [])])

    def record_refusal(self, job: Job, sync: Round, item: FoundItem, failure: Failure, *, is_temporary: bool) -> None:
        """Record why an item was refused. A document with its earlier content remains."""
        with write_transaction(self._engine) as connection:
            _require_held_job(connection, job, makes_progress=True)
            row = _find_item(connection, sync, item.id)
            kept = None if row is None else row.document_id
            errors = {"error_code": failure.code, "error_detail": failure.detail, "error_hint": failure.hint}
            _upsert_item(connection, sync, item, row, document_id=kept, is_retried=is_temporary, **errors)
            if kept is not None:  # The readers of the item may have changed.
                describe_document(connection, sync.tenant_id, kept)
            if row is None or row.round < sync.number:
                self._count(connection, sync, refused=1)
        self._announce(sync.tenant_id, [sync.source_id])

    def record_list_end(self, job: Job, sync: Round, *, cursor: str = "", lists_changes: bool = False) -> None:
        """Record that the list ended without an error, so that items that it lacks may be removed.

        The next round begins where this one began if an item must be tried again. The same is true if the round was
        interrupted: items that were read before may have changed since, and are not read twice in one round.
        """
        begun = sync.cursor if lists_changes else ""
        retried = _of_source(sync), source_items.c.is_retried, source_items.c.round == sync.number
        with write_transaction(self._engine) as connection:
            _require_held_job(connection, job)
            ended = {"is_listed": True, "lists_changes": lists_changes}
            connection.execute(update(source_syncs).where(_is_current(sync)).values(**ended))
            # guard: source-cursor-of-a-whole-round
            if sync.is_resumed or connection.execute(select(source_items.c.key).where(*retried).limit(1)).first():
                cursor = begun
            connection.execute(update(sources).where(sources.c.id == sync.source_id).values(cursor=cursor))

    def plan_removals(self, sync: Round) -> RemovalPlan:
        """Count the documents that the round would remove, and those that the source had before it."""
        gone, other = _build_gone_condition(sync), source_items.alias("other")
        stays = (
            select(other.c.key)
            .where(other.c.document_id == source_items.c.document_id, ~_build_gone_condition(sync, other))
            .exists()
        )
        owned = build_owned_condition(source_items.c.document_id)
        counted = select(func.count(func.distinct(source_items.c.document_id)))
        known = _of_source(sync), source_items.c.added_round < sync.number
        with read_transaction(self._engine) as connection:
            removed = connection.execute(counted.where(gone, ~stays, owned)).scalar_one()
            return RemovalPlan(removed, connection.execute(counted.where(*known)).scalar_one())

    def remove_next_items(self, job: Job, sync: Round) -> int:
        """Remove some of the items that are gone, with their documents, and return their number."""
        query = select(source_items.c.key, source_items.c.document_id).where(_build_gone_condition(sync))
        with write_transaction(self._engine) as connection:
            _require_held_job(connection, job, makes_progress=True)
            rows = connection.execute(query.limit(_REMOVED_AT_ONCE)).all()  # Sorting all of them takes long each time.
            these = _of_source(sync), source_items.c.key.in_([row.key for row in rows])
            connection.execute(delete(source_items).where(*these))
            found = {row.document_id for row in rows if row.document_id is not None}
            release_documents(connection, sync.tenant_id, sorted(found))
            self._count(connection, sync, removed=len(rows))
            bump_corpus_versions(connection, [sync.tenant_id])
        self._announce(sync.tenant_id, [sync.source_id, *found])
        return len(rows)

    def remove_unrecorded_documents(self, job: Job, sync: Round) -> int:
        """Remove some documents that interrupted attempts accepted for items that are gone. Return their number."""
        with write_transaction(self._engine) as connection:
            _require_held_job(connection, job)
            found = self._find_unrecorded(connection, sync)
            release_documents(connection, sync.tenant_id, found)
            bump_corpus_versions(connection, [sync.tenant_id] if found else [])
        self._announce(sync.tenant_id, found)
        return len(found)

    def discard_unrecorded_documents(self, sync: Round) -> None:
        """Remove the documents that a worker has accepted for a source that was deleted meanwhile."""
        with write_transaction(self._engine) as connection:
            if connection.execute(select(sources.c.id).where(sources.c.id == sync.source_id)).first() is None:
                release_documents(connection, sync.tenant_id, self._find_unrecorded(connection, sync))
                bump_corpus_versions(connection, [sync.tenant_id])

    def purge_source(self, job: Job, sync: Round) -> int:
        """Remove some items of a deleted source and, at the end, the source. Return 0 at the end."""
        with write_transaction(self._engine) as connection:
            _require_held_job(connection, job, makes_progress=True)
            query = select(source_items.c.key, source_items.c.document_id).where(_of_source(sync))
            rows = connection.execute(query.order_by(source_items.c.key).limit(_REMOVED_AT_ONCE)).all()
            these = _of_source(sync), source_items.c.key.in_([row.key for row in rows])
            connection.execute(delete(source_items).where(*these))
            source = connection.execute(select(sources).where(sources.c.id == sync.source_id)).one()
            found = sorted({row.document_id for row in rows if row.document_id is not None})
            found = found if rows else self._find_unrecorded(connection, sync)
            if source.removes_documents:
                release_documents(connection, sync.tenant_id, found)
            else:
                hand_over_documents(connection, found, source.created_by)
            if not (rows or found):
                _end_job(connection, job)
                connection.execute(delete(source_syncs).where(source_syncs.c.source_id == sync.source_id))
                connection.execute(delete(sources).where(sources.c.id == sync.source_id))
            bump_corpus_versions(connection, [sync.tenant_id])
        self._announce(sync.tenant_id, [sync.source_id, *found])
        return len(rows) or len(found)

    def finish_round(self, job: Job, sync: Round, *, pending_removals: int | None = None) -> None:
        """End a synchronization. With `pending_removals`, it waits until somebody approves this number of removals."""
        state = SyncState.SUCCEEDED if pending_removals is None else SyncState.NEEDS_APPROVAL
        with write_transaction(self._engine) as connection:
            _end_job(connection, job)
            end_sync(connection, sync.tenant_id, sync.source_id, state, pending_removals=pending_removals)
            if pending_removals is not None and not sync.lists_changes:
                # Without an approval, only another complete list tells the next round what is to be removed.
                # guard: source-cursor-before-approval
                connection.execute(update(sources).where(sources.c.id == sync.source_id).values(cursor=""))
        self._announce(sync.tenant_id, [sync.source_id])

    def _find_unrecorded(self, connection: Connection, sync: Round) -> list[str]:
        about = sync.tenant_id, sync.source_id, sync.collection
        return find_unrecorded_documents(connection, *about, limit=_REMOVED_AT_ONCE)

    def _count(self, connection: Connection, sync: Round, **counts: int) -> None:
        more = {name: source_syncs.c[name] + count for name, count in counts.items() if count}
        if more:
            connection.execute(update(source_syncs).where(_is_current(sync)).values(**more))


def hash_item_id(item_id: str) -> str:
    """Return the key under which an item is stored. Ids may be longer than a database can index."""
    return hashlib.sha256(item_id.encode("utf-8", "surrogatepass")).hexdigest()


def _of_source(sync: Round) -> ColumnElement[bool]:
    return source_items.c.source_id == sync.source_id


def _is_current(sync: Round) -> ColumnElement[bool]:
    return (source_syncs.c.source_id == sync.source_id) & (source_syncs.c.number == sync.number)


def _build_gone_condition(sync: Round, items: FromClause = source_items) -> ColumnElement[bool]:
    """Build the condition on the items that a complete list lacks, or that a list of changes names as removed."""
    gone = items.c.gone_round.is_not(None) if sync.lists_changes else items.c.round < sync.number
    return (items.c.source_id == sync.source_id) & gone


def _find_item(connection: Connection, sync: Round, item_id: str) -> Any:  # noqa: ANN401 - a row
    query = select(source_items).where(_of_source(sync), source_items.c.key == hash_item_id(item_id))
    return connection.execute(query).first()


def _upsert_item(
    connection: Connection,
    sync: Round,
    item: FoundItem,
    row: Any,  # noqa: ANN401 - a row
    **values: Any,  # noqa: ANN401 - columns
) -> None:
    described = {name: getattr(item, name) for name in ("name", "path", "url", "author", "modified_at", "size_bytes")}
    readers = None if item.readers is None else sorted(item.readers)
    # Some file systems have names that are no Unicode. The key still identifies such an item.
    shown = item.id.replace("\0", "").encode("utf-8", "replace").decode()
    values |= {"item_id": shown, "version": item.version, "readers": readers, "round": sync.number, **described}
    if row is not None:
        these = _of_source(sync), source_items.c.key == row.key
        connection.execute(update(source_items).where(*these).values(**values, gone_round=None))
        return
    key = {"source_id": sync.source_id, "key": hash_item_id(item.id), "tenant_id": sync.tenant_id}
    connection.execute(insert(source_items).values(**key, added_round=sync.number, **values))


def _require_held_job(connection: Connection, job: Job, *, makes_progress: bool = False) -> None:
    """Lock the job until the commit. Raises `LeaseLostError` if this worker does not hold it.

    Progress resets the attempts, so that a long synchronization survives any number of interruptions.
    """
    # guard: sync-fence
    held = jobs.c.id == job.id, jobs.c.fence == job.fence, jobs.c.state == "running"
    if connection.execute(select(jobs.c.id).where(*held).with_for_update()).first() is None:
        raise LeaseLostError(f"This worker no longer holds job {job.id} (fencing token {job.fence}).")
    if makes_progress:
        counted = or_(jobs.c.attempt > 1, jobs.c.interruptions > 0, jobs.c.away_since.is_not(None))
        reset = update(jobs).where(jobs.c.id == job.id, counted)
        connection.execute(reset.values(attempt=1, interruptions=0, away_since=None))


def _end_job(connection: Connection, job: Job) -> None:
    held = jobs.c.id == job.id, jobs.c.fence == job.fence, jobs.c.state == "running"
    done = {"state": "done", "lease_until": None, "error_code": None, "error_detail": None}
    if connection.execute(update(jobs).where(*held).values(updated_at=time.time(), **done)).rowcount != 1:
        raise LeaseLostError(f"This worker no longer holds job {job.id} (fencing token {job.fence}).")
