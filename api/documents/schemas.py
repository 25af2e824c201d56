"""Documents on the wire: Pydantic models made from the core's records."""

from typing import Any, Literal, Self

from pydantic import Field

from api.http.wire import InOrder, Instant, RoundedSeconds, Wire
from ingest.storage.documents.metadata import MAX_READERS, require_readers
from ingest.storage.documents.progress import DocumentProgress, compute_progress
from ingest.storage.documents.records import Deletion, Document, DocumentChange, VersionState
from ingest.storage.texts.layout import OmissionKind


class Reason(Wire):
    """Why a document failed, and what to do."""

    code: str
    detail: str
    hint: str


class ProgressOut(Wire):
    """How far a document is. `fraction` runs from 0 to 1 over the whole of its ingest.

    `attempt` is 0 before the first and grows when something was tried again; `queue_position` counts the jobs before
    it, and is null while it is worked on; `seconds_left` is about the time until it is ready. What cannot be known is
    null, and in listings these three always are.
    """

    stage: VersionState
    fraction: float
    pages: int | None
    chunks: int | None
    chunks_embedded: int
    attempt: int | None
    queue_position: int | None
    seconds_left: RoundedSeconds | None
    pages_done: int | None


class OmissionOut(Wire):
    """A kind of thing that the file has and its text has not, how often, and where or why in plain words.

    `words` says all of it in one line for people.
    """

    kind: OmissionKind
    count: int
    detail: str
    words: str


class DocumentOut(Wire):
    """A document and the state of its newest version.

    `active_version` is the one that searches find: not `version` while a replacement is under way, or when it failed.
    `readers` are the users and groups who may see the document, null the whole tenant. `chunks_reused` counts the
    chunks of `version` whose vectors were taken from chunks of the tenant's that say the same, as those of the version
    before mostly do. `omissions` are what `version` leaves out of its file, such as pages without text or images. An
    entry of an archive, a mailbox or a message has the id of that document as `container`, and its path there.
    """

    id: str
    collection: str
    name: str
    title: str | None
    media_type: str
    size_bytes: int
    state: VersionState
    progress: ProgressOut
    failure: Reason | None
    omissions: list[OmissionOut]
    pages: int | None
    characters: int | None
    tokens: int | None
    version: str
    active_version: str | None = Field(validation_alias="active_version_id")
    chunks_reused: int
    metadata: dict[str, Any] = Field(validation_alias="attributes")
    readers: InOrder[str] | None
    container: str | None = Field(validation_alias="container_id")
    entry_path: str | None
    created_at: Instant
    searchable_at: Instant | None
    ready_at: Instant | None

    @classmethod
    def from_document(cls, document: Document, progress: DocumentProgress | None = None) -> Self:
        """Make it from a document, with `progress` as the catalog found it, or else as the document itself says."""
        version = document.version
        return cls.from_records(
            document,
            version,
            version=version.id,
            progress=progress or compute_progress(version),
            tokens=version.tokens or None,
        )


class DocumentGoneOut(Wire):
    """The last event of a document that was deleted while it was followed."""

    id: str
    state: Literal[VersionState.DELETED] = VersionState.DELETED


class DocumentPage(Wire):
    """A page of documents; `next_cursor` is null on the last one. `total` counts all of the listing if asked for."""

    documents: list[DocumentOut]
    next_cursor: str | None
    total: int | None = None


class UploadedOut(DocumentOut):
    """An uploaded document. `duplicate` says that these bytes were already there.

    `kept` names what was sent with them, `metadata` or `readers`, and differs from what their document has, which
    stays; `hint` says how to change it.
    """

    duplicate: bool
    kept: list[str]
    hint: str | None


KEPT_HINT = "These bytes were there with other {what}, which stay: change them with PATCH /v1/documents/{{id}}."


class DocumentChangeIn(Wire):
    """A change of what is known about a document; what is left out stays."""

    metadata: dict[str, Any] = Field(default_factory=dict, examples=[{"year": 1815, "draft": None}])
    title: str | None = Field(None, min_length=1, max_length=1_000)
    readers: list[str] | None = Field(None, max_length=MAX_READERS, examples=[["user:ann", "group:hr"]])

    def to_change(self) -> DocumentChange:
        """Return the change. Raises `MetadataError`."""
        readers = None if self.readers is None else require_readers(self.readers)
        return DocumentChange(self.metadata, self.title, readers, frozenset(self.model_fields_set))


class RejectedOut(Wire):
    """A file of a form that was not accepted, with its problem."""

    name: str
    problem: dict[str, Any]


class UploadsOut(Wire):
    """The outcome of each file of a form with several."""

    documents: list[UploadedOut]
    rejected: list[RejectedOut]


class DeletionOut(Wire):
    """The receipt of a deletion; `id` is the document's. `collected` says that nothing is left and the sums are final.

    `answers_redacted`, `runs_redacted` and `replies_removed` count what had been made of it: kept answers, runs with
    their logs, and kept replies of language models.

    Until then a worker may still be stopping, or the index is away. Nothing of the document can be found all the same.
    """

    id: str
    receipt: str
    deleted_at: Instant
    versions: int
    chunks_removed: int
    bytes_removed: int
    answers_redacted: int
    runs_redacted: int
    replies_removed: int
    entries: int
    collected: bool

    @classmethod
    def from_deletion(cls, deletion: Deletion) -> Self:
        return cls.from_records(deletion, id=deletion.document_id, receipt=deletion.id)
