"""`leadline keys`: makes, lists, rotates and revokes API keys in the data folder's or the cluster's catalog."""

import time
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from api.cli.cluster import open_configured_catalog
from api.cli.identity_options import IN_DEFAULT, Tenant, format_time, load_tenant_id, parse_duration
from ingest.storage.accounts.keys import ApiKey
from ingest.storage.accounts.records import Scope
from ingest.storage.errors import KeyNotFoundError

app = typer.Typer(help="Make, list, rotate and revoke API keys.", no_args_is_help=True)

Identifier = Annotated[str, typer.Argument(help="The id that `leadline keys list` shows.")]
Scopes = Annotated[
    list[Scope] | None,
    typer.Option("--scope", help="What it may do; several times for several. If not given: read, write and ask."),
]
_DEFAULT_SCOPES = (Scope.READ, Scope.WRITE, Scope.ASK)


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="What the key is for.")] = "command line",
    scope: Scopes = None,
    user: Annotated[str | None, typer.Option(help="The user it belongs to: it sees what that user may see.")] = None,
    expires: Annotated[str | None, typer.Option(help="How long it is valid, such as 90d or 12h.")] = None,
    tenant: Tenant = IN_DEFAULT,
) -> None:
    """Make a key and print it once; only its hash is kept.

    `admin` manages the tenant's users and keys, `operator` the tenants of the installation.
    """
    expires_at = None if expires is None else time.time() + parse_duration(expires).total_seconds()
    with open_configured_catalog() as opened:
        made = opened.keys.issue(
            load_tenant_id(opened, tenant), name, scopes=scope or _DEFAULT_SCOPES, user=user, expires_at=expires_at
        )
    _print_key(*made)


@app.command("list")
def list_keys(tenant: Tenant = IN_DEFAULT) -> None:
    """Show every key without its secret."""
    with open_configured_catalog() as opened:
        keys = opened.keys.list_keys(load_tenant_id(opened, tenant))
    table = Table(Column("id", no_wrap=True), "name", "scopes", "user", "made", "expires", "last used", "state")
    now = time.time()
    for key in keys:
        table.add_row(
            key.id,
            escape(key.name),
            " ".join(sorted(key.scopes)),
            escape(key.user or ""),
            format_time(key.created_at),
            format_time(key.expires_at),
            format_time(key.last_used_at),
            key.get_state(now) if key.successor_id is None else f"{key.get_state(now)}, {key.successor_id} follows",
        )
    Console().print(table)


@app.command()
def rotate(
    identifier: Identifier,
    grace: Annotated[str, typer.Option(help="How long the old key is valid beside the new one.")] = "24h",
    tenant: Tenant = IN_DEFAULT,
) -> None:
    """Make a key that takes this one's place, and print it once; the old one ends after a grace."""
    with open_configured_catalog() as opened:
        made = opened.keys.rotate(
            load_tenant_id(opened, tenant), identifier, grace_seconds=parse_duration(grace).total_seconds()
        )
    _print_key(*made)


@app.command()
def revoke(identifier: Identifier, tenant: Tenant = IN_DEFAULT) -> None:
    """Make a key worthless, at once and for good."""
    with open_configured_catalog() as opened:
        revoked = opened.keys.revoke(load_tenant_id(opened, tenant), identifier)
    if not revoked:
        raise KeyNotFoundError(
            f"There is no live key {identifier!r}.", hint="`leadline keys list` shows the keys there are."
        )
    Console().print(f"Key {identifier} is revoked.", highlight=False)


def _print_key(key: ApiKey, text: str) -> None:
    print(text)
    Console(stderr=True).print(f"Key {key.id}. It is not shown again: export LEADLINE_API_KEY=…", highlight=False)
