"""Versions of documents: accepted, staged next to the active version, activated when complete, and withdrawn.

Searches find the old version until every chunk and vector of its replacement is in the index. A version is marked as
hidden before it can have points in the index. Whether searches show it depends only on its document's
`active_version_id`, which is changed in a single commit.
"""

import json
import time
from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Connection, Row, case, func, insert, select, update

from ingest.storage.accounts.access import Readers, build_access_condition, store_readers
from ingest.storage.accounts.grants import ensure_collection, require_collection
from ingest.storage.accounts.records import Principal
from ingest.storage.db.database import iter_slices, lock_documents, lock_tenant, read_clock
from ingest.storage.db.schema import documents, jobs, versions
from ingest.storage.documents.attributes import store_attributes
from ingest.storage.documents.cards.rows import record_card, refresh_card_values
from ingest.storage.documents.digests import record_digests
from ingest.storage.documents.listing import refresh_listing
from ingest.storage.documents.metadata import merge_metadata, require_own_access
from ingest.storage.documents.records import (
    IN_PROGRESS,
    SOURCE_OWNER_PREFIX,
    Document,
    DocumentChange,
    EmbedReport,
    IngestReport,
    Version,
    VersionState,
    derive_document_id,
    derive_version_id,
)
from ingest.storage.documents.rights import require_move_right, require_readers_right
from ingest.storage.documents.rows import (
    AcceptedUpload,
    Arrival,
    build_document,
    build_document_query,
    list_nested_documents,
    load_document,
    load_version,
)
from ingest.storage.errors import DocumentStateError, IncompleteVersionError, PreconditionFailedError
from ingest.storage.queue.queue import enqueue_job, enqueue_jobs
from ingest.storage.queue.records import Job, JobKind, choose_ingest_lane
from ingest.storage.quotas.rows import subtract_stored_amounts
from ingest.storage.texts.layout import dump_omissions
from ingest.storage.uploads.files import require_source_file
from ingest.storage.webhooks.outbox import publish_event
from ingest.storage.webhooks.records import EventType

# Time for which a replaced version's content is kept, because an answer in progress may still be reading it.
_READERS_GRACE_SECONDS = 60.0
# Time after a lease's end within which a worker's writes may still arrive: a worker may notice late that its lease has
# expired, and its last write may arrive even later.
_LEASE_MARGIN_SECONDS = 10.0
_ENDED_UNREADY = frozenset({VersionState.FAILED, VersionState.CANCELLED})
_WITHDRAWN_STATES = frozenset({VersionState.CANCELLED, VersionState.RETIRED, VersionState.DELETED})
_WITHDRAWN_KINDS = [kind for kind in JobKind if kind is not JobKind.COLLECT]


def accept_document(connection: Connection, arrival: Arrival) -> AcceptedUpload:
    """Create a document for the upload, or return the existing document whose latest content is identical.

    Uploads of one tenant are accepted one after the other, so if the same bytes are sent twice concurrently, only one
    document is created. `sequence` increases in commit order, so a listing that continues after a sequence misses no
    document.
    """
    lock_tenant(connection, arrival.tenant_id)
    if arrival.file_id is None:
        ensure_collection(connection, arrival.tenant_id, arrival.collection)
    else:
        require_source_file(connection, arrival.tenant_id, arrival.file_id, arrival.collection)
    known = _find_document_with_content(connection, arrival)
    if known is None:
        return AcceptedUpload(_insert_document(connection, arrival), created=True, is_first=True)
    kept = _list_ignored_changes(known, arrival)
    _adopt_document(connection, known, arrival)
    if known.version.state in _ENDED_UNREADY:
        return AcceptedUpload(add_version(connection, known, arrival), created=True, kept=kept)
    return AcceptedUpload(known, created=False, kept=kept)


