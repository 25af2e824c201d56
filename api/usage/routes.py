"""`/v1/usage` and `/v1/quotas`: usage by day and key, and the quotas of keys and tenants."""

import calendar
import time
from collections.abc import Mapping
from typing import Annotated

from fastapi import APIRouter, Query

from api.admission.access import Admin, Caller, Operator, ServicesDep, get_account
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
    LimitOut,
    QuotasIn,
    QuotasOut,
    UsagePage,
)
from ingest.storage.accounts.records import Scope
from ingest.storage.quotas.records import Account, Quota

router = APIRouter(prefix="/v1", tags=["usage"])

_DAY_SECONDS = 86_400
Day = Annotated[str, Query(pattern=r"^\d{4}-\d{2}-\d{2}$")]


@router.get("/usage")
def get_usage(
    caller: Caller,
    services: ServicesDep,
    since: Day = "0000-01-01",
    until: Day = "9999-12-31",
    key: Annotated[str | None, Query(max_length=32)] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
    cursor: str | None = None,
) -> UsagePage:
    """List usage by UTC day and key, newest day first. Paginated.

    An admin sees all keys of the tenant; other users see only their own.
    """
    seen = key if Scope.ADMIN in caller.scopes else caller.key_id or ""
    skip = decode_cursor(cursor)
    found = services.admission.meter.quotas.list_usage(
        caller.tenant_id, key_id=seen, start_day=since, end_day=until, skip=skip, limit=limit + 1
    )
    more = encode_cursor(skip + limit) if len(found) > limit else None
    return UsagePage(usage=[KeyUsageOut.from_day(day) for day in found[:limit]], next_cursor=more)


@router.get("/usage/collections")
def get_collection_usage(
    caller: Caller, services: ServicesDep, since: Day = "0000-01-01", until: Day = "9999-12-31"
) -> CollectionUsageList:
    """Show usage by collection for a range of UTC days, as far back as answers and runs are stored.

    A question counts, with all its tokens, towards each collection whose documents it used. An admin sees the questions
    of all users; other users see their own, in collections that they may read.
    """
    found = services.usage.by_collection.sum_usage(
        caller.tenant_id,
        owner=caller.visible_owner,
        start_time=_parse_day(since),
        end_time=_parse_day(until) + _DAY_SECONDS,
    )
    shown = [each for each in found if caller.collections.can_read(each.collection)]
    return CollectionUsageList(collections=[CollectionUsageOut.from_records(each) for each in shown])


@router.get("/usage/slack")
def get_slack_usage(
    caller: Admin,
    services: ServicesDep,
    since: Day = "0000-01-01",
    until: Day = "9999-12-31",
    channel: Annotated[str | None, Query(max_length=32)] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
    cursor: str | None = None,
) -> ChannelUsagePage:
    """List questions and files in Slack by UTC day and channel, newest day first. Paginated."""
    skip = decode_cursor(cursor)
    found = services.usage.by_channel.list_days(
        caller.tenant_id, channel=channel, start_day=since, end_day=until, skip=skip, limit=limit + 1
    )
    more = encode_cursor(skip + limit) if len(found) > limit else None
    return ChannelUsagePage(usage=[ChannelUsageOut.from_records(each) for each in found[:limit]], next_cursor=more)


@router.get("/quotas")
def get_quotas(caller: Caller, services: ServicesDep) -> QuotasOut:
    """Show the quotas of your tenant and key, and how much of each remains.

    Quotas of requests per minute are not included; they are in the `RateLimit` header of every response.
    """
    return _load_quotas(services, get_account(caller))


