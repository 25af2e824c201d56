"""Creates, describes, lists, changes and deletes collections. For grants, see `ingest.storage.accounts.grants`."""

import time
import uuid
from collections.abc import Collection as Names
from dataclasses import replace
from typing import Any, Literal

from sqlalchemy import Connection, Engine, Row, Select, delete, func, insert, or_, select, update

from ingest.storage.accounts.access import (
    Readers,
    build_access_condition,
    build_listing_condition,
    build_owner_condition,
    list_hidden_collections,
)
from ingest.storage.accounts.grants import has_collection
from ingest.storage.accounts.records import Role, validate_subject
from ingest.storage.audit.records import Action
from ingest.storage.audit.store import record_action
from ingest.storage.db.database import (
    bump_corpus_versions,
    lock_tenant,
    read_transaction,
    upsert_row,
    write_transaction,
)
from ingest.storage.db.schema import (
    collection_deletions,
    collection_grants,
    collections,
    deletions,
    document_listing,
    documents,
    sources,
    versions,
)
from ingest.storage.documents.collection_records import Collection, CollectionDeletion, CollectionSettings
from ingest.storage.documents.deletions import delete_documents
from ingest.storage.documents.ended_sources import end_sources
from ingest.storage.documents.records import VersionState
from ingest.storage.errors import (
    CollectionNotEmptyError,
    CollectionNotFoundError,
    NameTakenError,
    PreconditionFailedError,
    RoleMissingError,
)
from ingest.storage.feed.feed import Announce, announce_to_nobody

_DELETED_AT_ONCE = 500
# Minimum time between two recorded uses of a collection, so that not every search writes.
_USE_SECONDS = 60.0
_SUMS = ("versions", "chunks_removed", "bytes_removed", "answers_redacted", "runs_redacted", "replies_removed")


