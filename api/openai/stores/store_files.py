"""Files of vector stores: found, and put into one, alone or many together."""

from collections.abc import Mapping, Sequence

from api.admission.services import Services
from api.http.problems import BadRequestError
from api.openai.stores.vector_stores import StoreFileIn
from ingest.intake import UploadRequest
from ingest.storage.accounts.records import Principal
from ingest.storage.documents.catalog import AcceptedUpload
from ingest.storage.documents.collection_records import Collection
from ingest.storage.documents.metadata import require_metadata
from ingest.storage.documents.records import Document, DocumentChange
from ingest.storage.errors import StoredFileNotFoundError, UploadError
from ingest.storage.queue.records import PRIORITIES, Failure, JobKind, JobPriority
from ingest.storage.uploads.records import StoredFile


def require_readable_store(served: Services, caller: Principal, identifier: str) -> Collection:
    """Return the collection. Raises `CollectionNotFoundError`, also for one that is closed to the caller."""
    return served.documents.collections.load_collection(caller.tenant_id, identifier, readers=caller.readers)


def require_stored_document(served: Services, caller: Principal, store: str, file_id: str) -> Document:
    """Return the document that a file is in a store.

    Raises `CollectionNotFoundError`, and `StoredFileNotFoundError` if it is not in it.
    """
    require_readable_store(served, caller, store)
    found = served.documents.files.find_document(caller, store, file_id)
    if found is None:
        raise StoredFileNotFoundError(
            f"The vector store {store!r} has no file {file_id!r}.", hint="List its files, or put the file into it."
        )
    return served.documents.catalog.load_document(caller.tenant_id, found, readers=caller.readers)


def add_file(served: Services, caller: Principal, store: str, sent: StoreFileIn, batch: str | None = None) -> Document:
    """Make a document of a file in a store; one that is there already gets the attributes that are sent.

    Raises the errors of uploads, `StoredFileNotFoundError` and `CollectionNotFoundError`.
    """
    return _add_file(served, caller, store, served.documents.files.load_file(caller, sent.file_id), sent, batch)


def add_files(
    served: Services, caller: Principal, store: str, sent: Sequence[StoreFileIn], batch: str | None = None
) -> None:
    """Put many; with a `batch`, one that is refused or unknown is a failure of that and does not stop the others."""
    for each in sent:
        name = each.file_id
        try:
            file = served.documents.files.load_file(caller, each.file_id)
            name = file.name or file.id
            _add_file(served, caller, store, file, each, batch)
        except (UploadError, BadRequestError, StoredFileNotFoundError) as error:
            if batch is None:
                raise
            served.documents.batches.record_refused_file(
                caller.tenant_id, batch, name, Failure(error.code, *error.public_message)
            )
    served.work.doorbell.ring(JobKind.INGEST)


def _add_file(
    served: Services, caller: Principal, store: str, file: StoredFile, sent: StoreFileIn, batch: str | None
) -> Document:
    caller.collections.require_writable(store)
    attributes = require_metadata(sent.attributes or {})
    if file.document_id is not None:
        return _require_same_store(served, caller, store, file.document_id)
    request = UploadRequest(
        caller.tenant_id,
        store,
        file.name,
        attributes=attributes,
        priority=_parse_priority(attributes),
        batch_id=batch,
        key_id=caller.key_id or "",
        owner=caller.owner,
        sender=caller.readers,
        collections=caller.collections,
    )
    accepted: AcceptedUpload = served.work.intake.accept_stored_file(request, file)
    served.work.doorbell.ring(JobKind.INGEST)
    if attributes and accepted.kept:
        return replace_attributes(served, caller, accepted.document, attributes)
    return accepted.document


def _parse_priority(attributes: Mapping[str, object]) -> JobPriority:
    """Return the priority that an attribute of the name asks for; with another value it is metadata alone."""
    return PRIORITIES.get(str(attributes.get("priority")), JobPriority.INTERACTIVE)


def replace_attributes(
    served: Services, caller: Principal, document: Document, attributes: dict[str, object]
) -> Document:
    """Give a document these attributes instead of those it has."""
    change = DocumentChange({**dict.fromkeys(document.attributes), **attributes}, changed=frozenset({"metadata"}))
    return served.documents.catalog.change(caller.tenant_id, document.id, change, None, caller=caller)


def _require_same_store(served: Services, caller: Principal, store: str, document_id: str) -> Document:
    """Return a document that was not made of a file, which is in its collection and goes into no other."""
    document = served.documents.catalog.load_document(caller.tenant_id, document_id, readers=caller.readers)
    if document.collection != store:
        raise BadRequestError(
            f"{document_id!r} is a document of the collection {document.collection!r}, and cannot be in another.",
            hint="Upload it with POST /v1/files: such a file may be in several vector stores.",
        )
    return document
