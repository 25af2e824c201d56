"""`leadline backup`, `restore` and `verify`: copies of an installation, made while it runs, put back and read again."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from typer.core import TyperGroup

from api.build.index_access import open_index_access
from api.build.installation_access import InstallationParts, open_installation
from api.cli.cluster import read_cluster_settings
from api.cli.environment import read_settings
from api.cli.fetching import fetch_needed_files
from api.cli.index import show_build_progress
from ingest.storage.audit.records import Action
from ingest.storage.operations.backup import create_backup, verify_backup, verify_contents
from ingest.storage.operations.installation import bind_installation
from ingest.storage.operations.restore import RestoreTarget, restore_backup

_LINE_EVERY_SECONDS = 10.0
_MAX_FAULTS = 20


class _MakeByDefaultGroup(TyperGroup):
    """Takes `backup FOLDER` for `backup make FOLDER`."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:  # noqa: ANN401 - as in Typer
        return super().resolve_command(ctx, args if args[0] in self.commands else ["make", *args])

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 - as in Typer
        if args and args[0].startswith("-") and args[0] != "--help":
            args = ["make", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_MakeByDefaultGroup,
    help="Copy catalog, files and keys to a folder while the service runs: `leadline backup FOLDER`; or verify a copy.",
    no_args_is_help=True,
)

Folder = Annotated[Path, typer.Argument(help="The folder of the backup.")]


@app.command()
def make(
    folder: Folder,
    copy: Annotated[bool, typer.Option("--copy", help="Copy files also where links would do.")] = False,
) -> None:
    """Make a backup in a new folder, or go on with one that was broken off; the service may run.

    On the same file system the files are hard links, which take no room and do not outlive the disk: copy the folder to
    another machine. The index is not in it, and is made again when the backup is put back.
    """
    with open_installation(read_settings(), read_cluster_settings()) as parts, _show_progress() as advanced:
        bind_installation(parts.record, parts.blobs)
        made = create_backup(parts.catalog, parts.blobs, folder, advanced, link=not copy)
        _record_action(parts, Action.BACKUP_MADE, made.documents)
    _print_line(f"{folder} holds {made.documents:,} documents, in {made.files:,} files of {decimal(made.size_bytes)}.")
    lost = [f"{key} is missing from the installation." for key in made.lost]
    _exit_on_faults(lost + [f"{key} has other bytes than were written." for key in made.damaged])


@app.command()
def verify(folder: Folder) -> None:
    """Read every file of a backup and compare it with its hash; ends with 1 if one is wrong."""
    with _show_progress() as advanced:
        wrong = verify_backup(folder, advanced)
    _exit_on_faults(wrong)
    _print_line(f"{folder} is whole.")


def verify_installation() -> None:
    """Compare every file of the installation with its digest; ends with 1 if one is wrong. The service may run.

    `leadline index verify` compares the index.
    """
    with open_installation(read_settings(), read_cluster_settings()) as parts, _show_progress() as advanced:
        bind_installation(parts.record, parts.blobs)
        wrong = verify_contents(parts.catalog, parts.blobs, advanced)
        lacking = parts.digests.count_undigested()
    if lacking:
        _print_line(f"{lacking:,} texts have no digest yet, and were only found to be there: upkeep is adding digests.")
    _exit_on_faults(wrong)
    _print_line(
        "Every original and every text with a digest has the bytes that were written, and every other text is there."
    )


def restore(
    folder: Folder,
    replace: Annotated[
        bool, typer.Option("--replace", help="Take the place of the documents that are here; their catalog is saved.")
    ] = False,
    as_new: Annotated[
        bool, typer.Option("--as-new", help="Give the copy an id of its own, to run it beside the original.")
    ] = False,
    without_index: Annotated[
        bool, typer.Option("--without-index", help="Leave the index to `leadline index rebuild`.")
    ] = False,
) -> None:
    """Put a backup back into an empty home and database, and make the index again; no service may run.

    Broken off, it can be given again.
    """
    settings, cluster = read_settings(), read_cluster_settings()
    with open_installation(settings, cluster, alone=True, create=True) as parts, _show_progress() as advanced:
        done = restore_backup(
            folder,
            RestoreTarget(parts.catalog, parts.record, parts.generations, parts.blobs),
            advanced,
            taken=lambda number: parts.store.find_size(number) is not None,
            replace=replace,
            as_new=as_new,
        )
        made = done.manifest
        _record_action(parts, Action.BACKUP_RESTORED, made.documents)
    _print_line(f"{made.documents:,} documents are back, as of {made.made_at}.")
    if done.left_out:
        _print_line(
            f"{len(done.left_out):,} files were left out, because the catalog in the backup does not name them."
        )
    if without_index:
        _print_line("Searches find nothing yet: `leadline index rebuild` makes the index.")
        return
    _print_line("The index is made again; broken off, `leadline index rebuild` goes on with it.")
    fetch_needed_files(settings.model_copy(update={"llm": "none"}))
    with open_index_access(settings, cluster=cluster) as access, show_build_progress("Indexing") as watch:
        access.build_restored(watch)
    _print_line("Everything is back.")


def _record_action(parts: InstallationParts, action: Action, documents: int) -> None:
    parts.audit.record(action, f"installation:{parts.record.load_id()}", tenant_id=None, documents=documents)


def _exit_on_faults(wrong: list[str]) -> None:
    """Print what is wrong and end with 1 if anything is."""
    if not wrong:
        return
    for sentence in wrong[:_MAX_FAULTS]:
        Console(stderr=True).print(f"[red]✗[/red] {sentence}", highlight=False, soft_wrap=True)
    if len(wrong) > _MAX_FAULTS:
        Console(stderr=True).print(f"… and {len(wrong) - _MAX_FAULTS:,} more.", highlight=False)
    raise typer.Exit(1)


def _print_line(text: str) -> None:
    Console().print(text, highlight=False, soft_wrap=True)


@contextmanager
def _show_progress() -> Iterator[Callable[[str, int, int], None]]:
    """Show a bar for each thing that is done; without a terminal a line now and then."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        tasks, last = {}, time.monotonic()

        def advance(what: str, done: int, total: int) -> None:
            nonlocal last
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total)
            bars.update(tasks[what], completed=done, total=total)
            if not console.is_terminal and time.monotonic() - last >= _LINE_EVERY_SECONDS:
                last = time.monotonic()
                console.print(f"{what}: {done:,} of {total:,}", highlight=False)

        yield advance
