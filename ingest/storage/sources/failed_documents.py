"""The documents of sources that a synchronization added or changed, and whose latest version could not be processed.

Processing begins after a synchronization has accepted a file, and may end long after it. Therefore such a document is
not one of the refused items, and a synchronization that has succeeded may have any number of them.
"""

from collections.abc import Collection

from sqlalchemy import CTE, Connection, func, select

from ingest.storage.db.database import iter_slices
from ingest.storage.db.schema import documents, jobs, source_items, sources, versions
from ingest.storage.documents.records import VersionState
from ingest.storage.queue.records import VERSION_JOB_KINDS, Failure

# The condition on the latest versions of live documents that failed.
_FAILED = (
    versions.c.state == VersionState.FAILED,
    documents.c.latest_version_id == versions.c.id,
    documents.c.deleted_at.is_(None),
)


def build_failed_items(tenant_id: str | None = None) -> CTE:
    """Build a table of the items of sources whose documents failed, with `source_id`, `key` and `document_id`.

    The table has the items of one tenant, or of all tenants. A failed version has a failed job, and the table of jobs
    has an index by state, so the time depends on the number of failed jobs and not on the number of documents or items.
    """
    failed = jobs.c.state == "failed", jobs.c.kind.in_(sorted(VERSION_JOB_KINDS))
    of_tenant = () if tenant_id is None else (jobs.c.tenant_id == tenant_id,)
    joined = (
        jobs.join(versions, versions.c.id == jobs.c.version_id)
        .join(documents, documents.c.id == versions.c.document_id)
        .join(source_items, source_items.c.document_id == documents.c.id)
    )
    columns = source_items.c.source_id, source_items.c.key, source_items.c.document_id
    query = select(*columns).distinct().select_from(joined).where(*failed, *of_tenant, *_FAILED)
    # Without this, SQLite searches all items of a source if the query has a condition on the source.
    return query.cte("failed_items").prefix_with("MATERIALIZED")


def count_failed_documents(connection: Connection, tenant_id: str) -> dict[str, int]:
    """Count the failed documents of each source of a tenant. Sources without any are left out."""
    failed = build_failed_items(tenant_id).c
    query = select(failed.source_id, func.count(func.distinct(failed.document_id))).group_by(failed.source_id)
    return {row[0]: row[1] for row in connection.execute(query)}


def count_all_failed_documents(connection: Connection) -> int:
    """Count the failed documents of the sources of all tenants."""
    failed = build_failed_items()
    query = select(func.count(func.distinct(failed.c.document_id))).join(sources, sources.c.id == failed.c.source_id)
    return connection.execute(query.where(sources.c.deleted_at.is_(None))).scalar_one()


def load_document_failures(connection: Connection, document_ids: Collection[str]) -> dict[str, Failure]:
    """Load the reasons why these documents failed, by their ids. The others are left out."""
    found: dict[str, Failure] = {}
    columns = (versions.c.document_id, *(versions.c[f"error_{part}"] for part in ("code", "detail", "hint", "remarks")))
    query = select(*columns).join(documents, documents.c.latest_version_id == versions.c.id).where(*_FAILED)
    for some in iter_slices(sorted(document_ids)):
        for row in connection.execute(query.where(documents.c.id.in_(some))):
            found[row.document_id] = Failure.from_columns(*row[1:])
    return found
