"""`/v1/uploads`: resumable uploads with tus 1.0.0.

Existing libraries buffer whole request bodies in memory, or support neither checksums nor owners of uploads. The four
requests of the protocol are therefore implemented here, using the same blob store and intake as `POST /v1/documents`.
"""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import AbstractContextManager, asynccontextmanager
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from api.admission.access import ServicesDep, UploadThreads, Writer, get_account
from api.admission.quota_headers import add_quota_headers
from api.admission.services import Services
from api.documents import tus
from api.documents.readers import check_readers
from api.http.media import describe_file_body, describe_request
from api.http.problems import CLIENT_CLOSED_REQUEST, BadRequestError, SlowRequestError
from api.http.threads import Threads
from ingest.resumable import UploadWriter
from ingest.storage.accounts.records import Principal
from ingest.storage.errors import UploadOffsetError
from ingest.storage.queue.records import JobKind

router = APIRouter(prefix="/v1/uploads", tags=["documents"])

UploadId = Annotated[str, Path(max_length=64)]


@router.options("", status_code=204, response_class=Response)
def get_upload_capabilities(services: ServicesDep, _: Writer) -> Response:
    """Return the supported tus version and extensions, and the maximum file size."""
    limits = {
        "Tus-Extension": tus.EXTENSIONS,
        "Tus-Checksum-Algorithm": ",".join(tus.ALGORITHMS),
        "Tus-Max-Size": str(services.settings.max_upload_bytes),
    }
    return Response(status_code=204, headers={**tus.RESUMABLE, **limits})


@router.post("", status_code=201, response_class=Response, dependencies=[tus.RequiresVersion])
def create_upload(
    caller: Writer,
    services: ServicesDep,
    upload_length: Annotated[int, Header(ge=0)],
    upload_metadata: Annotated[str, Header(max_length=16 * 1024)] = "",
) -> Response:
    """Create an upload of `Upload-Length` bytes. The response's `Location` is the address of the upload.

    `Upload-Metadata` may contain `filename`, `filetype`, `collection`, `metadata` (a JSON object), `readers` (a JSON
    list), `batch` and `priority`, each in Base64. The `Upload-Length` counts against quotas immediately. An upload
    expires 24 hours after it last received bytes.
    """
    description = tus.parse_metadata_header(upload_metadata, partial(check_readers, services, caller))
    request = tus.build_upload_request(description, caller)
    made = services.work.uploads.create_upload(request, caller.owner, upload_length, description, upload_metadata)
    headers = tus.build_progress_headers(made)
    return Response(status_code=201, headers={**headers, "Location": f"/v1/uploads/{made.id}"})


@router.head("/{upload_id}", response_class=Response, dependencies=[tus.RequiresVersion])
def get_upload_offset(upload_id: UploadId, caller: Writer, services: ServicesDep) -> Response:
    """Return the number of bytes received. Once the upload is complete, `Content-Location` is its document's address.

    If an earlier request is still waiting for bytes on a lost connection, that request is cancelled.
    """
    found = services.work.uploads.load_upload_to_resume(caller.tenant_id, upload_id, caller.owner)
    return Response(status_code=200, headers=tus.build_progress_headers(found))


