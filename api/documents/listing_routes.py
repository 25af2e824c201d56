"""`/v1/documents`: listings, and bulk actions, which are planned first and then run step by step."""

import time
from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Depends, Query

from api.admission.access import Caller, ServicesDep, Writer
from api.admission.services import Services
from api.documents.bulk_schemas import BulkPlanOut, BulkStepOut, RefusedOut
from api.documents.listing_schemas import BulkIn, parse_document_filter
from api.documents.readers import find_readers
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
from ingest.storage.documents.listing import DocumentFilter, ListingCursor, ListingTotal
from ingest.storage.documents.records import DocumentChange, ListOrder
from ingest.storage.errors import DocumentNotFoundError, LeadlineError
from ingest.storage.queue.records import JobKind, JobPriority

router = APIRouter(prefix="/v1/documents", tags=["documents"])

_BY_ARRIVAL = frozenset({ListOrder.OLDEST, ListOrder.NEWEST})
_BY_TEXT = frozenset({ListOrder.NAME, ListOrder.NAME_DOWN})
# Limits of one step of a bulk action, in documents and seconds. The step must return before clients time out, even if
# the documents are large.
_STEP_DOCUMENTS, _STEP_SECONDS = 100, 5.0
_NOTHING = ListingTotal(0, 0, 0, 0)


@router.get("")
def list_documents(
    caller: Caller,
    services: ServicesDep,
    wanted: Annotated[DocumentFilter, Depends(parse_document_filter)],
    order: ListOrder = ListOrder.OLDEST,
    with_total: bool = False,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    cursor: str | None = None,
) -> DocumentPage:
    """List documents in order of arrival, or in another order. Paginated.

    Filter by `batch`, by `container` (entries of that archive, mailbox or message), by `with_omissions` (documents
    whose text omits part of their file), by `type` (media types such as `application/pdf`), and by `named` (a string
    that the name or title contains, ignoring case). `filters` are conditions on metadata and cards, as in a search: a
    JSON object such as `{"$card": {"kind": "contract", "periods": {"gte": 2022}}}`. A cursor is only valid for the
    order it was created for.
    `with_total` adds the total number of documents.
    """
    require_visible_batch(services, caller, wanted)
    found = services.documents.catalog.listing.list_page(
        caller.tenant_id, wanted, caller.readers, order=order, after=_decode_position(cursor, order), limit=limit + 1
    )
    page, place = [document for document, _ in found[:limit]], found[limit - 1][1] if len(found) > limit else None
    shown = services.contents.cards.load_document_cards(
        caller.tenant_id, [document.id for document in page], readers=caller.readers
    )
    return DocumentPage(
        documents=[DocumentOut.from_document(document, card=shown.get(document.id)) for document in page],
        next_cursor=None if place is None else _encode_position(place, order),
        total=services.documents.catalog.listing.count_documents(caller.tenant_id, wanted, caller.readers)
        if with_total
        else None,
    )


@router.post("/bulk/plan")
def plan_bulk_action(body: BulkIn, caller: Writer, services: ServicesDep) -> BulkPlanOut:
    """Show the effects of a bulk action without running it."""
    listing, affected = services.documents.catalog.listing, body.build_affected_filter()
    chosen = listing.count_documents(caller.tenant_id, body.build_filter(), caller.readers)
    total = _NOTHING if affected is None else listing.compute_listing_total(caller.tenant_id, affected, caller.readers)
    return BulkPlanOut.from_totals(total, chosen, _encode_span(0, total.through))