def _adopt_document(connection: Connection, document: Document, arrival: Arrival) -> None:
    """Let a document of a source belong to the person who uploads its bytes, so that it outlives the source's item."""
    is_of_source, is_synced = (
        owner.startswith(SOURCE_OWNER_PREFIX) for owner in (document.uploaded_by, arrival.uploaded_by)
    )
    if is_of_source and not is_synced:
        adopted = update(documents).where(documents.c.id == document.id)
        connection.execute(adopted.values(uploaded_by=arrival.uploaded_by))


def change_document(
    connection: Connection,
    tenant_id: str,
    identifier: str,
    change: DocumentChange,
    if_match: Collection[str] | None,
    caller: Principal | None,
) -> tuple[Document, Document]:
    """Change a document's metadata and title, and its readers and collection with those of its entries.

    See `Catalog.change_document`. Returns the document before and after the change.
    """
    readers = None if caller is None else caller.readers
    if "collection" in change.changed:
        # Deleting a collection takes this lock, so the target cannot disappear. Uploads take it before documents, too.
        lock_tenant(connection, tenant_id)
    entries = list_nested_documents(connection, [identifier])
    lock_documents(connection, [identifier, *entries])
    document = load_document(connection, tenant_id, identifier, readers)
    require_matching_tag(document, if_match)
    values: dict[str, Any] = {"revision": documents.c.revision + 1, "attributes": merge_metadata(document, change)}
    if "title" in change.changed:
        own = _load_content_title(connection, document) if change.title is None else change.title
        values |= {"title": own, "is_titled": change.title is not None}
    if "name" in change.changed:
        values["name"] = change.name
        # The name of a version becomes the document's name when the version becomes active.
        current = versions.c.id.in_([document.version.id, *filter(None, [document.active_version_id])])
        connection.execute(update(versions).where(current).values(name=change.name))
    if "readers" in change.changed and change.readers != document.readers:
        # guard: uploader-changes-readers
        require_readers_right(document, caller)
        require_own_access(change.readers, readers)
        values["readers"] = None if change.readers is None else sorted(change.readers)
        store_readers(connection, [identifier], change.readers)
        # guard: entry-readers
        _change_entries(connection, entries, readers=values["readers"])
        store_readers(connection, entries, values["readers"])
    if "collection" in change.changed and change.collection != document.collection:
        require_move_right(document, change.collection, caller)
        require_collection(connection, tenant_id, change.collection)
        values["collection"] = change.collection
        # guard: entries-move-along
        _change_entries(connection, entries, collection=change.collection)
    # guard: moved-document-unsynced
    if not values.keys() & {"readers", "collection"}:  # metadata and titles are not in the index
        up_to_date = documents.c.index_revision == documents.c.revision
        values["index_revision"] = documents.c.index_revision + case((up_to_date, 1), else_=0)
    if change.metadata:
        store_attributes(connection, tenant_id, [identifier], values["attributes"])
    connection.execute(update(documents).where(documents.c.id == identifier).values(**values))
    with_entries = entries if values.keys() & {"readers", "collection"} else []
    refresh_listing(connection, [identifier, *with_entries], include_states=False)
    return document, load_document(connection, tenant_id, identifier)


def _change_entries(connection: Connection, entries: Sequence[str], **values: Any) -> None:  # noqa: ANN401 - of columns
    for some in iter_slices(entries):
        changed = update(documents).where(documents.c.id.in_(some))
        connection.execute(changed.values(**values, revision=documents.c.revision + 1))


def _load_content_title(connection: Connection, document: Document) -> str | None:
    if document.active_version_id is None:
        return None
    return load_version(connection, document.active_version_id).title


def _list_ignored_changes(document: Document, arrival: Arrival) -> tuple[str, ...]:
    """List the fields (`metadata` and `readers`) in which a repeated upload differs from the existing document."""
    metadata = ["metadata"] if arrival.attributes and dict(arrival.attributes) != document.attributes else []
    return (*metadata, *(["readers"] if arrival.readers is not None and arrival.readers != document.readers else []))