@router.patch(
    "/{upload_id}",
    status_code=204,
    response_class=Response,
    dependencies=[tus.RequiresVersion],
    openapi_extra=describe_request(describe_file_body(tus.MEDIA_TYPE)),
)
async def append_to_upload(
    upload_id: UploadId,
    request: Request,
    caller: Writer,
    services: ServicesDep,
    threads: UploadThreads,
    upload_offset: Annotated[int, Header(ge=0)],
    content_type: Annotated[str, Header()] = "",
    upload_checksum: Annotated[str | None, Header(max_length=200)] = None,
) -> Response:
    """Append bytes at `Upload-Offset`. The last byte completes the upload and creates the document.

    `Content-Location` is then the document's address, as after `POST /v1/documents`. If the connection is lost, the
    bytes received so far are kept. With `Upload-Checksum`, only verified bytes are kept. The response is `409` if the
    offset does not match, and `423` while another request is appending to the upload.
    """
    if content_type.partition(";")[0].strip() != tus.MEDIA_TYPE:
        raise tus.MediaTypeError(f"The request body has the content type {content_type[:60]!r}.")
    checksum = None if upload_checksum is None else tus.Checksum(upload_checksum)
    owned = caller.tenant_id, upload_id, caller.owner
    found = await run_in_threadpool(services.work.uploads.load_upload, *owned)
    if found.document_id is not None:
        if upload_offset != found.length:
            raise UploadOffsetError(f"The upload is already complete, with {found.length:,} bytes.")
        return Response(status_code=204, headers=tus.build_progress_headers(found))
    adding = services.work.uploads.open_upload(
        *owned, upload_offset, lambda each: tus.build_upload_request(each.description, caller)
    )
    async with _enter_in_threads(adding, threads) as writer:
        if not await _receive_until_superseded(_receive_body(request, writer, threads, checksum), writer, threads):
            return Response(status_code=CLIENT_CLOSED_REQUEST)
        accepted = await threads.run(writer.finish)
    if accepted is None:
        return Response(status_code=204, headers=tus.build_progress_headers(found, writer.received))
    services.work.doorbell.notify(JobKind.INGEST)
    await _add_storage_quota_headers(request, caller, services)
    return Response(
        status_code=204,
        headers={**tus.build_progress_headers(found, found.length), **tus.build_document_header(accepted.document.id)},
    )


@router.delete("/{upload_id}", status_code=204, response_class=Response, dependencies=[tus.RequiresVersion])
def delete_upload(upload_id: UploadId, caller: Writer, services: ServicesDep) -> Response:
    """Abort an upload and delete its bytes. If the upload has already become a document, the document remains."""
    services.work.uploads.cancel_upload(caller.tenant_id, upload_id, caller.owner)
    return Response(status_code=204, headers=tus.RESUMABLE)


async def _receive_until_superseded(
    receive_coroutine: Coroutine[Any, Any, bool], writer: UploadWriter, threads: Threads
) -> bool:
    """Receive the body. Return False if the connection was lost.

    If the server does not notice the loss, the client's next request supersedes this one.
    """
    loop, task = asyncio.get_running_loop(), asyncio.create_task(receive_coroutine)
    writer.set_supersede_callback(lambda: loop.call_soon_threadsafe(task.cancel))
    try:
        return await task
    except asyncio.CancelledError:
        if not writer.is_superseded:
            raise
        await threads.run(writer.save_partial)
        return False


async def _receive_body(
    request: Request, writer: UploadWriter, threads: Threads, checksum: tus.Checksum | None
) -> bool:
    """Write the body to disk. Return False if the connection was lost.

    Raises `BadRequestError` if the body is too long, `ChecksumMismatchError` if its checksum differs, and
    `SlowRequestError` if it arrives too slowly.
    """
    writer.checked = checksum is not None
    try:
        async for block in request.stream():
            if len(block) > writer.remaining_bytes:
                raise BadRequestError(
                    "The body exceeds the remaining length of the upload.", hint="Send only the remaining bytes."
                )
            if block:
                await threads.run(writer.write, block)
            if checksum is not None:
                checksum.update(block)
    except ClientDisconnect:
        await threads.run(writer.save_partial)
        return False
    except SlowRequestError:
        await threads.run(writer.save_partial)
        raise
    if checksum is not None:
        # guard: upload-checksum
        checksum.require_match()
    return True


@asynccontextmanager
async def _enter_in_threads(
    context_manager: AbstractContextManager[UploadWriter], threads: Threads
) -> AsyncIterator[UploadWriter]:
    """Enter and exit a context manager in `threads`, because it reads files and queries the catalog."""
    writer = await threads.run(context_manager.__enter__)
    try:
        yield writer
    except BaseException as error:
        leaving = threads.run(partial(context_manager.__exit__, type(error), error, error.__traceback__))
        if not await asyncio.shield(leaving):
            raise
    else:
        await threads.run(partial(context_manager.__exit__, None, None, None))


async def _add_storage_quota_headers(request: Request, caller: Principal, services: Services) -> None:
    add_quota_headers(
        request, await run_in_threadpool(services.admission.meter.load_storage_statuses, get_account(caller))
    )
