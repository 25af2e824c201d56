"""`/v1/batches`: many uploads as one object, with counts, progress, a list of failures, and cancelling."""

from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, Response
from starlette.responses import Response as AnyResponse

from api.admission.access import Caller, HeldPlace, Served, Streams, Writer
from api.admission.current_caller import CurrentCaller, Follower
from api.admission.idempotency import get_claim
from api.admission.services import Services
from api.documents.batch_schemas import BatchFailureOut, BatchFailurePage, BatchIn, BatchOut, BatchPage
from api.http import sse
from api.http.cursors import decode_cursor, encode_cursor
from ingest.storage.accounts.records import Principal
from ingest.storage.queue.records import JobKind

router = APIRouter(prefix="/v1/batches", tags=["batches"])


@router.post("", status_code=201, response_model=BatchOut)
def create(body: BatchIn, request: Request, caller: Writer, served: Served, response: Response) -> BatchOut:
    """Make a batch, and send files into it with `POST /v1/documents?batch=…`; close it when all were sent.

    It is yours: others get `404`, but for admins. Others who are told its id can send files into it.
    """
    claim = get_claim(request)
    batch, _ = served.documents.batches.create(
        caller.tenant_id,
        name=body.name,
        expected=body.expected,
        idempotency_key=claim.id if claim else None,
        owner=caller.owner,
    )
    response.headers["Location"] = f"/v1/batches/{batch.id}"
    return BatchOut.from_progress(served.documents.batches.load_progress(caller.tenant_id, batch.id))


@router.get("")
def listing(
    caller: Caller,
    served: Served,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    cursor: str | None = None,
) -> BatchPage:
    """List your batches, newest first, a page at a time; an admin sees everybody's."""
    before = None if cursor is None else decode_cursor(cursor)
    found = served.documents.batches.list_latest(
        caller.tenant_id, before=before, limit=limit + 1, owner=caller.visible_owner
    )
    page = found[:limit]
    more = encode_cursor(page[-1].batch.sequence) if len(found) > limit else None
    return BatchPage(batches=[BatchOut.from_progress(batch) for batch in page], next_cursor=more)


@router.get("/{batch_id}")
def one(batch_id: str, caller: Caller, served: Served) -> BatchOut:
    """Show a batch and the state of its files so far."""
    return BatchOut.from_progress(
        served.documents.batches.load_progress(caller.tenant_id, batch_id, caller.visible_owner)
    )


@router.get("/{batch_id}/events", response_class=AnyResponse, responses={200: {"content": {sse.MEDIA_TYPE: {}}}})
async def events(
    batch_id: str,
    caller: Caller,
    current: Follower,
    served: Served,
    place: HeldPlace,
    streams: Streams,
    last_event_id: Annotated[str | None, Header()] = None,
) -> AnyResponse:
    """Stream the batch as server-sent events, until it is completed or cancelled: `snapshot`, `progress`, last `end`.

    Each event carries the content of `GET /v1/batches/{id}`. `Last-Event-ID` works on every server and after any time.
    """
    # guard: stream-limit
    await place.move_to(streams)
    return await sse.stream_updates(_build_source(served, caller.tenant_id, current, batch_id), last_event_id)


@router.get("/{batch_id}/failures")
def failures(
    batch_id: str,
    caller: Caller,
    served: Served,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    cursor: str | None = None,
) -> BatchFailurePage:
    """List files that were refused or whose documents failed, with the reason and what to do, a page at a time."""
    found = served.documents.batches.list_failures(
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
def close(batch_id: str, caller: Writer, served: Served) -> BatchOut:
    """Declare that all files were sent: the batch takes no more, and is completed when each is at an end."""
    return BatchOut.from_progress(served.documents.batches.close(caller.tenant_id, batch_id, caller.visible_owner))


@router.post("/{batch_id}/cancel")
def cancel(batch_id: str, caller: Writer, served: Served) -> BatchOut:
    """Take no more files and stop the processing of those that are not ready; ready ones stay.

    When this answers, no more of them will become searchable. Files whose bytes were there before the batch, or that
    another batch has too, go on, and so do documents that are closed to the caller. `409` when the batch is completed.
    """
    cancelled = served.documents.batches.cancel(
        caller.tenant_id, batch_id, readers=caller.readers, owner=caller.visible_owner
    )
    served.work.doorbell.ring(JobKind.COLLECT)
    return BatchOut.from_progress(cancelled)


def _build_source(served: Services, tenant_id: str, current: CurrentCaller, batch_id: str) -> sse.StreamSource:
    def load_state(caller: Principal) -> sse.State:
        found = served.documents.batches.load_progress(tenant_id, batch_id, caller.visible_owner)
        return sse.State(BatchOut.from_progress(found).model_dump(mode="json"), found.ended)

    return sse.StreamSource(
        caller=current,
        look=load_state,
        watch=lambda wake: served.events.feed.watch(tenant_id, None, wake),
        going_on=lambda: served.accepting,
    )