@router.post("/bulk")
def run_bulk_action(body: BulkIn, caller: Writer, services: ServicesDep) -> BulkStepOut:
    """Run one step of a bulk action: delete, retry, cancel or move documents, or change their readers.

    A step takes a few seconds at most and returns a cursor for the next step. Documents added after the plan are not
    affected, and documents that no longer exist are skipped.
    """
    affected, act_on = body.build_affected_filter(), _build_bulk_action(body, caller, services)
    if affected is None:
        return BulkStepOut(done=0, refused=[], next_cursor=None)
    if body.cursor is None:
        after, through = (
            0,
            services.documents.catalog.listing.compute_listing_total(
                caller.tenant_id, affected, caller.readers
            ).through,
        )
    else:
        after, through = _decode_span(body.cursor)
    found = services.documents.catalog.listing.list_sequences_and_ids(
        caller.tenant_id, affected, caller.readers, after=after, last_sequence=through, limit=_STEP_DOCUMENTS + 1
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
    _notify_workers(body, services)
    more = bool(found) and found[-1][0] > after
    return BulkStepOut(done=done, refused=refused, next_cursor=_encode_span(after, through) if more else None)


def _build_bulk_action(body: BulkIn, caller: Principal, services: Services) -> Callable[[str], object]:
    """Return a function that applies the bulk action to one document.

    Raises `MetadataError` for invalid readers, and `CollectionNotFoundError` or `RoleMissingError` if the caller may
    not write in the collection to which documents should be moved.
    """
    tenant, readers = caller.tenant_id, caller.readers
    if body.action == "retry":
        return lambda identifier: services.work.intake.retry_document(
            tenant,
            identifier,
            sender=readers,
            collections=caller.collections,
            key_id=caller.key_id or "",
            priority=JobPriority.BULK,
        )
    if body.action in ("readers", "move"):
        change = _build_access_change(body, caller, services)

        def change_access(identifier: str) -> None:
            # guard: bulk-readers-writable
            require_writable_document(services, caller, identifier)
            if body.action == "move":
                document = services.documents.catalog.load_document(tenant, identifier, readers=readers)
                if document.collection == body.collection:  # an entry, which moved with its container in this step
                    services.work.settle(identifier)
                    return
            services.documents.catalog.change_document(tenant, identifier, change, None, caller=caller)
            services.work.settle(identifier)

        if body.collection is not None:
            caller.collections.require_writable(body.collection)
            services.documents.collections.require_collections(tenant, [body.collection], readers=readers)
        return change_access

    def delete_or_cancel(identifier: str) -> None:
        require_writable_document(services, caller, identifier)
        if body.action == "delete":
            services.work.delete(tenant, identifier, readers)
        else:
            services.documents.catalog.cancel_latest_version(tenant, identifier, readers=readers)

    return delete_or_cancel


def _build_access_change(body: BulkIn, caller: Principal, services: Services) -> DocumentChange:
    """Build the change of the action `readers` or `move`. Raises `MetadataError` for invalid readers."""
    if body.collection is not None:
        return DocumentChange(collection=body.collection, changed=frozenset({"collection"}))
    chosen = None if body.readers is None else find_readers(services, caller, body.readers)
    return DocumentChange(readers=chosen, changed=frozenset({"readers"}))


def _notify_workers(body: BulkIn, services: Services) -> None:
    if body.action == "retry":
        services.work.doorbell.notify(JobKind.INGEST)
    elif body.action in ("delete", "cancel"):
        services.work.doorbell.notify(JobKind.COLLECT)


def require_visible_batch(services: Services, caller: Principal, filters: DocumentFilter) -> None:
    """Raise `BatchNotFoundError` if the filter has a batch that the caller may not see."""
    if filters.batch is not None:
        services.documents.batches.load_progress(caller.tenant_id, filters.batch, caller.visible_owner)


def require_writable_document(services: Services, caller: Principal, document_id: str) -> None:
    """Raise `RoleMissingError` if the caller has only read access to the document's collection."""
    if caller.collections.read_only:
        document = services.documents.catalog.load_document(caller.tenant_id, document_id, readers=caller.readers)
        caller.collections.require_writable(document.collection)


def _decode_position(cursor: str | None, order: ListOrder) -> ListingCursor:
    if order in _BY_ARRIVAL:
        return ListingCursor(decode_cursor(cursor))
    return decode_position_cursor(cursor, value_type=str if order in _BY_TEXT else int)


def _encode_position(position: ListingCursor, order: ListOrder) -> str:
    return encode_cursor(position.sequence) if order in _BY_ARRIVAL else encode_position_cursor(position)


def _encode_span(after_sequence: int, last_sequence: int) -> str:
    return encode_text_cursor(f"{after_sequence}:{last_sequence}")


def _decode_span(cursor: str) -> tuple[int, int]:
    after, _, through = decode_text_cursor(cursor).partition(":")
    if not all(each.isascii() and each.isdecimal() and len(each) < 19 for each in (after, through)):
        raise build_cursor_error(cursor)
    return int(after), int(through)
