"""Quotas in the catalog: limits, spending and storage. Spending is reserved before the work and charged after it.

A tenant's reservations are made one at a time, with the tenant's row locked, so concurrent requests never reserve more
than the remaining amount. Stored amounts are counters. They are changed in the commit that stores the content, by a
statement that does nothing if a limit would be exceeded.

A reservation expires with its lease, unless the lease is extended. Then the spending reported for it is charged, and
the rest is released. The reservation of a run lasts as long as the run, and is charged in the commit that ends the run.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from sqlalchemy import Connection, Engine, RowMapping, delete, insert, select, update

from ingest.storage.audit.records import Action
from ingest.storage.audit.store import record_action
from ingest.storage.db import database
from ingest.storage.db.database import (
    insert_row_if_absent,
    lock_tenant,
    read_transaction,
    upsert_row,
    write_transaction,
)
from ingest.storage.db.schema import quota_limits, reservations, stored_content, tenants, usage_days
from ingest.storage.errors import TenantNotFoundError
from ingest.storage.quotas.records import (
    DOLLAR_QUOTAS,
    NANODOLLARS,
    TOKEN_QUOTAS,
    Account,
    Quota,
    QuotaExceededError,
    QuotaStatus,
    Spending,
    StorageQuotaExceededError,
    UsageDay,
)
from ingest.storage.quotas.rows import (
    CONCURRENCY_QUOTAS,
    OWN_LIMITS_ID,
    SPENDING_FIELDS,
    TENANT_KEY_ID,
    Kind,
    add_spending,
    add_usage,
    build_increments,
    build_sums_query,
    charge_expired_reservations,
    compute_renewal,
    format_day,
    load_rotated_key_ids,
    load_stored_amounts,
)

# Retry delay if slots or reserved amounts are exhausted. They are released when answers finish, at unpredictable times.
_SHORT_RETRY_SECONDS = 10.0
# Retry delay if storage is exhausted. Space becomes available only if documents are deleted or the limit is raised.
_STORAGE_RETRY_SECONDS = 3600.0


@dataclass(frozen=True)
class SpendingGrant:
    """The amounts that an answer or run may spend. None means no limit.

    If less was granted than requested, `lowered` is the error that explains why. `standings` contains the statuses of
    the affected quotas after the reservation.
    """

    id: str
    tokens: int | None
    nanodollars: int | None
    lowered: QuotaExceededError | None
    standings: Sequence[QuotaStatus]

    def restrict_limits(self, limits: Mapping[str, Any]) -> dict[str, Any]:
        """Return the JSON entries to change in a run's limits so that they do not exceed this grant."""
        changed: dict[str, Any] = {}
        if self.tokens is not None:
            changed["tokens"] = min(self.tokens, limits.get("tokens", self.tokens))
        if self.nanodollars is not None:
            dollars = Decimal(self.nanodollars) / NANODOLLARS
            changed["dollars"] = str(min(dollars, Decimal(limits.get("dollars", dollars))))
        return changed