@router.put("/quotas")
def set_own_quotas(body: QuotasIn, caller: Admin, services: ServicesDep) -> QuotasOut:
    """Set the quotas of your tenant, up to the limits of its operator. Omitted quotas do not change.

    `null` and `default` restore the limit of the operator.
    """
    limits, back = body.split_changes()
    quotas = services.admission.meter.quotas
    allowed = quotas.load_allowed_limits(caller.tenant_id)
    for quota, amount in limits.items():
        if amount is not None and amount > allowed.get(quota, amount):
            highest = quota.format_amount(allowed[quota])
            raise BadRequestError(
                f"{quota}: the operator of this installation allows at most {highest}.",
                hint=f"Set at most {highest}, or ask an operator to raise the limit with `leadline quotas set`.",
            )
    if changes := {**limits, **dict.fromkeys(back)}:
        quotas.set_own_limits(caller.tenant_id, changes)
    return _load_quotas(services, get_account(caller))


@router.get("/keys/{key_id}/quotas")
def get_key_quotas(key_id: str, caller: Admin, services: ServicesDep) -> QuotasOut:
    """Show the quotas of a key and its tenant, and how much of each remains."""
    return _load_quotas(services, _load_account(services, caller.tenant_id, key_id))


@router.put("/keys/{key_id}/quotas")
def set_key_quotas(key_id: str, body: QuotasIn, caller: Admin, services: ServicesDep) -> QuotasOut:
    """Set the quotas of a key. Omitted quotas do not change."""
    account = _load_account(services, caller.tenant_id, key_id)
    _set_quotas(services, account, body)
    return _load_quotas(services, account)


@router.get("/tenants/{tenant_id}/quotas")
def get_tenant_quotas(tenant_id: str, caller: Operator, services: ServicesDep) -> QuotasOut:
    """Show the quotas of a tenant, by id or name, and how much of each remains."""
    return _load_quotas(services, Account(services.accounts.tenants.load_tenant(tenant_id).id))


@router.put("/tenants/{tenant_id}/quotas")
def set_tenant_quotas(tenant_id: str, body: QuotasIn, caller: Operator, services: ServicesDep) -> QuotasOut:
    """Set the quotas of a tenant, by id or name. Omitted quotas do not change."""
    account = Account(services.accounts.tenants.load_tenant(tenant_id).id)
    _set_quotas(services, account, body)
    return _load_quotas(services, account)


def _parse_day(day: str) -> float:
    """Return the start of a UTC day as a timestamp. Raises `BadRequestError` if the day does not exist."""
    try:
        return calendar.timegm(time.strptime(day, "%Y-%m-%d"))
    except ValueError as error:
        if day.startswith("0000"):  # The default start, which is earlier than any usage.
            return 0.0
        raise BadRequestError(f"{day} is not a valid date.", hint="Use YYYY-MM-DD, such as 2026-11-28.") from error


def _load_account(services: Services, tenant_id: str, key_id: str) -> Account:
    """Return the account of a key. Raises `KeyNotFoundError` if there is no such key."""
    return Account(tenant_id, services.keys.load_key(tenant_id, key_id).id)


def _set_quotas(services: Services, account: Account, body: QuotasIn) -> None:
    limits, back = body.split_changes()
    # Each call adds an entry to the audit log, so nothing is called for nothing.
    if limits:
        services.admission.meter.quotas.set_limits(account, limits)
    if back:
        services.admission.meter.quotas.reset_limits(account, back)


def _load_quotas(services: Services, account: Account) -> QuotasOut:
    quotas = services.admission.meter.quotas
    allowed, used = quotas.load_allowed_limits(account.tenant_id), quotas.load_used_amounts(account)
    return QuotasOut(
        quotas=[QuotaOut.from_status(each) for each in quotas.load_statuses(account)],
        limits=[
            LimitOut(
                quota=quota,
                of=of,
                limit=_to_number(quota, limits),
                default=_to_number(quota, defaults),
                allowed=_to_number(quota, allowed if of == "tenant" else {}),
                used=_to_number(quota, used[of]),
            )
            for of, limits in quotas.load_limits(account).items()
            for defaults in [quotas.get_default_limits(of)]
            for quota in Quota
        ],
    )


def _to_number(quota: Quota, limits: Mapping[Quota, int]) -> float | int | None:
    return quota.to_json_number(limits[quota]) if quota in limits else None
