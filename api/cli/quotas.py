"""`leadline quotas`: show and set limits on the spending, storage and concurrency of tenants and keys."""

import json
from datetime import UTC, datetime
from typing import Annotated

import typer

from api.admission.services import DEFAULT_TENANT
from api.build.embedded import OpenCatalog
from api.cli.cluster import open_configured_catalog
from api.cli.environment import SettingsError
from api.cli.listing import Listing
from ingest.storage.quotas.records import Account, Quota, QuotaStatus, UsageDay

app = typer.Typer(help="Show and set quotas of tenants and keys, and show usage.", no_args_is_help=True)

Tenant = Annotated[str, typer.Option("--tenant", help="The tenant's id or name.")]
Key = Annotated[str, typer.Option("--key", help="A key id from `leadline keys list`; by default the whole tenant.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def show(tenant: Tenant = DEFAULT_TENANT, key: Key = "", as_json: AsJson = False) -> None:
    """Show the effective limits and their usage.

    Quotas that are not listed are unlimited.
    """
    with open_configured_catalog() as opened:
        account = _load_account(opened, tenant, key)
        limits, standings = opened.quotas.load_limits(account), opened.quotas.load_statuses(account)
    for scope, scope_limits in limits.items():
        # The running service counts requests per minute in memory, so their usage is not in the catalog.
        if Quota.REQUESTS_PER_MINUTE in scope_limits:
            standings.append(QuotaStatus(Quota.REQUESTS_PER_MINUTE, scope, scope_limits[Quota.REQUESTS_PER_MINUTE], 0))
    if as_json:
        print(json.dumps([_build_status_json(each) for each in standings]))
        return
    table = Listing(("of", "quota", "limit", "used", "remaining", "resets"), optional=("remaining", "resets", "used"))
    for each in standings:
        renewed = "" if each.renews_at is None else f"{datetime.fromtimestamp(each.renews_at, UTC):%Y-%m-%d %H:%MZ}"
        used = "–" if each.quota is Quota.REQUESTS_PER_MINUTE else each.quota.format_amount(each.used)
        left = "–" if each.quota is Quota.REQUESTS_PER_MINUTE else each.quota.format_amount(each.remaining)
        table.add(each.of, each.quota.value, each.quota.format_amount(each.limit), used, left, renewed)
    if standings:
        table.print()
    else:
        print("No limits are set.")


@app.command("set")
def set_quotas(
    changes: Annotated[
        list[str],
        typer.Argument(help="NAME=AMOUNT, such as tokens_per_day=2m or dollars_per_month=50; also `none`, `default`."),
    ],
    tenant: Tenant = DEFAULT_TENANT,
    key: Key = "",
) -> None:
    """Set limits of a tenant or of one of its keys.

    The amount `none` means unlimited, overriding the settings; `default` restores the value from LEADLINE_TENANT_QUOTAS
    or LEADLINE_KEY_QUOTAS. Spending limits take effect immediately, request limits within seconds.
    """
    limits: dict[Quota, int | None] = {}
    defaults: list[Quota] = []
    for change in changes:
        name, equals, amount = change.partition("=")
        if name not in set(Quota) or not equals:
            raise SettingsError(
                f"{change!r} does not set a known quota.", hint=f"Use NAME=AMOUNT with one of {', '.join(Quota)}."
            )
        quota = Quota(name)
        if amount == "default":
            defaults.append(quota)
            continue
        try:
            limits[quota] = None if amount == "none" else quota.parse_amount(amount)
        except ValueError as error:
            raise SettingsError(
                str(error), hint="Use a format such as 250000, 2.5m or 10g, or dollars such as 12.50."
            ) from error
    with open_configured_catalog() as opened:
        account = _load_account(opened, tenant, key)
        opened.quotas.set_limits(account, limits)
        opened.quotas.reset_limits(account, defaults)
    show(tenant, key)


@app.command()
def usage(
    tenant: Tenant = DEFAULT_TENANT,
    key: Annotated[str | None, typer.Option("--key", help="Only usage of this key.")] = None,
    since: Annotated[str, typer.Option(help="The first day, such as 2026-11-01.")] = "",
    limit: Annotated[int, typer.Option(help="Maximum number of rows.", min=1)] = 31,
    as_json: AsJson = False,
) -> None:
    """Show usage per UTC day and key, newest day first."""
    with open_configured_catalog() as opened:
        account = _load_account(opened, tenant, "")
        days = opened.quotas.list_usage(account.tenant_id, key_id=key, start_day=since, skip=0, limit=limit)
    if as_json:
        print(json.dumps([vars(day) for day in days]))
        return
    table = Listing(
        ("day", "key", "answers", "runs", "calls", "tokens", "dollars", "documents", "bytes"),
        optional=("answers", "tokens", "dollars", "documents", "runs", "calls", "bytes"),
    )
    for day in days:
        table.add(*_format_usage_row(day))
    table.print()


def _load_account(open_catalog: OpenCatalog, tenant: str, key_id: str) -> Account:
    """Load the account of a tenant or of one of its keys.

    Raises `TenantNotFoundError` or `KeyNotFoundError` if the tenant or key does not exist.
    """
    found = open_catalog.identities.tenants.load_tenant(tenant).id
    return Account(found, open_catalog.keys.load_key(found, key_id).id if key_id else "")


def _format_usage_row(usage_day: UsageDay) -> list[str]:
    tokens = usage_day.prompt_tokens + usage_day.completion_tokens
    counts = [usage_day.answers, usage_day.runs, usage_day.calls, tokens]
    money = Quota.DOLLARS_PER_DAY.format_amount(usage_day.nanodollars)
    return [
        usage_day.day,
        usage_day.key_id or "–",
        *(f"{each:,}" for each in counts),
        money,
        f"{usage_day.documents:,}",
        f"{usage_day.bytes:,}",
    ]


def _build_status_json(quota_status: QuotaStatus) -> dict[str, object]:
    quota = quota_status.quota
    return {
        "of": quota_status.of,
        "quota": quota.value,
        "limit": quota.to_json_number(quota_status.limit),
        "used": quota.to_json_number(quota_status.used),
        "renews_at": quota_status.renews_at,
    }
