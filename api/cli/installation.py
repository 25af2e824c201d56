"""`leadline installation`: show which catalog, files and index belong together, and re-link them after a move."""

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from api.build.installation_access import InstallationParts, open_installation
from api.cli.cluster import read_cluster_settings
from api.cli.environment import read_settings

app = typer.Typer(
    help="Show which catalog, files and index belong together, and re-link them after a move.",
    no_args_is_help=True,
)


@app.command()
def show() -> None:
    """Show the installation id of each component, and count files that are not in the catalog.

    Exits with status 1 if the ids differ.
    """
    with open_installation(read_settings(), read_cluster_settings()) as parts:
        if not _print_parts(parts):
            raise typer.Exit(1)


@app.command()
def adopt(yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False) -> None:
    """Link the files and index to this catalog, even if they belong to another installation.

    Stop the service first. Files that are not in the catalog are not deleted immediately: the service first quarantines
    them for days, and leaves them alone if there are suspiciously many.
    """
    with open_installation(read_settings(), read_cluster_settings(), alone=True) as parts:
        _print_parts(parts)
        if not yes:
            typer.confirm("Do these files and this index belong to this catalog?", abort=True)
        identifier = parts.adopt()
    Console().print(f"The catalog, files and index now belong to installation {identifier}.", highlight=False)


def _print_parts(parts: InstallationParts) -> bool:
    """Print the installation's components. Returns True if they belong together."""
    ids = parts.load_ids()
    table = Table("part", "installation")
    for part, identifier in ids.items():
        table.add_row(part, identifier or "none yet")
    console = Console()
    console.print(table)
    originals, unknown = parts.count_originals()
    console.print(
        f"{originals:,} originals, {unknown:,} of them not in the catalog; "
        f"{parts.count_quarantined():,} files in quarantine.",
        highlight=False,
    )
    for detail in parts.record.load_notices().values():
        console.print(detail, highlight=False)
    return len(set(ids.values())) == 1
