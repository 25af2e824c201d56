"""Entries of containers: documents that belong to an archive, a mailbox or a message, and are deleted with it.

A worker that parses a container stores each entry's bytes in the blobs. `stage_entries` records the entries in the
commit that ends the ingest. `adopt_entries` creates documents from them in the commit in which the container's version
becomes active. For a first version this is the commit that ends the ingest; for a replacement it is a later commit.
Therefore a repeated ingest creates nothing twice, and a replacement that fails or is cancelled does not change any
entry.

An entry is identified by its path. If a later version of the container has different bytes at the same path, the bytes
become a new version of the same document. If a later version lacks the path, the document is deleted.
"""

import json
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Row, delete, exists, func, insert, select, update

from ingest.storage.accounts.access import Readers, build_access_condition, store_readers
from ingest.storage.audit.records import Action
from ingest.storage.audit.store import record_action
from ingest.storage.db.database import iter_slices, lock_documents, lock_tenant
from ingest.storage.db.schema import documents, staged_entries, versions
from ingest.storage.documents.attributes import store_attributes
from ingest.storage.documents.batches import add_entries, lock_batches
from ingest.storage.documents.deletions import delete_entries
from ingest.storage.documents.listing import refresh_listing
from ingest.storage.documents.records import Document, Entry, Version, VersionState, derive_entry_id, derive_version_id
from ingest.storage.documents.rows import (
    Arrival,
    build_document,
    build_document_query,
    build_version,
    list_nested_documents,
    load_document,
    load_version,
)
from ingest.storage.documents.versions import build_version_row, replace_document
from ingest.storage.queue.queue import enqueue_jobs
from ingest.storage.queue.records import Job, JobKind, JobPriority, choose_ingest_lane
from ingest.storage.quotas.records import Account, StorageQuotaExceededError
from ingest.storage.quotas.store import QuotaRules
from ingest.storage.remarks import Remark
from ingest.storage.texts.layout import Omission, OmissionKind, build_omission, dump_omissions

CONTAINER_ATTRIBUTE = "container"
"""The metadata field of an entry that names its container."""
_NAME_CHARS = 1_000
_MAX_NAMED_ENTRIES = 20


@dataclass(frozen=True)
class AdoptedEntries:
    """The ids of documents that were created or changed, and the blob keys of entries that no version uses.

    The caller deletes the blobs with the `unused` keys.
    """

    documents: tuple[str, ...] = ()
    unused: frozenset[str] = frozenset()


def stage_entries(connection: Connection, job: Job, entries: Sequence[Entry]) -> None:
    """Record the entries of a version in the transaction that finishes its ingest."""
    connection.execute(delete(staged_entries).where(staged_entries.c.version_id == job.version_id))
    rows = [
        {"version_id": job.version_id, "number": number, "tenant_id": job.tenant_id, **vars(entry)}
        for number, entry in enumerate(entries)
    ]
    for some in iter_slices(rows):
        connection.execute(insert(staged_entries), list(some))


def lock_containers(connection: Connection, jobs: Collection[Job]) -> None:
    """Lock all rows that `adopt_entries` changes for these jobs.

    Call this before taking other locks, so that the lock order is the same as for uploads.
    """
    if not jobs:
        return
    lock_batches(connection, [job.version_id for job in jobs])
    for tenant in sorted({job.tenant_id for job in jobs}):
        lock_tenant(connection, tenant)
    ids = [job.document_id for job in jobs]
    lock_documents(connection, {*ids, *list_nested_documents(connection, ids)})


def find_and_lock_containers(connection: Connection, jobs: Collection[Job]) -> list[Job]:
    """Select the jobs whose documents are containers, lock their rows with `lock_containers`, and return them."""
    containers = _select_containers(connection, jobs)
    lock_containers(connection, containers)
    return containers