class Quotas:
    """The quotas of all tenants and keys.

    If no limit is set, the default limit from the settings applies, if any. `now` returns the time that determines the
    current day and month.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        tenant_defaults: Mapping[Quota, int] | None = None,
        key_defaults: Mapping[Quota, int] | None = None,
        lease_seconds: float = 60.0,
        clock: Callable[[Connection], float] = database.read_clock,
    ) -> None:
        self._engine = engine
        self.lease_seconds = lease_seconds
        self._rules = QuotaRules(tenant_defaults or {}, key_defaults or {}, clock)

    @property
    def rules(self) -> "QuotaRules":
        """The quota rules, for transactions that store documents or create runs."""
        return self._rules

    def with_defaults(self, *, tenant_defaults: Mapping[Quota, int], key_defaults: Mapping[Quota, int]) -> "Quotas":
        """Return the same quotas with other default limits."""
        return Quotas(
            self._engine,
            tenant_defaults=tenant_defaults,
            key_defaults=key_defaults,
            lease_seconds=self.lease_seconds,
            clock=self._rules.now,
        )

    def load_limits(self, account: Account) -> dict[Literal["tenant", "key"], Mapping[Quota, int]]:
        """Return the effective limits of the tenant and, if the account has a key, of the key."""
        with read_transaction(self._engine) as connection:
            return self._rules.load_limits(connection, account)

    def get_default_limits(self, of: Literal["tenant", "key"]) -> Mapping[Quota, int]:
        """Return the limits that apply to a tenant or key for which none were set."""
        return self._rules.get_default_limits(of)

    def set_limits(self, account: Account, changes: Mapping[Quota, int | None]) -> None:
        """Set limits of the account's key or, if it has no key, of its tenant. None means no limit, not even a default.

        For a tenant, they replace the limits of its admins. Raises `TenantNotFoundError` if the tenant does not exist.
        """
        with write_transaction(self._engine) as connection:
            of_tenant = select(tenants.c.id).where(tenants.c.id == account.tenant_id)
            if connection.execute(of_tenant).first() is None:
                raise TenantNotFoundError(f"Tenant {account.tenant_id!r} not found.")
            if not account.key_id:
                _delete_limits(connection, Account(account.tenant_id, OWN_LIMITS_ID), list(changes))
            _write_limits(connection, account, changes)
            _record_limit_change(connection, account, limits={quota.value: amount for quota, amount in changes.items()})

    def reset_limits(self, account: Account, quotas: Sequence[Quota]) -> None:
        """Remove the limits set for the account's key or tenant, so that the defaults apply again."""
        with write_transaction(self._engine) as connection:
            _delete_limits(connection, account, quotas)
            if not account.key_id:
                _delete_limits(connection, Account(account.tenant_id, OWN_LIMITS_ID), quotas)
            _record_limit_change(connection, account, reset=[quota.value for quota in quotas])

    def load_allowed_limits(self, tenant_id: str) -> Mapping[Quota, int]:
        """Return the limits from operators and the settings, which the tenant's admins can lower but not exceed."""
        with read_transaction(self._engine) as connection:
            return self._rules.load_allowed_limits(connection, tenant_id)

    def set_own_limits(self, tenant_id: str, changes: Mapping[Quota, int | None]) -> None:
        """Set the limits of a tenant's admins for their tenant. None removes one. Higher than allowed does nothing."""
        own, tenant = Account(tenant_id, OWN_LIMITS_ID), Account(tenant_id)
        with write_transaction(self._engine) as connection:
            stated = {quota: amount for quota, amount in changes.items() if amount is not None}
            removed = [quota for quota in changes if quota not in stated]
            _write_limits(connection, own, stated)
            _delete_limits(connection, own, removed)
            if stated:
                _record_limit_change(connection, tenant, limits={each.value: amount for each, amount in stated.items()})
            if removed:
                _record_limit_change(connection, tenant, reset=[each.value for each in removed])

    def load_used_amounts(self, account: Account) -> dict[Literal["tenant", "key"], Mapping[Quota, int]]:
        """Return how much of each quota is used or reserved, with or without a limit, except requests per minute."""
        with read_transaction(self._engine) as connection:
            return self._rules.load_used_amounts(connection, account)

    def load_statuses(self, account: Account, quotas: Sequence[Quota] = tuple(Quota)) -> list[QuotaStatus]:
        """Return the status of each quota that has a limit, except the quota for requests per minute."""
        with read_transaction(self._engine) as connection:
            return self._rules.load_statuses(connection, account, quotas)

    def reserve(
        self,
        account: Account,
        kind: Kind,
        reservation_id: str,
        *,
        tokens: int | None,
        nanodollars: int | None,
        lease_seconds: float | None = None,
    ) -> SpendingGrant:
        """Reserve the amounts that an answer or run may spend. None requests all that remains.

        If concurrency is limited, this also takes one slot. By default, the lease lasts `self.lease_seconds`. Raises
        `QuotaExceededError` if nothing remains.
        """
        with write_transaction(self._engine) as connection:
            # guard: quota-reservations-serial
            lock_tenant(connection, account.tenant_id)
            return self._rules.reserve(
                connection,
                account,
                kind,
                reservation_id,
                tokens=tokens,
                nanodollars=nanodollars,
                lease_seconds=self.lease_seconds if lease_seconds is None else lease_seconds,
            )

    def extend_reservations(self, spending: Mapping[str, Spending]) -> set[str]:
        """Extend the leases of reservations, and record their spending so far, keyed by reservation id.

        Returns the ids of the reservations that still exist.
        """
        extended = set[str]()
        with write_transaction(self._engine) as connection:
            until = self._rules.now(connection) + self.lease_seconds
            for identifier in sorted(spending):
                reported = {f"spent_{name}": getattr(spending[identifier], name) for name in SPENDING_FIELDS}
                mine = update(reservations).where(reservations.c.id == identifier)
                if connection.execute(mine.values(expires_at=until, **reported)).rowcount:
                    extended.add(identifier)
        return extended

    def charge(
        self, account: Account, kind: Kind, reservation_id: str, spending: Spending, *, reported_spending: Spending
    ) -> None:
        """Charge the spent amount, and release the reservation.

        If the lease has expired, the spending last `reported_spending` was already charged, so only the difference is
        charged.
        """
        with write_transaction(self._engine) as connection:
            ended = connection.execute(delete(reservations).where(reservations.c.id == reservation_id)).rowcount
            day = format_day(self._rules.now(connection))
            add_spending(
                connection, account, day, kind if ended else None, spending if ended else spending - reported_spending
            )

    def list_usage(
        self,
        tenant_id: str,
        *,
        key_id: str | None = None,
        start_day: str = "",
        end_day: str = "9",
        skip: int,
        limit: int,
    ) -> list[UsageDay]:
        """List the usage of each day and key, newest day first. `start_day` and `end_day` are inclusive."""
        query = select(*(usage_days.c[name] for name in UsageDay.__dataclass_fields__)).where(
            usage_days.c.tenant_id == tenant_id, usage_days.c.day >= start_day, usage_days.c.day <= end_day
        )
        if key_id is not None:
            query = query.where(usage_days.c.key_id == key_id)
        query = query.order_by(usage_days.c.day.desc(), usage_days.c.key_id).offset(skip).limit(limit)
        with read_transaction(self._engine) as connection:
            return [UsageDay(*row) for row in connection.execute(query).all()]


