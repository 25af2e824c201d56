"""Keeps documents in step with a folder of this machine: `leadline ingest --watch`."""

import platform
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import typer
import watchfiles
from rich.markup import escape

from api.cli.console import Console
from api.cli.ingest import UploadOptions, iter_files
from api.cli.stages import Watch, show_stages
from api.client import Client, NoAnswerError, NotFoundError, ServiceError, UnavailableError
from api.documents.schemas import UploadedOut

# The metadata that say which file a document is of, so that a later start finds it again. The folder's name begins with
# that of the machine, because two laptops may have equal paths.
_FOLDER, _PATH = "watched_folder", "watched_path"
# The folder is also compared when no change is reported, because network shares report none.
_COMPARE_EVERY_MS = 5_000
# A file that was modified this recently may still be being written.
_SETTLE_SECONDS = 1.0
# As in the service's upkeep, a few removals are usual, and a large share of all files is a sign of a mistake.
_ALWAYS_ALLOWED = 10
_MAX_REMOVED_SHARE = 0.5
_SHOWN_PATHS = 5

# Decides whether the documents of the given paths are deleted, and whether that is a large share of all documents.
ConfirmRemoval = Callable[[Sequence[str], bool], bool]
_Stamp = tuple[int, int]


@dataclass
class FolderChanges:
    """The paths of files that one comparison added, changed or removed, and of documents that stay without a file.

    `refused` and `delayed` have the error of each upload that failed. Only delayed uploads are tried again. `unsettled`
    lists files that may still be being written.
    """

    added: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    refused: dict[str, ServiceError] = field(default_factory=dict)
    delayed: dict[str, ServiceError] = field(default_factory=dict)
    unsettled: list[str] = field(default_factory=list)


class FolderMirror:
    """The documents of the files in a folder. Files with equal bytes share a document, which has the path of one."""

    def __init__(
        self, client: Client, folder: Path, *, collection: str, confirm: ConfirmRemoval, options: UploadOptions
    ) -> None:
        self._client, self._folder, self._collection = client, folder.resolve(), collection
        self._confirm, self._options = confirm, options
        self._label = f"{platform.node()}:{self._folder}"
        # The documents that this folder uploaded, with the path that each has as metadata.
        self._paths = {
            each.id: str(each.metadata.get(_PATH))
            for each in client.documents(collection=collection, filters={_FOLDER: self._label})
        }
        self._documents = {path: document for document, path in self._paths.items()}
        self._stamps = dict[str, _Stamp]()
        self._kept = set[str]()

    def update(self, on_progress: Watch = lambda *_: None, *, settle_seconds: float = 0.0) -> FolderChanges:
        """Upload files that are new or changed, and delete the documents of files that are gone.

        Files that were modified within the last `settle_seconds` are left for a later call. Does nothing while the
        folder does not exist.
        """
        changes = FolderChanges()
        # guard: watched-folder-gone
        if not self._folder.is_dir():
            return changes
        found = dict(self._iter_stamps())
        self._stamps = {path: stamp for path, stamp in self._stamps.items() if path in found}
        waiting = [path for path, stamp in found.items() if self._stamps.get(path) != stamp]
        now = time.time()
        # A time in the future is that of another clock, and says nothing.
        unsettled = {path for path in waiting if 0.0 <= now - found[path][1] / 1e9 < settle_seconds}
        changes.unsettled = sorted(unsettled)
        waiting = [path for path in waiting if path not in unsettled]
        for done, path in enumerate(waiting, start=1):
            self._upload(path, found[path], changes)
            on_progress("uploading", done, len(waiting), "")
        # One of the files that are left may be a renamed file, whose document stays.
        if not unsettled:
            self._remove_documents_without_file(set(found), changes)
        return changes

    def _iter_stamps(self) -> Iterator[tuple[str, _Stamp]]:
        for _, path in iter_files([self._folder]):
            try:
                status = path.stat()
            except FileNotFoundError:
                continue  # The file was removed after it was listed.
            yield path.relative_to(self._folder).as_posix(), (status.st_size, status.st_mtime_ns)

    def _upload(self, path: str, stamp: _Stamp, changes: FolderChanges) -> None:
        try:
            uploaded = self._send(path)
        except FileNotFoundError:
            return
        except (NoAnswerError, UnavailableError) as error:
            changes.delayed[path] = error
            return
        except ServiceError as error:
            changes.refused[path], self._stamps[path] = error, stamp
            return
        if not uploaded.duplicate:
            (changes.changed if path in self._documents else changes.added).append(path)
            self._paths[uploaded.id] = path
        self._documents[path], self._stamps[path] = uploaded.id, stamp
        self._kept.discard(uploaded.id)

    def _send(self, path: str) -> UploadedOut:
        """Replace the document of the file, or upload a new one if other files have this document, too."""
        file, document = self._folder / path, self._documents.get(path)
        is_shared = sum(its == document for its in self._documents.values()) > 1
        if document is not None and document in self._paths and not is_shared:
            try:
                return self._client.replace_document(document, file, priority="bulk")
            except NotFoundError:
                del self._paths[document]
        return self._client.upload(
            file,
            collection=self._collection,
            priority=self._options.priority or "bulk",
            metadata={**self._options.metadata, _FOLDER: self._label, _PATH: path},
            readers=self._options.readers,
        )

    def _remove_documents_without_file(self, found: set[str], changes: FolderChanges) -> None:
        current = {document: path for path, document in self._documents.items() if path in found}
        for document, path in self._paths.items():
            if document in current and (path not in found or self._documents[path] != document):
                self._rename(document, current[document])
        self._documents = {
            path: document
            for path, document in self._documents.items()
            if path in found or self._paths.get(document) == path
        }
        gone = [document for document in self._paths if document not in current and document not in self._kept]
        if not gone:
            return
        paths = [self._paths[document] for document in gone]
        # guard: watched-large-removal
        is_large = not found or len(gone) > max(_ALWAYS_ALLOWED, _MAX_REMOVED_SHARE * len(self._paths))
        if not self._confirm(paths, is_large):
            self._kept.update(gone)
            changes.kept += paths
            return
        for document, path in zip(gone, paths, strict=True):
            self._delete(document)
            changes.removed.append(path)

    def _rename(self, document: str, path: str) -> None:
        self._client.change_document(document, metadata={_PATH: path})
        self._paths[document] = path

    def _delete(self, document: str) -> None:
        with suppress(NotFoundError):  # Somebody else may have deleted it.
            self._client.delete_document(document)
        del self._paths[document]
        self._documents = {path: its for path, its in self._documents.items() if its != document}


