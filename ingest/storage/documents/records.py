"""Records of documents, versions, container entries, and the document versions used by answers and runs.

Also defines the states of these records and the ids derived from content.
"""

import threading
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from ingest.storage.digests import Digest
from ingest.storage.documents.cards.records import CardDraft
from ingest.storage.queue.records import Failure, Job
from ingest.storage.texts.layout import Omission


@dataclass(frozen=True)
class Entry:
    """A file from a container. Its bytes are already stored in the blobs, but its document does not exist yet.

    `path` is unique within the container. `fingerprint` identifies the parser and chunker.
    """

    path: str
    media_type: str
    content_sha256: str
    size_bytes: int
    blob_key: str
    fingerprint: str


# The uploader of documents that a synchronization created is this prefix with the source's id.
SOURCE_OWNER_PREFIX = "source:"
_NAMESPACE = uuid.UUID("6c656164-6c69-5e65-8000-000000000001")


class VersionState(StrEnum):
    """The states of a version: `accepted → parsing → chunking → indexing → searchable → embedding → ready`.

    It may also end as failed, cancelled, retired or deleted. A version that replaces another version is never
    `searchable`: it goes from `indexing` to `embedding`, and searches find it when it is `ready`.
    """

    ACCEPTED = "accepted"
    PARSING = "parsing"
    CHUNKING = "chunking"
    INDEXING = "indexing"
    SEARCHABLE = "searchable"  # BM25 finds the version, but the version's vectors are missing
    EMBEDDING = "embedding"
    READY = "ready"
    FAILED = "failed"
    CANCELLED = "cancelled"  # the version was cancelled before it was ready
    RETIRED = "retired"  # another version replaced this version
    DELETED = "deleted"


SEARCHABLE_STATES = frozenset({VersionState.SEARCHABLE, VersionState.EMBEDDING, VersionState.READY})
# States in which a version's content is removed from the index and blobs, unless the version is still its document's
# active version.
COLLECTABLE_STATES = frozenset(
    {VersionState.FAILED, VersionState.CANCELLED, VersionState.RETIRED, VersionState.DELETED}
)
IN_PROGRESS = frozenset(VersionState) - COLLECTABLE_STATES - {VersionState.READY}


class ListOrder(StrEnum):
    """The sort orders of a document listing: by arrival, title or name, size, or state. A leading `-` reverses it.

    When sorted by state, failed documents come first, followed by documents in progress, ready documents and cancelled
    documents. Ties are in order of arrival.
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
    """A version of a document's content. Counts are None until the stage that determines them has finished.

    `pages` counts pages, slides or sheets, of which `pages_done` had been parsed at the last report. `omissions`
    describes content of the file that is not in the text. `chunks_reused` counts chunks whose vectors were copied from
    chunks with the same text. `key_id` is the key that uploaded the version and whose quotas the version counts
    against.
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

    `version` is the latest version; `active_version_id` is the version that searches find. Name, title and media type
    are taken from the active version, or from the latest version if none is active. A title set by a user takes
    precedence. `readers` are the subjects that may see the document; None means the whole tenant. `uploaded_by` is its
    uploader, `user:NAME` or `key:ID`, or empty if none was recorded. `revision` counts changes of metadata, title,
    readers and collection. For an entry of a container, `container_id` is the container's document id and the path is
    set. `file_id` is the file from which the document was created, if any.
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
    def effective_file_id(self) -> str:
        """The file id of this document: the id of the file from which it was created, or the document's own id."""
        return self.file_id or self.id

    @property
    def tag(self) -> str:
        """The entity tag of the document, for `ETag` and `If-Match`."""
        return f"{self.version.id}.{self.revision}" if self.revision else self.version.id


