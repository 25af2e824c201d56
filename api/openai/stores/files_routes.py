"""`/v1/files`: files for clients of OpenAI's protocol. Searches only find files in vector stores."""

from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from api.admission.access import Caller, ServicesDep, UploadThreads, Writer, get_account
from api.admission.quota_headers import add_quota_headers
from api.admission.services import Services
from api.documents import multipart
from api.documents.downloads import OriginalFile, build_download
from api.http.media import describe_file_body, describe_form, describe_request
from api.http.problems import BadRequestError
from api.http.wire import to_sendable_text
from api.openai.stores.files import (
    MAX_SECONDS,
    MIN_SECONDS,
    ObjectId,
    Order,
    build_file_object,
    build_list_page,
    parse_fields,
)
from ingest.intake import UploadRequest
from ingest.storage.accounts.records import Principal
from ingest.storage.errors import DocumentNotFoundError, DocumentStateError, RoleMissingError, StoredFileNotFoundError
from ingest.storage.queue.records import JobKind
from ingest.storage.uploads.records import StoredFile

router = APIRouter(prefix="/v1/files", tags=["openai"])

_MAX_LISTED = 10_000
_FORM = describe_form(
    {
        "purpose": {"type": "string", "enum": ["assistants", "user_data"]},
        "expires_after[anchor]": {"type": "string", "enum": ["created_at"]},
        "expires_after[seconds]": {"type": "integer", "minimum": MIN_SECONDS, "maximum": MAX_SECONDS},
    },
    file="file",
)


@router.post("", openapi_extra=describe_request(_FORM))
async def upload_file(
    request: Request, caller: Writer, services: ServicesDep, threads: UploadThreads
) -> dict[str, Any]:
    """Upload a file, which can then be added to vector stores. Searches do not find it until it has been added to one.

    Send a form with the file as `file` and its `purpose`, `assistants` or `user_data`. Until the file is in a vector
    store, only you and the tenant's admins can see it. `415` if no parser supports the file. With `expires_after`,
    the file is deleted with its documents within an hour after that time.
    """
    content_type = request.headers.get("content-type", "")
    if not content_type.startswith("multipart/form-data"):
        raise BadRequestError(
            "The file must be sent as a multipart form.", hint="Send multipart/form-data with `file` and `purpose`."
        )
    base = UploadRequest(caller.tenant_id, "", "unnamed", key_id=caller.key_id or "", owner=caller.owner)
    made = await multipart.receive_file(
        request.stream(), content_type, base, services.work.file_intake.receive_file, threads, parse_fields
    )
    add_quota_headers(
        request, await run_in_threadpool(services.admission.meter.load_storage_statuses, get_account(caller))
    )
    return build_file_object(made)


@router.get("")
def list_files(
    caller: Caller,
    services: ServicesDep,
    purpose: Annotated[str | None, Query(max_length=40)] = None,
    order: Order = "desc",
    after: ObjectId = None,
    limit: Annotated[int, Query(ge=1, le=_MAX_LISTED)] = 1_000,
) -> dict[str, Any]:
    """List files, newest first: files sent to `/v1/files`, and documents uploaded in other ways. Paginated."""
    found = services.documents.files.list_files(
        caller, purpose=purpose, newest_first=order == "desc", after_id=after, limit=limit + 1
    )
    return build_list_page([build_file_object(each) for each in found[:limit]], has_more=len(found) > limit)


@router.get("/{file_id}")
def get_file(file_id: str, caller: Caller, services: ServicesDep) -> dict[str, Any]:
    """Show a file. The id can be the file's id or the file id in a citation."""
    return build_file_object(services.documents.files.load_file(caller, file_id))


@router.get("/{file_id}/content", response_class=StreamingResponse, responses={200: {"content": describe_file_body()}})
def get_file_content(file_id: str, caller: Caller, services: ServicesDep, request: Request) -> Response:
    """Download a file."""
    file = services.documents.files.load_file(caller, file_id)
    if services.contents.blobs.find_size(file.blob_key) is None:
        raise DocumentStateError(
            "The file was removed, because its document was cancelled.", hint="Upload the file again."
        )
    name = quote(to_sendable_text(file.name.rpartition("/")[2]), safe="")
    headers = {"Content-Disposition": f"attachment; filename*=UTF-8''{name}"}
    original = OriginalFile(file.blob_key, file.content_sha256, f"The content of file {file.id}")
    return build_download(services.contents.blobs, original, request, headers)


@router.delete("/{file_id}")
def delete_file(file_id: str, caller: Writer, services: ServicesDep) -> dict[str, Any]:
    """Delete a file and its documents in all vector stores. Once this returns, searches do not find the documents.

    A document that was uploaded in another way is deleted as with `DELETE /v1/documents/{id}`.
    """
    file = services.documents.files.load_file(caller, file_id)
    if file.document_id is not None:
        _delete_document(services, caller, file.document_id)
    else:
        _delete_sent_file(services, caller, file)
    services.work.doorbell.notify(JobKind.COLLECT)
    return {"id": file_id, "object": "file", "deleted": True}


def _delete_sent_file(services: Services, caller: Principal, file: StoredFile) -> None:
    """Delete a file sent to `/v1/files`, and then its documents.

    The file is deleted first, so that no new document can be created from it.
    """
    # guard: openai-file-of-other-owner
    if caller.visible_owner not in (None, file.owner):
        raise RoleMissingError("The file belongs to another user; you can only read it.")
    for _, collection in services.documents.files.list_documents(caller.tenant_id, file.id):
        caller.collections.require_writable(collection)
    services.documents.files.delete(caller.tenant_id, file.id)
    for document, _ in services.documents.files.list_documents(caller.tenant_id, file.id):
        services.work.delete(caller.tenant_id, document, None)
    services.work.remove_files()


def _delete_document(services: Services, caller: Principal, identifier: str) -> None:
    try:
        document = services.documents.catalog.load_document(caller.tenant_id, identifier, readers=caller.readers)
        caller.collections.require_writable(document.collection)
        services.work.delete(caller.tenant_id, identifier, caller.readers)
    except DocumentNotFoundError as error:
        raise StoredFileNotFoundError(f"File {identifier!r} not found.") from error
