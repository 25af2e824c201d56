"""`/v1/usage` and `/v1/quotas`: what was used by day and key, and what is left; limits of keys and tenants."""

import calendar
import time
from typing import Annotated

from fastapi import APIRouter, Query

from api.admission.access import Admin, Caller, Operator, Served, get_account
from api.admission.services import Services
from api.http.cursors import decode_cursor, encode_cursor
from api.http.problems import BadRequestError
from api.http.wire import QuotaOut
from api.usage.schemas import (
    ChannelUsageOut,
    ChannelUsagePage,
    CollectionUsageList,
    CollectionUsageOut,
    KeyUsageOut,
    QuotasIn,
    QuotasOut,
    UsagePage,
)
from ingest.storage.accounts.records import Scope
from ingest.storage.quotas.records import Account

router = APIRouter(prefix="/v1", tags=["usage"])

_DAY_SECONDS = 86_400
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
    found = served.admission.meter.quotas.list_usage(
        caller.tenant_id, key_id=seen, since=since, until=until, skip=skip, limit=limit + 1
    )
    more = encode_cursor(skip + limit) if len(found) > limit else None
    return UsagePage(usage=[KeyUsageOut.from_day(day) for day in found[:limit]], next_cursor=more)


@router.get("/usage/collections")
def collection_usage(
    caller: Caller, served: Served, since: Day = "0000-01-01", until: Day = "9999-12-31"
) -> CollectionUsageList:
    """Show what was asked of each collection in these days of UTC, as far as answers and runs are kept.

    A question counts in each collection of which it was given documents, with all of its tokens. An admin sees the
    questions of everybody, and everybody else their own, of collections that they may see.
    """
    found = served.usage.by_collection.sum_usage(
        caller.tenant_id, owner=caller.visible_owner, since=_parse_day(since), until=_parse_day(until) + _DAY_SECONDS
    )
    shown = [each for each in found if caller.collections.can_read(each.collection)]
    return CollectionUsageList(collections=[CollectionUsageOut.from_records(each) for each in shown])


@router.get("/usage/slack")
def slack_usage(
    caller: Admin,
    served: Served,
    since: Day = "0000-01-01",
    until: Day = "9999-12-31",
    channel: Annotated[str | None, Query(max_length=32)] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
    cursor: str | None = None,
) -> ChannelUsagePage:
    """List what was asked and shared in Slack by day of UTC and channel, the newest day first, a page at a time."""
    skip = decode_cursor(cursor)
    found = served.usage.by_channel.list_days(
        caller.tenant_id, channel=channel, since=since, until=until, skip=skip, limit=limit + 1
    )
    more = encode_cursor(skip + limit) if len(found) > limit else None
    return ChannelUsagePage(usage=[ChannelUsageOut.from_records(each) for each in found[:limit]], next_cursor=more)


@router.get("/quotas")
def quotas(caller: Caller, served: Served) -> QuotasOut:
    """Show the limits of the caller's tenant and key, and what is left of them.

    Requests by the minute are told by the `RateLimit` header of every response instead.
    """
    return _load_quotas(served, get_account(caller))


@router.get("/keys/{key_id}/quotas")
def key_quotas(key_id: str, caller: Admin, served: Served) -> QuotasOut:
    """Show the limits of a key of the tenant, and of the tenant, and what is left of them."""
    return _load_quotas(served, _load_account(served, caller.tenant_id, key_id))


@router.put("/keys/{key_id}/quotas")
def set_key_quotas(key_id: str, body: QuotasIn, caller: Admin, served: Served) -> QuotasOut:
    """Set limits of a key of the tenant; those that are not named stay as they are."""
    account = _load_account(served, caller.tenant_id, key_id)
    _set_quotas(served, account, body)
    return _load_quotas(served, account)


@router.get("/tenants/{tenant_id}/quotas")
def tenant_quotas(tenant_id: str, caller: Operator, served: Served) -> QuotasOut:
    """Show the limits of a tenant, by its id or its name, and what is left of them."""
    return _load_quotas(served, Account(served.accounts.tenants.load_tenant(tenant_id).id))


@router.put("/tenants/{tenant_id}/quotas")
def set_tenant_quotas(tenant_id: str, body: QuotasIn, caller: Operator, served: Served) -> QuotasOut:
    """Set limits of a tenant, by its id or its name; those that are not named stay as they are."""
    account = Account(served.accounts.tenants.load_tenant(tenant_id).id)
    _set_quotas(served, account, body)
    return _load_quotas(served, account)


def _parse_day(day: str) -> float:
    """Return when a day of UTC begins. Raises `BadRequestError` for one that is in no calendar."""
    try:
        return calendar.timegm(time.strptime(day, "%Y-%m-%d"))
    except ValueError as error:
        if day.startswith("0000"):  # before all days
            return 0.0
        raise BadRequestError(f"{day} is no day.", hint="Write YEAR-MONTH-DAY, such as 2026-11-28.") from error


def _load_account(served: Services, tenant_id: str, key_id: str) -> Account:
    """Return the account of a key. Raises `KeyNotFoundError`."""
    return Account(tenant_id, served.keys.load_key(tenant_id, key_id).id)


def _set_quotas(served: Services, account: Account, body: QuotasIn) -> None:
    limits, back = body.split_changes()
    served.admission.meter.quotas.set_limits(account, limits)
    served.admission.meter.quotas.reset_limits(account, back)


def _load_quotas(served: Services, account: Account) -> QuotasOut:
    return QuotasOut(
        quotas=[QuotaOut.from_standing(each) for each in served.admission.meter.quotas.load_statuses(account)]
    )