@dataclass(frozen=True)
class DocumentChange:
    """A change of a document's metadata, name, title, readers or collection, not of its content.

    `metadata` is a JSON merge patch (RFC 7396): its fields are set, or removed if null. `name`, `title`, `readers` and
    `collection` change only if `changed` contains their names. If `title` is None, the title in the content is used. If
    `readers` is None, the whole tenant may see the document.
    """

    metadata: Mapping[str, Any] = field(default_factory=dict)
    title: str | None = None
    readers: frozenset[str] | None = None
    changed: frozenset[str] = frozenset()
    collection: str = ""
    name: str = ""


@dataclass(frozen=True)
class Deletion:
    """The receipt of a deletion.

    Removed content is added to the receipt until no content remains and `collected` is true.
    """

    id: str
    document_id: str
    versions: int
    chunks_removed: int
    bytes_removed: int
    deleted_at: float
    collected: bool
    # Counts of derived content: redacted answers and runs, and removed model replies.
    answers_redacted: int = 0
    runs_redacted: int = 0
    replies_removed: int = 0
    # The number of the document's entries that were deleted with it.
    entries: int = 0


@dataclass(frozen=True)
class IngestReport:
    """The result of an ingest that has indexed all chunks of a version.

    `digests` contains the digests of the version's stored files, keyed by file key. `card` is the version's card.
    """

    job: Job
    title: str | None
    pages: int | None
    characters: int
    chunks: int
    omissions: tuple[Omission, ...] = ()
    entries: tuple[Entry, ...] = ()
    digests: Mapping[str, Digest] = field(default_factory=dict)
    card: CardDraft | None = None


@dataclass(frozen=True)
class EmbedReport:
    """The result of a finished embedding: the number of tokens, and the number of chunks that reused a vector.

    `chunks_indexed` is the number of chunks with vectors according to the index. This value is required for a version
    that replaces another version.
    """

    job: Job
    tokens: int
    chunks_reused: int = 0
    chunks_indexed: int | None = None


def derive_document_id(tenant_id: str, collection: str, content_sha256: str, generation: int) -> str:
    """Derive the id of a document.

    `generation` is the number of deleted documents with this content. It ensures that no id is used twice.
    """
    return _derive_id("document", tenant_id, collection, content_sha256, str(generation))


def derive_version_id(document_id: str, content_sha256: str, fingerprint: str, generation: int = 0) -> str:
    """Derive the id of a version.

    `fingerprint` identifies the parser and chunker, because a text with different spans needs a new version.
    `generation` is the number of earlier versions of the document with the same content and fingerprint. It ensures
    that their leftover content never mixes with the new version.
    """
    return _derive_id("version", document_id, content_sha256, fingerprint, *([str(generation)] if generation else []))


def derive_entry_id(container_id: str, path: str, generation: int) -> str:
    """Derive the document id of a container's entry.

    `generation` is the number of the container's entries that were deleted before.
    """
    return _derive_id("entry", container_id, path, str(generation))


def derive_deletion_id(document_id: str) -> str:
    """Derive the id of a document's deletion. A document is deleted only once."""
    return _derive_id("deletion", document_id)


def derive_chunk_id(version_id: str, start: int, end: int) -> str:
    """Derive the id of a chunk's point in the index.

    If a chunk is indexed twice, the second point overwrites the first.
    """
    return _derive_id("chunk", version_id, str(start), str(end))


def _derive_id(*parts: str) -> str:
    return str(uuid.uuid5(_NAMESPACE, "\x1f".join(parts)))


# Suffix of the work id under which the choice of a strategy is recorded. The choice is recorded separately from the
# answer, because choosing a strategy uses titles and tables that may not be visible to the answer.
ROUTE_SUFFIX = "/route"


@dataclass(frozen=True)
class Work:
    """An answer or a run, with the ids of all versions that it has used so far.

    `seen` are further versions, of documents whose names were shown to the model but whose content was not used. It
    maps each version to the names under which the document was shown.
    """

    id: str
    versions: frozenset[str]
    seen: Mapping[str, frozenset[str]] = field(default_factory=dict, hash=False)


def generate_work_id() -> str:
    return str(uuid.uuid4())