def add_version(connection: Connection, document: Document, arrival: Arrival) -> Document:
    """Make the upload the latest version of a locked document. If the previous latest version failed, it is retired."""
    earlier = connection.execute(
        select(func.count()).where(
            versions.c.document_id == document.id,
            versions.c.content_sha256 == arrival.content_sha256,
            versions.c.fingerprint == arrival.fingerprint,
        )
    ).scalar_one()
    identifier = derive_version_id(document.id, arrival.content_sha256, arrival.fingerprint, earlier)
    replaced = document.version
    if replaced.state is VersionState.FAILED and replaced.id != document.active_version_id:
        # A worker that was considered lost may still be writing to the failed version. What it writes is removed later.
        withdraw_versions(connection, [replaced], VersionState.RETIRED)
    _queue_ingest(connection, arrival, document.id, identifier)
    _insert_version(connection, arrival, document.id, identifier)
    changed: dict[str, str | None] = {"latest_version_id": identifier}
    if document.active_version_id is None:
        changed |= {"name": arrival.name, "media_type": arrival.media_type}
        changed |= {} if document.is_titled else {"title": None}
    connection.execute(update(documents).where(documents.c.id == document.id).values(**changed))
    refresh_listing(connection, [document.id])
    return load_document(connection, document.tenant_id, document.id)


def _find_document_with_content(connection: Connection, arrival: Arrival) -> Document | None:
    """Lock and return the oldest document whose latest content is identical to the upload."""
    query = (
        build_document_query()
        .where(
            versions.c.tenant_id == arrival.tenant_id,
            versions.c.content_sha256 == arrival.content_sha256,
            documents.c.collection == arrival.collection,
            # guard: entries-are-no-uploads
            documents.c.container_id.is_(None),  # an entry is deleted with its container, unlike an upload
            documents.c.file_id.is_not_distinct_from(arrival.file_id),  # a file's documents are deleted with the file
            build_access_condition(arrival.sender),
        )
        .order_by(documents.c.sequence)
    )
    locked: set[str] = set()
    while True:
        row = connection.execute(query).first()
        if row is None:
            return None
        document = build_document(row)
        if document.id in locked:
            return document
        # The document may have been deleted or replaced while this transaction waited for the lock, so query again.
        lock_documents(connection, [document.id])
        locked.add(document.id)


def _insert_document(connection: Connection, arrival: Arrival) -> Document:
    of_tenant = documents.c.tenant_id == arrival.tenant_id
    generation = connection.execute(
        select(func.count()).where(
            of_tenant,
            documents.c.collection == arrival.collection,
            documents.c.content_sha256 == arrival.content_sha256,
        )
    ).scalar_one()
    last = connection.execute(select(func.max(documents.c.sequence)).where(of_tenant)).scalar()
    identifier = derive_document_id(arrival.tenant_id, arrival.collection, arrival.content_sha256, generation)
    # guard: id-after-move
    while connection.execute(select(documents.c.id).where(documents.c.id == identifier)).first() is not None:
        generation += 1  # a document with this id was moved to another collection, and is not counted
        identifier = derive_document_id(arrival.tenant_id, arrival.collection, arrival.content_sha256, generation)
    version = derive_version_id(identifier, arrival.content_sha256, arrival.fingerprint)
    connection.execute(
        insert(documents).values(
            id=identifier,
            sequence=(last or 0) + 1,
            tenant_id=arrival.tenant_id,
            collection=arrival.collection,
            name=arrival.name,
            media_type=arrival.media_type,
            attributes=dict(arrival.attributes),
            key_id=arrival.key_id,
            readers=None if arrival.readers is None else sorted(arrival.readers),
            uploaded_by=arrival.uploaded_by,
            content_sha256=arrival.content_sha256,
            file_id=arrival.file_id,
            latest_version_id=version,
            created_at=time.time(),
        )
    )
    store_readers(connection, [identifier], arrival.readers)
    store_attributes(connection, arrival.tenant_id, [identifier], arrival.attributes)
    _queue_ingest(connection, arrival, identifier, version)
    _insert_version(connection, arrival, identifier, version)
    refresh_listing(connection, [identifier])
    return load_document(connection, arrival.tenant_id, identifier)