def _select_containers(connection: Connection, jobs: Collection[Job]) -> list[Job]:
    """Select the jobs whose versions have staged entries, or whose versions replace a container with entries."""
    by_version = {job.version_id: job for job in jobs}
    entry = documents.alias("entry")
    staged = exists().where(staged_entries.c.version_id == versions.c.id)
    replacing = (documents.c.active_version_id != versions.c.id) & exists().where(
        entry.c.container_id == documents.c.id, entry.c.deleted_at.is_(None)
    )
    query = (
        select(versions.c.id)
        .join(documents, documents.c.id == versions.c.document_id)
        .where(versions.c.id.in_(list(by_version)), staged | replacing)
    )
    return [by_version[version] for version in connection.execute(query).scalars()]


def adopt_entries(connection: Connection, job: Job, rules: QuotaRules, priority: int) -> AdoptedEntries:
    """Replace a document's entries with the staged entries of the version that has just become active."""
    container = load_document(connection, job.tenant_id, job.document_id)
    version = load_version(connection, job.version_id)
    if container.active_version_id != version.id:
        return AdoptedEntries()
    rows = _pop_staged_entries(connection, version.id)
    staged = {row.path: _build_arrival(row, container, version, JobPriority(priority)) for row in rows}
    known = _load_entry_documents(connection, container.id)
    gone = sorted(known[path].id for path in known.keys() - staged.keys())
    delete_entries(connection, job.tenant_id, container.id, gone)
    changed, unchanged = _replace_entries(connection, rules, known, staged)
    new, refused = _select_entries_within_quotas(
        connection, rules, {path: a for path, a in staged.items() if path not in known}
    )
    ids = _insert_documents(connection, container, new)
    _record_rejected_entries(connection, version, {**unchanged, **refused})
    if rows:
        record_action(
            connection,
            Action.ENTRIES_TAKEN,
            f"document:{container.id}",
            tenant_id=job.tenant_id,
            version=version.id,
            entries=len(ids),
            size_bytes=sum(arrival.size_bytes for arrival in new.values()),
        )
    unused = frozenset(each.blob_key for path, each in staged.items() if path not in changed and path not in new)
    return AdoptedEntries((*(known[path].id for path in sorted(changed)), *ids), unused)


def list_staged_keys(connection: Connection, version_id: str) -> list[str]:
    """List the blob keys of a version's staged entries."""
    query = select(staged_entries.c.blob_key).where(staged_entries.c.version_id == version_id)
    return list(connection.execute(query).scalars())


def delete_staged_entries(connection: Connection, version_id: str) -> None:
    """Delete the rows of a version's staged entries."""
    connection.execute(delete(staged_entries).where(staged_entries.c.version_id == version_id))


def list_failed_entries(connection: Connection, container_id: str, readers: Readers) -> tuple[Omission, ...]:
    """List the failed entries of a container as omissions, except those that these readers may not see."""
    query = (
        select(documents.c.entry_path, versions)
        .join(versions, versions.c.id == documents.c.latest_version_id)
        .where(
            documents.c.container_id == container_id,
            documents.c.deleted_at.is_(None),
            documents.c.active_version_id.is_(None),
            versions.c.state == VersionState.FAILED,
            build_access_condition(readers),
        )
        .order_by(documents.c.sequence)
    )
    rows = connection.execute(query).all()
    failures = {str(row.entry_path): build_version(row).failure for row in rows}
    reasons = {path: (each and each.detail) or Remark("entry_failed") for path, each in failures.items()}
    return (_build_omission(reasons),) if rows else ()


def count_nesting(connection: Connection, identifier: str) -> tuple[int, int]:
    """Return the nesting depth of a document, and the number of documents in its outermost container.

    See `Catalog.count_nesting`.
    """
    depth, outermost = 0, identifier
    while (
        above := connection.execute(select(documents.c.container_id).where(documents.c.id == outermost)).scalar()
    ) is not None:
        depth, outermost = depth + 1, above
    if not depth:
        return 0, 0
    own = len(list_nested_documents(connection, [identifier])) + 1
    return depth, len(list_nested_documents(connection, [outermost])) - own


