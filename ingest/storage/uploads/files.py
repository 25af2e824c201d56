"""Files that were uploaded without a collection: storing, listing, finding and removing them.

A file without documents is visible to its owner and the tenant's admins. A file with documents is visible to everyone
who may see one of them. Each document has its own copy of the bytes, and exists as long as the file and the document's
collection exist.
"""

import time
from collections.abc import Callable, Collection
from dataclasses import fields
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Row, and_, delete, insert, literal, null, or_, select, update
from sqlalchemy import union_all as union

from ingest.storage.accounts.access import build_access_condition, build_owner_condition
from ingest.storage.accounts.grants import require_collection
from ingest.storage.accounts.records import Principal
from ingest.storage.audit.records import Action
from ingest.storage.audit.store import record_action
from ingest.storage.db.database import (
    iter_slices,
    lock_tenant,
    read_transaction,
    truncate_write_ahead_log,
    write_transaction,
)
from ingest.storage.db.schema import documents, files, versions
from ingest.storage.errors import StoredFileNotFoundError
from ingest.storage.quotas.records import Account
from ingest.storage.quotas.rows import subtract_stored_amounts
from ingest.storage.quotas.store import UNLIMITED, QuotaRules
from ingest.storage.uploads.records import ASSISTANTS, NamedFile, StoredFile

_BATCH_FILES = 100
_COLUMNS = [field.name for field in fields(StoredFile)]


class Files:
    """Files of all tenants. Each method reads or changes the files of a single tenant only."""

    def __init__(self, engine: Engine, *, quotas: QuotaRules = UNLIMITED) -> None:
        self._engine = engine
        self._quotas = quotas

    def add(self, file: StoredFile) -> None:
        """Record a file whose bytes are already stored. Raises `StorageQuotaExceededError` if a quota is exceeded."""
        with write_transaction(self._engine) as connection:
            lock_tenant(connection, file.tenant_id)
            self._quotas.add_stored_amounts(
                connection, Account(file.tenant_id, file.key_id), documents=0, size=file.size_bytes
            )
            row = {name: getattr(file, name) for name in _COLUMNS if name in files.c}
            connection.execute(insert(files).values(row))
            record_action(
                connection,
                Action.FILE_UPLOADED,
                f"file:{file.id}",
                tenant_id=file.tenant_id,
                size_bytes=file.size_bytes,
                purpose=file.purpose,
            )

    def load_file(self, caller: Principal, file_id: str) -> StoredFile:
        """Load a file, or a document that is presented as a file.

        Raises `StoredFileNotFoundError` if it does not exist or if the caller may not see it.
        """
        with read_transaction(self._engine) as connection:
            return _load_file(connection, caller, file_id)

    def list_files(
        self,
        caller: Principal,
        *,
        purpose: str | None = None,
        newest_first: bool = True,
        after_id: str | None = None,
        limit: int = 100,
    ) -> list[StoredFile]:
        """List files by age, starting after the file `after_id`. Documents that were uploaded directly are included.

        Raises `StoredFileNotFoundError` if the file `after_id` does not exist.
        """
        sent = _build_files_query(caller)
        sent = sent if purpose is None else sent.where(files.c.purpose == purpose)
        branches = [sent, _build_documents_query(caller)] if purpose in (None, ASSISTANTS) else [sent]
        every = union(*branches).subquery()
        query = select(every)
        with read_transaction(self._engine) as connection:
            if after_id is not None:
                last = _load_file(connection, caller, after_id)
                at, beside = every.c.created_at, every.c.created_at == last.created_at
                later = at < last.created_at if newest_first else at > last.created_at
                tie = every.c.id < last.id if newest_first else every.c.id > last.id
                query = query.where(or_(later, and_(beside, tie)))
            columns = (every.c.created_at, every.c.id)
            query = query.order_by(*((each.desc() if newest_first else each) for each in columns))
            return [_build_file(row) for row in connection.execute(query.limit(limit)).all()]

    def list_documents(self, tenant_id: str, file_id: str) -> list[tuple[str, str]]:
        """List the ids and collections of the documents created from a file, regardless of who may see them."""
        made = documents.c.tenant_id == tenant_id, documents.c.file_id == file_id, documents.c.deleted_at.is_(None)
        with read_transaction(self._engine) as connection:
            rows = connection.execute(select(documents.c.id, documents.c.collection).where(*made)).all()
        return [(row.id, row.collection) for row in rows]

    def load_document_files(self, tenant_id: str, document_ids: Collection[str]) -> dict[str, NamedFile]:
        """Load the files of these documents, keyed by document id. Deleted documents are omitted."""
        found: dict[str, NamedFile] = {}
        columns = documents.c.id, documents.c.file_id, documents.c.name, documents.c.attributes
        with read_transaction(self._engine) as connection:
            for some in iter_slices(sorted(document_ids)):
                mine = documents.c.tenant_id == tenant_id, documents.c.id.in_(some), documents.c.deleted_at.is_(None)
                for row in connection.execute(select(*columns).where(*mine)).all():
                    found[row.id] = NamedFile(row.file_id or row.id, row.name, row.attributes)
        return found

    def find_document(self, caller: Principal, collection: str, file_id: str) -> str | None:
        """Return the id of a file's document in a collection, or None if the caller may see none."""
        mine = (
            documents.c.tenant_id == caller.tenant_id,
            documents.c.collection == collection,
            documents.c.deleted_at.is_(None),
            build_access_condition(caller.readers),
            or_(documents.c.file_id == file_id, and_(documents.c.id == file_id, documents.c.file_id.is_(None))),
        )
        with read_transaction(self._engine) as connection:
            newest = select(documents.c.id).where(*mine).order_by(documents.c.sequence.desc()).limit(1)
            found: str | None = connection.execute(newest).scalar()
            return found

    def delete(self, tenant_id: str, file_id: str) -> None:
        """Mark a file as deleted and erase its name. `FileRemoval` later removes the bytes and the row.

        Raises `StoredFileNotFoundError` if the file does not exist.
        """
        live = files.c.tenant_id == tenant_id, files.c.id == file_id, files.c.deleted_at.is_(None)
        with write_transaction(self._engine) as connection:
            lock_tenant(connection, tenant_id)
            row = connection.execute(select(files.c.key_id, files.c.size_bytes).where(*live)).first()
            if row is None:
                raise StoredFileNotFoundError(f"File {file_id!r} not found.")
            connection.execute(update(files).where(*live).values(name="", deleted_at=time.time()))
            subtract_stored_amounts(connection, tenant_id, {row.key_id: (0, row.size_bytes)})
            record_action(connection, Action.FILE_DELETED, f"file:{file_id}", tenant_id=tenant_id)


