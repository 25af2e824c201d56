"""`leadline installation`: shows which catalog, blobs and index belong together, and ties them after a move."""

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from api.build.installation_access import InstallationParts, open_installation
from api.cli.cluster import read_cluster_settings
from api.cli.environment import read_settings

app = typer.Typer(
    help="Show which catalog, files and index belong together, and tie them after a deliberate move.",
    no_args_is_help=True,
)


@app.command()
def show() -> None:
    """Show each part's installation, and how many of the files the catalog knows; ends with 1 if they disagree."""
    with open_installation(read_settings(), read_cluster_settings()) as parts:
        if not _print_parts(parts):
            raise typer.Exit(1)


@app.command()
def adopt(yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False) -> None:
    """Tie files and index to this catalog, whatever they belonged to; stop the service first.

    What the catalog does not know is kept: upkeep puts it aside for days, and touches nothing if there is much of it.
    """
    with open_installation(read_settings(), read_cluster_settings(), alone=True) as parts:
        _print_parts(parts)
        if not yes:
            typer.confirm("Do these files and this index belong to this catalog?", abort=True)
        identifier = parts.adopt()
    Console().print(f"Catalog, files and index belong to installation {identifier}.", highlight=False)


def _print_parts(parts: InstallationParts) -> bool:
    """Print the parts and return whether they belong together."""
    ids = parts.load_ids()
    table = Table("part", "installation")
    for part, identifier in ids.items():
        table.add_row(part, identifier or "none yet")
    console = Console()
    console.print(table)
    originals, unknown = parts.count_originals()
    console.print(
        f"{originals:,} originals, {unknown:,} of them unknown to the catalog; "
        f"{parts.count_quarantined():,} files in quarantine.",
        highlight=False,
    )
    for detail in parts.record.load_notices().values():
        console.print(detail, highlight=False)
    return len(set(ids.values())) == 1
