"""`/v1/vector_stores/{id}/files` and `/file_batches`: documents of a collection as files of a vector store."""

import json
from collections.abc import Iterator
from typing import Any

from fastapi import APIRouter, Response
from fastapi.responses import StreamingResponse

from api.admission.access import Caller, ServicesDep, Writer
from api.admission.services import Services
from api.http.wire import to_sendable_text
from api.openai.stores.files import ObjectId, Order, PageLimit, build_list_page
from api.openai.stores.store_files import (
    add_file,
    add_files,
    replace_attributes,
    require_readable_store,
    require_stored_document,
)
from api.openai.stores.vector_stores import (
    STATES,
    AttributesIn,
    FileBatchIn,
    Status,
    StoreFileIn,
    build_batch_object,
    build_store_file_object,
)
from api.openai.stores.words import StoreRoute
from ingest.storage.accounts.records import Principal
from ingest.storage.documents.batch_records import BatchProgress
from ingest.storage.documents.listing import DocumentFilter, ListingCursor
from ingest.storage.documents.metadata import validate_metadata
from ingest.storage.documents.records import ListOrder
from ingest.storage.errors import BatchNotFoundError, DocumentStateError
from ingest.storage.queue.records import JobKind

router = APIRouter(prefix="/v1/vector_stores/{vector_store_id}", tags=["openai"], route_class=StoreRoute)

_PART_CHARS = 64 * 1024
# Header with the polling interval that responses suggest to clients. By default, OpenAI's client polls every second.
_POLL_HEADERS = {"openai-poll-after-ms": "300"}
_REVERSED = {ListOrder.OLDEST: ListOrder.NEWEST, ListOrder.NEWEST: ListOrder.OLDEST}


@router.post("/files")
def create_vector_store_file(
    vector_store_id: str, body: StoreFileIn, caller: Writer, services: ServicesDep
) -> dict[str, Any]:
    """Add a file to a vector store, so that it is parsed and indexed. The store's file object shows the progress.

    A file can be in several stores. If it is already in this store, only the `attributes` that you send are updated; if
    its processing had failed, it is retried.
    """
    require_readable_store(services, caller, vector_store_id)
    return build_store_file_object(add_file(services, caller, vector_store_id, body))


@router.get("/files")
def list_vector_store_files(
    vector_store_id: str,
    caller: Caller,
    services: ServicesDep,
    filter: Status | None = None,
    limit: PageLimit = 20,
    order: Order = "desc",
    after: ObjectId = None,
    before: ObjectId = None,
) -> dict[str, Any]:
    """List the documents of a collection as files, newest first. `filter` is a status. Paginated."""
    require_readable_store(services, caller, vector_store_id)
    return _load_file_page(services, caller, vector_store_id, None, filter, limit, order, after, before)


@router.get("/files/{file_id}")
def get_vector_store_file(
    vector_store_id: str, file_id: str, caller: Caller, services: ServicesDep, response: Response
) -> dict[str, Any]:
    """Show a file of a vector store: its progress, and the reason if it failed."""
    response.headers.update(_POLL_HEADERS)
    return build_store_file_object(require_stored_document(services, caller, vector_store_id, file_id))


@router.post("/files/{file_id}")
def change_vector_store_file(
    vector_store_id: str, file_id: str, body: AttributesIn, caller: Writer, services: ServicesDep
) -> dict[str, Any]:
    """Replace a file's attributes. The change takes effect immediately."""
    document = require_stored_document(services, caller, vector_store_id, file_id)
    caller.collections.require_writable(vector_store_id)
    attributes = validate_metadata(body.attributes or {})
    return build_store_file_object(replace_attributes(services, caller, document, attributes))


@router.get("/files/{file_id}/content")
def get_vector_store_file_content(
    vector_store_id: str, file_id: str, caller: Caller, services: ServicesDep
) -> StreamingResponse:
    """Return the text of a file in parts, as it is indexed for searches."""
    document = require_stored_document(services, caller, vector_store_id, file_id)
    active = document.active_version_id
    if active is None:
        raise DocumentStateError(
            f"The file is {document.version.state} and has no text yet.", hint="Wait until the file is completed."
        )
    characters = services.documents.catalog.load_version(active).characters or 0
    return StreamingResponse(_stream_text_page(services, active, characters), media_type="application/json")


@router.delete("/files/{file_id}")
def delete_vector_store_file(
    vector_store_id: str, file_id: str, caller: Writer, services: ServicesDep
) -> dict[str, Any]:
    """Remove a file from a vector store and delete its document. Once this returns, searches do not find it.

    The file can still be retrieved from `/v1/files`.
    """
    document = require_stored_document(services, caller, vector_store_id, file_id)
    caller.collections.require_writable(vector_store_id)
    deletion = services.work.delete(caller.tenant_id, document.id, caller.readers)
    services.work.doorbell.notify(JobKind.COLLECT)
    ours = {"document_id": document.id, "receipt": deletion.id}
    return {"id": file_id, "object": "vector_store.file.deleted", "deleted": True, "leadline": ours}