class QuotaRules:
    """Quota limits and their enforcement inside catalog transactions."""

    def __init__(
        self,
        tenant_defaults: Mapping[Quota, int],
        key_defaults: Mapping[Quota, int],
        clock: Callable[[Connection], float] = database.read_clock,
    ) -> None:
        self._defaults: Mapping[Literal["tenant", "key"], Mapping[Quota, int]] = {
            "tenant": tenant_defaults,
            "key": key_defaults,
        }
        self.now = clock

    def get_default_limits(self, of: Literal["tenant", "key"]) -> Mapping[Quota, int]:
        """Return the limits that apply to a tenant or key for which none were set."""
        return self._defaults[of]

    def load_limits(
        self, connection: Connection, account: Account
    ) -> dict[Literal["tenant", "key"], Mapping[Quota, int]]:
        """Return the effective limits of the tenant and, if the account has a key, of the key."""
        stated = _load_stated_limits(connection, account.tenant_id, TENANT_KEY_ID, OWN_LIMITS_ID, account.key_id)
        allowed = self._merge_limits("tenant", stated[TENANT_KEY_ID])
        own = {quota: amount for quota, amount in stated[OWN_LIMITS_ID].items() if amount is not None}
        # guard: own-limits-only-lower
        in_force = {**allowed, **{quota: min(amount, allowed.get(quota, amount)) for quota, amount in own.items()}}
        found: dict[Literal["tenant", "key"], Mapping[Quota, int]] = {"tenant": in_force}
        if account.key_id:
            found["key"] = self._merge_limits("key", stated[account.key_id])
        return found

    def load_allowed_limits(self, connection: Connection, tenant_id: str) -> Mapping[Quota, int]:
        """Return the limits from operators and the settings."""
        return self._merge_limits("tenant", _load_stated_limits(connection, tenant_id, TENANT_KEY_ID)[TENANT_KEY_ID])

    def _merge_limits(self, of: Literal["tenant", "key"], stated: Mapping[Quota, int | None]) -> dict[Quota, int]:
        merged = {**self._defaults[of], **stated}
        return {quota: amount for quota, amount in merged.items() if amount is not None}

    def load_used_amounts(
        self, connection: Connection, account: Account
    ) -> dict[Literal["tenant", "key"], Mapping[Quota, int]]:
        """Return how much of each quota is used or reserved. See `Quotas.load_used_amounts`."""
        sums = connection.execute(
            build_sums_query(account, load_rotated_key_ids(connection, account), self.now(connection))
        ).one()
        quotas = [quota for quota in Quota if quota is not Quota.REQUESTS_PER_MINUTE]
        owners: tuple[Literal["tenant", "key"], ...] = ("tenant", "key") if account.key_id else ("tenant",)
        return {of: {quota: sum(_get_used(sums._mapping, of, quota)) for quota in quotas} for of in owners}

    def load_statuses(
        self, connection: Connection, account: Account, quotas: Sequence[Quota], instant: float | None = None
    ) -> list[QuotaStatus]:
        """Return the status of each quota that has a limit, from one snapshot of used and reserved amounts.

        `instant` determines the current day and month, and defaults to the current time.
        """
        limits = self.load_limits(connection, account)
        if not any(quota in limited for limited in limits.values() for quota in quotas):
            return []
        instant = self.now(connection) if instant is None else instant
        # guard: rotation-keeps-quotas
        keys = load_rotated_key_ids(connection, account) if limits.get("key") else frozenset({account.key_id})
        used = connection.execute(build_sums_query(account, keys, instant)).one()._mapping
        found = []
        for of, limited in limits.items():
            for quota in quotas:
                if quota in limited and quota is not Quota.REQUESTS_PER_MINUTE:
                    spent, reserved = _get_used(used, of, quota)
                    renews_at = compute_renewal(quota, instant)
                    # guard: quota-reserved-counts
                    found.append(QuotaStatus(quota, of, limited[quota], spent + reserved, reserved, renews_at))
        return found

    def reserve(
        self,
        connection: Connection,
        account: Account,
        kind: Kind,
        reservation_id: str,
        *,
        tokens: int | None,
        nanodollars: int | None,
        lease_seconds: float | None = None,
    ) -> SpendingGrant:
        """Reserve amounts, by default without a lease. See `Quotas.reserve`.

        The caller must have locked the tenant.
        """
        instant = self.now(connection)
        # guard: expired-reservation-charged
        charge_expired_reservations(connection, account.tenant_id, instant)
        quotas = [*TOKEN_QUOTAS, *DOLLAR_QUOTAS, *([CONCURRENCY_QUOTAS[kind]] if kind in CONCURRENCY_QUOTAS else [])]
        # A reservation whose lease expires after this point still counts, because the amount that it spent was not
        # charged.
        standings = self.load_statuses(connection, account, quotas, instant)
        for standing in standings:
            if not standing.remaining and not (standing.quota in DOLLAR_QUOTAS and nanodollars == 0):
                raise build_exceeded_error(standing, instant)
        granted_tokens, short_tokens = _find_limiting_quota(standings, TOKEN_QUOTAS, tokens)
        granted_dollars, short_dollars = _find_limiting_quota(standings, DOLLAR_QUOTAS, nanodollars)
        connection.execute(
            insert(reservations).values(
                id=reservation_id,
                tenant_id=account.tenant_id,
                key_id=account.key_id,
                kind=kind,
                tokens=granted_tokens or 0,
                nanodollars=granted_dollars or 0,
                expires_at=None if lease_seconds is None else instant + lease_seconds,
                created_at=instant,
                **{f"spent_{name}": 0 for name in SPENDING_FIELDS},
            )
        )
        short = short_tokens or short_dollars
        return SpendingGrant(
            reservation_id,
            granted_tokens,
            granted_dollars,
            None if short is None else build_exceeded_error(short, instant),
            self.load_statuses(connection, account, quotas, instant),
        )

    def add_stored_amounts(self, connection: Connection, account: Account, *, documents: int, size: int) -> None:
        """Count stored content against the quotas of the tenant and of the key that uploaded it.

        Raises `StorageQuotaExceededError` if a quota is exceeded. The caller must then roll back its transaction.
        """
        limits = self.load_limits(connection, account)
        for of, limited in limits.items():
            owner = TENANT_KEY_ID if of == "tenant" else account.key_id
            added = {Quota.DOCUMENTS: documents, Quota.BYTES: size}
            before = self._load_stored_by_rotated_keys(connection, account) if of == "key" and limited else {}
            counted = update(stored_content).where(
                stored_content.c.tenant_id == account.tenant_id, stored_content.c.key_id == owner
            )
            for quota, amount in added.items():
                if quota in limited and amount:
                    # guard: storage-quota-atomic
                    counted = counted.where(
                        stored_content.c[quota.value] + amount + before.get(quota, 0) <= limited[quota]
                    )
            counted = counted.values(build_increments(stored_content.c, documents=documents, bytes=size))
            if connection.execute(counted).rowcount:
                continue
            insert_row_if_absent(
                connection, stored_content, tenant_id=account.tenant_id, key_id=owner, documents=0, bytes=0
            )
            if not connection.execute(counted).rowcount:
                raise build_storage_error(self._find_exceeded_quota(connection, account, of, added))
        day = format_day(self.now(connection))
        add_usage(connection, account, day, documents=documents, bytes=size)

    def _load_stored_by_rotated_keys(self, connection: Connection, account: Account) -> dict[Quota, int]:
        """Load the amounts stored by the predecessors and successors of the account's key in rotations.

        None of these keys can store anything in the meantime, because the tenant's row is locked.
        """
        # guard: rotation-keeps-storage-quotas
        others = load_rotated_key_ids(connection, account) - {account.key_id}
        return load_stored_amounts(connection, account.tenant_id, others) if others else {}

    def _find_exceeded_quota(
        self,
        connection: Connection,
        account: Account,
        owner_kind: Literal["tenant", "key"],
        added_amounts: Mapping[Quota, int],
    ) -> QuotaStatus:
        found = [each for each in self.load_statuses(connection, account, list(added_amounts)) if each.of == owner_kind]
        return next(each for each in found if each.used + added_amounts[each.quota] > each.limit)


