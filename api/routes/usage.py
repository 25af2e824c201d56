"""`/v1/usage` and `/v1/quotas`: what was used by day and key, and what is left."""

from typing import Annotated

from fastapi import APIRouter, Query

from api.access import Caller, Served, account_of
from api.cursors import decode_cursor, encode_cursor
from api.quota_schemas import QuotaOut, QuotasOut, UsageOut, UsagePage
from ingest.identity import Scope

router = APIRouter(prefix="/v1", tags=["usage"])

Day = Annotated[str, Query(pattern=r"^\d{4}-\d{2}-\d{2}$")]


@router.get("/usage")
def usage(
    caller: Caller,
    served: Served,
    since: Day = "0000-01-01",
    until: Day = "9999-12-31",
    key: Annotated[str | None, Query(max_length=32)] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
    cursor: str | None = None,
) -> UsagePage:
    """List usage by day of UTC and key, the newest day first, a page at a time.

    An admin sees all keys of the tenant, and everybody else their own.
    """
    seen = key if Scope.ADMIN in caller.scopes else caller.key_id or ""
    skip = decode_cursor(cursor)
    found = served.meter.quotas.usage(
        caller.tenant_id, key_id=seen, since=since, until=until, skip=skip, limit=limit + 1
    )
    more = encode_cursor(skip + limit) if len(found) > limit else None
    return UsagePage(usage=[UsageOut.of_day(day) for day in found[:limit]], next_cursor=more)


@router.get("/quotas")
def quotas(caller: Caller, served: Served) -> QuotasOut:
    """Show the limits of the caller's tenant and key, and what is left of them.

    Requests by the minute are told by the `RateLimit` header of every response instead.
    """
    standings = served.meter.quotas.standings(account_of(caller))
    return QuotasOut(quotas=[QuotaOut.of_standing(each) for each in standings])