def _queue_ingest(connection: Connection, arrival: Arrival, document_id: str, version_id: str) -> None:
    enqueue_job(
        connection,
        JobKind.INGEST,
        tenant_id=arrival.tenant_id,
        document_id=document_id,
        version_id=version_id,
        priority=arrival.priority,
        lane=choose_ingest_lane(arrival.size_bytes),
    )


def _insert_version(connection: Connection, arrival: Arrival, document_id: str, version_id: str) -> None:
    connection.execute(insert(versions).values(build_version_row(arrival, document_id, version_id)))


def build_version_row(arrival: Arrival, document_id: str, version_id: str) -> dict[str, Any]:
    """Build the row of a version that has just been accepted."""
    return {
        "id": version_id,
        "document_id": document_id,
        "tenant_id": arrival.tenant_id,
        "name": arrival.name,
        "media_type": arrival.media_type,
        "content_sha256": arrival.content_sha256,
        "size_bytes": arrival.size_bytes,
        "key_id": arrival.key_id,
        "blob_key": arrival.blob_key,
        "fingerprint": arrival.fingerprint,
        "state": VersionState.ACCEPTED,
        "hidden": False,
        "chunks_embedded": 0,
        "chunks_reused": 0,
        "created_at": time.time(),
    }


def replace_document(
    connection: Connection, arrival: Arrival, identifier: str, if_match: Collection[str] | None
) -> AcceptedUpload:
    """Stage the upload as the latest version. A replacement in progress is cancelled. See `Catalog.replace`."""
    lock_documents(connection, [identifier])
    document = load_document(connection, arrival.tenant_id, identifier, arrival.sender)
    latest = document.version
    require_matching_tag(document, if_match)
    if latest.content_sha256 == arrival.content_sha256 and latest.state not in _ENDED_UNREADY:
        return AcceptedUpload(document, created=False)
    if document.active_version_id not in (None, latest.id):
        active = load_version(connection, str(document.active_version_id))
        if active.content_sha256 == arrival.content_sha256 and active.state is not VersionState.FAILED:
            return AcceptedUpload(_restore_version(connection, document, active), created=False)
    if latest.state in IN_PROGRESS and latest.id != document.active_version_id:
        withdraw_versions(connection, [latest], VersionState.CANCELLED)
    return AcceptedUpload(add_version(connection, document, arrival), created=True)


def require_matching_tag(document: Document, if_match: Collection[str] | None) -> None:
    """Raise `PreconditionFailedError` unless the document's tag is one of `if_match`; None allows any tag."""
    if if_match is not None and document.tag not in if_match:
        raise PreconditionFailedError(f"If-Match does not match the document's current ETag, {document.tag}.")


def mark_version_searchable(connection: Connection, report: IngestReport) -> None:
    """Record that the index has all chunks of a version.

    A document's first version becomes active; a later version stays staged.
    """
    job = report.job
    staged = _find_active_version(connection, job.document_id) not in (None, job.version_id)
    found = {
        "title": report.title,
        "pages": report.pages,
        "characters": report.characters,
        "chunks": report.chunks,
        "omissions": json.dumps(dump_omissions(report.omissions)) if report.omissions else None,
    }
    if staged:
        stage = {"state": VersionState.EMBEDDING, "hidden": True}
    else:
        searchable_at = func.coalesce(versions.c.searchable_at, time.time())
        stage = {"state": VersionState.SEARCHABLE, "hidden": False, "searchable_at": searchable_at}
    connection.execute(
        update(versions)
        .where(versions.c.id == job.version_id)
        .values(**found, **stage, chunks_embedded=0, chunks_reused=0, tokens=0)
    )
    record_digests(connection, job, report.digests)
    if report.card is not None:
        record_card(connection, job, report.card)
    # guard: staged-version
    if not staged:
        _activate_version(connection, job)
    refresh_listing(connection, [job.document_id])


