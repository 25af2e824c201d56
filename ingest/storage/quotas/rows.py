"""Reads and changes the database rows of quotas: spending, reservations and stored amounts."""

import calendar
import time
from collections.abc import Collection, Mapping
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, Subquery, case, delete, func, insert, literal, select, true, update

from ingest.storage.db.database import build_upsert, read_clock
from ingest.storage.db.schema import api_keys, quota_limits, reservations, stored_content, usage_days
from ingest.storage.quotas.records import DOLLAR_QUOTAS, TOKEN_QUOTAS, Account, Quota, Spending

Kind = Literal["answer", "run", "rewrite", "describe", "suggest"]

CONCURRENCY_QUOTAS: Mapping[Kind, Quota] = {"answer": Quota.ANSWERS_AT_ONCE, "run": Quota.RUNS_AT_ONCE}
SPENDING_FIELDS = ("calls", "prompt_tokens", "completion_tokens", "nanodollars")
TENANT_KEY_ID = ""
"""The key id of rows that count all keys of a tenant."""
OWN_LIMITS_ID = "admins"
"""The key id of limits that a tenant's admins set for it. No key has this id, because ids of keys are hexadecimal."""

_DAY_SECONDS = 86_400


def load_rotated_key_ids(connection: Connection, account: Account) -> frozenset[str]:
    """Load the ids of the account's key and of all its predecessors and successors in rotations.

    Rotated keys share one set of quotas.
    """
    rotated = select(api_keys.c.id, api_keys.c.successor_id).where(
        api_keys.c.tenant_id == account.tenant_id, api_keys.c.successor_id.is_not(None)
    )
    pairs = [(row.id, row.successor_id) for row in connection.execute(rotated).all()]
    found: set[str] = set()
    waiting = [account.key_id]
    while waiting:
        key = waiting.pop()
        if key not in found:
            found.add(key)
            waiting += [new for old, new in pairs if old == key] + [old for old, new in pairs if new == key]
    return frozenset(found)


def load_stored_amounts(connection: Connection, tenant_id: str, key_ids: Collection[str]) -> dict[Quota, int]:
    """Load the total amounts stored by these keys."""
    quotas = (Quota.DOCUMENTS, Quota.BYTES)
    columns = {quota: func.coalesce(func.sum(stored_content.c[quota.value]), 0) for quota in quotas}
    query = select(*columns.values()).where(
        stored_content.c.tenant_id == tenant_id, stored_content.c.key_id.in_(sorted(key_ids))
    )
    return dict(zip(columns, map(int, connection.execute(query).one()), strict=True))


def build_sums_query(account: Account, key_ids: Collection[str], instant: float) -> Any:  # noqa: ANN401 - a query of many columns
    """Build a query for one row with all amounts that count against the quotas of the tenant and of `key_ids`."""
    usage, held, stored = (
        _build_usage_query(account, key_ids, instant),
        _build_reserved_query(account, key_ids, instant),
        _build_stored_query(account, key_ids),
    )
    return select(*usage.c, *held.c, *stored.c).select_from(usage.join(held, true()).join(stored, true()))


def _build_usage_query(account: Account, key_ids: Collection[str], instant: float) -> Subquery:
    today = format_day(instant)
    spent = {"tokens": usage_days.c.prompt_tokens + usage_days.c.completion_tokens, "dollars": usage_days.c.nanodollars}
    of_key, of_day = usage_days.c.key_id.in_(sorted(key_ids)), usage_days.c.day == today
    columns = []
    for name, amount in spent.items():
        for of, whose in (("tenant", true()), ("key", of_key)):
            columns.append(_build_conditional_sum(amount, whose).label(f"{of}_{name}_per_month"))
            columns.append(_build_conditional_sum(amount, whose & of_day).label(f"{of}_{name}_per_day"))
    this_month = (usage_days.c.tenant_id == account.tenant_id) & (usage_days.c.day >= f"{today[:7]}-01")
    return select(*columns).where(this_month).subquery()


def _build_reserved_query(account: Account, key_ids: Collection[str], instant: float) -> Subquery:
    amounts = {
        "tokens": (reservations.c.tokens, TOKEN_QUOTAS),
        "nanodollars": (reservations.c.nanodollars, DOLLAR_QUOTAS),
    }
    columns = []
    for of, whose in (("tenant", true()), ("key", reservations.c.key_id.in_(sorted(key_ids)))):
        for amount, quotas in amounts.values():
            columns += [_build_conditional_sum(amount, whose).label(f"{of}_{quota}_reserved") for quota in quotas]
        for kind, quota in CONCURRENCY_QUOTAS.items():
            columns.append(_build_conditional_sum(1, whose & (reservations.c.kind == kind)).label(f"{of}_{quota}"))
    alive = reservations.c.expires_at.is_(None) | (reservations.c.expires_at > instant)
    return select(*columns).where(reservations.c.tenant_id == account.tenant_id, alive).subquery()


def _build_stored_query(account: Account, key_ids: Collection[str]) -> Subquery:
    columns = []
    for of, owners in (("tenant", [TENANT_KEY_ID]), ("key", sorted(key_ids))):
        for quota in (Quota.DOCUMENTS, Quota.BYTES):
            amount = stored_content.c[quota.value]
            columns.append(_build_conditional_sum(amount, stored_content.c.key_id.in_(owners)).label(f"{of}_{quota}"))
    return select(*columns).where(stored_content.c.tenant_id == account.tenant_id).subquery()


