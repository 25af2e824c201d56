"""`leadline users`: create, list and delete users, and assign them to groups."""

from typing import Annotated

import typer
from rich.markup import escape

from api.cli.cluster import open_configured_catalog
from api.cli.console import Console
from api.cli.identity_options import IN_DEFAULT, Tenant, format_time, load_tenant_id
from api.cli.listing import Listing

app = typer.Typer(help="Create, list and delete users, and assign them to groups.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="The user's id or name.")]
Groups = Annotated[list[str] | None, typer.Option("--group", help="A group; may be repeated.")]


@app.command()
def create(
    name: Annotated[
        str, typer.Argument(help="The name, used as user:NAME in readers and grants; it cannot be changed.")
    ],
    group: Groups = None,
    tenant: Tenant = IN_DEFAULT,
) -> None:
    """Create a user.

    To create a key with the user's access, run `leadline keys create --user NAME`.
    """
    with open_configured_catalog() as opened:
        user = opened.identities.users.create(load_tenant_id(opened, tenant), name, group or ())
    Console().print(f"Created user {escape(user.name)} with id {user.id}.", highlight=False)


@app.command("list")
def list_users(tenant: Tenant = IN_DEFAULT) -> None:
    """List all users and their groups."""
    with open_configured_catalog() as opened:
        users = opened.identities.users.list_users(load_tenant_id(opened, tenant))
    table = Listing(("id", "name", "groups", "created"), texts=("name", "groups"), optional=("created",))
    for user in users:
        table.add(user.id, user.name, ", ".join(user.groups), format_time(user.created_at))
    table.print()


@app.command()
def groups(name: Name, group: Groups = None, tenant: Tenant = IN_DEFAULT) -> None:
    """Set a user's groups, replacing the current ones immediately.

    Without `--group`, the user is removed from all groups.
    """
    with open_configured_catalog() as opened:
        user = opened.identities.users.set_groups(load_tenant_id(opened, tenant), name, group or ())
    Console().print(f"Groups of user {escape(user.name)}: {escape(', '.join(user.groups)) or 'none'}.", highlight=False)


@app.command()
def delete(name: Name, tenant: Tenant = IN_DEFAULT) -> None:
    """Delete a user and revoke its keys immediately.

    Documents and collections that are open to user:NAME stay open to that name, so a new user with this name can access
    them.
    """
    with open_configured_catalog() as opened:
        user = opened.identities.users.delete(load_tenant_id(opened, tenant), name)
    Console().print(f"Deleted user {escape(user.name)} and revoked its keys.", highlight=False)