def mark_versions_ready(connection: Connection, reports: Sequence[EmbedReport]) -> dict[Job, int]:
    """Record that the index has all vectors of these versions. A staged version replaces the active version.

    Returns, for each version, the number of chunks whose vectors had not been recorded before. Raises
    `IncompleteVersionError` if the index lacks chunks of a staged version.
    """
    found = _load_unready_versions(connection, [report.job.version_id for report in reports])
    for report in reports:
        _complete_version(connection, report, found[report.job.version_id].active_version_id)
    refresh_listing(connection, [report.job.document_id for report in reports])
    for tenant in sorted({report.job.tenant_id for report in reports}):
        of_tenant = [report.job for report in reports if report.job.tenant_id == tenant]
        ready = [{"version": job.version_id, "document": job.document_id} for job in of_tenant]
        publish_event(connection, tenant, EventType.DOCUMENT_READY, ready)
    return {report.job: found[report.job.version_id].left for report in reports}


def _load_unready_versions(connection: Connection, version_ids: Sequence[str]) -> dict[str, Row[Any, Any, Any]]:
    """For each version, load its document's active version and the number of chunks `left` to embed."""
    left = (func.coalesce(versions.c.chunks, 0) - versions.c.chunks_embedded).label("left")
    query = select(versions.c.id, documents.c.active_version_id, left).join(
        documents, documents.c.id == versions.c.document_id
    )
    return {row.id: row for row in connection.execute(query.where(versions.c.id.in_(version_ids))).all()}


def _complete_version(connection: Connection, report: EmbedReport, active_version_id: str | None) -> None:
    job = report.job
    if active_version_id != job.version_id:
        _require_complete_index(connection, report)
        if active_version_id is not None:
            old = load_version(connection, active_version_id)
            withdraw_versions(connection, [old], VersionState.RETIRED, wait_seconds=_READERS_GRACE_SECONDS)
    now = time.time()
    connection.execute(
        update(versions)
        .where(versions.c.id == job.version_id)
        .values(
            state=VersionState.READY,
            hidden=False,
            tokens=report.tokens,
            chunks_embedded=versions.c.chunks,
            chunks_reused=report.chunks_reused,
            searchable_at=func.coalesce(versions.c.searchable_at, now),
            ready_at=now,
        )
    )
    if active_version_id != job.version_id:
        _activate_version(connection, job)


def _restore_version(connection: Connection, document: Document, active_version: Version) -> Document:
    """Make the active version the latest version again, and withdraw its replacement."""
    ended = VersionState.CANCELLED if document.version.state in IN_PROGRESS else VersionState.RETIRED
    withdraw_versions(connection, [document.version], ended)
    connection.execute(
        update(documents).where(documents.c.id == document.id).values(latest_version_id=active_version.id)
    )
    refresh_listing(connection, [document.id])
    return load_document(connection, document.tenant_id, document.id)


def _find_active_version(connection: Connection, document_id: str) -> str | None:
    query = select(documents.c.active_version_id).where(documents.c.id == document_id)
    active: str | None = connection.execute(query).scalar_one()
    return active


def _activate_version(connection: Connection, job: Job) -> None:
    version = load_version(connection, job.version_id)
    connection.execute(
        update(documents)
        .where(documents.c.id == job.document_id)
        .values(
            active_version_id=version.id,
            name=version.name,
            title=case((documents.c.is_titled, documents.c.title), else_=version.title),
            media_type=version.media_type,
        )
    )
    refresh_card_values(connection, [job.document_id])


def _require_complete_index(connection: Connection, report: EmbedReport) -> None:
    version = load_version(connection, report.job.version_id)
    if report.chunks_indexed != version.chunks:
        raise IncompleteVersionError(
            f"The index has vectors for only {report.chunks_indexed} of the {version.chunks} chunks of the new version."
        )