@router.post("/file_batches")
def create_vector_store_file_batch(
    vector_store_id: str, body: FileBatchIn, caller: Writer, services: ServicesDep
) -> dict[str, Any]:
    """Add several files to a vector store as one batch. You can follow its progress and cancel it.

    A file that is rejected or does not exist counts as failed, and the other files are still added.
    """
    require_readable_store(services, caller, vector_store_id)
    caller.collections.require_writable(vector_store_id)
    sent = body.list_files()
    batch, _ = services.documents.batches.create(
        caller.tenant_id, expected_files=len(sent), collection=vector_store_id, owner=caller.owner
    )
    add_files(services, caller, vector_store_id, sent, batch.id)
    return build_batch_object(services.documents.batches.close(caller.tenant_id, batch.id), vector_store_id)


@router.get("/file_batches/{batch_id}")
def get_vector_store_file_batch(
    vector_store_id: str, batch_id: str, caller: Caller, services: ServicesDep, response: Response
) -> dict[str, Any]:
    """Show a batch and its number of files in each status."""
    response.headers.update(_POLL_HEADERS)
    return build_batch_object(_load_batch(services, caller, vector_store_id, batch_id), vector_store_id)


@router.post("/file_batches/{batch_id}/cancel")
def cancel_vector_store_file_batch(
    vector_store_id: str, batch_id: str, caller: Writer, services: ServicesDep
) -> dict[str, Any]:
    """Stop processing a batch's unfinished files. A batch that is already finished does not change."""
    found = _load_batch(services, caller, vector_store_id, batch_id)
    caller.collections.require_writable(vector_store_id)
    if not found.has_ended:
        found = services.documents.batches.cancel(
            caller.tenant_id, batch_id, readers=caller.readers, owner=caller.visible_owner
        )
        services.work.doorbell.notify(JobKind.COLLECT)
    return build_batch_object(found, vector_store_id)


@router.get("/file_batches/{batch_id}/files")
def list_vector_store_file_batch_files(
    vector_store_id: str,
    batch_id: str,
    caller: Caller,
    services: ServicesDep,
    filter: Status | None = None,
    limit: PageLimit = 20,
    order: Order = "desc",
    after: ObjectId = None,
    before: ObjectId = None,
) -> dict[str, Any]:
    """List the files of a batch, newest first. Paginated."""
    _load_batch(services, caller, vector_store_id, batch_id)
    return _load_file_page(services, caller, vector_store_id, batch_id, filter, limit, order, after, before)


def _load_batch(services: Services, caller: Principal, store_id: str, batch_id: str) -> BatchProgress:
    """Return a batch of the store.

    Raises `CollectionNotFoundError` if the store does not exist, and `BatchNotFoundError` if it lacks the batch.
    """
    require_readable_store(services, caller, store_id)
    found = services.documents.batches.load_progress(caller.tenant_id, batch_id, caller.visible_owner)
    if found.batch.collection != store_id:
        raise BatchNotFoundError(f"Batch {batch_id!r} not found.")
    return found


def _load_file_page(
    services: Services,
    caller: Principal,
    store_id: str,
    batch_id: str | None,
    status: Status | None,
    limit: int,
    order: Order,
    after_id: str | None,
    before_id: str | None,
) -> dict[str, Any]:
    listing = ListOrder.NEWEST if order == "desc" else ListOrder.OLDEST
    limiting = before_id if after_id is None else after_id
    start = None if limiting is None else require_stored_document(services, caller, store_id, limiting)
    backwards = after_id is None and before_id is not None
    wanted = DocumentFilter(collection=store_id, batch=batch_id, states=STATES[status] if status else ())
    found = services.documents.catalog.listing.list_page(
        caller.tenant_id,
        wanted,
        caller.readers,
        order=_REVERSED[listing] if backwards else listing,
        after=ListingCursor(0 if start is None else start.sequence),
        limit=limit + 1,
    )
    page = [document for document, _ in found[:limit]]
    shown = page[::-1] if backwards else page
    return build_list_page([build_store_file_object(each) for each in shown], has_more=len(found) > limit)


def _stream_text_page(services: Services, version_id: str, text_length: int) -> Iterator[str]:
    """Yield a JSON page with the text of a version, one part at a time."""
    yield '{"object":"vector_store.file_content.page","data":['
    for start in range(0, max(1, text_length), _PART_CHARS):
        text = services.contents.texts.read(version_id, start, min(start + _PART_CHARS, text_length))
        part = {"type": "text", "text": to_sendable_text(text)}
        yield ("," if start else "") + json.dumps(part, ensure_ascii=False)
    yield '],"has_more":false,"next_page":null}'
