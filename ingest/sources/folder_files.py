"""Lists and opens the files below a folder, through descriptors that no symbolic link can redirect."""

import errno
import os
import pwd
import stat
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import lru_cache
from pathlib import Path

from ingest.sources.errors import (
    FolderMissingError,
    ItemGoneError,
    ItemUnavailableError,
    ItemUnchangedError,
    SourceError,
    SourceRefusedError,
    SourceUnavailableError,
)
from ingest.sources.folder import FolderOptions, select_readers
from ingest.sources.limits import changed_while_read, limit_blocks, require_item_size
from ingest.sources.path_filter import PathFilter, build_path_id, parse_path_id, show_path
from ingest.sources.port import OpenedItem, SourceChanges, SourceContext, SourceItem

_BLOCK_BYTES = 1 << 20
# The coarsest clock of a file system in use is FAT's. A file that was modified this recently may change again without
# a new modification time, so it has no version yet.
_CLOCK_SECONDS = 2.0
# Each level holds two descriptors, of which a process has 1,024 by default.
_MAX_DEPTH = 100
_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Without O_NONBLOCK, opening a pipe would wait for its writer.
_FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_DENIED = (errno.EACCES, errno.EPERM)
_ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


def find_permitted_folder(path: Path, folders: Sequence[Path]) -> tuple[Path, Path] | None:
    """Find the permitted folder that contains `path`, and the path relative to it, both without symbolic links."""
    real = path.resolve()
    for folder in folders:
        permitted = folder.resolve()
        # guard: source-permitted-folder
        if real.is_relative_to(permitted):
            return permitted, real.relative_to(permitted)
    return None


