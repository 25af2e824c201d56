"""Finds files in vector stores, and adds files to vector stores, one or many at a time."""

from collections.abc import Mapping, Sequence

import structlog

from api.admission.services import Services
from api.http.problems import BadRequestError
from api.openai.stores.vector_stores import StoreFileIn
from ingest.intake import UploadRequest
from ingest.storage.accounts.records import Principal
from ingest.storage.documents.catalog import AcceptedUpload
from ingest.storage.documents.collection_records import Collection
from ingest.storage.documents.metadata import validate_metadata
from ingest.storage.documents.records import Document, DocumentChange
from ingest.storage.errors import CatalogError, StoredFileNotFoundError, UploadError
from ingest.storage.queue.records import PRIORITIES, Failure, JobKind, JobPriority
from ingest.storage.uploads.records import StoredFile

log = structlog.get_logger(__name__)


def require_readable_store(services: Services, caller: Principal, identifier: str) -> Collection:
    """Return the collection of a store. Raises `CollectionNotFoundError` if it is missing or not readable."""
    return services.documents.collections.load_collection(caller.tenant_id, identifier, readers=caller.readers)


def record_store_use(services: Services, caller: Principal, identifiers: Sequence[str]) -> None:
    """Record that stores are used now. If this fails, the request goes on."""
    try:
        services.documents.collections.record_use(caller.tenant_id, identifiers)
    except CatalogError as error:
        log.warning("use of store not recorded", error=repr(error))


def require_stored_document(services: Services, caller: Principal, store_id: str, file_id: str) -> Document:
    """Return the document of a file in a vector store.

    Raises `CollectionNotFoundError` if the store does not exist, and `StoredFileNotFoundError` if it lacks the file.
    """
    require_readable_store(services, caller, store_id)
    found = services.documents.files.find_document(caller, store_id, file_id)
    if found is None:
        raise StoredFileNotFoundError(
            f"File {file_id!r} not found in the vector store {store_id!r}.",
            hint="List the store's files, or add the file to the store.",
        )
    return services.documents.catalog.load_document(caller.tenant_id, found, readers=caller.readers)


def add_file(
    services: Services, caller: Principal, store_id: str, store_file: StoreFileIn, batch_id: str | None = None
) -> Document:
    """Add a file to a store as a document. If the file is already in the store, update its attributes.

    Raises the same errors as uploads, `StoredFileNotFoundError` and `CollectionNotFoundError`.
    """
    return _add_stored_file(
        services, caller, store_id, services.documents.files.load_file(caller, store_file.file_id), store_file, batch_id
    )


def add_files(
    services: Services,
    caller: Principal,
    store_id: str,
    store_files: Sequence[StoreFileIn],
    batch_id: str | None = None,
) -> None:
    """Add several files to a store.

    With a `batch_id`, a rejected or unknown file is recorded as a failure of the batch, and the other files are still
    added.
    """
    for each in store_files:
        name = each.file_id
        try:
            file = services.documents.files.load_file(caller, each.file_id)
            name = file.name or file.id
            _add_stored_file(services, caller, store_id, file, each, batch_id)
        except (UploadError, BadRequestError, StoredFileNotFoundError) as error:
            if batch_id is None:
                raise
            services.documents.batches.record_rejected_file(
                caller.tenant_id, batch_id, name, Failure(error.code, *error.public_message)
            )
    services.work.doorbell.notify(JobKind.INGEST)


def _add_stored_file(
    services: Services,
    caller: Principal,
    store_id: str,
    file: StoredFile,
    store_file: StoreFileIn,
    batch_id: str | None,
) -> Document:
    caller.collections.require_writable(store_id)
    attributes = validate_metadata(store_file.attributes or {})
    store = require_readable_store(services, caller, store_id)
    if file.document_id is not None:
        return _require_document_in_store(services, caller, store_id, file.document_id)
    request = UploadRequest(
        caller.tenant_id,
        store_id,
        file.name,
        attributes=attributes,
        priority=_parse_priority({**store.settings.metadata, **attributes}),
        batch_id=batch_id,
        key_id=caller.key_id or "",
        owner=caller.owner,
        sender=caller.readers,
        collections=caller.collections,
    )
    accepted: AcceptedUpload = services.work.intake.accept_stored_file(request, file)
    services.work.doorbell.notify(JobKind.INGEST)
    record_store_use(services, caller, [store_id])
    if attributes and accepted.kept:
        return replace_attributes(services, caller, accepted.document, attributes)
    return accepted.document


def _parse_priority(attributes: Mapping[str, object]) -> JobPriority:
    """Return the upload priority in `priority`, of the file or else its store. Other values are ordinary metadata."""
    return PRIORITIES.get(str(attributes.get("priority")), JobPriority.INTERACTIVE)


def replace_attributes(
    services: Services, caller: Principal, document: Document, attributes: dict[str, object]
) -> Document:
    """Replace the attributes of a document."""
    change = DocumentChange({**dict.fromkeys(document.attributes), **attributes}, changed=frozenset({"metadata"}))
    return services.documents.catalog.change_document(caller.tenant_id, document.id, change, None, caller=caller)


def _require_document_in_store(services: Services, caller: Principal, store_id: str, document_id: str) -> Document:
    """Return a document that was not created from a file. Raises `BadRequestError` if it is in another collection."""
    document = services.documents.catalog.load_document(caller.tenant_id, document_id, readers=caller.readers)
    if document.collection != store_id:
        raise BadRequestError(
            f"{document_id!r} is a document of the collection {document.collection!r} "
            "and cannot be added to another collection.",
            hint="Upload the file with POST /v1/files; files uploaded that way can belong to several vector stores.",
        )
    return document