def _pop_staged_entries(connection: Connection, version_id: str) -> Sequence[Row[tuple[object, ...]]]:
    of_version = staged_entries.c.version_id == version_id
    rows = connection.execute(select(staged_entries).where(of_version).order_by(staged_entries.c.number)).all()
    connection.execute(delete(staged_entries).where(of_version))
    return rows


def _build_arrival(
    row: Row[tuple[object, ...]], container: Document, version: Version, priority: JobPriority
) -> Arrival:
    """Build an upload from an entry, with the sender, collection and readers of its container."""
    return Arrival(
        tenant_id=container.tenant_id,
        collection=container.collection,
        name=_build_entry_name(container.name, row.path),
        media_type=row.media_type,
        content_sha256=row.content_sha256,
        size_bytes=row.size_bytes,
        blob_key=row.blob_key,
        fingerprint=row.fingerprint,
        attributes={**container.attributes, CONTAINER_ATTRIBUTE: container.name},
        priority=priority,
        key_id=version.key_id,
        readers=container.readers,
        uploaded_by=container.uploaded_by,
    )


def _build_entry_name(container_name: str, path: str) -> str:
    """Build a name such as `mail.eml/report.pdf`. If the name is too long, only the end of the path is used."""
    name = f"{container_name}/{path}"
    return name if len(name) <= _NAME_CHARS else f"{container_name[:200]}/…{path[-(_NAME_CHARS - 202) :]}"


def _load_entry_documents(connection: Connection, container_id: str) -> dict[str, Document]:
    """Return the documents of a container's entries, keyed by path."""
    query = build_document_query().where(documents.c.container_id == container_id, documents.c.deleted_at.is_(None))
    return {str(each.entry_path): each for each in map(build_document, connection.execute(query).all())}


def _replace_entries(
    connection: Connection,
    rules: QuotaRules,
    existing_documents: Mapping[str, Document],
    arrivals: Mapping[str, Arrival],
) -> tuple[set[str], dict[str, str]]:
    """Replace the content of existing entries.

    Returns the paths that changed, and the reason for each path that could not be replaced.
    """
    changed: set[str] = set()
    refused: dict[str, str] = {}
    for path in sorted(arrivals.keys() & existing_documents.keys()):
        arrival = arrivals[path]
        try:
            with connection.begin_nested():
                if replace_document(connection, arrival, existing_documents[path].id, None).created:
                    account = Account(arrival.tenant_id, arrival.key_id)
                    rules.add_stored_amounts(connection, account, documents=0, size=arrival.size_bytes)
                    changed.add(path)
        except StorageQuotaExceededError as error:
            refused[path] = error.detail
    return changed, refused


def _select_entries_within_quotas(
    connection: Connection, rules: QuotaRules, arrivals: Mapping[str, Arrival]
) -> tuple[dict[str, Arrival], dict[str, str]]:
    """Select the new entries that fit within the quotas, and count them as stored.

    Returns the selected entries, and the reason for each entry that does not fit.
    """
    # guard: entry-quota
    if _count_stored_bytes(connection, rules, list(arrivals.values())) is None:
        return dict(arrivals), {}
    taken: dict[str, Arrival] = {}
    refused: dict[str, str] = {}
    for path, arrival in arrivals.items():
        problem = _count_stored_bytes(connection, rules, [arrival])
        if problem is None:
            taken[path] = arrival
        else:
            refused[path] = problem
    return taken, refused


def _count_stored_bytes(connection: Connection, rules: QuotaRules, arrivals: Sequence[Arrival]) -> str | None:
    """Count all of these entries as stored, or none if they exceed a quota.

    Returns the reason if none were counted.
    """
    if not arrivals:
        return None
    account = Account(arrivals[0].tenant_id, arrivals[0].key_id)
    size = sum(arrival.size_bytes for arrival in arrivals)
    try:
        with connection.begin_nested():
            rules.add_stored_amounts(connection, account, documents=len(arrivals), size=size)
    except StorageQuotaExceededError as error:
        return error.detail
    return None


