"""`/v1/sources`: an admin manages sources whose documents stay in sync, and their syncs."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response

from api.admission.access import Admin, ServicesDep
from api.admission.services import Services
from api.http.cursors import decode_cursor, decode_text_cursor, encode_cursor, encode_text_cursor
from api.sources.checking import check_source
from api.sources.context import open_source_context
from api.sources.options import SplitOptions, find_kind, merge_options, parse_options
from api.sources.schemas import (
    ApprovalIn,
    SavedSourceCheckIn,
    SourceChangeIn,
    SourceCheckIn,
    SourceCheckOut,
    SourceIn,
    SourceKindList,
    SourceKindOut,
    SourceList,
    SourceOut,
    SyncedItemOut,
    SyncedItemPage,
    SyncOut,
    SyncPage,
)
from ingest.sources.packages import report_missing_packages
from ingest.sources.port import SourceKind
from ingest.sources.registry import SOURCE_KINDS
from ingest.storage.errors import SourceStateError
from ingest.storage.queue.records import JobKind
from ingest.storage.sources.records import NewSource, SourceChange, SourceRecord, SyncState

router = APIRouter(prefix="/v1", tags=["sources"])


@router.get("/source-kinds")
def list_source_kinds(caller: Admin) -> SourceKindList:
    """List the kinds of sources, with the JSON schema of their options."""
    return SourceKindList(kinds=[SourceKindOut.from_kind(SOURCE_KINDS[name]) for name in sorted(SOURCE_KINDS)])


@router.post("/sources", status_code=201)
def create_source(body: SourceIn, caller: Admin, services: ServicesDep, response: Response) -> SourceOut:
    """Create a source, and start its first sync. Credentials are stored encrypted, and never shown.

    The documents of its items go into the collection. `422` if an option is missing, invalid, or not permitted by the
    operator of the service. The source itself is not contacted: use `POST /v1/sources/check` first.
    """
    caller.collections.require_writable(body.collection)
    kind = find_kind(SOURCE_KINDS, body.kind)
    options = parse_options(kind, merge_options({}, body.options))
    _require_permitted(services, caller.tenant_id, kind, options)
    new = NewSource(
        body.collection,
        kind.name,
        body.name,
        options=options.shown,
        credentials=options.credentials,
        interval_seconds=body.interval_seconds,
        created_by=caller.owner,
    )
    source = services.sources.sources.create(caller.tenant_id, new)
    services.work.doorbell.notify(JobKind.SYNC)
    response.headers["Location"] = f"/v1/sources/{source.id}"
    return SourceOut.from_source(source)


@router.get("/sources")
def list_sources(caller: Admin, services: ServicesDep) -> SourceList:
    """List the tenant's sources without their credentials, oldest first, each with its last sync."""
    found = services.sources.sources.list_sources(caller.tenant_id)
    return SourceList(sources=[SourceOut.from_source(each) for each in found])


@router.post("/sources/check")
def check_new_source(body: SourceCheckIn, caller: Admin, services: ServicesDep) -> SourceCheckOut:
    """Check a source before it is saved: open it, list up to five items, and read the beginning of the first one.

    If the source cannot be synchronized, `failure` in the response says why. Nothing is stored.
    """
    kind = find_kind(SOURCE_KINDS, body.kind)
    return _check(services, caller.tenant_id, kind, parse_options(kind, merge_options({}, body.options)))


@router.get("/sources/{source_id}")
def get_source(source_id: str, caller: Admin, services: ServicesDep) -> SourceOut:
    """Show a source without its credentials, with its last sync."""
    return SourceOut.from_source(services.sources.sources.load(caller.tenant_id, source_id))


@router.patch("/sources/{source_id}")
def change_source(source_id: str, body: SourceChangeIn, caller: Admin, services: ServicesDep) -> SourceOut:
    """Change a source's name, options or interval, or pause or resume it.

    Omitted options and credentials stay as they are, and null resets an option to its default. New options take effect
    with the next sync. A paused source is synchronized only on request.
    """
    sources = services.sources.sources
    source = sources.load(caller.tenant_id, source_id)
    options, removed = None, dict[str, None]()
    if body.options is not None:
        kind, options = _merge(services, source, body.options)
        _require_permitted(services, caller.tenant_id, kind, options)
        removed = {name: None for name in source.credential_names if name not in options.credentials}
    change = SourceChange(
        name=body.name,
        options=None if options is None else options.shown,
        credentials=None if options is None else {**options.credentials, **removed},
        interval_seconds=body.interval_seconds,
        is_paused=body.paused,
    )
    return SourceOut.from_source(sources.change(caller.tenant_id, source_id, change))


@router.delete("/sources/{source_id}", status_code=204)
def delete_source(source_id: str, documents: Literal["keep", "remove"], caller: Admin, services: ServicesDep) -> None:
    """Delete a source. `documents` says whether its documents are kept, and no longer change, or are removed, too."""
    services.sources.sources.delete(caller.tenant_id, source_id, removes_documents=documents == "remove")
    services.work.doorbell.notify(JobKind.SYNC)


