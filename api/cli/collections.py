"""`leadline collections`: lists collections, and says who may use them."""

from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from api.cli.cluster import open_configured_catalog
from api.cli.identity_options import IN_DEFAULT, Tenant, load_tenant_id
from ingest.storage.accounts.records import Role

app = typer.Typer(help="List collections, and say who may use them.", no_args_is_help=True)

Collection = Annotated[str, typer.Argument(help="The collection's name.")]
Subject = Annotated[str, typer.Argument(help="user:NAME, group:NAME or key:ID.")]


@app.command("list")
def list_collections(tenant: Tenant = IN_DEFAULT) -> None:
    """Show every collection with its grants; one without is open to the whole tenant."""
    with open_configured_catalog() as opened:
        grants, mine = opened.identities.grants, load_tenant_id(opened, tenant)
        found = [
            (each, grants.list_grants(mine, each.name) if each.grants else []) for each in grants.list_collections(mine)
        ]
    table = Table("collection", "documents", "open to")
    for each, given in found:
        whom = ", ".join(f"{grant.subject} ({grant.role})" for grant in given) or "everybody"
        table.add_row(each.name, f"{each.documents:,}", escape(whom))
    Console().print(table)


@app.command()
def grant(
    collection: Collection,
    subject: Subject,
    role: Annotated[Role, typer.Argument(help="What it may do: reader, writer or admin.")] = Role.READER,
    tenant: Tenant = IN_DEFAULT,
) -> None:
    """Give a role on a collection; with its first grant it is closed to everybody else but admins."""
    with open_configured_catalog() as opened:
        given = opened.identities.grants.grant(load_tenant_id(opened, tenant), collection, subject, role)
    Console().print(f"{escape(given.subject)} is {given.role} of {escape(collection)}.", highlight=False)


@app.command()
def revoke(
    collection: Collection,
    subject: Subject,
    open_to_all: Annotated[
        bool, typer.Option("--open-to-all", help="Take the last grant too: the collection is open to the tenant then.")
    ] = False,
    tenant: Tenant = IN_DEFAULT,
) -> None:
    """Take a grant away, at once."""
    with open_configured_catalog() as opened:
        mine = load_tenant_id(opened, tenant)
        opened.identities.grants.revoke(mine, collection, subject, open_to_all=open_to_all)
    Console().print(f"{escape(subject)} has no grant on {escape(collection)} any more.", highlight=False)
