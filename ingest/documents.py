"""What the catalog knows of a document: frozen records, states, and ids that come from content."""

import uuid
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Any

_NAMESPACE = uuid.UUID("6c656164-6c69-5e65-8000-000000000001")


class VersionState(StrEnum):
    """The life of a version: `accepted → parsing → chunking → indexing → searchable → embedding → ready`, or an end.

    A version that is to replace another is never `searchable`: it goes from `indexing` to `embedding`, and is found
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
# What the index and the blobs keep of these is to be removed, unless the version is still its document's active one.
COLLECTABLE_STATES = frozenset(
    {VersionState.FAILED, VersionState.CANCELLED, VersionState.RETIRED, VersionState.DELETED}
)
IN_PROGRESS = frozenset(VersionState) - COLLECTABLE_STATES - {VersionState.READY}


class JobKind(StrEnum):
    """What a worker does: make a version searchable, give it vectors, collect what a withdrawn one left, put a version
    into another generation of the index, or answer a question in the background; the job of a run has the run's id for
    its document's and its version's."""

    INGEST = "ingest"
    EMBED = "embed"
    COLLECT = "collect"
    RUN = "run"
    REEMBED = "reembed"


# What a version comes into being by: when such a job has failed, so has the version.
MAKING = frozenset({JobKind.INGEST, JobKind.EMBED})


class Priority(IntEnum):
    """Which of a tenant's own jobs come first. It takes nothing from other tenants."""

    BULK = 0
    INTERACTIVE = 10


@dataclass(frozen=True)
class Failure:
    """Why a version failed: a stable code, what happened, and what to do next."""

    code: str
    detail: str
    hint: str = ""


@dataclass(frozen=True)
class Version:
    """One content of a document. Counts are None until the stage that finds them has ended.

    `chunks_reused` are those whose vectors were taken from the version before, because their text is the same.
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
    characters: int | None = None
    tokens: int | None = None
    chunks: int | None = None
    chunks_embedded: int = 0
    chunks_reused: int = 0
    failure: Failure | None = None
    created_at: float = 0.0
    searchable_at: float | None = None
    ready_at: float | None = None


@dataclass(frozen=True)
class Document:
    """What a user sees. `sequence` orders documents by arrival and is the cursor of listings.

    `version` is the latest one, `active_version_id` the one that searches find; name, title and media type are the
    active one's, or the latest's while there is none.
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
    attributes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Deletion:
    """The receipt of a deletion. What is removed later is added to it, until `collected`: then nothing is left."""

    id: str
    document_id: str
    versions: int
    chunks_removed: int
    bytes_removed: int
    deleted_at: float
    collected: bool


@dataclass(frozen=True)
class Job:
    """A claimed job. Every commit made for it names `fence`, so a worker that lost its lease cannot commit.

    `generation` is that of the index which the job's work goes into; it must still stand as it did at the commit.
    """

    id: int
    kind: JobKind
    tenant_id: str
    document_id: str
    version_id: str
    attempt: int
    fence: int
    generation: int = 0


@dataclass(frozen=True)
class IngestReport:
    """A version all of whose chunks are in the index: what was found in its file."""

    job: Job
    title: str | None
    pages: int | None
    characters: int
    chunks: int


@dataclass(frozen=True)
class EmbedReport:
    """A version's embedding that has ended: the tokens of its chunks, and how many of those took an old vector.

    `chunks_indexed` is what the index then counted with vectors; a version that replaces another must say it.
    """

    job: Job
    tokens: int
    chunks_reused: int = 0
    chunks_indexed: int | None = None


def document_id(tenant_id: str, collection: str, content_sha256: str, generation: int) -> str:
    """`generation` counts earlier, deleted documents of the same content: a deleted id never comes back."""
    return _derive("document", tenant_id, collection, content_sha256, str(generation))


def version_id(document: str, content_sha256: str, fingerprint: str, generation: int = 0) -> str:
    """`fingerprint` names the parser and the chunker: other spans are another version.

    `generation` counts the document's earlier versions that had both the same: what is left of those never mixes with
    a new one.
    """
    return _derive("version", document, content_sha256, fingerprint, *([str(generation)] if generation else []))


def deletion_id(document: str) -> str:
    """A document is deleted once."""
    return _derive("deletion", document)


def chunk_id(version: str, start: int, end: int) -> str:
    """The point id in the index: indexing a chunk twice writes one point."""
    return _derive("chunk", version, str(start), str(end))


def _derive(*parts: str) -> str:
    return str(uuid.uuid5(_NAMESPACE, "\x1f".join(parts)))
