"""`/v1/uploads`: files in several requests, which go on after a lost connection, by tus 1.0.0.

The libraries that there are keep a request's whole body in memory, or know neither checksums nor owners, so the four
requests of the protocol stand here, over the blobs and the intake that `POST /v1/documents` has.
"""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import AbstractContextManager, asynccontextmanager
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from api.admission.access import Served, UploadThreads, Writer, get_account
from api.admission.quota_headers import report_standings
from api.admission.services import Services
from api.documents import tus
from api.http.problems import CLIENT_CLOSED_REQUEST, BadRequestError, SlowRequestError
from api.http.threads import Threads
from ingest.resumable import UploadWriter
from ingest.storage.accounts.records import Principal
from ingest.storage.errors import UploadOffsetError
from ingest.storage.queue.records import JobKind

router = APIRouter(prefix="/v1/uploads", tags=["documents"])

UploadId = Annotated[str, Path(max_length=64)]


@router.options("", status_code=204, response_class=Response)
def capabilities(served: Served, _: Writer) -> Response:
    """Say which version of tus this is, with which extensions, and how large a file may be."""
    told = {
        "Tus-Extension": tus.EXTENSIONS,
        "Tus-Checksum-Algorithm": ",".join(tus.ALGORITHMS),
        "Tus-Max-Size": str(served.settings.max_upload_bytes),
    }
    return Response(status_code=204, headers={**tus.RESUMABLE, **told})


@router.post("", status_code=201, response_class=Response, dependencies=[tus.RequiresVersion])
def create(
    caller: Writer,
    served: Served,
    upload_length: Annotated[int, Header(ge=0)],
    upload_metadata: Annotated[str, Header(max_length=16 * 1024)] = "",
) -> Response:
    """Begin an upload of `Upload-Length` bytes; `Location` is where they go.

    `Upload-Metadata` has `filename`, `filetype`, `collection`, `metadata` (a JSON object), `readers` (a JSON list),
    `batch` and `priority`, each in Base64. Its bytes count on quotas from now on. It is kept for 24 hours after bytes
    came last.
    """
    description = tus.parse_metadata_header(upload_metadata, caller)
    request = tus.build_upload_request(description, caller)
    made = served.work.uploads.create(request, caller.owner, upload_length, description, upload_metadata)
    headers = tus.build_progress_headers(made)
    return Response(status_code=201, headers={**headers, "Location": f"/v1/uploads/{made.id}"})


@router.head("/{upload_id}", response_class=Response, dependencies=[tus.RequiresVersion])
def one(upload_id: UploadId, caller: Writer, served: Served) -> Response:
    """Say how many bytes of an upload are there; `Content-Location` is its document, once it is whole.

    A request that still waits for bytes of it, over a connection that its client has lost, ends.
    """
    found = served.work.uploads.find_to_resume(caller.tenant_id, upload_id, caller.owner)
    return Response(status_code=200, headers=tus.build_progress_headers(found))


@router.patch("/{upload_id}", status_code=204, response_class=Response, dependencies=[tus.RequiresVersion])
async def add(
    upload_id: UploadId,
    request: Request,
    caller: Writer,
    served: Served,
    threads: UploadThreads,
    upload_offset: Annotated[int, Header(ge=0)],
    content_type: Annotated[str, Header()] = "",
    upload_checksum: Annotated[str | None, Header(max_length=200)] = None,
) -> Response:
    """Add bytes after the first `Upload-Offset`. With the last one the upload becomes a document, as by
    `POST /v1/documents`: `Content-Location` is its address.

    What arrived before a connection was lost is kept, but with `Upload-Checksum` only what was checked. `409` for
    another offset than there is, and `423` while another request adds to the upload.
    """
    if content_type.partition(";")[0].strip() != tus.MEDIA_TYPE:
        raise tus.MediaTypeError(f"The body is {content_type[:60]!r}.")
    checksum = None if upload_checksum is None else tus.Checksum(upload_checksum)
    owned = caller.tenant_id, upload_id, caller.owner
    found = await run_in_threadpool(served.work.uploads.find, *owned)
    if found.document_id is not None:
        if upload_offset != found.length:
            raise UploadOffsetError(f"The upload is whole, with {found.length:,} bytes.")
        return Response(status_code=204, headers=tus.build_progress_headers(found))
    adding = served.work.uploads.open_to_append(
        *owned, upload_offset, lambda each: tus.build_upload_request(each.description, caller)
    )
    async with _enter_in_threads(adding, threads) as writer:
        if not await _receive_until_superseded(_receive_body(request, writer, threads, checksum), writer, threads):
            return Response(status_code=CLIENT_CLOSED_REQUEST)
        accepted = await threads.run(writer.finish)
    if accepted is None:
        return Response(status_code=204, headers=tus.build_progress_headers(found, writer.received))
    served.work.doorbell.ring(JobKind.INGEST)
    await _report_storage_quotas(request, caller, served)
    return Response(
        status_code=204,
        headers={**tus.build_progress_headers(found, found.length), **tus.build_document_header(accepted.document.id)},
    )


@router.delete("/{upload_id}", status_code=204, response_class=Response, dependencies=[tus.RequiresVersion])
def remove(upload_id: UploadId, caller: Writer, served: Served) -> Response:
    """Give an upload up, with the bytes that came. A document that it became stays."""
    served.work.uploads.cancel(caller.tenant_id, upload_id, caller.owner)
    return Response(status_code=204, headers=tus.RESUMABLE)


async def _receive_until_superseded(
    receiving: Coroutine[Any, Any, bool], writer: UploadWriter, threads: Threads
) -> bool:
    """Receive the body; false if the connection was lost, also where only its client knows that, which came back."""
    loop, task = asyncio.get_running_loop(), asyncio.create_task(receiving)
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
    """Write the body; false if the connection was lost. Raises what the body may not be."""
    writer.checked = checksum is not None
    try:
        async for block in request.stream():
            if len(block) > writer.room:
                raise BadRequestError("The body has more bytes than the upload.", hint="Send to the end, and no more.")
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
    context: AbstractContextManager[UploadWriter], threads: Threads
) -> AsyncIterator[UploadWriter]:
    """Enter and leave a context in threads, because it reads files and asks the catalog."""
    writer = await threads.run(context.__enter__)
    try:
        yield writer
    except BaseException as error:
        leaving = threads.run(partial(context.__exit__, type(error), error, error.__traceback__))
        if not await asyncio.shield(leaving):
            raise
    else:
        await threads.run(partial(context.__exit__, None, None, None))


async def _report_storage_quotas(request: Request, caller: Principal, served: Services) -> None:
    report_standings(
        request, await run_in_threadpool(served.admission.meter.load_storage_standings, get_account(caller))
    )
