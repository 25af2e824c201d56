"""`leadline replies`: manage the cache of language model replies, which avoids paying twice for identical requests."""

from typing import Annotated

import typer

from api.admission.services import DEFAULT_TENANT
from api.cli.cluster import open_configured_catalog
from api.cli.console import Console

app = typer.Typer(help="Show and clear the cache of language model replies.", no_args_is_help=True)

Tenant = Annotated[str, typer.Option(help="The tenant's id.")]


@app.command()
def show(tenant: Tenant = DEFAULT_TENANT) -> None:
    """Show the number and size of cached replies."""
    with open_configured_catalog() as opened:
        count, size_bytes = opened.replies.measure_size(tenant)
    Console().print(f"{count:,} cached replies, {size_bytes / 1e6:,.1f} MB.", highlight=False)


@app.command()
def forget(tenant: Tenant = DEFAULT_TENANT) -> None:
    """Delete all cached replies, for example after changing the model or to remove traces of deleted documents."""
    with open_configured_catalog() as opened:
        count = opened.replies.delete_replies(tenant)
    Console().print(f"Deleted {count:,} cached replies.", highlight=False)