class Collections:
    """The collections of all tenants. Each method accesses the collections of a single tenant.

    `readers` are the subjects from `Principal.readers`. A collection whose grants name none of these subjects is
    treated as if it did not exist. Documents that the readers may not see are not counted.
    """

    def __init__(self, engine: Engine, *, announce: Announce = announce_to_nobody) -> None:
        self._engine = engine
        self._announce = announce

    def create(
        self, tenant_id: str, name: str, settings: CollectionSettings, *, private_subject: str | None = None
    ) -> Collection:
        """Create an empty collection.

        If `private_subject` is given, only this subject may use the collection, as its admin.

        Raises `NameTakenError` if the name is in use.
        """
        with write_transaction(self._engine) as connection:
            lock_tenant(connection, tenant_id)
            if has_collection(connection, tenant_id, name):
                raise NameTakenError(f"The collection {name!r} already exists.")
            now = time.time()
            row = {"tenant_id": tenant_id, "name": name, "revision": 0, "created_at": now, **_build_columns(settings)}
            connection.execute(insert(collections).values(row))
            if private_subject is not None:
                _insert_grant(connection, tenant_id, name, validate_subject(private_subject), now)
            record_action(connection, Action.COLLECTION_CREATED, f"collection:{name}", tenant_id=tenant_id)
            if private_subject is not None:
                bump_corpus_versions(connection, [tenant_id])
            return _load_collection(connection, tenant_id, name, None)

    def load_collection(self, tenant_id: str, name: str, *, readers: Readers = None) -> Collection:
        """Load a collection. Raises `CollectionNotFoundError` if it does not exist or these readers may not see it."""
        with read_transaction(self._engine) as connection:
            _require_open_collection(connection, tenant_id, name, readers)
            return _load_collection(connection, tenant_id, name, readers)

    def require_collections(self, tenant_id: str, names: Names[str], *, readers: Readers = None) -> None:
        """Raise `CollectionNotFoundError` if one of the collections does not exist or these readers may not see it."""
        query = select(collections.c.name).where(collections.c.tenant_id == tenant_id, collections.c.name.in_(names))
        with read_transaction(self._engine) as connection:
            # guard: closed-collections
            found = set(connection.execute(query).scalars()) - list_hidden_collections(connection, tenant_id, readers)
        for name in names:
            if name not in found:
                raise CollectionNotFoundError(f"Collection {name!r} not found.")

    def find_default_strategy(self, tenant_id: str, name: str) -> str | None:
        """Return the default strategy of a collection, or None if it has none or does not exist."""
        here = collections.c.tenant_id == tenant_id, collections.c.name == name
        with read_transaction(self._engine) as connection:
            return connection.execute(select(collections.c.default_strategy).where(*here)).scalar()

    def list_collections(
        self,
        tenant_id: str,
        *,
        order: Literal["name", "oldest", "newest"] = "name",
        after: str | None = None,
        before: str | None = None,
        limit: int = 100,
        readers: Readers = None,
    ) -> list[Collection]:
        """List collections by name or age, between the collections named `after` and `before`.

        Raises `CollectionNotFoundError` if they are listed by age and one of the named collections does not exist.
        """
        query = select(collections).where(collections.c.tenant_id == tenant_id)
        with read_transaction(self._engine) as connection:
            if closed := list_hidden_collections(connection, tenant_id, readers):
                query = query.where(collections.c.name.not_in(closed))
            query = _apply_listing_order(connection, query, tenant_id, order, after, before)
            rows = connection.execute(query.limit(limit)).all()
            found = [_build_collection(row) for row in rows]
            return _add_document_counts(connection, tenant_id, found[::-1] if before is not None else found, readers)

    def change(
        self, tenant_id: str, name: str, settings: CollectionSettings, if_match: Names[str] | None
    ) -> Collection:
        """Replace the settings of a collection if its tag is one of `if_match`; None allows any tag.

        Raises `CollectionNotFoundError` if there is no such collection, and `PreconditionFailedError` if the tag does
        not match.
        """
        with write_transaction(self._engine) as connection:
            lock_tenant(connection, tenant_id)
            known = _load_collection(connection, tenant_id, name, None)
            if if_match is not None and known.tag not in if_match:
                raise PreconditionFailedError(f"If-Match does not match the collection's current ETag, {known.tag}.")
            of_name = collections.c.tenant_id == tenant_id, collections.c.name == name
            values = {**_build_columns(settings), "revision": collections.c.revision + 1}
            connection.execute(update(collections).where(*of_name).values(values))
            record_action(connection, Action.COLLECTION_CHANGED, f"collection:{name}", tenant_id=tenant_id)
            return _load_collection(connection, tenant_id, name, None)

    def delete(
        self, tenant_id: str, name: str, *, owner: str, readers: Readers = None, only_if_empty: bool = False
    ) -> CollectionDeletion:
        """Delete a collection with its documents, sources and grants. Then, searches no longer find its documents.

        `owner` identifies who is deleting the collection. Documents are deleted in batches, the last batch together
        with the collection, and workers remove their content. Raises `CollectionNotFoundError` if there is no such
        collection, `RoleMissingError` if it contains documents that these readers may not see, and
        `CollectionNotEmptyError` if it contains any document and `only_if_empty` is true.
        """
        receipt, left = str(uuid.uuid4()), True
        while left:
            with write_transaction(self._engine) as connection:
                lock_tenant(connection, tenant_id)
                if only_if_empty:
                    _require_empty(connection, tenant_id, name, readers)
                left = self._delete_next_documents(connection, tenant_id, name, readers, receipt, owner)
                bump_corpus_versions(connection, [tenant_id])
            self._announce(tenant_id, None)
        return self.load_deletion(tenant_id, name)

    def record_use(self, tenant_id: str, names: Names[str]) -> None:
        """Record that collections are used now, unless this was recorded within the last minute."""
        now = time.time()
        used_at = func.coalesce(collections.c.last_active_at, 0.0)
        stale = collections.c.tenant_id == tenant_id, collections.c.name.in_(names), used_at < now - _USE_SECONDS
        with read_transaction(self._engine) as connection:
            if connection.execute(select(collections.c.name).where(*stale).limit(1)).first() is None:
                return
        with write_transaction(self._engine) as connection:
            connection.execute(update(collections).where(*stale).values(last_active_at=now))

    def load_deletion(self, tenant_id: str, name: str, *, owner: str | None = None) -> CollectionDeletion:
        """Load the receipt of the latest deletion of a collection with this name.

        If `owner` is given, only that owner's deletions are considered. Raises `CollectionNotFoundError` if there is
        none.
        """
        with read_transaction(self._engine) as connection:
            of_name = collection_deletions.c.tenant_id == tenant_id, collection_deletions.c.collection == name
            latest = (
                select(collection_deletions)
                # guard: deletion-receipt-owner
                .where(*of_name, build_owner_condition(collection_deletions, owner))
                .order_by(collection_deletions.c.deleted_at.desc())
            )
            row = connection.execute(latest.limit(1)).first()
            if row is None:
                raise CollectionNotFoundError(f"No deletion receipt found for collection {name!r}.")
            mine = deletions.c.collection_deletion_id == row.id
            sums = [func.coalesce(func.sum(deletions.c[each]), 0).label(each) for each in _SUMS]
            counted = connection.execute(select(func.count().label("documents"), *sums).where(mine)).one()
            left = (
                select(versions.c.id)
                .join(deletions, deletions.c.document_id == versions.c.document_id)
                .where(mine, versions.c.hidden.is_(True))
            )
            collected = connection.execute(left.limit(1)).first() is None
            amounts = {each: int(counted._mapping[each]) for each in ("documents", *_SUMS)}
            return CollectionDeletion(row.id, name, row.deleted_at, **amounts, collected=collected)

    def _delete_next_documents(
        self, connection: Connection, tenant_id: str, name: str, readers: Readers, receipt: str, owner: str
    ) -> bool:
        """Delete the next documents of a collection, and return whether more remain.

        The collection itself is deleted together with its last documents.
        """
        _require_open_collection(connection, tenant_id, name, readers)
        # Raises `CollectionNotFoundError` if the collection does not exist.
        _load_collection(connection, tenant_id, name, None)
        live = documents.c.tenant_id == tenant_id, documents.c.collection == name, documents.c.deleted_at.is_(None)
        # guard: delete-collection-seeing-all
        if (
            connection.execute(select(documents.c.id).where(*live, ~build_access_condition(readers)).limit(1)).first()
            is not None
        ):
            raise RoleMissingError(
                f"The collection {name!r} contains documents that you cannot access.",
                hint="Ask an admin of your tenant.",
            )
        whole = documents.c.container_id.is_(None)  # entries are deleted with their containers
        query = select(documents.c.id).where(*live, whole).order_by(documents.c.sequence).limit(_DELETED_AT_ONCE + 1)
        some = list(connection.execute(query).scalars())
        # guard: collection-sources-end
        end_sources(connection, tenant_id, sources.c.collection == name, removes_documents=False)
        delete_documents(connection, tenant_id, some[:_DELETED_AT_ONCE], collection_deletion=receipt)
        if len(some) > _DELETED_AT_ONCE:
            return True
        for table, column in ((collection_grants, collection_grants.c.collection), (collections, collections.c.name)):
            connection.execute(delete(table).where(table.c.tenant_id == tenant_id, column == name))
        connection.execute(
            insert(collection_deletions).values(
                id=receipt, tenant_id=tenant_id, collection=name, owner=owner, deleted_at=time.time()
            )
        )
        record_action(connection, Action.COLLECTION_DELETED, f"collection:{name}", tenant_id=tenant_id, receipt=receipt)
        return False