def _load_stated_limits(connection: Connection, tenant_id: str, *key_ids: str) -> dict[str, dict[Quota, int | None]]:
    """Load the limits that were set for each of these ids."""
    query = select(quota_limits.c.key_id, quota_limits.c.quota, quota_limits.c.amount).where(
        quota_limits.c.tenant_id == tenant_id, quota_limits.c.key_id.in_(set(key_ids))
    )
    found: dict[str, dict[Quota, int | None]] = {key_id: {} for key_id in key_ids}
    for key_id, quota, amount in connection.execute(query).all():
        if quota in set(Quota):  # Another release can know more quotas.
            found[key_id][Quota(quota)] = amount
    return found


def _write_limits(connection: Connection, account: Account, limits: Mapping[Quota, int | None]) -> None:
    owner = {"tenant_id": account.tenant_id, "key_id": account.key_id}
    for quota, amount in limits.items():
        upsert_row(connection, quota_limits, [*owner, "quota"], **owner, quota=quota.value, amount=amount)


def _delete_limits(connection: Connection, account: Account, quotas: Sequence[Quota]) -> None:
    connection.execute(
        delete(quota_limits).where(
            quota_limits.c.tenant_id == account.tenant_id,
            quota_limits.c.key_id == account.key_id,
            quota_limits.c.quota.in_([quota.value for quota in quotas]),
        )
    )


