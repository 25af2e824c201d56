"""A number for each tenant that grows with every commit after which its searches may find something else.

What was found may be kept under it: whoever reads the same number finds the same. It is counted up in the commit that
makes a document searchable or ready, replaces, cancels or deletes it, adds vectors to it, or removes what it has left
in the index; so whoever reads it after a deletion has answered reads a larger one than was read before.
"""

from collections.abc import Collection

from sqlalchemy import Connection, bindparam, select
from sqlalchemy.dialects import postgresql, sqlite

from ingest.catalog.tables import corpus_versions

# 0 rows for a tenant that has nothing to be found yet.
VERSION = select(corpus_versions.c.version).where(corpus_versions.c.tenant_id == bindparam("tenant_id"))


def count_up(connection: Connection, tenant_ids: Collection[str]) -> None:
    """To be a transaction's last statement: it holds the tenants' rows until the commit."""
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    for tenant_id in sorted(set(tenant_ids)):
        connection.execute(
            insert(corpus_versions)
            .values(tenant_id=tenant_id, version=1)
            .on_conflict_do_update(
                index_elements=[corpus_versions.c.tenant_id], set_={"version": corpus_versions.c.version + 1}
            )
        )
