"""`leadline tenants`: makes, lists, renames, suspends, exports and deletes the tenants of an installation."""

from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from api.cli.cluster import open_configured_catalog
from api.cli.identity_options import format_time
from api.cli.tenant_data import delete, export

app = typer.Typer(help="Make, list, rename, suspend, export and delete tenants.", no_args_is_help=True)
app.command()(export)
app.command()(delete)

Which = Annotated[str, typer.Argument(help="The tenant, by id or name.")]


@app.command()
def create(name: Annotated[str, typer.Argument(help="Its name; no other tenant has it.")]) -> None:
    """Make a tenant. `leadline keys create --tenant NAME --scope admin` makes its first key."""
    with open_configured_catalog() as opened:
        tenant = opened.identities.tenants.create(name)
    Console().print(f"Tenant {escape(tenant.name)} has the id {tenant.id}.", highlight=False)


@app.command("list")
def list_tenants() -> None:
    """Show every tenant."""
    with open_configured_catalog() as opened:
        tenants = opened.identities.tenants.list_tenants()
    table = Table(Column("id", no_wrap=True), "name", "made", "suspended")
    for tenant in tenants:
        table.add_row(tenant.id, escape(tenant.name), format_time(tenant.created_at), format_time(tenant.suspended_at))
    Console().print(table)


@app.command()
def rename(which: Which, name: Annotated[str, typer.Argument(help="Its new name.")]) -> None:
    """Give a tenant another name; its id stays."""
    with open_configured_catalog() as opened:
        tenant = opened.identities.tenants.rename(which, name)
    Console().print(f"Tenant {tenant.id} is called {escape(tenant.name)}.", highlight=False)


@app.command()
def suspend(which: Which) -> None:
    """Refuse all keys and tokens of a tenant, at once; its documents stay."""
    with open_configured_catalog() as opened:
        tenant = opened.identities.tenants.suspend(which)
    Console().print(f"Tenant {escape(tenant.name)} is suspended.", highlight=False)


@app.command()
def resume(which: Which) -> None:
    """Let the keys and tokens of a tenant be valid again."""
    with open_configured_catalog() as opened:
        tenant = opened.identities.tenants.resume(which)
    Console().print(f"Tenant {escape(tenant.name)} is no longer suspended.", highlight=False)