@router.post("/sources/{source_id}/check")
def check_existing_source(
    source_id: str, body: SavedSourceCheckIn, caller: Admin, services: ServicesDep
) -> SourceCheckOut:
    """Check a source as `POST /v1/sources/check` does, with its own options and credentials, or with changed ones."""
    source = services.sources.sources.load(caller.tenant_id, source_id)
    return _check(services, caller.tenant_id, *_merge(services, source, body.options))


@router.post("/sources/{source_id}/syncs", status_code=202)
def start_sync(source_id: str, caller: Admin, services: ServicesDep) -> SyncOut:
    """Synchronize a source now, even if it is paused. If a sync is in progress, it is returned."""
    sync = services.sources.sources.request_sync(caller.tenant_id, source_id)
    services.work.doorbell.notify(JobKind.SYNC)
    return SyncOut.from_sync(sync)


@router.get("/sources/{source_id}/syncs")
def list_syncs(
    source_id: str,
    caller: Admin,
    services: ServicesDep,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: str | None = None,
) -> SyncPage:
    """List the syncs of a source, newest first, with what each added, changed, removed and refused. Paginated."""
    before = decode_cursor(cursor) if cursor else None
    found = services.sources.sources.list_syncs(caller.tenant_id, source_id, before_number=before, limit=limit + 1)
    page = found[:limit]
    more = encode_cursor(page[-1].number) if len(found) > limit else None
    return SyncPage(syncs=[SyncOut.from_sync(each) for each in page], next_cursor=more)


@router.post("/sources/{source_id}/syncs/{sync_id}/approve", status_code=202)
def approve_sync(source_id: str, sync_id: str, body: ApprovalIn, caller: Admin, services: ServicesDep) -> SyncOut:
    """Let a sync in the state `needs_approval` remove its `pending_removals` documents.

    `409` if the number is another one, or if a later sync has ended.
    """
    sync = services.sources.sources.approve_removals(caller.tenant_id, source_id, sync_id, body.removals)
    services.work.doorbell.notify(JobKind.SYNC)
    return SyncOut.from_sync(sync)


@router.post("/sources/{source_id}/syncs/{sync_id}/cancel")
def cancel_sync(source_id: str, sync_id: str, caller: Admin, services: ServicesDep) -> SyncOut:
    """Cancel the sync in progress. What it has added and changed remains. `409` if it has ended otherwise."""
    latest = services.sources.sources.load(caller.tenant_id, source_id).last_sync
    if latest is not None and latest.id == sync_id and latest.state is SyncState.CANCELLED:
        return SyncOut.from_sync(latest)
    if latest is None or latest.id != sync_id:
        raise SourceStateError("This sync is not in progress.", hint="Load the source again.")
    return SyncOut.from_sync(services.sources.sources.cancel(caller.tenant_id, source_id))


@router.get("/sources/{source_id}/items")
def list_source_items(
    source_id: str,
    caller: Admin,
    services: ServicesDep,
    refused: bool = False,
    gone: bool = False,
    failed: bool = False,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    cursor: str | None = None,
) -> SyncedItemPage:
    """List the items of a source with their documents. Paginated.

    With `refused`, only those that were refused. With `gone`, only those that are no longer in the source, and whose
    documents are removed if the last sync, which is in the state `needs_approval`, is approved. With `failed`, only
    those whose document could not be processed after it was accepted.
    """
    found = services.sources.sources.list_items(
        caller.tenant_id,
        source_id,
        only_refused=refused,
        only_gone=gone,
        only_failed=failed,
        after_key=decode_text_cursor(cursor),
        limit=limit + 1,
    )
    page = found[:limit]
    more = encode_text_cursor(page[-1].key) if len(found) > limit else None
    return SyncedItemPage(items=[SyncedItemOut.from_item(each) for each in page], next_cursor=more)


def _merge(services: Services, source: SourceRecord, changes: dict[str, object]) -> tuple[SourceKind, SplitOptions]:
    """Return the kind of a source, and its options and credentials with changes."""
    kind = find_kind(SOURCE_KINDS, source.kind)
    credentials = services.sources.sources.load_credentials(source.tenant_id, source.id)
    return kind, parse_options(kind, merge_options({**source.options, **credentials}, changes))


def _check(services: Services, tenant_id: str, kind: SourceKind, options: SplitOptions) -> SourceCheckOut:
    with open_source_context(services.settings, tenant_id) as context:
        return SourceCheckOut.from_check(check_source(lambda: kind.build(options.parsed, context)))


def _require_permitted(services: Services, tenant_id: str, kind: SourceKind, options: SplitOptions) -> None:
    """Raise `SourceOptionsError` if the service does not permit the options. Nothing is contacted."""
    with open_source_context(services.settings, tenant_id) as context, report_missing_packages():
        kind.build(options.parsed, context).close()
