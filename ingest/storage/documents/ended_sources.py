"""Ends the sources of what is deleted: of one source, of a collection, or of a tenant."""

import time
from collections.abc import Sequence

from sqlalchemy import ColumnElement, Connection, select, update

from ingest.storage.audit.records import Action
from ingest.storage.audit.store import record_action
from ingest.storage.db.schema import sources
from ingest.storage.queue.queue import enqueue_job
from ingest.storage.queue.records import JobKind


def end_sources(
    connection: Connection, tenant_id: str, condition: ColumnElement[bool], *, removes_documents: bool
) -> Sequence[str]:
    """Mark sources as deleted, forget their credentials, and queue the removal of their items. Return their ids.

    A synchronization in progress loses its job, so that it records nothing more.
    """
    live = sources.c.tenant_id == tenant_id, sources.c.deleted_at.is_(None)
    query = select(sources.c.id).where(*live, condition).order_by(sources.c.id).with_for_update()
    found = list(connection.execute(query).scalars())
    ended: dict[str, object] = {
        "deleted_at": time.time(),
        "removes_documents": removes_documents,
        "credentials_sealed": None,
        "credential_names": [],
        "next_sync_at": None,
    }
    connection.execute(update(sources).where(sources.c.id.in_(found)).values(**ended))
    for each in found:
        enqueue_job(connection, JobKind.SYNC, tenant_id=tenant_id, document_id=each, version_id=each)
        record_action(
            connection,
            Action.SOURCE_DELETED,
            f"source:{each}",
            tenant_id=tenant_id,
            documents_removed=removes_documents,
        )
    return found
