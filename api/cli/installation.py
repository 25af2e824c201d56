"""`leadline installation`: show which catalog, files and index belong together, and re-link them after a move."""

from typing import Annotated

import typer
from rich.table import Table

from api.build.installation_access import InstallationStores, open_installation_stores
from api.cli.console import Console
from api.cli.environment import read_cluster_settings, read_settings

app = typer.Typer(
    help="Show which catalog, files and index belong together, and re-link them after a move.",
    no_args_is_help=True,
)


@app.command()
def show() -> None:
    """Show the installation id of each component, and count files that are not in the catalog.

    Exits with status 1 if the ids differ.
    """
    with open_installation_stores(read_settings(), read_cluster_settings()) as parts:
        if not _print_components(parts):
            raise typer.Exit(1)


@app.command()
def adopt(yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False) -> None:
    """Link the files and index to this catalog, even if they belong to another installation.

    Stop the service first. Files that are not in the catalog are not deleted immediately: the service first quarantines
    them for days, and leaves them alone if there are suspiciously many.
    """
    with open_installation_stores(read_settings(), read_cluster_settings(), lock_folder=True) as parts:
        _print_components(parts)
        if not yes:
            typer.confirm("Do these files and this index belong to this catalog?", abort=True)
        identifier = parts.adopt_catalog_id()
    Console().print(f"The catalog, files and index now belong to installation {identifier}.", highlight=False)


def _print_components(components: InstallationStores) -> bool:
    """Print the installation's components. Returns True if they belong together."""
    ids = components.load_installation_ids()
    table = Table("part", "installation")
    for part, identifier in ids.items():
        table.add_row(part, identifier or "none yet")
    console = Console()
    console.print(table)
    originals, unknown = components.count_originals()
    console.print(
        f"{originals:,} originals, {unknown:,} of them not in the catalog; "
        f"{components.count_quarantined_files():,} files in quarantine.",
        highlight=False,
    )
    for detail in components.record.load_notices().values():
        console.print(detail, highlight=False)
    return len(set(ids.values())) == 1
