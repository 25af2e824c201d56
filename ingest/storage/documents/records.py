"""Records of documents, versions, entries of archives and works, their states, and ids that come from content."""

import threading
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from ingest.storage.digests import Digest
from ingest.storage.queue.records import Failure, Job
from ingest.storage.texts.layout import Omission


@dataclass(frozen=True)
class Entry:
    """A file from a container whose bytes are safe in the blobs; its document is yet to be made.

    `path` is where it stands in the container, unique there; `fingerprint` names its parser and the chunker.
    """

    path: str
    media_type: str
    content_sha256: str
    size_bytes: int
    blob_key: str
    fingerprint: str


_NAMESPACE = uuid.UUID("6c656164-6c69-5e65-8000-000000000001")


class VersionState(StrEnum):
    """The life of a version: `accepted → parsing → chunking → indexing → searchable → embedding → ready`, or an end.

    A version that replaces another is never `searchable`: it goes from `indexing` to `embedding`, and searches find it
    when it is `ready`.
    """

    ACCEPTED = "accepted"
    PARSING = "parsing"
    CHUNKING = "chunking"
    INDEXING = "indexing"
    SEARCHABLE = "searchable"  # BM25 finds it; vectors are still to come
    EMBEDDING = "embedding"
    READY = "ready"
    FAILED = "failed"
    CANCELLED = "cancelled"  # stopped before it was ready
    RETIRED = "retired"  # another version took its place
    DELETED = "deleted"


SEARCHABLE_STATES = frozenset({VersionState.SEARCHABLE, VersionState.EMBEDDING, VersionState.READY})
# Versions whose content is removed from index and blobs, unless they are still their document's active one.
COLLECTABLE_STATES = frozenset(
    {VersionState.FAILED, VersionState.CANCELLED, VersionState.RETIRED, VersionState.DELETED}
)
IN_PROGRESS = frozenset(VersionState) - COLLECTABLE_STATES - {VersionState.READY}


class ListOrder(StrEnum):
    """The order of a listing of documents: by arrival, title or name, size, or state; `-` turns it around.

    By state, what failed comes first, then what is under way, then what is ready, then what was cancelled. Documents
    that are equal in it are in order of arrival.
    """

    OLDEST = "oldest"
    NEWEST = "newest"
    NAME = "name"
    NAME_DOWN = "-name"
    SIZE = "size"
    SIZE_DOWN = "-size"
    STATE = "state"
    STATE_DOWN = "-state"


@dataclass(frozen=True)
class Version:
    """One content of a document. Counts are None until the stage that finds them has ended.

    `pages` counts pages, slides or sheets, of which `pages_done` were parsed when that was last told, and `omissions`
    say what of the file is not in the text. `chunks_reused` counts chunks whose vectors were taken from other chunks
    with the same text. `key_id` names the key that sent it, on whose quotas it counts.
    """

    id: str
    document_id: str
    tenant_id: str
    name: str
    media_type: str
    content_sha256: str
    size_bytes: int
    blob_key: str
    state: VersionState
    title: str | None = None
    pages: int | None = None
    pages_done: int | None = None
    characters: int | None = None
    tokens: int | None = None
    chunks: int | None = None
    chunks_embedded: int = 0
    chunks_reused: int = 0
    failure: Failure | None = None
    omissions: tuple[Omission, ...] = ()
    key_id: str = ""
    created_at: float = 0.0
    searchable_at: float | None = None
    ready_at: float | None = None


@dataclass(frozen=True)
class Document:
    """A document as users see it. `sequence` orders documents by arrival and is the cursor of listings.

    `version` is the latest one, `active_version_id` the one that searches find; name, title and media type are the
    active one's, or the latest's while there is none, but a title that a user gave stays. `readers` are the subjects
    that may see the document; None is the whole tenant. `uploaded_by` names its uploader, `user:NAME` or `key:ID`, and
    is empty if none was recorded. `revision` counts changes of metadata, title and readers. An entry of a container has
    that document's id as `container_id`, and its path there. `file_id` names the file that it was made of, if it was
    sent as one.
    """

    id: str
    sequence: int
    tenant_id: str
    collection: str
    name: str
    title: str | None
    media_type: str
    version: Version
    active_version_id: str | None
    created_at: float
    key_id: str = ""
    attributes: dict[str, Any] = field(default_factory=dict)
    readers: frozenset[str] | None = None
    uploaded_by: str = ""
    is_titled: bool = False
    revision: int = 0
    container_id: str | None = None
    entry_path: str | None = None
    file_id: str | None = None

    @property
    def as_file(self) -> str:
        """The id under which it is a file: that of the file it was made of, or else its own."""
        return self.file_id or self.id

    @property
    def tag(self) -> str:
        """The document's state as `ETag` and `If-Match` name it."""
        return f"{self.version.id}.{self.revision}" if self.revision else self.version.id


