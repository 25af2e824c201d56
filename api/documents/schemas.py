"""Wire models for documents."""

from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any, Literal, Self

from pydantic import Field

from api.documents.card_schemas import CardOut
from api.http.remark_schemas import RemarkOut
from api.http.wire import InOrder, Instant, RoundedSeconds, Wire
from ingest.storage.documents.cards.records import DocumentCard
from ingest.storage.documents.metadata import MAX_READERS
from ingest.storage.documents.progress import DocumentProgress, compute_progress
from ingest.storage.documents.records import SOURCE_OWNER_PREFIX, Deletion, Document, DocumentChange, VersionState
from ingest.storage.queue.records import Failure
from ingest.storage.remarks import Remark
from ingest.storage.texts.layout import OmissionKind


class Reason(Wire):
    """The reason why a document or a run failed, and what to do about it.

    `coded_detail` and `coded_hint` say the same with a code, or are null.
    """

    code: str
    detail: str
    hint: str
    coded_detail: RemarkOut | None = None
    coded_hint: RemarkOut | None = None


def _is_retryable(code: str) -> bool:
    from ingest.parsing.errors import is_retryable  # The Python client imports the schemas, and no parsers.

    return is_retryable(code)


class DocumentFailureOut(Reason):
    """The reason why a document failed.

    `retryable` means that processing the same file again may succeed. Otherwise only another file helps.
    """

    retryable: bool = Field(default_factory=lambda fields: _is_retryable(fields["code"]))


class ProgressOut(Wire):
    """Progress of processing a document. `fraction` goes from 0 to 1.

    `attempt` is 0 before the first attempt and increases with each retry. `queue_position` counts the jobs ahead of the
    document. It is null while the document is being processed. `seconds_left` is the estimated time until the document
    is ready. Unknown values are null. In listings, `attempt`, `queue_position` and `seconds_left` are always null.
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
    """A kind of content that the extracted text omits, with its number of occurrences, and where or why.

    `words` is a one-line description for display. `coded_details` has the parts of the detail, with codes, or is empty.
    """

    kind: OmissionKind
    count: int
    detail: str
    coded_details: list[RemarkOut] = Field(default_factory=list)
    words: str


class DocumentOut(Wire):
    """A document and the state of its latest version.

    `active_version` is the version that searches use. It differs from `version` while a replacement is in progress and
    after a replacement failed. `readers` are the users and groups who may read the document; null means the whole
    tenant. `chunks_reused` counts the chunks of `version` whose vectors were copied from identical chunks in the
    tenant, mostly from the previous version. `omissions` lists the content of the file that is missing from the text of
    `version`, such as images and pages without text. For an entry of an archive, mailbox or message, `container` is the
    id of the container's document, and `entry_path` is the path of the entry in the container. `source` is the id
    of the source that the document belongs to, where a file that cannot be read must be corrected. `card` is null in
    responses to uploads.
    """

    id: str
    collection: str
    name: str
    title: str | None
    media_type: str
    size_bytes: int
    state: VersionState
    progress: ProgressOut
    failure: DocumentFailureOut | None
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
    source: str | None
    created_at: Instant
    searchable_at: Instant | None
    ready_at: Instant | None
    card: CardOut | None = None

    @classmethod
    def from_document(
        cls,
        document: Document,
        progress: DocumentProgress | None = None,
        *,
        card: DocumentCard | None = None,
        source_name: str | None = None,
    ) -> Self:
        """Build the model from a document.

        `progress` comes from the catalog; without it, progress is computed from the document alone. `source_name` is
        the name of the document's source, for callers who may see sources.
        """
        version = document.version
        return cls.from_records(
            document,
            version,
            version=version.id,
            progress=progress or compute_progress(version),
            tokens=version.tokens or None,
            card=card,
            source=find_source_id(document),
            failure=_advise_on_failure(document, source_name),
        )


def find_source_id(document: Document) -> str | None:
    """Return the id of the source that a document belongs to, or None if it was uploaded."""
    owner = document.uploaded_by
    return owner.removeprefix(SOURCE_OWNER_PREFIX) if owner.startswith(SOURCE_OWNER_PREFIX) else None


def _advise_on_failure(document: Document, source_name: str | None) -> Failure | None:
    """Return why a document failed. A file that belongs to a source must be corrected there, not uploaded again."""
    failure = document.version.failure
    if failure is None or find_source_id(document) is None or _is_retryable(failure.code):
        return failure
    path = document.attributes.get("source_path") or document.name
    hint = (
        Remark("hint_change_in_named_source", source=source_name, path=path)
        if source_name
        else Remark("hint_change_in_source", path=path)
    )
    return replace(failure, hint=hint)


class DocumentAccessOut(Wire):
    """The answer to whether a `user` can read a document, with the reason.

    `through` lists the document's readers that are the user or one of the user's groups; it is null if the document has
    no list of readers. `denied_by` says what hides the document: its `readers`, or the roles of its `collection`.
    """

    user: str
    can_read: bool
    through: list[str] | None
    denied_by: Literal["readers", "collection"] | None


class DocumentGoneOut(Wire):
    """The last event of a stream whose document was deleted."""

    id: str
    state: Literal[VersionState.DELETED] = VersionState.DELETED


class DocumentPage(Wire):
    """A page of documents; `next_cursor` is null on the last page. If requested, `total` counts the whole listing."""

    documents: list[DocumentOut]
    next_cursor: str | None
    total: int | None = None


class UploadedOut(DocumentOut):
    """An uploaded document. `duplicate` is true if these bytes had already been uploaded before.

    In that case, the existing document is unchanged, and `kept` lists the fields (`metadata` or `readers`) that you
    sent with other values. `hint` says how to change these fields.
    """

    duplicate: bool
    kept: list[str]
    hint: str | None


KEPT_HINT = (
    "These bytes were already uploaded with different {what}, which were kept. Change them with PATCH "
    "/v1/documents/{{id}}."
)


class DocumentChangeIn(Wire):
    """Changes to a document's metadata, title, readers or collection. Omitted fields do not change."""

    metadata: dict[str, Any] = Field(default_factory=dict, examples=[{"year": 1815, "draft": None}])
    title: str | None = Field(None, min_length=1, max_length=1_000)
    readers: list[str] | None = Field(None, max_length=MAX_READERS, examples=[["user:ann", "group:hr"]])
    collection: str | None = Field(None, max_length=128, pattern=r"^[\w.-]+$", examples=["reports"])

    def to_change(self, find_readers: Callable[[Collection[str]], frozenset[str]]) -> DocumentChange:
        """Convert the request to a change. `find_readers` returns the subjects for readers. Raises its errors."""
        readers = None if self.readers is None else find_readers(self.readers)
        # A document is always in a collection, so null cannot mean that it leaves its own.
        changed = self.model_fields_set - (set() if self.collection else {"collection"})
        return DocumentChange(self.metadata, self.title, readers, frozenset(changed), collection=self.collection or "")


class RejectedOut(Wire):
    """A rejected file from a form, and its problem."""

    name: str
    problem: dict[str, Any]


class UploadsOut(Wire):
    """The outcomes of all files in a form that contains several."""

    documents: list[UploadedOut]
    rejected: list[RejectedOut]


class DeletionOut(Wire):
    """The receipt of a deletion; `id` is the id of the deleted document.

    `collected` means that everything was removed and the totals are final. Until then, a worker may still be stopping,
    or the index may be unavailable, but searches no longer find any of the document's content. `answers_redacted`,
    `runs_redacted` and `replies_removed` count data that was derived from the document: stored answers, runs with their
    logs, and stored replies of language models.
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
