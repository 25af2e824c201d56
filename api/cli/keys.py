"""`leadline keys`: create, list, rotate and revoke API keys."""

import time
from typing import Annotated

import typer

from api.build.embedded import OpenCatalog
from api.cli.cluster import open_configured_catalog
from api.cli.console import Console
from api.cli.identifiers import choose_id
from api.cli.identity_options import IN_DEFAULT, Tenant, format_time, load_tenant_id, parse_duration
from api.cli.listing import Listing
from ingest.storage.accounts.keys import ApiKey
from ingest.storage.accounts.records import Scope
from ingest.storage.errors import KeyNotFoundError

app = typer.Typer(help="Create, list, rotate and revoke API keys.", no_args_is_help=True)

Identifier = Annotated[str, typer.Argument(help="The key's id, or its beginning, from `leadline keys list`.")]
Scopes = Annotated[
    list[Scope] | None,
    typer.Option("--scope", help="A permission of the key; may be repeated. Default: read, write and ask."),
]
_DEFAULT_SCOPES = (Scope.READ, Scope.WRITE, Scope.ASK)


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="A name that describes the key's purpose.")] = "command line",
    scope: Scopes = None,
    user: Annotated[str | None, typer.Option(help="The user whose documents the key can access.")] = None,
    expires: Annotated[str | None, typer.Option(help="Time until the key expires, such as 90d or 12h.")] = None,
    tenant: Tenant = IN_DEFAULT,
) -> None:
    """Create an API key and print it.

    The key cannot be shown again, because only its hash is stored. The scope `admin` manages the tenant's users and
    keys; `operator` manages the installation's tenants.
    """
    expires_at = None if expires is None else time.time() + parse_duration(expires).total_seconds()
    with open_configured_catalog() as opened:
        created = opened.keys.issue_key(
            load_tenant_id(opened, tenant), name, scopes=scope or _DEFAULT_SCOPES, user=user, expires_at=expires_at
        )
    _print_key(*created)


@app.command("list")
def list_keys(tenant: Tenant = IN_DEFAULT) -> None:
    """List all keys, without their secrets."""
    with open_configured_catalog() as opened:
        keys = opened.keys.list_keys(load_tenant_id(opened, tenant))
    table = Listing(
        ("id", "name", "state", "scopes", "user", "expires", "last used", "created"),
        texts=("name", "state", "scopes", "user"),
        optional=("scopes", "user", "expires", "last used", "created"),
    )
    now = time.time()
    for key in keys:
        table.add(
            key.id,
            key.name,
            key.get_state(now) if key.successor_id is None else f"{key.get_state(now)}, replaced by {key.successor_id}",
            " ".join(sorted(key.scopes)),
            key.user or "",
            format_time(key.expires_at),
            format_time(key.last_used_at),
            format_time(key.created_at),
        )
    table.print()


@app.command()
def rotate(
    identifier: Identifier,
    grace: Annotated[str, typer.Option(help="How long the old key remains valid.")] = "24h",
    tenant: Tenant = IN_DEFAULT,
) -> None:
    """Replace a key with a new one, and print it.

    The old key remains valid for a grace period.
    """
    with open_configured_catalog() as opened:
        tenant_id = load_tenant_id(opened, tenant)
        identifier = _resolve_key(opened, tenant_id, identifier)
        created = opened.keys.rotate_key(tenant_id, identifier, grace_seconds=parse_duration(grace).total_seconds())
    _print_key(*created)


@app.command()
def revoke(identifier: Identifier, tenant: Tenant = IN_DEFAULT) -> None:
    """Revoke a key, immediately and permanently."""
    with open_configured_catalog() as opened:
        tenant_id = load_tenant_id(opened, tenant)
        identifier = _resolve_key(opened, tenant_id, identifier)
        revoked = opened.keys.revoke_key(tenant_id, identifier)
    if not revoked:
        raise KeyNotFoundError(f"Active key {identifier!r} not found.", hint="List the keys with `leadline keys list`.")
    Console().print(f"Revoked key {identifier}.", highlight=False)


def _resolve_key(opened: OpenCatalog, tenant_id: str, prefix: str) -> str:
    return choose_id(prefix, (key.id for key in opened.keys.list_keys(tenant_id)), noun="key")


def _print_key(key: ApiKey, secret: str) -> None:
    print(secret)
    Console(stderr=True).print(
        f"This is key {key.id}. Save it now, because it will not be shown again: export LEADLINE_API_KEY=…",
        highlight=False,
    )
