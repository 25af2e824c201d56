"""Records written to or read from the catalog, and their conversion from rows."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from sqlalchemy import Connection, Row, Select, and_, case, select

from ingest.storage.accounts.access import Readers, build_access_condition
from ingest.storage.db.database import iter_slices
from ingest.storage.db.schema import documents, versions
from ingest.storage.documents.records import Deletion, Document, Version, VersionState
from ingest.storage.errors import DocumentNotFoundError
from ingest.storage.queue.records import Failure, JobPriority
from ingest.storage.texts.layout import parse_omissions

# Tokens of versions that are ready. Until a version is ready, its `tokens` column counts only the tokens of chunks
# embedded so far.
COUNTED_TOKENS = case((versions.c.ready_at.is_not(None), versions.c.tokens))

_DOCUMENT_COLUMNS = [documents.c[field.name] for field in fields(Document) if field.name in documents.c]
_VERSION_COLUMNS = [versions.c[field.name] for field in fields(Version) if field.name in versions.c]


@dataclass(frozen=True)
class Arrival:
    """An upload that is about to be accepted. Its bytes are already stored durably.

    `fingerprint` identifies the parser and chunker. `batch_id` is the batch in which it was sent, and `key_id` the key
    that sent it, if any. `readers` are the subjects that may see the document; None means the whole tenant. `sender`
    contains the subjects of the sender; existing documents that the sender may not see are ignored. `uploaded_by` is
    the sender's owner name. `file_id` is the file from which the document is created, if any.
    """

    tenant_id: str
    collection: str
    name: str
    media_type: str
    content_sha256: str
    size_bytes: int
    blob_key: str
    fingerprint: str
    attributes: Mapping[str, Any]
    priority: JobPriority = JobPriority.INTERACTIVE
    batch_id: str | None = None
    key_id: str = ""
    readers: frozenset[str] | None = None
    sender: Readers = None
    uploaded_by: str = ""
    file_id: str | None = None


@dataclass(frozen=True)
class AcceptedUpload:
    """The document of an upload.

    `created` is false if a document already had these bytes, in which case the blob is not needed. `is_first` is true
    if no document had these bytes before. `kept` lists `metadata` or `readers` if they were sent with known bytes and
    differ from the document's values. These values are not changed, because repeating an upload must not undo a later
    change.
    """

    document: Document
    created: bool
    is_first: bool = False
    kept: tuple[str, ...] = ()


@dataclass(frozen=True)
class DeletedDocument:
    """A deleted document, and its versions that still have content in the index or the blobs.

    A worker may still be writing to the versions in `worked_on`, so their content may have to be removed again later.
    """

    receipt: Deletion
    leaving: tuple[Version, ...]
    worked_on: frozenset[str]


@dataclass(frozen=True)
class VisibleVersion:
    """The active version of a live document, with the fields shown in search results. `name` is the file's name."""

    version_id: str
    document_id: str
    collection: str
    title: str
    attributes: Mapping[str, Any]
    readers: frozenset[str] | None = None
    name: str = ""

    def is_visible_to(self, readers: Readers) -> bool:
        """Return whether a principal with these subjects may see the document."""
        return readers is None or self.readers is None or not self.readers.isdisjoint(readers)


@dataclass(frozen=True)
class ActiveDocument:
    """A live document with its active version. `tokens` is None until all chunks have vectors.

    `periods`, `dates` and `subjects` are those of its card. In a list of many documents, only the first have them.
    """

    sequence: int
    document_id: str
    version_id: str
    collection: str
    name: str
    title: str
    characters: int
    tokens: int | None
    attributes: Mapping[str, Any]
    media_type: str = ""
    periods: tuple[str, ...] = ()
    dates: tuple[str, ...] = ()
    subjects: tuple[str, ...] = ()


@dataclass(frozen=True)
class StateTotal:
    """The totals of the documents in one state. Chunk and token totals include only the counts known so far."""

    documents: int = 0
    chunks: int = 0
    chunks_embedded: int = 0
    tokens: int = 0


def build_document_query() -> Select[Any]:
    """Select live documents, each with its latest version.

    The second join condition is redundant, but lets PostgreSQL start with the versions. Otherwise, if the tables have
    not been analyzed yet, PostgreSQL would compare each document with each version.
    """
    of_document = versions.c.document_id == documents.c.id
    return (
        select(documents, versions)
        .join(versions, and_(versions.c.id == documents.c.latest_version_id, of_document))
        .where(documents.c.deleted_at.is_(None))
    )


def load_document(connection: Connection, tenant_id: str, identifier: str, readers: Readers = None) -> Document:
    """Load a document. Raises `DocumentNotFoundError` if it does not exist or these readers may not see it."""
    mine = documents.c.tenant_id == tenant_id, documents.c.id == identifier
    # guard: document-readers
    query = build_document_query().where(*mine, build_access_condition(readers))
    row = connection.execute(query).first()
    if row is None:
        raise DocumentNotFoundError(f"Document {identifier!r} not found.")
    return build_document(row)


def load_version(connection: Connection, identifier: str) -> Version:
    """Load a version. Raises `DocumentNotFoundError` if it does not exist."""
    row = connection.execute(select(versions).where(versions.c.id == identifier)).first()
    if row is None:
        raise DocumentNotFoundError(f"Version {identifier!r} not found.")
    return build_version(row)


def list_nested_documents(connection: Connection, identifiers: Collection[str]) -> list[str]:
    """List the live documents that are entries of these documents, at any depth."""
    found: list[str] = []
    level = list(identifiers)
    while level:
        deeper: list[str] = []
        for some in iter_slices(level):
            query = select(documents.c.id).where(documents.c.container_id.in_(some), documents.c.deleted_at.is_(None))
            deeper += connection.execute(query.order_by(documents.c.id)).scalars()
        found += deeper
        level = deeper
    return found


def build_document(row: Row[Any]) -> Document:
    """Build a document from a row of `build_document_query`."""
    values = {column.name: row._mapping[column] for column in _DOCUMENT_COLUMNS}
    values["readers"] = parse_readers(values["readers"])
    return Document(**values, version=build_version(row))


def parse_readers(column: Sequence[str] | None) -> frozenset[str] | None:
    """Parse an access list from its column."""
    return None if column is None else frozenset(column)


def build_version(row: Row[Any]) -> Version:
    """Build a version from a row that has the columns of `versions`."""
    values = {column.name: row._mapping[column] for column in _VERSION_COLUMNS}
    code, detail, hint, remarks = (
        row._mapping[versions.c[f"error_{part}"]] for part in ("code", "detail", "hint", "remarks")
    )
    failure = Failure.from_columns(code, detail or "", hint or "", remarks) if code else None
    omissions = parse_omissions(json.loads(values["omissions"] or "[]"))
    return Version(**{**values, "state": VersionState(values["state"]), "failure": failure, "omissions": omissions})
