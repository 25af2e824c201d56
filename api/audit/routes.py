"""`/v1/audit`: the log of who did what in the caller's tenant."""

import json
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Response
from fastapi.responses import StreamingResponse

from api.admission.access import Admin, Served
from api.audit.schemas import AuditEntryOut, AuditPage, VerificationOut
from api.http.cursors import decode_cursor, encode_cursor
from api.http.problems import BadRequestError
from ingest.storage.accounts.records import Principal
from ingest.storage.audit.records import Anchor
from ingest.storage.audit.store import AuditFilter

router = APIRouter(prefix="/v1/audit", tags=["audit"])

_LINES = "application/x-ndjson"


@router.get("")
def listing(
    caller: Admin,
    served: Served,
    action: Annotated[str | None, Query(max_length=64)] = None,
    object: Annotated[str | None, Query(max_length=200)] = None,
    by: Annotated[str | None, Query(max_length=200)] = None,
    since: datetime | None = None,
    until: datetime | None = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    cursor: str | None = None,
) -> AuditPage:
    """List who did what in this tenant, newest first, a page at a time.

    `action` is such as `document.deleted`, `object` such as `document:` and its id, and `by` the id of the key or the
    name of the user who did it.
    """
    wanted = _build_filter(caller, action, object, by, since, until)
    before = decode_cursor(cursor) if cursor else None
    found = served.events.audit.list_latest(wanted, before=before, limit=limit + 1)
    more = encode_cursor(found[limit - 1].sequence) if len(found) > limit else None
    return AuditPage(entries=[AuditEntryOut.from_records(entry) for entry in found[:limit]], next_cursor=more)


@router.get("/verification")
def verification(
    caller: Admin, served: Served, anchor: Annotated[str | None, Query(max_length=100)] = None
) -> VerificationOut:
    """Check the whole log of the installation: nothing in it was changed, removed, swapped or inserted.

    `entries` counts those of your tenant, and `head` is the last of them. `anchor` is a head that an export or an
    earlier check showed: with it, an end that was cut off is found too. Note `head` where nobody who can write to the
    database can change it.
    """
    try:
        noted = None if anchor is None else Anchor.parse(anchor)
    except ValueError as error:
        raise BadRequestError("The anchor is no number and hash.", hint="Send a `head` as it was shown.") from error
    return VerificationOut.from_verification(served.events.audit.verify_for_tenant(caller.tenant_id, noted))


@router.get("/export", response_class=StreamingResponse, responses={200: {"content": {_LINES: {}}}})
def export(
    caller: Admin,
    served: Served,
    action: Annotated[str | None, Query(max_length=64)] = None,
    object: Annotated[str | None, Query(max_length=200)] = None,
    by: Annotated[str | None, Query(max_length=200)] = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Response:
    """Download the tenant's log, or what the filters leave of it, oldest entry first, one JSON a line.

    The header `Leadline-Audit-Head` names the last of the tenant's entries: note it to find a cut end later.
    """
    wanted, head = (
        _build_filter(caller, action, object, by, since, until),
        served.events.audit.load_tenant_head(caller.tenant_id),
    )
    entries = served.events.audit.iter_entries(wanted, through=head.sequence)
    headers = {"Content-Disposition": 'attachment; filename="audit.jsonl"', "Leadline-Audit-Head": str(head)}
    lines = (json.dumps(entry.to_json()) + "\n" for entry in entries)
    return StreamingResponse(lines, media_type=_LINES, headers=headers)


def _build_filter(
    caller: Principal,
    action: str | None,
    object: str | None,
    by: str | None,
    since: datetime | None,
    until: datetime | None,
) -> AuditFilter:
    return AuditFilter(
        caller.tenant_id,
        action=action,
        object=object,
        by=by,
        since=None if since is None else since.timestamp(),
        until=None if until is None else until.timestamp(),
    )