def cancel_latest_version(connection: Connection, tenant_id: str, identifier: str, readers: Readers = None) -> Document:
    """Cancel a document's latest version.

    If the document has an earlier version, that version becomes the latest one again, as if the replacement had never
    been sent. Otherwise searches no longer find the document. Raises `DocumentNotFoundError` if there is no such
    document, and `DocumentStateError` if the version is not in progress.
    """
    lock_documents(connection, [identifier])
    document = load_document(connection, tenant_id, identifier, readers)
    version = document.version
    if version.state not in IN_PROGRESS:
        raise DocumentStateError(
            f"The document is {version.state} and cannot be cancelled.",
            hint="Delete the document if you no longer need it.",
        )
    cancel_versions(connection, [version])
    return load_document(connection, tenant_id, identifier)


def cancel_versions(connection: Connection, unfinished_versions: Sequence[Version]) -> None:
    """Cancel the latest versions of locked documents.

    If a document has another active version, that version becomes the latest one again.
    """
    withdraw_versions(connection, unfinished_versions, VersionState.CANCELLED)
    active, latest = documents.c.active_version_id, documents.c.latest_version_id
    for some in iter_slices([version.document_id for version in unfinished_versions]):
        connection.execute(
            update(documents)
            .where(documents.c.id.in_(some))
            .values(
                active_version_id=case((active != latest, active), else_=None),
                latest_version_id=func.coalesce(active, latest),
            )
        )
    refresh_listing(connection, [version.document_id for version in unfinished_versions])
    refresh_card_values(connection, [version.document_id for version in unfinished_versions])


def withdraw_versions(
    connection: Connection,
    withdrawn_versions: Sequence[Version],
    state: VersionState,
    *,
    wait_seconds: float = 0.0,
) -> frozenset[str]:
    """Hide versions of locked documents, set their `state`, and queue their removal after `wait_seconds`.

    Their jobs are cancelled, so the workers lose their leases. A worker may still be writing until it notices this. Its
    version's content is therefore removed only once the lease would have expired. Returns the ids of the versions that
    a worker may still be writing to.
    """
    begun = read_clock(connection)
    leases: dict[str, float] = {}
    for some in iter_slices([version.id for version in withdrawn_versions]):
        ended = connection.execute(
            update(jobs)
            .where(
                jobs.c.version_id.in_(some),
                jobs.c.kind.in_(_WITHDRAWN_KINDS),
                jobs.c.state.in_(["queued", "running"]),
            )
            .values(state="cancelled", fence=jobs.c.fence + 1, updated_at=time.time())
            .returning(jobs.c.version_id, jobs.c.lease_until)
        ).all()
        leases |= {version: lease + _LEASE_MARGIN_SECONDS for version, lease in ended if lease is not None}
    enqueue_jobs(
        connection,
        JobKind.COLLECT,
        [(version.tenant_id, version.document_id, version.id) for version in withdrawn_versions],
        not_before=[max(begun + wait_seconds, leases.get(version.id, begun)) for version in withdrawn_versions],
    )
    for some in iter_slices([version.id for version in withdrawn_versions]):
        connection.execute(update(versions).where(versions.c.id.in_(some)).values(state=state, hidden=True))
    _release_stored_bytes(connection, withdrawn_versions)
    return frozenset(leases)


def _release_stored_bytes(connection: Connection, withdrawn_versions: Sequence[Version]) -> None:
    """Subtract the bytes of these versions from the stored bytes, except versions that were already withdrawn."""
    given: Counter[tuple[str, str]] = Counter()
    for version in withdrawn_versions:
        if version.state not in _WITHDRAWN_STATES:
            given[version.tenant_id, version.key_id] += version.size_bytes
    for tenant in sorted({tenant for tenant, _ in given}):
        of_tenant = {key: (0, size) for (owner, key), size in given.items() if owner == tenant}
        subtract_stored_amounts(connection, tenant, of_tenant)
