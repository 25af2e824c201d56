"""`/v1/documents`: listings, and one action on many documents: planned first, and then done in steps."""

import time
from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Depends, Query

from api.admission.access import Caller, Served, Writer
from api.admission.services import Services
from api.documents.listing_schemas import BulkIn, BulkPlanOut, BulkStepOut, RefusedOut, parse_document_filter
from api.documents.schemas import DocumentOut, DocumentPage
from api.http.cursors import (
    build_cursor_error,
    decode_cursor,
    decode_position_cursor,
    decode_text_cursor,
    encode_cursor,
    encode_position_cursor,
    encode_text_cursor,
)
from api.http.problems import build_problem
from ingest.storage.accounts.records import Principal
from ingest.storage.documents.listing import DocumentFilter, ListingCursor, ListTotal
from ingest.storage.documents.metadata import require_readers
from ingest.storage.documents.records import DocumentChange, ListOrder
from ingest.storage.errors import DocumentNotFoundError, LeadlineError
from ingest.storage.queue.records import JobKind, JobPriority

router = APIRouter(prefix="/v1/documents", tags=["documents"])

_BY_ARRIVAL = frozenset({ListOrder.OLDEST, ListOrder.NEWEST})
_BY_TEXT = frozenset({ListOrder.NAME, ListOrder.NAME_DOWN})
# A step is answered before a client gives up on it, however large its documents are.
_STEP_DOCUMENTS, _STEP_SECONDS = 100, 5.0
_NOTHING = ListTotal(0, 0, 0, 0)


@router.get("")
def listing(
    caller: Caller,
    served: Served,
    wanted: Annotated[DocumentFilter, Depends(parse_document_filter)],
    order: ListOrder = ListOrder.OLDEST,
    with_total: bool = False,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    cursor: str | None = None,
) -> DocumentPage:
    """List documents in order of arrival or another one, a page at a time.

    `batch` lists those of a batch, `container` the entries of that archive, mailbox or message, `with_omissions` those
    whose text leaves something of their file out, `type` those of media types such as `application/pdf`, and `named`
    those with these characters in their name or title, in upper or lower case. A cursor goes on in the order it was
    given out in. `with_total` counts all of them.
    """
    if wanted.batch is not None:
        served.documents.batches.load_progress(caller.tenant_id, wanted.batch, caller.visible_owner)
    found = served.documents.catalog.listing.list_page(
        caller.tenant_id, wanted, caller.readers, order=order, after=_decode_position(cursor, order), limit=limit + 1
    )
    page, place = [document for document, _ in found[:limit]], found[limit - 1][1] if len(found) > limit else None
    return DocumentPage(
        documents=[DocumentOut.from_document(document) for document in page],
        next_cursor=None if place is None else _encode_position(place, order),
        total=served.documents.catalog.listing.count(caller.tenant_id, wanted, caller.readers) if with_total else None,
    )


@router.post("/bulk/plan")
def plan(body: BulkIn, caller: Writer, served: Served) -> BulkPlanOut:
    """Say what an action on many documents would do, and do nothing."""
    listing, affected = served.documents.catalog.listing, body.build_affected_filter()
    chosen = listing.count(caller.tenant_id, body.build_filter(), caller.readers)
    total = _NOTHING if affected is None else listing.compute_total(caller.tenant_id, affected, caller.readers)
    return BulkPlanOut.from_totals(total, chosen, _encode_span(0, total.through))


@router.post("/bulk")
def act(body: BulkIn, caller: Writer, served: Served) -> BulkStepOut:
    """Delete documents, retry what failed, cancel what is under way, or change who may see them: one step of it.

    A step takes some seconds at most and says how to go on. Documents that came after the plan are left alone, and so
    is what is not there any more.
    """
    affected, act_on = body.build_affected_filter(), _build_action(body, caller, served)
    if affected is None:
        return BulkStepOut(done=0, refused=[], next_cursor=None)
    if body.cursor is None:
        after, through = (
            0,
            served.documents.catalog.listing.compute_total(caller.tenant_id, affected, caller.readers).through,
        )
    else:
        after, through = _decode_span(body.cursor)
    found = served.documents.catalog.listing.list_ids(
        caller.tenant_id, affected, caller.readers, after=after, through=through, limit=_STEP_DOCUMENTS + 1
    )
    done, refused, until = 0, list[RefusedOut](), time.monotonic() + _STEP_SECONDS
    for at, (sequence, identifier) in enumerate(found):
        if at == _STEP_DOCUMENTS or time.monotonic() > until:
            break
        after = sequence
        try:
            act_on(identifier)
        except DocumentNotFoundError:
            continue
        except LeadlineError as error:
            refused.append(RefusedOut(id=identifier, problem=build_problem(error)))
        else:
            done += 1
    _ring_doorbell(body, served)
    more = bool(found) and found[-1][0] > after
    return BulkStepOut(done=done, refused=refused, next_cursor=_encode_span(after, through) if more else None)


def _build_action(body: BulkIn, caller: Principal, served: Services) -> Callable[[str], object]:
    """Return what the action does with a document. Raises `MetadataError` for readers that are none."""
    tenant, readers = caller.tenant_id, caller.readers
    if body.action == "retry":
        return lambda identifier: served.work.intake.retry(
            tenant,
            identifier,
            sender=readers,
            collections=caller.collections,
            key_id=caller.key_id or "",
            priority=JobPriority.BULK,
        )
    if body.action == "readers":
        chosen = None if body.readers is None else require_readers(body.readers)
        change = DocumentChange(readers=chosen, changed=frozenset({"readers"}))

        def set_readers(identifier: str) -> None:
            # guard: bulk-readers-writable
            require_writable(served, caller, identifier)
            served.documents.catalog.change(tenant, identifier, change, None, caller=caller)
            served.work.settle(identifier)

        return set_readers

    def delete_or_cancel(identifier: str) -> None:
        require_writable(served, caller, identifier)
        if body.action == "delete":
            served.work.delete(tenant, identifier, readers)
        else:
            served.documents.catalog.cancel(tenant, identifier, readers=readers)

    return delete_or_cancel


def _ring_doorbell(body: BulkIn, served: Services) -> None:
    if body.action == "retry":
        served.work.doorbell.ring(JobKind.INGEST)
    elif body.action in ("delete", "cancel"):
        served.work.doorbell.ring(JobKind.COLLECT)


def require_writable(served: Services, caller: Principal, document_id: str) -> None:
    """Raise `RoleMissingError` for a document of a collection that the caller may only read."""
    if caller.collections.read_only:
        document = served.documents.catalog.load_document(caller.tenant_id, document_id, readers=caller.readers)
        caller.collections.require_writable(document.collection)


def _decode_position(cursor: str | None, order: ListOrder) -> ListingCursor:
    if order in _BY_ARRIVAL:
        return ListingCursor(decode_cursor(cursor))
    return decode_position_cursor(cursor, of=str if order in _BY_TEXT else int)


def _encode_position(place: ListingCursor, order: ListOrder) -> str:
    return encode_cursor(place.sequence) if order in _BY_ARRIVAL else encode_position_cursor(place)


def _encode_span(after: int, through: int) -> str:
    return encode_text_cursor(f"{after}:{through}")


def _decode_span(cursor: str) -> tuple[int, int]:
    after, _, through = decode_text_cursor(cursor).partition(":")
    if not all(each.isascii() and each.isdecimal() and len(each) < 19 for each in (after, through)):
        raise build_cursor_error(cursor)
    return int(after), int(through)