def _get_used(sums: RowMapping, of: str, quota: Quota) -> tuple[int, int]:
    """Return the spent or stored amount of a quota, and the reserved amount."""
    return int(sums.get(f"{of}_{quota}") or 0), int(sums.get(f"{of}_{quota}_reserved") or 0)


def _record_limit_change(connection: Connection, account: Account, **details: Any) -> None:  # noqa: ANN401 - JSON
    subject = f"quota:{account.key_id or account.tenant_id}"
    record_action(connection, Action.QUOTA_CHANGED, subject, tenant_id=account.tenant_id, **details)


UNLIMITED = QuotaRules({}, {})
"""The rules without default limits. Limits that were set still apply."""


def build_storage_error(status: QuotaStatus) -> StorageQuotaExceededError:
    """Build the error for an upload that exceeds a storage quota."""
    return StorageQuotaExceededError(_format_quota_status(status), status=status, retry_after=_STORAGE_RETRY_SECONDS)


def build_exceeded_error(status: QuotaStatus, instant: float) -> QuotaExceededError:
    """Build the error for an exhausted quota. It says when to retry."""
    soon = status.renews_at is None or status.used - status.reserved < status.limit
    wait = _SHORT_RETRY_SECONDS if soon else (status.renews_at or 0.0) - instant
    return QuotaExceededError(_format_quota_status(status), status=status, retry_after=wait)


def _format_quota_status(status: QuotaStatus) -> str:
    quota, limit = status.quota, status.quota.format_amount(status.limit)
    whose = "The tenant's" if status.of == "tenant" else "The key's"
    until = "" if status.renews_at is None else f" It resets at {_format_instant(status.renews_at)}."
    under_way = (
        f", including {quota.format_amount(status.reserved)} reserved by work in progress" if status.reserved else ""
    )
    return f"{whose} quota {quota} is {limit}, and {quota.format_amount(status.used)} is used{under_way}.{until}"


def _find_limiting_quota(
    statuses: Sequence[QuotaStatus], quotas: Sequence[Quota], requested_amount: int | None
) -> tuple[int | None, QuotaStatus | None]:
    """Return the granted amount, and the quota that lowered it below the requested amount, if any.

    The amount is None if it is unlimited.
    """
    limiting = min((each for each in statuses if each.quota in quotas), key=lambda each: each.remaining, default=None)
    if limiting is None:
        return None, None
    if requested_amount is not None and requested_amount <= limiting.remaining:
        return requested_amount, None
    return limiting.remaining, limiting


def _format_instant(instant: float) -> str:
    return time.strftime("%Y-%m-%d %H:%MZ", time.gmtime(instant))