def _insert_documents(connection: Connection, container: Document, arrivals: Mapping[str, Arrival]) -> list[str]:
    """Create a document for each path, in order. The number of statements does not grow with the number of paths."""
    if not arrivals:
        return []
    generation, last = (
        _count_deleted_entries(connection, container.id),
        _load_last_sequence(connection, container.tenant_id),
    )
    ids = [derive_entry_id(container.id, path, generation) for path in arrivals]
    of_version = [
        (identifier, derive_version_id(identifier, arrival.content_sha256, arrival.fingerprint), arrival)
        for identifier, arrival in zip(ids, arrivals.values(), strict=True)
    ]
    document_rows = [
        _build_document_row(arrival, identifier, version, container.id, path, last + number)
        for number, (path, (identifier, version, arrival)) in enumerate(zip(arrivals, of_version, strict=True), start=1)
    ]
    version_rows = [build_version_row(arrival, identifier, version) for identifier, version, arrival in of_version]
    for table, rows in ((documents, document_rows), (versions, version_rows)):
        for some in iter_slices(rows):
            connection.execute(insert(table), list(some))
    first = of_version[0][2]
    store_readers(connection, ids, first.readers)
    store_attributes(connection, container.tenant_id, ids, first.attributes)
    queued = [(container.tenant_id, identifier, version) for identifier, version, _ in of_version]
    lanes = [choose_ingest_lane(arrival.size_bytes) for arrival in arrivals.values()]
    enqueue_jobs(connection, JobKind.INGEST, queued, priority=first.priority, lanes=lanes)
    refresh_listing(connection, ids)
    add_entries(connection, container.version.id, [(arrival.name, d, v) for d, v, arrival in of_version])
    return ids


def _build_document_row(
    arrival: Arrival, document_id: str, version_id: str, container_id: str, path: str, sequence: int
) -> dict[str, object]:
    return {
        "id": document_id,
        "sequence": sequence,
        "tenant_id": arrival.tenant_id,
        "collection": arrival.collection,
        "name": arrival.name,
        "media_type": arrival.media_type,
        "attributes": dict(arrival.attributes),
        "key_id": arrival.key_id,
        "readers": None if arrival.readers is None else sorted(arrival.readers),
        "uploaded_by": arrival.uploaded_by,
        "content_sha256": arrival.content_sha256,
        "latest_version_id": version_id,
        "container_id": container_id,
        "entry_path": path,
        "created_at": time.time(),
    }


def _load_last_sequence(connection: Connection, tenant_id: str) -> int:
    query = select(func.max(documents.c.sequence)).where(documents.c.tenant_id == tenant_id)
    return connection.execute(query).scalar() or 0


def _count_deleted_entries(connection: Connection, container_id: str) -> int:
    """Count the container's deleted entries.

    New ids are derived from this count, so that no id is used twice.
    """
    of_container = documents.c.container_id == container_id, documents.c.deleted_at.is_not(None)
    return connection.execute(select(func.count()).select_from(documents).where(*of_container)).scalar_one()


def _record_rejected_entries(connection: Connection, version: Version, reasons: Mapping[str, str]) -> None:
    if reasons:
        omitted = json.dumps(dump_omissions((*version.omissions, _build_omission(reasons))))
        connection.execute(update(versions).where(versions.c.id == version.id).values(omissions=omitted))
        refresh_listing(connection, [version.document_id])


def _build_omission(reasons: Mapping[str, str]) -> Omission:
    """Build an omission from the paths and reasons of entries that did not become documents."""
    named = [Remark("omitted_in_file", path=path, problem=problem) for path, problem in reasons.items()]
    return build_omission(OmissionKind.ENTRY, len(reasons), named, _MAX_NAMED_ENTRIES)
