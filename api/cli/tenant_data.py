"""`leadline tenants export` and `delete`: export or delete all data of a tenant."""

from pathlib import Path
from typing import Annotated

import typer

from api.cli.cluster import open_configured_catalog
from api.cli.console import Console
from api.cli.environment import read_settings
from ingest.storage.blobs.opening import open_blobs

Name = Annotated[str, typer.Argument(help="The tenant's id or name.")]


def export(
    tenant: Name,
    file: Annotated[Path, typer.Argument(help="The ZIP file to write.")],
) -> None:
    """Export a tenant's originals, document metadata, conversations, answers, users, and keys without secrets."""
    settings = read_settings()
    with open_configured_catalog() as opened:
        blobs = open_blobs(settings, settings.home, opened.installation)
        identifier = opened.identities.tenants.load_tenant(tenant).id
        try:
            out = file.open("xb")
        except FileExistsError as error:
            raise typer.BadParameter(f"{file} already exists.", param_hint="FILE") from error
        with out:
            counts = opened.tenants.export(identifier, out, blobs.iter_blocks)
    Console().print(", ".join(f"{count:,} {name}" for name, count in counts.items()) + f": {file}", highlight=False)


def delete(
    tenant: Name,
    confirm: Annotated[str | None, typer.Option(help="Repeat the tenant's id or name to skip the prompt.")] = None,
) -> None:
    """Delete a tenant and all its data.

    Access ends immediately. Running workers then delete the data.
    """
    with open_configured_catalog() as opened:
        identifier = opened.identities.tenants.load_tenant(tenant).id
        if (
            confirm or typer.prompt(f"This permanently deletes all data of {tenant}. Type its name to confirm")
        ) != tenant:
            raise typer.BadParameter("The name does not match. Nothing was deleted.", param_hint="--confirm")
        opened.tenants.delete(identifier)
    Console().print(f"Deleted {tenant}. The running service deletes its data.", highlight=False)
