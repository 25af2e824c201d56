"""`leadline models`: list, fetch and verify model files."""

from pathlib import Path
from typing import Annotated

import typer
from rich.filesize import decimal
from rich.table import Table

from api.cli.console import Console
from api.cli.progress import show_download_progress
from retrieval.models.fetch import build_model_sources, fetch_model_files
from retrieval.models.store import ModelFileCheck, ModelFileState, ModelStore, get_default_models_directory

models = typer.Typer(help="List, fetch and verify model files.", no_args_is_help=True)

Directory = Annotated[
    Path | None,
    typer.Option(
        envvar="LEADLINE_MODELS",
        help="The folder of the model files; by default leadline/models in the user's cache folder.",
    ),
]


@models.command("list")
def list_models(directory: Directory = None) -> None:
    """List the model files with their sizes, licences and states."""
    store = _open_model_store(directory)
    _print_model_files(store, store.check_files())


@models.command()
def fetch(directory: Directory = None) -> None:
    """Fetch the missing files.

    An interrupted download continues where it stopped.
    """
    store = _open_model_store(directory)
    with show_download_progress() as progress:
        fetch_model_files(store.files, store, build_model_sources(), progress)
    typer.echo(f"All {len(store.files)} model files are in {store.directory}.")


@models.command()
def verify(
    directory: Directory = None,
    full: Annotated[
        bool, typer.Option("--full", help="Hash every file again, including those verified before.")
    ] = False,
) -> None:
    """Check the size and SHA-256 of each file.

    Exits with status 1 if a file is missing or corrupt.
    """
    store = _open_model_store(directory)
    found = store.check_files(rehash=full)
    _print_model_files(store, found)
    wrong = [verification for verification in found if verification.state is not ModelFileState.VERIFIED]
    for verification in wrong:
        typer.echo(verification.detail, err=True)
    if wrong:
        typer.echo("Fetch these files with `leadline models fetch`.", err=True)
        raise typer.Exit(1)


def _open_model_store(directory: Path | None) -> ModelStore:
    return ModelStore(get_default_models_directory() if directory is None else directory)


def _print_model_files(store: ModelStore, checks: list[ModelFileCheck]) -> None:
    # Show the table without borders and with long names folded, so that names can be read and copied in a terminal with
    # 80 columns.
    table = Table(title=str(store.directory), title_justify="left", box=None, padding=(0, 2, 0, 0))
    table.add_column("File", overflow="fold")
    table.add_column("Size", justify="right", no_wrap=True)
    table.add_column("Licence", no_wrap=True)
    table.add_column("State", no_wrap=True)
    for verification in checks:
        file = verification.file
        table.add_row(file.name, decimal(file.size_bytes), file.licence, verification.state)
    Console().print(table)
