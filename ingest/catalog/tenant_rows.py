"""The rows of one tenant in every table: found by their tenant, or by the row that they belong to."""

from collections.abc import Iterator
from typing import Any

from sqlalchemy import ColumnElement, Engine, Table, delete, select, tuple_

from ingest.storage.db.database import read, write
from ingest.storage.db.schema import (
    audit,
    content_digests,
    gone_versions,
    metadata,
    tenant_deletions,
    tenants,
    versions,
    work_versions,
)

_ROWS_AT_ONCE = 1_000
# The audit log keeps that a tenant was there and went; its own rows go last, by whoever removes it.
_KEPT = frozenset({audit, tenants, tenant_deletions})
# Tables of versions' ids, which no foreign key names: they go before the versions.
_OF_VERSIONS = (content_digests, work_versions, gone_versions)
# What belongs in no export: secrets and digests of them, and places in the blobs of this installation.
# guard: webhook-secrets-not-exported
_UNEXPORTED = frozenset({"secret_sha256", "secret", "previous_secret", "token_sealed", "blob_key"})


def of_tenant(table: Table, tenant_id: str) -> ColumnElement[bool] | None:
    """Return the condition for a tenant's rows of a table; None for a table of the whole installation."""
    if "tenant_id" in table.c:
        return table.c.tenant_id == tenant_id
    if table in _OF_VERSIONS:
        return table.c.version_id.in_(select(versions.c.id).where(versions.c.tenant_id == tenant_id))
    for key in table.foreign_keys:
        parent = key.column.table
        if "tenant_id" in parent.c:
            return key.parent.in_(select(key.column).where(parent.c.tenant_id == tenant_id))
    return None


def remove_rows(engine: Engine, tenant_id: str) -> dict[str, int]:
    """Remove a tenant's rows in small transactions, children first; returns how many of each table."""
    in_order = [*_OF_VERSIONS, *(table for table in reversed(metadata.sorted_tables) if table not in _OF_VERSIONS)]
    removed = {table.name: _empty(engine, table, tenant_id) for table in in_order if table not in _KEPT}
    return {name: count for name, count in removed.items() if count}


def exported_rows(engine: Engine, table: Table, tenant_id: str) -> Iterator[dict[str, Any]]:
    """Yield a tenant's rows of a table in the order of their keys, without secrets, read a thousand at a time."""
    owned = of_tenant(table, tenant_id)
    if owned is None:
        raise ValueError(f"{table.name} has no rows of a tenant")
    keys = list(table.primary_key.columns)
    query = select(table).where(owned).order_by(*keys).limit(_ROWS_AT_ONCE)
    after: tuple[Any, ...] | None = None
    while True:
        with read(engine) as connection:
            page = query if after is None else query.where(tuple_(*keys) > after)
            rows = connection.execute(page).mappings().all()
        for row in rows:
            yield {name: value for name, value in row.items() if name not in _UNEXPORTED}
        if len(rows) < _ROWS_AT_ONCE:
            return
        after = tuple(rows[-1][key.name] for key in keys)


def _empty(engine: Engine, table: Table, tenant_id: str) -> int:
    owned = of_tenant(table, tenant_id)
    if owned is None:
        return 0
    key, removed = tuple_(*table.primary_key.columns), 0
    some = select(*table.primary_key.columns).where(owned).limit(_ROWS_AT_ONCE)
    while True:
        with write(engine) as connection:
            count = connection.execute(delete(table).where(key.in_(some))).rowcount
        removed += count
        if count < _ROWS_AT_ONCE:
            return removed
