"""`leadline users`: makes, lists and deletes users, and puts them into groups."""

from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from api.cli.cluster import open_configured_catalog
from api.cli.identity_options import IN_DEFAULT, Tenant, format_time, load_tenant_id

app = typer.Typer(help="Make, list and delete users, and put them into groups.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="The user's name, or its id.")]
Groups = Annotated[list[str] | None, typer.Option("--group", help="A group; several times for several.")]


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="Its name, which ACLs and grants call user:NAME; it does not change.")],
    group: Groups = None,
    tenant: Tenant = IN_DEFAULT,
) -> None:
    """Make a user. `leadline keys create --user NAME` makes a key that sees what the user may see."""
    with open_configured_catalog() as opened:
        user = opened.identities.users.create(load_tenant_id(opened, tenant), name, group or ())
    Console().print(f"User {escape(user.name)} has the id {user.id}.", highlight=False)


@app.command("list")
def list_users(tenant: Tenant = IN_DEFAULT) -> None:
    """Show every user with its groups."""
    with open_configured_catalog() as opened:
        users = opened.identities.users.list_users(load_tenant_id(opened, tenant))
    table = Table(Column("id", no_wrap=True), "name", "groups", "made")
    for user in users:
        table.add_row(user.id, escape(user.name), escape(", ".join(user.groups)), format_time(user.created_at))
    Console().print(table)


@app.command()
def groups(name: Name, group: Groups = None, tenant: Tenant = IN_DEFAULT) -> None:
    """Put a user into these groups and out of all others, at once; without --group it is in none."""
    with open_configured_catalog() as opened:
        user = opened.identities.users.set_groups(load_tenant_id(opened, tenant), name, group or ())
    Console().print(f"User {escape(user.name)} is in: {escape(', '.join(user.groups)) or 'no group'}.", highlight=False)


@app.command()
def delete(name: Name, tenant: Tenant = IN_DEFAULT) -> None:
    """Delete a user and revoke its keys at once. What is open to user:NAME stays so, for another of that name."""
    with open_configured_catalog() as opened:
        user = opened.identities.users.delete(load_tenant_id(opened, tenant), name)
    Console().print(f"User {escape(user.name)} is deleted, and its keys are revoked.", highlight=False)