@dataclass(frozen=True)
class DocumentChange:
    """A change of what is known about a document, not of its content.

    `metadata` is a JSON merge patch (RFC 7396): its members are set, those that are null are removed. `title` and
    `readers` change if `changed` names them; no title is the content's own, no readers the whole tenant.
    """

    metadata: Mapping[str, Any] = field(default_factory=dict)
    title: str | None = None
    readers: frozenset[str] | None = None
    changed: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Deletion:
    """The receipt of a deletion. Later removals are added to it until `collected`, when nothing is left."""

    id: str
    document_id: str
    versions: int
    chunks_removed: int
    bytes_removed: int
    deleted_at: float
    collected: bool
    # What had been made of the document: redacted answers and runs, and replies of models that were removed.
    answers_redacted: int = 0
    runs_redacted: int = 0
    replies_removed: int = 0
    # Documents that were deleted with it, as its entries.
    entries: int = 0


@dataclass(frozen=True)
class IngestReport:
    """The findings of an ingest that has written all chunks of a version to the index.

    `digests` are those of the files that were stored for it, by their keys.
    """

    job: Job
    title: str | None
    pages: int | None
    characters: int
    chunks: int
    omissions: tuple[Omission, ...] = ()
    entries: tuple[Entry, ...] = ()
    digests: Mapping[str, Digest] = field(default_factory=dict)


@dataclass(frozen=True)
class EmbedReport:
    """The figures of a finished embedding: tokens of the chunks, and how many chunks reused a vector.

    `chunks_indexed` is the index's own count of chunks with vectors, required for a version that replaces another.
    """

    job: Job
    tokens: int
    chunks_reused: int = 0
    chunks_indexed: int | None = None


def derive_document_id(tenant_id: str, collection: str, content_sha256: str, generation: int) -> str:
    """Derive an id. `generation` counts earlier, deleted documents of the same content: a deleted id never returns."""
    return _derive_id("document", tenant_id, collection, content_sha256, str(generation))


def derive_version_id(document: str, content_sha256: str, fingerprint: str, generation: int = 0) -> str:
    """Derive an id. `fingerprint` names the parser and the chunker: other spans make another version.

    `generation` counts the document's earlier versions with the same content and fingerprint, so that leftovers of
    those never mix with the new one.
    """
    return _derive_id("version", document, content_sha256, fingerprint, *([str(generation)] if generation else []))


def derive_entry_id(container: str, path: str, generation: int) -> str:
    """Derive the id of an entry's document. `generation` counts the container's entries that were deleted before."""
    return _derive_id("entry", container, path, str(generation))


def derive_deletion_id(document: str) -> str:
    """Derive the id of a document's only deletion."""
    return _derive_id("deletion", document)


def derive_chunk_id(version: str, start: int, end: int) -> str:
    """Derive the id of a point in the index, so that indexing a chunk twice writes one point."""
    return _derive_id("chunk", version, str(start), str(end))


def _derive_id(*parts: str) -> str:
    return str(uuid.uuid5(_NAMESPACE, "\x1f".join(parts)))


# The work of choosing how to answer has an id of its own: it sees titles and tables that the answer never reads.
ROUTE_SUFFIX = "/route"


@dataclass(frozen=True)
class Work:
    """An answer or a run, and every version that it was given so far."""

    id: str
    versions: frozenset[str]


def generate_work_id() -> str:
    return str(uuid.uuid4())


class UsedVersions:
    """Notes the versions that one answer is given, before anything that was made of them is stored.

    It notes documents that could not be read, too. Safe in any thread. `earlier` are the versions that the conversation
    before it rests on.
    """

    def __init__(self, work_id: str, earlier: Iterable[str] = ()) -> None:
        self._id = work_id
        self._answer = set(earlier)
        self._route: set[str] | None = None
        self._unreadable: dict[str, str] = {}
        self._lock = threading.Lock()

    def add(self, version_ids: Iterable[str]) -> None:
        with self._lock:
            (self._answer if self._route is None else self._route).update(version_ids)

    def record_unreadable(self, document_id: str, title: str) -> None:
        """Note a document whose stored text was changed or is missing, so that the answer can say so."""
        with self._lock:
            self._unreadable[document_id] = title

    @property
    def unreadable(self) -> Mapping[str, str]:
        """The titles of the documents that could not be read, by their ids."""
        with self._lock:
            return dict(self._unreadable)

    @contextmanager
    def routing(self) -> Iterator[None]:
        """Note what is given within the block as seen for the choice of a strategy, and not for the answer."""
        self._route = set(self._answer)
        try:
            yield
        finally:
            self._route = None

    @property
    def work(self) -> Work:
        """Return what has been noted so far, of the stage that is under way."""
        with self._lock:
            if self._route is not None:
                return Work(self._id + ROUTE_SUFFIX, frozenset(self._route))
            return Work(self._id, frozenset(self._answer))
