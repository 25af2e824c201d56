"""`leadline tenants export` and `delete`: all that there is of a tenant, written to a file, or removed."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from api.cli.cluster import open_configured_catalog
from api.cli.environment import read_settings
from ingest.storage.blobs.opening import open_blobs

Name = Annotated[str, typer.Argument(help="The tenant's name or id.")]


def export(
    tenant: Name,
    file: Annotated[Path, typer.Argument(help="The ZIP to write.")],
) -> None:
    """Write a tenant's originals, documents' metadata, conversations, answers, users and keys without secrets."""
    settings = read_settings()
    with open_configured_catalog() as opened:
        blobs = open_blobs(settings, settings.home, opened.installation)
        identifier = opened.identities.tenants.load_tenant(tenant).id
        try:
            out = file.open("xb")
        except FileExistsError as error:
            raise typer.BadParameter(f"{file} is there already", param_hint="FILE") from error
        with out:
            counts = opened.tenants.export(identifier, out, blobs.iter_blocks)
    Console().print(", ".join(f"{count:,} {name}" for name, count in counts.items()) + f": {file}", highlight=False)


def delete(
    tenant: Name,
    confirm: Annotated[str | None, typer.Option(help="The tenant's name again, instead of being asked.")] = None,
) -> None:
    """Delete a tenant with everything of it: at once nothing can use it, and running workers remove the rest."""
    with open_configured_catalog() as opened:
        identifier = opened.identities.tenants.load_tenant(tenant).id
        if (confirm or typer.prompt(f"Everything of {tenant} goes for good. Type its name")) != tenant:
            raise typer.BadParameter("that is not its name; nothing was deleted", param_hint="--confirm")
        opened.tenants.delete(identifier)
    Console().print(f"{tenant} is deleted; the running service removes what it has of it.", highlight=False)