def _require_open_collection(connection: Connection, tenant_id: str, name: str, readers: Readers) -> None:
    if name in list_hidden_collections(connection, tenant_id, readers):
        raise CollectionNotFoundError(f"Collection {name!r} not found.")


def _require_empty(connection: Connection, tenant_id: str, name: str, readers: Readers) -> None:
    """Raise `CollectionNotEmptyError` if the collection contains documents, also such as these readers may not see."""
    _require_open_collection(connection, tenant_id, name, readers)
    live = documents.c.tenant_id == tenant_id, documents.c.collection == name, documents.c.deleted_at.is_(None)
    # guard: delete-only-empty
    if connection.execute(select(documents.c.id).where(*live).limit(1)).first() is not None:
        raise CollectionNotEmptyError(f"The collection {name!r} contains documents.")


def _apply_listing_order(
    connection: Connection, query: Select[Any], tenant_id: str, order: str, after: str | None, before: str | None
) -> Select[Any]:
    """Order a listing and restrict it to the collections after and before the given names.

    With `before`, the order is reversed.
    """
    name, at = collections.c.name, collections.c.created_at
    if order == "name":
        query = query if after is None else query.where(name > after)
        return query.order_by(name)
    falling = order == "newest"
    for limit, goes_on in ((after, True), (before, False)):
        if limit is not None:
            from_ = _load_collection(connection, tenant_id, limit, None)
            up = falling != goes_on
            later = at > from_.created_at if up else at < from_.created_at
            beside = name > from_.name if up else name < from_.name
            query = query.where(or_(later, (at == from_.created_at) & beside))
    columns = (at, name)
    reverse = falling != (before is not None)
    return query.order_by(*((each.desc() if reverse else each) for each in columns))


