"""`leadline tenants`: create, list, rename, suspend, export and delete the tenants of an installation."""

from typing import Annotated

import typer
from rich.markup import escape

from api.cli.cluster import open_configured_catalog
from api.cli.console import Console
from api.cli.identity_options import format_time
from api.cli.listing import Listing
from api.cli.tenant_data import delete, export

app = typer.Typer(help="Create, list, rename, suspend, export and delete tenants.", no_args_is_help=True)
app.command()(export)
app.command()(delete)

Which = Annotated[str, typer.Argument(help="The tenant's id or name.")]


@app.command()
def create(name: Annotated[str, typer.Argument(help="A unique name.")]) -> None:
    """Create a tenant.

    Create its first key with `leadline keys create --tenant NAME --scope admin`.
    """
    with open_configured_catalog() as opened:
        tenant = opened.identities.tenants.create(name)
    Console().print(f"Created tenant {escape(tenant.name)} with id {tenant.id}.", highlight=False)


@app.command("list")
def list_tenants() -> None:
    """List all tenants."""
    with open_configured_catalog() as opened:
        tenants = opened.identities.tenants.list_tenants()
    table = Listing(("id", "name", "created", "suspended"), texts=("name",), optional=("created",))
    for tenant in tenants:
        table.add(tenant.id, tenant.name, format_time(tenant.created_at), format_time(tenant.suspended_at))
    table.print()


@app.command()
def rename(which: Which, name: Annotated[str, typer.Argument(help="The new name.")]) -> None:
    """Rename a tenant. Its id does not change."""
    with open_configured_catalog() as opened:
        tenant = opened.identities.tenants.rename(which, name)
    Console().print(f"Renamed tenant {tenant.id} to {escape(tenant.name)}.", highlight=False)


@app.command()
def suspend(which: Which) -> None:
    """Suspend a tenant: its keys and tokens are rejected immediately, but its documents are kept."""
    with open_configured_catalog() as opened:
        tenant = opened.identities.tenants.suspend(which)
    Console().print(f"Suspended tenant {escape(tenant.name)}.", highlight=False)


@app.command()
def resume(which: Which) -> None:
    """Resume a suspended tenant: its keys and tokens are valid again."""
    with open_configured_catalog() as opened:
        tenant = opened.identities.tenants.resume(which)
    Console().print(f"Resumed tenant {escape(tenant.name)}.", highlight=False)