class FileRemoval:
    """Removes the bytes of deleted files, and then their rows."""

    def __init__(self, engine: Engine, delete_blob: Callable[[str], int]) -> None:
        self._engine = engine
        self._delete_blob = delete_blob

    def remove_deleted_files(self) -> int:
        """Remove the bytes and rows of deleted files, and return the number of files. Repeating this is safe."""
        query = select(files.c.id, files.c.blob_key).where(files.c.deleted_at.is_not(None)).limit(_BATCH_FILES)
        removed = 0
        while True:
            with read_transaction(self._engine) as connection:
                rows = connection.execute(query).all()
            if not rows:
                break
            for row in rows:
                self._delete_blob(row.blob_key)
            with write_transaction(self._engine) as connection:
                connection.execute(delete(files).where(files.c.id.in_([row.id for row in rows])))
            removed += len(rows)
        if removed:
            truncate_write_ahead_log(self._engine)
        return removed


def require_source_file(connection: Connection, tenant_id: str, file_id: str, collection: str) -> None:
    """Raise `StoredFileNotFoundError` or `CollectionNotFoundError` if a file or a collection does not exist.

    Call this in the transaction that creates a document from the file in the collection.
    """
    require_collection(connection, tenant_id, collection)
    live = files.c.tenant_id == tenant_id, files.c.id == file_id, files.c.deleted_at.is_(None)
    # guard: document-of-deleted-file
    if connection.execute(select(files.c.id).where(*live)).first() is None:
        raise StoredFileNotFoundError(f"File {file_id!r} not found.")


def _build_files_query(caller: Principal) -> Any:  # noqa: ANN401 - a query of many columns
    columns = [files.c[name] if name in files.c else null().label(name) for name in _COLUMNS]
    # guard: files-of-owner
    mine = files.c.tenant_id == caller.tenant_id, files.c.deleted_at.is_(None), _build_visibility_condition(caller)
    return select(*columns).where(*mine)


def _build_documents_query(caller: Principal) -> Any:  # noqa: ANN401 - a query of many columns
    """Build the query for documents that were uploaded directly, presented as files."""
    given: dict[str, ColumnElement[Any]] = {
        "purpose": literal(ASSISTANTS),
        "owner": literal(""),
        "content_sha256": versions.c.content_sha256,
        "size_bytes": versions.c.size_bytes,
        "blob_key": versions.c.blob_key,
        "document_id": documents.c.id,
        "expires_at": null(),
    }
    columns = [(given[name] if name in given else documents.c[name]).label(name) for name in _COLUMNS]
    mine = documents.c.tenant_id == caller.tenant_id, documents.c.deleted_at.is_(None), documents.c.file_id.is_(None)
    latest = versions.c.id == documents.c.latest_version_id
    return select(*columns).join(versions, latest).where(*mine, build_access_condition(caller.readers))


def _build_visibility_condition(caller: Principal) -> ColumnElement[bool]:
    made = (
        select(documents.c.id)
        .where(
            documents.c.file_id == files.c.id, documents.c.deleted_at.is_(None), build_access_condition(caller.readers)
        )
        .exists()
    )
    return or_(build_owner_condition(files, caller.visible_owner), made)


def _load_file(connection: Connection, caller: Principal, file_id: str) -> StoredFile:
    row = connection.execute(_build_files_query(caller).where(files.c.id == file_id)).first()
    row = row or connection.execute(_build_documents_query(caller).where(documents.c.id == file_id)).first()
    if row is None:
        raise StoredFileNotFoundError(f"File {file_id!r} not found.")
    return _build_file(row)


def _build_file(row: Row[Any]) -> StoredFile:
    return StoredFile(**{name: row._mapping[name] for name in _COLUMNS})
