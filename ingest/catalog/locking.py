"""The order in which transactions lock rows on PostgreSQL: batch, tenant, documents by id, jobs, versions.

The tenant's row of `corpus_versions` comes last of all, and nothing is waited for after it. A transaction that changes
rows of several kinds takes its locks in that order, so that no two wait for each other. Locks last until the commit. On
SQLite a `write` has the whole database already, and these are plain reads.
"""

from collections.abc import Collection

from sqlalchemy import Connection, select

from ingest.catalog.database import portions
from ingest.catalog.tables import documents, tenants


def lock_tenant(connection: Connection, tenant_id: str) -> None:
    """From here to the commit no other upload of this tenant is being accepted."""
    connection.execute(select(tenants.c.id).where(tenants.c.id == tenant_id).with_for_update(key_share=True))


def lock_documents(connection: Connection, identifiers: Collection[str]) -> None:
    """From here to the commit nothing but progress of their jobs changes at these documents."""
    for some in portions(sorted(identifiers)):
        query = select(documents.c.id).where(documents.c.id.in_(some)).order_by(documents.c.id)
        connection.execute(query.with_for_update(key_share=True)).all()