def _load_collection(connection: Connection, tenant_id: str, name: str, readers: Readers) -> Collection:
    here = collections.c.tenant_id == tenant_id, collections.c.name == name
    row = connection.execute(select(collections).where(*here)).first()
    if row is None:
        raise CollectionNotFoundError(f"Collection {name!r} not found.")
    return _add_document_counts(connection, tenant_id, [_build_collection(row)], readers)[0]


def _add_document_counts(
    connection: Connection, tenant_id: str, loaded_collections: list[Collection], readers: Readers
) -> list[Collection]:
    """Return the collections with their document counts by state, sizes and grant counts."""
    names = [each.name for each in loaded_collections]
    of = document_listing.c
    sums = select(of.collection, of.state, func.count().label("documents"), func.sum(of.size_bytes).label("bytes"))
    mine = of.tenant_id == tenant_id, of.collection.in_(names), build_listing_condition(tenant_id, readers)
    query = sums.where(*mine).group_by(of.collection, of.state)
    states: dict[str, dict[VersionState, int]] = {name: {} for name in names}
    sizes = dict.fromkeys(names, 0)
    for row in connection.execute(query).all():
        states[row.collection][VersionState(row.state)] = row.documents
        sizes[row.collection] += int(row.bytes)
    granted = (
        select(collection_grants.c.collection, func.count())
        .where(collection_grants.c.tenant_id == tenant_id, collection_grants.c.collection.in_(names))
        .group_by(collection_grants.c.collection)
    )
    grants = {row[0]: row[1] for row in connection.execute(granted).all()}
    return [
        replace(each, states=states[each.name], size_bytes=sizes[each.name], grants=grants.get(each.name, 0))
        for each in loaded_collections
    ]


def _build_collection(row: Row[Any]) -> Collection:
    settings = CollectionSettings(
        row.title, row.description, row.default_strategy, row.metadata, row.describe, row.expires_days
    )
    return Collection(row.name, settings, row.revision, row.created_at, last_active_at=row.last_active_at)


def _build_columns(settings: CollectionSettings) -> dict[str, Any]:
    return {
        "title": settings.title,
        "description": settings.description,
        "default_strategy": settings.default_strategy,
        "metadata": dict(settings.metadata),
        "describe": settings.describe,
        "expires_days": settings.expires_days,
    }


def _insert_grant(connection: Connection, tenant_id: str, name: str, subject: str, now: float) -> None:
    key = ("tenant_id", "collection", "subject")
    row = {"tenant_id": tenant_id, "collection": name, "subject": subject, "role": Role.ADMIN.value, "created_at": now}
    upsert_row(connection, collection_grants, key, **row)