def watch_folder(
    client: Client, folder: Path, *, collection: str, options: UploadOptions, remove_deleted: bool
) -> None:
    """Keep the documents in step with the folder until Ctrl-C is pressed."""
    console = Console()

    def confirm(paths: Sequence[str], is_large: bool) -> bool:
        if remove_deleted and not is_large:
            return True
        return sys.stdin.isatty() and typer.confirm(_ask_about_removal(paths, folder))

    mirror = FolderMirror(client, folder, collection=collection, confirm=confirm, options=options)
    try:
        with show_stages(Console(stderr=True)) as on_progress:
            changes = mirror.update(on_progress)
        _print_changes(console, changes)
        console.print(f"Watching {escape(str(folder))}. Press Ctrl-C to stop.", highlight=False, soft_wrap=True)
        for _ in watchfiles.watch(
            folder, watch_filter=None, rust_timeout=_COMPARE_EVERY_MS, yield_on_timeout=True, raise_interrupt=True
        ):
            while _update(mirror, console):
                time.sleep(_SETTLE_SECONDS)
    except (KeyboardInterrupt, typer.Abort):
        console.print("Stopped. The documents stay.", highlight=False)


def _update(mirror: FolderMirror, console: Console) -> bool:
    """Update the documents, and return whether files were left because they may still be being written."""
    try:
        changes = mirror.update(settle_seconds=_SETTLE_SECONDS)
        _print_changes(console, changes)
        return bool(changes.unsettled)
    except (NoAnswerError, UnavailableError) as error:
        console.print(f"{escape(error.detail)} Trying again.", style="yellow", highlight=False, soft_wrap=True)
        return False


def _print_changes(console: Console, changes: FolderChanges) -> None:
    """Print one line for each kind of change, and for each file that was refused."""
    for verb, paths in (("Added", changes.added), ("Changed", changes.changed), ("Removed", changes.removed)):
        if paths:
            console.print(f"{verb} {_list_paths(paths)}", highlight=False, markup=False, soft_wrap=True)
    if changes.kept:
        text = (
            f"Kept, although the files are gone: {_list_paths(changes.kept)}. To delete, run the command in a terminal."
        )
        console.print(text, style="yellow", highlight=False, markup=False, soft_wrap=True)
    for path, error in {**changes.refused, **changes.delayed}.items():
        text = f"{error.detail} {error.hint}".strip()
        console.print(f"[red]{escape(path)}[/red]: {escape(text)}", highlight=False, soft_wrap=True)


def _ask_about_removal(paths: Sequence[str], folder: Path) -> str:
    these = "file is" if len(paths) == 1 else "files are"
    return f"{len(paths):,} {these} no longer in {folder}: {_list_paths(paths)}. Delete the documents?"


def _list_paths(paths: Sequence[str]) -> str:
    more = f" and {len(paths) - _SHOWN_PATHS:,} more" if len(paths) > _SHOWN_PATHS else ""
    return f"{', '.join(paths[:_SHOWN_PATHS])}{more}"
