"""`/v1/batches`: groups of uploads, with counts, progress, failures and cancellation."""

from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, Response
from starlette.responses import Response as AnyResponse

from api.admission.access import Caller, HeldSlot, ServicesDep, Streams, Writer
from api.admission.current_caller import CurrentCaller, Follower
from api.admission.idempotency import get_claimed_request
from api.admission.services import Services
from api.documents.batch_schemas import BatchFailureOut, BatchFailurePage, BatchIn, BatchOut, BatchPage
from api.http import sse
from api.http.cursors import decode_cursor, encode_cursor
from ingest.storage.accounts.records import Principal
from ingest.storage.queue.records import JobKind

router = APIRouter(prefix="/v1/batches", tags=["batches"])


@router.post("", status_code=201, response_model=BatchOut)
def create_batch(
    body: BatchIn, request: Request, caller: Writer, services: ServicesDep, response: Response
) -> BatchOut:
    """Create a batch. Upload files with `POST /v1/documents?batch=…`, and close the batch after the last file.

    Only you and admins can see the batch; others get `404`. Anyone who knows its id can upload files to it.
    """
    claim = get_claimed_request(request)
    batch, _ = services.documents.batches.create(
        caller.tenant_id,
        name=body.name,
        expected_files=body.expected,
        idempotency_key=claim.id if claim else None,
        owner=caller.owner,
    )
    response.headers["Location"] = f"/v1/batches/{batch.id}"
    return BatchOut.from_progress(services.documents.batches.load_progress(caller.tenant_id, batch.id))


@router.get("")
def list_batches(
    caller: Caller,
    services: ServicesDep,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    cursor: str | None = None,
) -> BatchPage:
    """List your batches, newest first; an admin sees the batches of all users. Paginated."""
    before = None if cursor is None else decode_cursor(cursor)
    found = services.documents.batches.list_latest(
        caller.tenant_id, before=before, limit=limit + 1, owner=caller.visible_owner
    )
    page = found[:limit]
    more = encode_cursor(page[-1].batch.sequence) if len(found) > limit else None
    return BatchPage(batches=[BatchOut.from_progress(batch) for batch in page], next_cursor=more)


@router.get("/{batch_id}")
def get_batch(batch_id: str, caller: Caller, services: ServicesDep) -> BatchOut:
    """Show a batch and the state of its files."""
    return BatchOut.from_progress(
        services.documents.batches.load_progress(caller.tenant_id, batch_id, caller.visible_owner)
    )


@router.get("/{batch_id}/events", response_class=AnyResponse, responses={200: {"content": {sse.MEDIA_TYPE: {}}}})
async def stream_batch_events(
    batch_id: str,
    caller: Caller,
    current: Follower,
    services: ServicesDep,
    slot: HeldSlot,
    streams: Streams,
    last_event_id: Annotated[str | None, Header()] = None,
) -> AnyResponse:
    """Stream a batch's progress as server-sent events (`snapshot`, `progress`, then `end`) until it is finished.

    Each event has the same content as `GET /v1/batches/{id}`. `Last-Event-ID` works on any server, no matter how long
    ago the stream was interrupted.
    """
    # guard: stream-limit
    await slot.move_to(streams)
    return await sse.stream_updates(_build_stream_source(services, caller.tenant_id, current, batch_id), last_event_id)


@router.get("/{batch_id}/failures")
def list_batch_failures(
    batch_id: str,
    caller: Caller,
    services: ServicesDep,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    cursor: str | None = None,
) -> BatchFailurePage:
    """List the files that were rejected or whose processing failed, each with the reason and a hint. Paginated."""
    found = services.documents.batches.list_failures(
        caller.tenant_id,
        batch_id,
        after=decode_cursor(cursor),
        limit=limit + 1,
        readers=caller.readers,
        owner=caller.visible_owner,
    )
    page = found[:limit]
    more = encode_cursor(page[-1].number) if len(found) > limit else None
    return BatchFailurePage(failures=[BatchFailureOut.from_failure(failure) for failure in page], next_cursor=more)


@router.post("/{batch_id}/close")
def close_batch(batch_id: str, caller: Writer, services: ServicesDep) -> BatchOut:
    """Close a batch. It then accepts no more files, and is completed when all of its files have been processed."""
    return BatchOut.from_progress(services.documents.batches.close(caller.tenant_id, batch_id, caller.visible_owner))


@router.post("/{batch_id}/cancel")
def cancel_batch(batch_id: str, caller: Writer, services: ServicesDep) -> BatchOut:
    """Cancel a batch. It then accepts no more files, and unfinished files are not processed. Finished files remain.

    Once this returns, none of the cancelled files will become searchable. Processing continues for files that were
    uploaded before the batch or also belong to another batch, and for documents that you cannot read. `409` if the
    batch is completed.
    """
    cancelled = services.documents.batches.cancel(
        caller.tenant_id, batch_id, readers=caller.readers, owner=caller.visible_owner
    )
    services.work.doorbell.notify(JobKind.COLLECT)
    return BatchOut.from_progress(cancelled)


def _build_stream_source(
    services: Services, tenant_id: str, current_caller: CurrentCaller, batch_id: str
) -> sse.StreamSource:
    def load_state(caller: Principal) -> sse.StreamState:
        found = services.documents.batches.load_progress(tenant_id, batch_id, caller.visible_owner)
        return sse.StreamState(BatchOut.from_progress(found).model_dump(mode="json"), found.has_ended)

    return sse.StreamSource(
        caller=current_caller,
        look=load_state,
        watch=lambda wake: services.events.feed.watch(tenant_id, None, wake),
        going_on=lambda: services.accepting,
    )
