"""`leadline replies`: manages kept replies of language models, which save paying twice for equal calls."""

from typing import Annotated

import typer
from rich.console import Console

from api.admission.services import DEFAULT_TENANT
from api.cli.cluster import open_configured_catalog

app = typer.Typer(help="Show how much of language models' replies is kept, and forget them.", no_args_is_help=True)

Tenant = Annotated[str, typer.Option(help="Whose replies.")]


@app.command()
def show(tenant: Tenant = DEFAULT_TENANT) -> None:
    """Show how many replies are kept, and their size."""
    with open_configured_catalog() as opened:
        count, size_bytes = opened.replies.measure(tenant)
    Console().print(f"{count:,} replies, {size_bytes / 1e6:,.1f} MB.", highlight=False)


@app.command()
def forget(tenant: Tenant = DEFAULT_TENANT) -> None:
    """Remove all kept replies: after a model began to answer differently, or to erase traces of deleted documents."""
    with open_configured_catalog() as opened:
        count = opened.replies.delete_all(tenant)
    Console().print(f"{count:,} replies are forgotten; the next questions ask the model again.", highlight=False)
