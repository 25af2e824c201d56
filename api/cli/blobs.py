"""`leadline blobs`: show where files are stored, and manage their encryption keys."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import Progress

from api.cli.cluster import open_configured_catalog
from api.cli.console import Console
from api.cli.environment import read_cluster_settings, read_settings
from ingest.storage.audit.records import Action
from ingest.storage.blobs.opening import open_blobs
from ingest.storage.blobs.store import BlobSettings, BlobStore
from ingest.storage.errors import BlobKeyError
from ingest.storage.sealing import Sealing

if TYPE_CHECKING:
    from api.build.embedded import OpenCatalog
    from ingest.storage.blobs.sealed import FileFormat, SealedBlobs

app = typer.Typer(
    no_args_is_help=True, help="Show where files are stored, generate encryption keys, and re-encrypt files."
)

_KINDS = ("original", "text", "tables", "quarantine")
_MAX_KEYS = 10


@app.command()
def show() -> None:
    """Show where files are stored, how they are encrypted, and the next steps.

    Exits with status 1 if files are rejected.
    """
    from ingest.storage.blobs.sealed import FileFormat, SealedBlobs

    with _open_catalog_and_blobs() as (opened, blobs):
        keys = {kind: list(blobs.iter_keys(kind)) for kind in _KINDS}
        _print_line(f"{blobs.location}: {', '.join(f'{len(some):,} {kind}' for kind, some in keys.items())}.")
        if not isinstance(blobs, SealedBlobs):
            _print_line("Files are not encrypted: LEADLINE_BLOB_KEYS is not set.")
            return
        formats = _read_file_formats(blobs, [key for some in keys.values() for key in some])
        counts = Counter(formats.values())
        for each in FileFormat:
            if counts[each]:
                _print_line(f"{counts[each]:>9,} {each}")
        if not _print_next_steps(opened.installation.load_sealing(), formats):
            raise typer.Exit(1)


@app.command()
def key() -> None:
    """Generate a key for LEADLINE_BLOB_KEYS.

    Put it before the existing keys, restart every process, and run `leadline blobs reseal`.
    """
    from ingest.storage.blobs.keyring import generate_key

    typer.echo(generate_key())


@app.command()
def reseal(
    accept_unbound: Annotated[
        bool,
        typer.Option(
            "--accept-unbound",
            help="Also encrypt files that are rejected because an earlier release did not bind them to their names. "
            "Compare them with a backup first: anyone with write access may have placed them there.",
        ),
    ] = False,
) -> None:
    """Re-encrypt every file with the first key and bind it to its name.

    The service may be running, but first update every process to this release and restart it with the new key.
    Afterwards, the other keys can be removed, and files that are not encrypted or not bound to their names are
    rejected. Exits with status 1 if files are rejected.
    """
    from ingest.storage.blobs.sealed import SealedBlobs
    from ingest.storage.operations.resealing import reseal_all_files

    with _open_catalog_and_blobs() as (opened, blobs):
        if not isinstance(blobs, SealedBlobs):
            raise BlobKeyError("LEADLINE_BLOB_KEYS is not set.", hint="Generate a key with `leadline blobs key`.")
        with Progress(console=Console(stderr=True)) as bar:
            task = bar.add_task("Encrypting", total=None)
            done = reseal_all_files(
                blobs,
                lambda at, total: bar.update(task, completed=at, total=total),
                digests=opened.digests,
                accept_unbound=accept_unbound,
            )
        opened.audit.record_action(
            Action.INSTALLATION_CHANGED, f"installation:{opened.installation.load_id()}", tenant_id=None
        )
    _print_line(f"Re-encrypted {done.sealed:,} of {done.files:,} files. The others were up to date or were rejected.")
    if done.refused:
        _print_keys(list(done.refused), "was rejected because it was changed or is not bound to its name")
        raise typer.Exit(1)


def _print_next_steps(sealing: Sealing, formats: "dict[str, FileFormat]") -> bool:
    """Print the operator's next steps. Returns False if any files are rejected."""
    from ingest.storage.blobs.sealed import FileFormat

    foreign = [key for key, each in formats.items() if each is FileFormat.FOREIGN]
    unbound = [key for key, each in formats.items() if each in (FileFormat.PLAIN, FileFormat.UNBOUND)]
    if foreign:
        _print_keys(foreign, "needs a key that is missing from LEADLINE_BLOB_KEYS: add it after the others")
    if unbound and sealing is Sealing.BOUND:
        _print_keys(unbound, "is rejected because it is not bound to its name, so anyone may have placed it there")
        _print_line(
            "Restore these files from a backup. For files from an earlier release, see `leadline blobs reseal --help`."
        )
        return False
    if sealing is not Sealing.BOUND:
        _print_line(
            "Anyone with write access can swap files that are not bound to their names. Once every process runs this "
            "release, run `leadline blobs reseal` to bind them. After that, unbound files are rejected."
        )
    return not foreign


def _read_file_formats(blobs: "SealedBlobs", keys: list[str]) -> "dict[str, FileFormat]":
    found = {}
    with Progress(console=Console(stderr=True), transient=True) as bar:
        for each in bar.track(keys, description="Reading"):
            try:
                found[each] = blobs.detect_file_format(each)
            except KeyError:  # The file was deleted after the listing.
                continue
    return found


def _print_keys(keys: list[str], problem: str) -> None:
    for each in keys[:_MAX_KEYS]:
        _print_line(f"{each} {problem}.")
    if len(keys) > _MAX_KEYS:
        _print_line(f"… and {len(keys) - _MAX_KEYS:,} more.")


def _print_line(text: str) -> None:
    Console().print(text, highlight=False, soft_wrap=True)


@contextmanager
def _open_catalog_and_blobs() -> "Iterator[tuple[OpenCatalog, BlobStore]]":
    """Open the catalog and blob store of the cluster, or of the data folder if no cluster is configured."""
    settings, home = _read_blob_settings()
    with open_configured_catalog() as opened:
        yield opened, open_blobs(settings, home, opened.installation)


def _read_blob_settings() -> tuple[BlobSettings, Path]:
    """Return the blob settings and home folder of the cluster, or of the data folder if no cluster is configured."""
    settings, cluster = read_settings(), read_cluster_settings()
    return (settings, settings.home) if cluster is None else (cluster, cluster.home)
