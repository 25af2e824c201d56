"""`leadline collections`: list and rename collections, and manage who can use them."""

from dataclasses import replace
from typing import Annotated

import typer
from rich.markup import escape

from api.cli.cluster import open_configured_catalog
from api.cli.console import Console
from api.cli.environment import read_settings
from api.cli.identity_options import IN_DEFAULT, Tenant, load_tenant_id
from api.cli.listing import Listing
from ingest.storage.accounts.records import Role
from ingest.storage.documents.cards.records import DescribeMode

app = typer.Typer(help="List and rename collections, and manage who can use them.", no_args_is_help=True)

Collection = Annotated[str, typer.Argument(help="The collection's name.")]
Subject = Annotated[str, typer.Argument(help="The user, group or key: user:NAME, group:NAME or key:ID.")]


@app.command("list")
def list_collections(tenant: Tenant = IN_DEFAULT) -> None:
    """List collections and their grants.

    A collection without grants is open to the whole tenant.
    """
    with open_configured_catalog() as opened:
        grants, owner = opened.identities.grants, load_tenant_id(opened, tenant)
        found = [
            (each, grants.list_grants(owner, each.name) if each.grants else [])
            for each in grants.list_collections(owner)
        ]
    table = Listing(("collection", "documents", "open to"), texts=("open to",))
    for each, role_grants in found:
        subjects = ", ".join(f"{grant.subject} ({grant.role})" for grant in role_grants) or "everyone"
        table.add(each.name, f"{each.documents:,}", subjects)
    table.print()


@app.command()
def rename(
    collection: Collection,
    title: Annotated[str, typer.Argument(help='The title that people see; "" shows the name again.')],
    tenant: Tenant = IN_DEFAULT,
) -> None:
    """Give a collection a new title.

    The collection's name, which programs use, stays the same, so no filter, grant or stored answer changes.
    """
    with open_configured_catalog() as opened:
        owner, collections = load_tenant_id(opened, tenant), opened.collections
        settings = replace(collections.load_collection(owner, collection).settings, title=title.strip() or None)
        collections.change(owner, collection, settings, None)
    Console().print(f"The title of {escape(collection)} is now: {escape(title.strip() or collection)}", highlight=False)


@app.command()
def describe(
    collection: Collection,
    on: Annotated[bool, typer.Option("--on/--off", help="Whether a model describes the documents.")] = True,
    tenant: Tenant = IN_DEFAULT,
) -> None:
    """Have a model fill in the cards of a collection's documents, as far as LEADLINE_DESCRIBE permits.

    Cards that are already filled in stay as they are.
    """
    with open_configured_catalog() as opened:
        owner, collections = load_tenant_id(opened, tenant), opened.collections
        settings = replace(collections.load_collection(owner, collection).settings, describe=on)
        collections.change(owner, collection, settings, None)
        permission = read_settings().describe
    Console().print(f"Descriptions of {escape(collection)}: {'on' if on else 'off'}.", highlight=False)
    if on and permission is DescribeMode.OFF:
        Console().print("LEADLINE_DESCRIBE is off, so no document is described.", highlight=False)


@app.command()
def grant(
    collection: Collection,
    subject: Subject,
    role: Annotated[Role, typer.Argument(help="The role to grant: reader, writer or admin.")] = Role.READER,
    tenant: Tenant = IN_DEFAULT,
) -> None:
    """Grant a role on a collection.

    After the first grant, only admins and subjects with a grant can access the collection.
    """
    with open_configured_catalog() as opened:
        granted = opened.identities.grants.grant_role(load_tenant_id(opened, tenant), collection, subject, role)
    Console().print(f"Granted {granted.role} on {escape(collection)} to {escape(granted.subject)}.", highlight=False)


@app.command()
def revoke(
    collection: Collection,
    subject: Subject,
    open_to_all: Annotated[
        bool,
        typer.Option("--open-to-all", help="Allow removing the last grant, which opens the collection to the tenant."),
    ] = False,
    tenant: Tenant = IN_DEFAULT,
) -> None:
    """Revoke a grant, effective immediately."""
    with open_configured_catalog() as opened:
        owner = load_tenant_id(opened, tenant)
        opened.identities.grants.revoke_grant(owner, collection, subject, open_to_all=open_to_all)
    Console().print(f"Revoked the grant of {escape(subject)} on {escape(collection)}.", highlight=False)