class UsedVersions:
    """Collects the versions that are used for an answer. Record the versions before storing anything derived from them.

    Versions of which only names were shown are collected separately, unless their content is used too. Also collects
    documents that could not be read, and failures of the reranker. Thread-safe. `earlier` contains the versions that
    were used or seen for the earlier answers of the conversation.
    """

    def __init__(self, work_id: str, earlier: Work | None = None) -> None:
        self._id = work_id
        # Maps each version to the names that were shown, or to None if its content was used.
        self._answer: dict[str, frozenset[str] | None] = {}
        if earlier is not None:
            self._answer = {**earlier.seen, **dict.fromkeys(earlier.versions)}
        self._route: dict[str, frozenset[str] | None] | None = None
        # The names that were shown for choosing a strategy. The answer may have them from the choice's searches.
        self._named: dict[str, frozenset[str]] = {}
        self._unreadable: dict[str, str] = {}
        self._rerank_failures: dict[str, str] = {}
        self._lock = threading.Lock()

    def add_versions(self, version_ids: Iterable[str]) -> None:
        """Record versions whose content was used."""
        with self._lock:
            self._current.update(dict.fromkeys(version_ids))

    def add_seen(self, names: Mapping[str, Iterable[str]]) -> None:
        """Record versions of which only names were shown. `names` maps each version to the names of its document."""
        with self._lock:
            for version_id, shown in names.items():
                if self._route is not None:
                    self._named[version_id] = self._named.get(version_id, frozenset()).union(filter(None, shown))
                known = self._current.get(version_id, frozenset())
                if known is not None:
                    self._current[version_id] = known.union(filter(None, shown))

    def record_unreadable(self, document_id: str, title: str) -> None:
        """Record a document whose stored text was changed or is missing, so that the answer can mention it."""
        with self._lock:
            self._unreadable[document_id] = title

    @property
    def unreadable_titles(self) -> Mapping[str, str]:
        """The titles of the documents that could not be read, keyed by document id."""
        with self._lock:
            return dict(self._unreadable)

    def record_rerank_failure(self, code: str, detail: str) -> None:
        """Record the error because of which a search was not reranked, so that the answer can mention it."""
        with self._lock:
            self._rerank_failures[code] = detail

    @property
    def rerank_failures(self) -> Mapping[str, str]:
        """The errors because of which searches were not reranked: their texts, keyed by code."""
        with self._lock:
            return dict(self._rerank_failures)

    def fork(self) -> "UsedVersions":
        """Return a separate collection for work that the answer may drop. It begins with the answer's versions."""
        fork = UsedVersions(generate_work_id())
        with self._lock:
            fork._answer = dict(self._answer)
        return fork

    def include(self, fork: "UsedVersions") -> None:
        """Record everything that was recorded in `fork`, because the answer uses its work."""
        work, unreadable = fork.work, fork.unreadable_titles
        self.add_versions(work.versions)
        self.add_seen(work.seen)
        with self._lock:
            self._unreadable |= unreadable

    @contextmanager
    def record_routing(self) -> Iterator[None]:
        """Within the block, record versions as used for choosing a strategy rather than for the answer.

        Afterwards, their names count as seen by the answer.
        """
        self._route = dict(self._answer)
        try:
            yield
        finally:
            self._route = None
            self.add_seen(self._named)

    @property
    def answer_id(self) -> str:
        """The id of the answer, also inside `record_routing`."""
        return self._id

    @property
    def work(self) -> Work:
        """The versions recorded so far.

        Inside `routing`, these are the versions used to choose a strategy; otherwise, those used for the answer.
        """
        with self._lock:
            identifier = self._id if self._route is None else self._id + ROUTE_SUFFIX
            used = frozenset(version for version, names in self._current.items() if names is None)
            seen = {version: names for version, names in self._current.items() if names is not None}
            return Work(identifier, used, seen)

    @property
    def _current(self) -> dict[str, frozenset[str] | None]:
        return self._answer if self._route is None else self._route