def _build_conditional_sum(amount: ColumnElement[int] | int, condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.coalesce(func.sum(case((condition, amount), else_=0)), 0)


def subtract_stored_amounts(
    connection: Connection, tenant_id: str, removed_amounts: Mapping[str, tuple[int, int]]
) -> None:
    """Subtract documents and bytes from the stored amounts of the tenant and of the keys that uploaded them.

    The tenant's row is locked first, as in `QuotaRules.add_stored_amounts`, to avoid deadlocks.
    """
    total = (
        sum(documents for documents, _ in removed_amounts.values()),
        sum(size for _, size in removed_amounts.values()),
    )
    for key_id, (documents, size) in [
        (TENANT_KEY_ID, total),
        *sorted((key, each) for key, each in removed_amounts.items() if key),
    ]:
        connection.execute(
            update(stored_content)
            .where(stored_content.c.tenant_id == tenant_id, stored_content.c.key_id == key_id)
            .values(build_increments(stored_content.c, documents=-documents, bytes=-size))
        )


def copy_limits(connection: Connection, tenant_id: str, key_id: str, successor_id: str) -> None:
    """Copy a key's limits to its successor."""
    of_key = (quota_limits.c.tenant_id == tenant_id) & (quota_limits.c.key_id == key_id)
    copied = select(literal(tenant_id), literal(successor_id), quota_limits.c.quota, quota_limits.c.amount)
    names = ["tenant_id", "key_id", "quota", "amount"]
    connection.execute(insert(quota_limits).from_select(names, copied.where(of_key)))


def charge_run(connection: Connection, run_id: str, spending: Spending) -> None:
    """Charge the spending of a run that ends in this transaction, and release its reservation.

    Repeating this is safe.
    """
    row = connection.execute(
        delete(reservations)
        .where(reservations.c.id == run_id)
        .returning(reservations.c.tenant_id, reservations.c.key_id)
    ).first()
    if row is not None:
        add_spending(connection, Account(*row), format_day(read_clock(connection)), "run", spending)


def add_spending(connection: Connection, account: Account, day: str, kind: Kind | None, spending: Spending) -> None:
    """Add spending to the usage of a day. For an answer or run, also increase the day's count of them."""
    counts = {f"{kind}s": 1} if kind in CONCURRENCY_QUOTAS else {}
    add_usage(connection, account, day, **counts, **vars(spending))


def charge_expired_reservations(connection: Connection, tenant_id: str, instant: float) -> None:
    """Charge the reported spending of expired reservations, and release them.

    A reservation expires if its process crashes.
    """
    _charge_reported_spending(connection, tenant_id, instant, reservations.c.expires_at <= instant)


def charge_lost_reservation(connection: Connection, tenant_id: str, reservation_id: str) -> None:
    """Charge the reported spending of a reservation whose process no longer works on it, and release it."""
    _charge_reported_spending(connection, tenant_id, read_clock(connection), reservations.c.id == reservation_id)


def _charge_reported_spending(
    connection: Connection, tenant_id: str, instant: float, condition: ColumnElement[bool]
) -> None:
    expired = connection.execute(
        delete(reservations)
        .where(reservations.c.tenant_id == tenant_id, condition)
        .returning(
            reservations.c.key_id, reservations.c.kind, *(reservations.c[f"spent_{name}"] for name in SPENDING_FIELDS)
        )
    ).all()
    for key_id, kind, *spent in sorted(map(tuple, expired)):
        add_spending(connection, Account(tenant_id, key_id), format_day(instant), kind, Spending(*spent))


def add_usage(connection: Connection, account: Account, day: str, **amounts: int) -> None:
    """Add amounts to the usage of a day."""
    zeros = {column.name: 0 for column in usage_days.c if column.name not in ("tenant_id", "key_id", "day")}
    owner = {"tenant_id": account.tenant_id, "key_id": account.key_id, "day": day}
    connection.execute(
        build_upsert(connection, usage_days)
        .values(**owner, **{**zeros, **amounts})
        .on_conflict_do_update(index_elements=list(owner), set_=build_increments(usage_days.c, **amounts))
    )


def build_increments(columns: Any, **amounts: int) -> dict[str, ColumnElement[int]]:  # noqa: ANN401 - a table's columns
    """Build the values of an update statement that adds the amounts to the columns of these names."""
    return {name: columns[name] + amount for name, amount in amounts.items()}


def format_day(instant: float) -> str:
    """Format the UTC date of a time as `YYYY-MM-DD`."""
    return time.strftime("%Y-%m-%d", time.gmtime(instant))


def compute_renewal(quota: Quota, instant: float) -> float | None:
    """Return the time at which a quota's current day or month ends, or None if the quota has no period."""
    if quota.endswith("per_day"):
        return float((int(instant) // _DAY_SECONDS + 1) * _DAY_SECONDS)
    if quota.endswith("per_month"):
        year, month = time.gmtime(instant)[:2]
        return float(calendar.timegm((year + month // 12, month % 12 + 1, 1, 0, 0, 0)))
    return None
