"""`leadline blobs`: where files are kept, and the keys that seal them."""

from pathlib import Path

import typer
from rich.console import Console
from rich.progress import track

from api.cli.cluster import cluster_named
from api.cli.environment import read_settings
from ingest.blob_settings import BlobSettings
from ingest.blob_stores import open_blobs
from ingest.errors import BlobKeyError

app = typer.Typer(no_args_is_help=True, help="Show where files are kept, make keys that seal them, and seal them anew.")

_KINDS = ("original", "text", "tables", "quarantine")


@app.command()
def show() -> None:
    """Show where files are kept, how many of each kind there are, and whether they are sealed."""
    settings, home = _settings()
    blobs = open_blobs(settings, home)
    counts = ", ".join(f"{sum(1 for _ in blobs.keys(kind)):,} {kind}" for kind in _KINDS)
    sealed = "sealed" if settings.blob_keys is not None else "not sealed"
    Console().print(f"{blobs.place}: {counts}; {sealed}", highlight=False)


@app.command()
def key() -> None:
    """Print a new key for LEADLINE_BLOB_KEYS: put it before those that are there, then run `reseal`."""
    from ingest.keyring import new_key

    typer.echo(new_key())


@app.command()
def reseal() -> None:
    """Seal every file with the first key; afterwards the others can be taken out. The service may run.

    It must have been started anew with the new key before, in all of its processes.
    """
    from ingest.sealed_blobs import SealedBlobs

    settings, home = _settings()
    blobs = open_blobs(settings, home)
    if not isinstance(blobs, SealedBlobs):
        raise BlobKeyError("LEADLINE_BLOB_KEYS is not set.", hint="Make a key with `leadline blobs key`.")
    keys = [key for kind in _KINDS for key in blobs.keys(kind)]
    done = 0
    for each in track(keys, "Sealing", console=Console(stderr=True)):
        try:
            done += blobs.reseal(each)
        except KeyError:  # deleted meanwhile
            continue
    blobs.reseal_note()
    typer.echo(f"{done:,} of {len(keys):,} files sealed with the first key; the others were already.")


def _settings() -> tuple[BlobSettings, Path]:
    """Return the settings of the cluster that the environment names, or else of the data folder, and its home."""
    settings, cluster = read_settings(), cluster_named()
    return (settings, settings.home) if cluster is None else (cluster, cluster.home)
