"""Stores collections and the grants on them.

A grant is the role that a user, group or key has on a collection.
"""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, Engine, bindparam, delete, func, select

from ingest.storage.accounts.people import add_other_users, find_subject
from ingest.storage.accounts.records import Principal, Role, validate_subject
from ingest.storage.audit.records import Action
from ingest.storage.audit.store import record_action
from ingest.storage.db.database import (
    bump_corpus_versions,
    insert_row_if_absent,
    lock_tenant,
    read_transaction,
    upsert_row,
    write_transaction,
)
from ingest.storage.db.schema import collection_grants, collections, document_listing
from ingest.storage.errors import CollectionNotFoundError, GrantNotFoundError, LastGrantError


def ensure_collection(connection: Connection, tenant_id: str, name: str) -> None:
    """Create the collection if it does not exist. The caller must hold the tenant's lock."""
    if not has_collection(connection, tenant_id, name):
        insert_row_if_absent(
            connection, collections, tenant_id=tenant_id, name=name, metadata={}, created_at=time.time()
        )


def has_collection(connection: Connection, tenant_id: str, name: str) -> bool:
    here = select(collections.c.name).where(collections.c.tenant_id == tenant_id, collections.c.name == name)
    return connection.execute(here).first() is not None


def require_collection(connection: Connection, tenant_id: str, name: str) -> None:
    """Raise `CollectionNotFoundError` unless the tenant has the collection."""
    if not has_collection(connection, tenant_id, name):
        raise CollectionNotFoundError(f"Collection {name!r} not found.")


GRANTS_QUERY = select(collection_grants.c.collection, collection_grants.c.subject, collection_grants.c.role).where(
    collection_grants.c.tenant_id == bindparam("tenant_id")
)


@dataclass(frozen=True)
class Grant:
    """A grant: the role of a subject, such as `user:ann`, `group:hr` or `key:ID`, on a collection."""

    collection: str
    subject: str
    role: Role
    created_at: float


@dataclass(frozen=True)
class CollectionTotal:
    """A collection's totals: its number of documents, its number of grants, and the size of its originals in bytes."""

    name: str
    documents: int
    size_bytes: int
    grants: int
    title: str | None = None


class Grants:
    """Grants on collections. Each method is one transaction on the data of a single tenant.

    A collection without grants is open to its whole tenant. A collection with grants is open only to the subjects that
    the grants name, and to the tenant's admins.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def grant_role(self, tenant_id: str, collection: str, subject: str, role: Role) -> Grant:
        """Give a subject a role on a collection, replacing an earlier role.

        Without a kind, as in `user:ID`, the subject is the name or mail address of a person. Raises
        `PersonUnknownError` or `PersonAmbiguousError` if it does not name exactly one person.
        The grant takes effect when the transaction commits. The collection may still be empty. Raises
        `NameInvalidError` if a name is invalid.
        """
        with write_transaction(self._engine) as connection:
            lock_tenant(connection, tenant_id)
            found = find_subject(connection, tenant_id, subject)
            grant = Grant(collection, validate_subject(found), role, time.time())
            ensure_collection(connection, tenant_id, collection)
            upsert_row(
                connection,
                collection_grants,
                ("tenant_id", "collection", "subject"),
                tenant_id=tenant_id,
                collection=collection,
                subject=grant.subject,
                role=role.value,
                created_at=grant.created_at,
            )
            granted = {"granted": grant.subject, "role": role.value}
            record_action(
                connection, Action.COLLECTION_CHANGED, f"collection:{collection}", tenant_id=tenant_id, **granted
            )
            bump_corpus_versions(connection, [tenant_id])
        return grant

    def revoke_grant(self, tenant_id: str, collection: str, subject: str, *, open_to_all: bool = False) -> None:
        """Remove a grant.

        Raises `GrantNotFoundError` if the grant does not exist. Raises `LastGrantError` if it is the collection's last
        grant and `open_to_all` is false.
        """
        with write_transaction(self._engine) as connection:
            lock_tenant(connection, tenant_id)
            subject = find_subject(connection, tenant_id, subject)
            here = collection_grants.c.tenant_id == tenant_id, collection_grants.c.collection == collection
            held = set(connection.execute(select(collection_grants.c.subject).where(*here)).scalars())
            if subject not in held:
                raise GrantNotFoundError(f"The grant for {subject!r} on the collection {collection!r} was not found.")
            if len(held) == 1 and not open_to_all:
                raise LastGrantError(
                    f"Removing the last grant of {collection!r} would open it to everyone in the tenant.",
                    hint="Grant a role to another subject first, or confirm with open_to_all (`--open-to-all`).",
                )
            connection.execute(delete(collection_grants).where(*here, collection_grants.c.subject == subject))
            taken: dict[str, Any] = {"revoked": subject, "open_to_all": len(held) == 1}
            record_action(
                connection, Action.COLLECTION_CHANGED, f"collection:{collection}", tenant_id=tenant_id, **taken
            )
            bump_corpus_versions(connection, [tenant_id])

    def list_grants(self, tenant_id: str, collection: str) -> list[Grant]:
        """List the grants of a collection, sorted by subject."""
        query = (
            select(collection_grants)
            .where(collection_grants.c.tenant_id == tenant_id, collection_grants.c.collection == collection)
            .order_by(collection_grants.c.subject)
        )
        with read_transaction(self._engine) as connection:
            rows = connection.execute(query).all()
        return [Grant(row.collection, row.subject, Role(row.role), row.created_at) for row in rows]

    def list_collections(self, tenant_id: str) -> list[CollectionTotal]:
        """List the tenant's collections, sorted by name."""
        row = document_listing.c
        sums = select(row.collection, func.count(), func.sum(row.size_bytes))
        filled = sums.where(row.tenant_id == tenant_id).group_by(row.collection)
        granted = (
            select(collection_grants.c.collection, func.count())
            .where(collection_grants.c.tenant_id == tenant_id)
            .group_by(collection_grants.c.collection)
        )
        named = select(collections.c.name, collections.c.title).where(collections.c.tenant_id == tenant_id)
        with read_transaction(self._engine) as connection:
            counted = {name: (count, int(size)) for name, count, size in connection.execute(filled).all()}
            grants = {name: count for name, count in connection.execute(granted).all()}
            found = connection.execute(named.order_by(collections.c.name)).all()
        return [CollectionTotal(name, *counted.get(name, (0, 0)), grants.get(name, 0), title) for name, title in found]

    def resolve_access(self, principal: Principal) -> Principal:
        """Return a copy of the principal with its current access to collections."""
        with read_transaction(self._engine) as connection:
            return load_access(connection, principal)


def load_access(connection: Connection, principal: Principal) -> Principal:
    """Return a copy of the principal with its current names and access to collections.

    Both are read in the caller's transaction.
    """
    principal = add_other_users(connection, principal)
    if principal.is_admin:
        return principal
    return apply_grants(principal, connection.execute(GRANTS_QUERY, {"tenant_id": principal.tenant_id}).all())


def apply_grants(principal: Principal, rows: Iterable[Sequence[Any]]) -> Principal:
    """Return a copy of the principal with the access rights defined by the rows returned by `GRANTS_QUERY`."""
    return replace(principal, collections=principal.compute_access((row[0], row[1], Role(row[2])) for row in rows))
