"""`/v1/audit`: the log of who did what in the caller's tenant."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query

from api.access import Admin, Served
from api.audit_schemas import AuditEntryOut, AuditPage
from api.cursors import decode_cursor, encode_cursor
from ingest.catalog.audit import AuditFilter

router = APIRouter(prefix="/v1/audit", tags=["audit"])


@router.get("")
def listing(
    caller: Admin,
    served: Served,
    action: Annotated[str | None, Query(max_length=64)] = None,
    object: Annotated[str | None, Query(max_length=200)] = None,
    since: datetime | None = None,
    until: datetime | None = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    cursor: str | None = None,
) -> AuditPage:
    """List who did what in this tenant, newest first, a page at a time.

    `action` is such as `document.deleted`, `object` such as `document:` and its id.
    """
    wanted = AuditFilter(
        caller.tenant_id,
        action=action,
        object=object,
        since=None if since is None else since.timestamp(),
        until=None if until is None else until.timestamp(),
    )
    before = decode_cursor(cursor) if cursor else None
    found = served.audit.latest(wanted, before=before, limit=limit + 1)
    more = encode_cursor(found[limit - 1].sequence) if len(found) > limit else None
    return AuditPage(entries=[AuditEntryOut.of(entry) for entry in found[:limit]], next_cursor=more)