class FolderSource:
    """The regular files below a folder.

    Symbolic links below the folder are not followed: a target inside has its own path, and others are not permitted.
    """

    def __init__(self, options: FolderOptions, context: SourceContext) -> None:
        self._options = options
        self._context = context
        self._filter = PathFilter(options.include, options.exclude)

    def list_items(self) -> Iterator[SourceItem]:
        with self._open_root() as root:
            identity = _identify(root)
            yield from self._walk(root)
        with self._open_root() as root:
            # A share that is unmounted during the listing makes the remaining folders disappear.
            # guard: source-same-folder
            if _identify(root) != identity:
                raise SourceUnavailableError(f"{self._options.path} was replaced or unmounted while it was listed.")

    @contextmanager
    def open_item(self, item: SourceItem, known_version: str = "") -> Iterator[OpenedItem]:
        path = parse_path_id(item.id)
        with self._open_root() as root, ExitStack() as stack:
            try:
                descriptor = _open_below(root, path.split("/"), _FILE_FLAGS)
            except OSError as error:
                raise self._explain_item_error(path, error) from error
            stack.callback(os.close, descriptor)
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise ItemGoneError(path)
            opened = self._describe(path, status)
            if known_version and opened.version == known_version:
                raise ItemUnchangedError(path)
            require_item_size(opened.name, status.st_size, self._context.max_item_bytes)
            blocks = self._read_blocks(path, descriptor, status)
            yield OpenedItem(opened, limit_blocks(opened.name, blocks, self._context.max_item_bytes))

    def list_changes(self, cursor: str) -> SourceChanges | None:
        return None

    def close(self) -> None:
        pass

    @contextmanager
    def _open_root(self) -> Iterator[int]:
        """Open the folder. Raises an error if it is not there, so that it cannot be mistaken for an empty folder."""
        with ExitStack() as stack:
            try:
                found = find_permitted_folder(Path(self._options.path), self._context.folders)
                if found is None:
                    raise SourceRefusedError(f"{self._options.path} leads out of the folders that sources may read.")
                top = os.open(found[0], _FOLDER_FLAGS)
                stack.callback(os.close, top)
                root = _open_below(top, found[1].parts, _FOLDER_FLAGS)
                stack.callback(os.close, root)
                if self._options.marker:
                    # guard: source-marker
                    os.stat(self._options.marker, dir_fd=root, follow_symlinks=False)
            except FileNotFoundError as error:
                missing = self._options.marker if error.filename == self._options.marker else "The folder"
                raise FolderMissingError(f"{missing} is missing at {self._options.path}.") from error
            except (OSError, RuntimeError) as error:  # Before Python 3.13, circles of links raise RuntimeError.
                raise self._translate_folder_error("", error) from error
            yield root

    def _walk(self, root: int) -> Iterator[SourceItem]:
        """Yield the items depth first. Only the folders on the way to the current one are open."""
        stack: list[tuple[str, int, os._ScandirIterator[str]]] = []
        try:
            self._enter(stack, "", os.dup(root))
            while stack:
                prefix, descriptor, entries = stack[-1]
                entry = self._read_next(prefix, entries)
                if entry is None:
                    entries.close()
                    os.close(stack.pop()[1])
                    continue
                path = prefix + entry.name
                if self._filter.excludes(path):
                    continue
                try:
                    if entry.is_dir(follow_symlinks=False):
                        self._enter(stack, f"{path}/", os.open(entry.name, _FOLDER_FLAGS, dir_fd=descriptor))
                    elif entry.is_file(follow_symlinks=False) and self._filter.accepts(path):
                        yield self._describe(path, entry.stat(follow_symlinks=False))
                except OSError as error:
                    # A file that was removed meanwhile needs no entry. Any other error would make the list incomplete.
                    # guard: source-complete-list
                    if error.errno not in _ABSENT:
                        raise self._translate_folder_error(path, error) from error
        finally:
            for _, descriptor, entries in stack:
                entries.close()
                os.close(descriptor)

    def _enter(self, stack: list[tuple[str, int, "os._ScandirIterator[str]"]], prefix: str, descriptor: int) -> None:
        try:
            if len(stack) >= _MAX_DEPTH:
                raise SourceRefusedError(
                    f"{show_path(prefix)} is more than {_MAX_DEPTH} folders deep.",
                    hint="Exclude the folder with a pattern.",
                )
            stack.append((prefix, descriptor, os.scandir(descriptor)))
        except BaseException:
            os.close(descriptor)
            raise

    def _read_next(self, prefix: str, entries: "os._ScandirIterator[str]") -> "os.DirEntry[str] | None":
        try:
            return next(entries, None)
        except OSError as error:
            raise self._translate_folder_error(prefix, error) from error

    def _describe(self, path: str, status: os.stat_result) -> SourceItem:
        owner = _find_user_name(status.st_uid)
        shown = show_path(path)
        return SourceItem(
            id=build_path_id(path),
            name=shown.rpartition("/")[2],
            version=_build_version(status),
            size_bytes=status.st_size,
            path=shown,
            author=owner,
            modified_at=status.st_mtime,
            readers=select_readers(self._options.owners, owner, str(status.st_uid)),
        )

    def _read_blocks(self, path: str, descriptor: int, before: os.stat_result) -> Iterator[bytes]:
        size = 0
        try:
            while block := os.read(descriptor, _BLOCK_BYTES):
                size += len(block)
                yield block
            after = os.fstat(descriptor)
        except OSError as error:
            raise self._explain_item_error(path, error) from error
        # guard: source-changed-file
        if size != before.st_size or _fingerprint(after) != _fingerprint(before):
            raise changed_while_read(show_path(path))

    def _explain_item_error(self, path: str, error: OSError) -> Exception:
        with self._open_root():  # Raises an error if not only the item is away.
            pass
        if error.errno in _ABSENT:
            return ItemGoneError(show_path(path))
        return ItemUnavailableError(f"{show_path(path)} cannot be read: {error.strerror}.")

    def _translate_folder_error(self, path: str, error: Exception) -> SourceError:
        shown = "/".join(filter(None, (self._options.path.rstrip("/"), show_path(path))))
        if isinstance(error, OSError) and error.errno in _DENIED:
            return SourceRefusedError(
                f"{shown} cannot be read: {error.strerror}.",
                hint="Let the service's user read the folder, or exclude it with a pattern.",
            )
        return SourceUnavailableError(f"{shown} cannot be read: {error}.")


def _open_below(folder: int, parts: Sequence[str], flags: int) -> int:
    """Open a path below an open folder, and follow no symbolic link on the way."""
    current = os.dup(folder)
    for depth, name in enumerate(parts, 1):
        try:
            # guard: source-no-symbolic-link
            following = os.open(name, flags if depth == len(parts) else _FOLDER_FLAGS, dir_fd=current)
        finally:
            os.close(current)
        current = following
    return current


def _identify(descriptor: int) -> tuple[int, int]:
    status = os.fstat(descriptor)
    return status.st_dev, status.st_ino


def _fingerprint(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_size, status.st_mtime_ns, status.st_ino


def _build_version(status: os.stat_result) -> str:
    # guard: source-recent-file
    if time.time() - status.st_mtime < _CLOCK_SECONDS:
        return ""
    return "-".join(map(str, _fingerprint(status)))


@lru_cache(maxsize=10_000)
def _find_user_name(uid: int) -> str:
    with suppress(KeyError):
        return pwd.getpwuid(uid).pw_name
    return ""
