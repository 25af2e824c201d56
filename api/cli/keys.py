"""`leadline keys`: makes, lists and revokes API keys of the data folder, or of the cluster's catalog."""

from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from api.cli.cluster import catalog_named
from api.services import DEFAULT_TENANT
from ingest.errors import DocumentNotFoundError

app = typer.Typer(help="Make, list and revoke API keys.", no_args_is_help=True)


@app.command()
def create(name: Annotated[str, typer.Argument(help="What the key is for.")] = "command line") -> None:
    """Make a key and print it once; only its hash is kept."""
    with catalog_named() as opened:
        key, text = opened.keys.issue(DEFAULT_TENANT, name)
    print(text)
    Console(stderr=True).print(f"Key {key.id}. It is not shown again: export LEADLINE_API_KEY=…", highlight=False)


@app.command("list")
def list_keys() -> None:
    """Show every key without its secret."""
    with catalog_named() as opened:
        keys = opened.keys.keys(DEFAULT_TENANT)
    table = Table("id", "name", "made", "state")
    for key in keys:
        state = "revoked" if key.revoked_at else "live"
        table.add_row(key.id, key.name, f"{datetime.fromtimestamp(key.created_at, UTC):%Y-%m-%d %H:%M}Z", state)
    Console().print(table)


@app.command()
def revoke(identifier: Annotated[str, typer.Argument(help="The id that `leadline keys list` shows.")]) -> None:
    """Make a key worthless, at once and for good."""
    with catalog_named() as opened:
        revoked = opened.keys.revoke(DEFAULT_TENANT, identifier)
    if not revoked:
        raise DocumentNotFoundError(
            f"There is no live key {identifier!r}.", hint="`leadline keys list` shows the keys there are."
        )
    Console().print(f"Key {identifier} is revoked.", highlight=False)
