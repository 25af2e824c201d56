"""Rows of collections, for transactions that put something into one."""

import time

from sqlalchemy import Connection, select

from ingest.storage.db.database import insert_new
from ingest.storage.db.schema import collections
from ingest.storage.errors import CollectionNotFoundError


def ensure_collection(connection: Connection, tenant_id: str, name: str) -> None:
    """Make the collection unless it is there; the tenant is locked."""
    if not collection_exists(connection, tenant_id, name):
        insert_new(connection, collections, tenant_id=tenant_id, name=name, metadata={}, created_at=time.time())


def collection_exists(connection: Connection, tenant_id: str, name: str) -> bool:
    here = select(collections.c.name).where(collections.c.tenant_id == tenant_id, collections.c.name == name)
    return connection.execute(here).first() is not None


def require_collection(connection: Connection, tenant_id: str, name: str) -> None:
    """Raise `CollectionNotFoundError` unless the tenant has the collection."""
    if not collection_exists(connection, tenant_id, name):
        raise CollectionNotFoundError(f"There is no collection {name!r}.")
