"""`leadline backup`, `restore` and `verify`: back up, restore and verify an installation."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.filesize import decimal
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from typer.core import TyperGroup

from api.build.index_access import open_index_access
from api.build.installation_access import InstallationStores, open_installation_stores
from api.cli.console import Console
from api.cli.environment import read_cluster_settings, read_settings
from api.cli.fetching import fetch_missing_model_files
from api.cli.index import show_build_progress
from ingest.storage.audit.records import Action
from ingest.storage.operations.backup import create_backup, verify_backup, verify_stored_files
from ingest.storage.operations.installation import bind_installation
from ingest.storage.operations.restore import RestoreTarget, restore_backup

_LINE_EVERY_SECONDS = 10.0
_MAX_FAULTS = 20


class _MakeByDefaultGroup(TyperGroup):
    """A command group that treats `backup FOLDER` as `backup make FOLDER`."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:  # noqa: ANN401 - as in Typer
        return super().resolve_command(ctx, args if args[0] in self.commands else ["make", *args])

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 - as in Typer
        if args and args[0].startswith("-") and args[0] != "--help":
            args = ["make", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_MakeByDefaultGroup,
    help="Back up the catalog, files and keys while the service runs, or verify a backup.\n\n"
    "`leadline backup FOLDER` is short for `leadline backup make FOLDER`.",
    no_args_is_help=True,
)

Folder = Annotated[Path, typer.Argument(help="The backup folder.")]


@app.command()
def make(
    folder: Folder,
    copy: Annotated[bool, typer.Option("--copy", help="Copy files even where hard links are possible.")] = False,
) -> None:
    """Make a backup in a new folder, or continue an interrupted one.

    The service may be running. If the folder is on the same file system, files are hard links. These take no extra
    space but are lost if the disk fails, so copy the folder to another machine. The index is not included; `leadline
    restore` rebuilds it.
    """
    with open_installation_stores(read_settings(), read_cluster_settings()) as parts, _show_progress() as advanced:
        bind_installation(parts.record, parts.blobs)
        backup = create_backup(parts.catalog, parts.blobs, folder, advanced, use_links=not copy)
        _record_action(parts, Action.BACKUP_MADE, backup.documents)
    _print_line(
        f"Backed up {backup.documents:,} documents to {folder}: {backup.files:,} files, {decimal(backup.size_bytes)}."
    )
    lost = [f"{key} is missing from the installation." for key in backup.lost]
    _exit_on_problems(lost + [f"{key} is corrupt: its content differs from what was stored." for key in backup.damaged])


@app.command()
def verify(folder: Folder) -> None:
    """Compare every file of a backup with its hash.

    Exits with status 1 if a file is missing or corrupt.
    """
    with _show_progress() as advanced:
        wrong = verify_backup(folder, advanced)
    _exit_on_problems(wrong)
    _print_line(f"All files in {folder} are intact.")


def verify_installation() -> None:
    """Compare every file of the installation with its digest.

    The service may be running. Exits with status 1 if a file is missing or corrupt. To verify the index, use `leadline
    index verify`.
    """
    with open_installation_stores(read_settings(), read_cluster_settings()) as parts, _show_progress() as advanced:
        bind_installation(parts.record, parts.blobs)
        wrong = verify_stored_files(parts.catalog, parts.blobs, advanced)
        lacking = parts.digests.count_undigested_versions()
    if lacking:
        _print_line(
            f"{lacking:,} texts have no digest yet, so only their presence was checked. The running service adds "
            "digests."
        )
    _exit_on_problems(wrong)
    _print_line("All originals and all texts with a digest are intact; all other texts are present.")


def restore(
    folder: Folder,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace the existing documents; their catalog is saved first.")
    ] = False,
    as_new: Annotated[
        bool, typer.Option("--as-new", help="Give the copy its own id, so that it can run alongside the original.")
    ] = False,
    without_index: Annotated[
        bool, typer.Option("--without-index", help="Do not rebuild the index; run `leadline index rebuild` later.")
    ] = False,
) -> None:
    """Restore a backup into an empty data folder and database, and rebuild the index.

    Stop the service first. An interrupted restore can be run again.
    """
    settings, cluster = read_settings(), read_cluster_settings()
    with (
        open_installation_stores(settings, cluster, lock_folder=True, create_catalog=True) as parts,
        _show_progress() as advanced,
    ):
        restored = restore_backup(
            folder,
            RestoreTarget(parts.catalog, parts.record, parts.generations, parts.blobs),
            advanced,
            is_index_taken=lambda number: parts.store.find_size(number) is not None,
            replace=replace,
            assign_new_id=as_new,
        )
        manifest = restored.manifest
        _record_action(parts, Action.BACKUP_RESTORED, manifest.documents)
    _print_line(f"Restored {manifest.documents:,} documents, as of {manifest.made_at}.")
    if restored.left_out:
        _print_line(f"Skipped {len(restored.left_out):,} files that are not in the backup's catalog.")
    if without_index:
        _print_line("Searches find nothing until you run `leadline index rebuild`.")
        return
    _print_line("Rebuilding the index. If interrupted, continue with `leadline index rebuild`.")
    fetch_missing_model_files(settings.model_copy(update={"llm": "none"}))
    with open_index_access(settings, cluster=cluster) as access, show_build_progress("Indexing") as watch:
        access.build_restored_generation(watch)
    _print_line("Restore complete.")


def _record_action(components: InstallationStores, action: Action, document_count: int) -> None:
    components.audit.record_action(
        action, f"installation:{components.record.load_id()}", tenant_id=None, documents=document_count
    )


def _exit_on_problems(problems: list[str]) -> None:
    """Print the problems and exit with status 1. Does nothing if there are none."""
    if not problems:
        return
    for sentence in problems[:_MAX_FAULTS]:
        Console(stderr=True).print(f"[red]✗[/red] {sentence}", highlight=False, soft_wrap=True)
    if len(problems) > _MAX_FAULTS:
        Console(stderr=True).print(f"… and {len(problems) - _MAX_FAULTS:,} more.", highlight=False)
    raise typer.Exit(1)


def _print_line(text: str) -> None:
    Console().print(text, highlight=False, soft_wrap=True)


@contextmanager
def _show_progress() -> Iterator[Callable[[str, int, int], None]]:
    """Show a progress bar per task, or print a line every ten seconds if standard error is not a terminal.

    Yields the function that updates a task's progress, given its name, the completed count and the total.
    """
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        tasks, last = {}, time.monotonic()

        def advance(label: str, done_count: int, total: int) -> None:
            nonlocal last
            if label not in tasks:
                tasks[label] = bars.add_task(label, total=total)
            bars.update(tasks[label], completed=done_count, total=total)
            if not console.is_terminal and time.monotonic() - last >= _LINE_EVERY_SECONDS:
                last = time.monotonic()
                console.print(f"{label}: {done_count:,} of {total:,}", highlight=False)

        yield advance
