"""Lists and opens the files of one branch of a Git repository, all from the same commit."""

import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property, lru_cache
from os import fsdecode, fsencode
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, urlsplit

from dulwich.errors import ObjectFormatException
from dulwich.objects import parse_tree, valid_hexsha

from ingest.sources.checked_http import CheckedHttp
from ingest.sources.errors import (
    ItemGoneError,
    ItemRefusedError,
    ItemUnchangedError,
    SourceRefusedError,
    SourceUnavailableError,
)
from ingest.sources.git import GitOptions
from ingest.sources.git_http import GitRemote, Head
from ingest.sources.git_objects import ObjectFolder, PackLimits, unpack_objects
from ingest.sources.limits import require_item_size
from ingest.sources.path_filter import PathFilter, build_path_id, parse_path_id, show_path
from ingest.sources.port import OpenedItem, SourceChanges, SourceContext, SourceItem

_BLOCK_BYTES = 1 << 20
_MAX_DEPTH = 100
# Folders are read whole, and this one has about 200,000 entries.
_MAX_FOLDER_BYTES = 8 * 1024**2
# A commit can contain one folder many times, so a small repository can have more paths than anybody could list.
_MAX_ENTRIES = 1_000_000
_POINTER = b"version https://git-lfs.github.com/spec/"
_MAX_POINTER_BYTES = 1_024
# Where these servers show a file of a branch.
_FILE_PAGES = {
    "github.com": "blob",
    "gitlab.com": "-/blob",
    "codeberg.org": "src/branch",
    "bitbucket.org": "src",
}


class Entry(NamedTuple):
    """An entry of a folder: the mode, which has the bits of `stat`, and the id of the object."""

    mode: int
    id: str


class GitSource:
    """The files of the last commit of a branch. Symbolic links and submodules are left out.

    A commit is fetched once for each adapter, without its history. `limits` are those of its pack.
    """

    def __init__(
        self, url: str, options: GitOptions, context: SourceContext, *, limits: PackLimits | None = None
    ) -> None:
        self._url = url
        self._options = options
        self._context = context
        self._limits = limits or PackLimits(context.max_item_bytes)
        self._filter = PathFilter(options.include, options.exclude)
        self._root = f"{options.path}/" if options.path else ""
        self._http = CheckedHttp(context.destinations, timeout_seconds=context.timeout_seconds)
        password = options.password.get_secret_value()
        self._remote = GitRemote(url, self._http, context.scratch, username=options.username, password=password)
        # The files of a folder are often opened one after the other.
        self._read_cached_folder = lru_cache(maxsize=8)(self._read_folder)

    def list_items(self) -> Iterator[SourceItem]:
        if self._head.commit:
            yield from self._walk(self._find_root())

    def list_changes(self, cursor: str) -> SourceChanges | None:
        # Nothing but the names of branches is transferred as long as there is no new commit.
        if cursor and cursor == self._head.commit:
            return SourceChanges(iter(()), iter(()), cursor)
        return SourceChanges(self.list_items(), iter(()), self._head.commit, is_complete=True)

    @contextmanager
    def open_item(self, item: SourceItem, known_version: str = "") -> Iterator[OpenedItem]:
        path = parse_path_id(item.id)
        if not self._head.commit:
            raise ItemGoneError(path)
        inner = path.removeprefix(self._root)
        entry = self._find_entry(path) if path.startswith(self._root) and self._filter.accepts(inner) else None
        if entry is None or not stat.S_ISREG(entry.mode):
            raise ItemGoneError(path)
        opened = self._describe(path, entry)
        if known_version and opened.version == known_version:
            raise ItemUnchangedError(path)
        file = self._objects.find(entry.id)
        if file is None:
            raise ItemRefusedError(
                f"{opened.path} was left out by the server, as files of more than {self._context.max_item_bytes:,} "
                "bytes are."
            )
        require_item_size(opened.name, opened.size_bytes, self._context.max_item_bytes)
        _require_content(opened.path, file)
        yield OpenedItem(opened, _iter_blocks(file))

    def close(self) -> None:
        self._remote.close()
        self._http.close()

    @cached_property
    def _head(self) -> Head:
        return self._remote.find_head(self._options.branch)

    @cached_property
    def _objects(self) -> ObjectFolder:
        """The objects of the commit, which are fetched now."""
        pack, path = self._context.scratch / "pack", self._context.scratch / "objects"
        shutil.rmtree(path, ignore_errors=True)  # An earlier attempt may have failed halfway.
        folder = ObjectFolder(path, self._remote.fetch_commit(self._head, pack, self._context.max_item_bytes))
        try:
            unpack_objects(pack, folder, self._limits)
        finally:
            pack.unlink()
        return folder

    def _find_root(self) -> str:
        """Find the id of the folder to read. Raises an error if it is not there, as it would look empty."""
        tree = self._read_commit()
        for name in filter(None, self._options.path.split("/")):
            entry = self._read_cached_folder(tree).get(fsencode(name))
            # guard: source-git-folder-missing
            if entry is None or not stat.S_ISDIR(entry.mode):
                raise SourceRefusedError(
                    f"{self._url} has no folder {self._options.path} in the branch {self._head.branch}.",
                    hint="Check the path of the source.",
                )
            tree = entry.id
        return tree

    def _read_commit(self) -> str:
        """Return the id of the top folder."""
        file = self._objects.find(self._head.commit)
        if file is None:
            raise SourceUnavailableError(f"{self._url} did not send the commit {self._head.commit}.")
        with file.open("rb") as opened:
            field, _, tree = opened.readline(200).strip().partition(b" ")
        if field != b"tree" or not valid_hexsha(tree):
            raise SourceUnavailableError(f"{self._url} sent an object that is no commit.")
        return tree.decode()

    def _walk(self, root: str) -> Iterator[SourceItem]:
        """Yield the items depth first. Only the folders on the way to the current one are in memory."""
        entries_left = _MAX_ENTRIES
        stack = [("", iter(self._read_folder(root).items()))]
        while stack:
            prefix, entries = stack[-1]
            raw, entry = next(entries, (b"", Entry(0, "")))
            if not raw:
                stack.pop()
                continue
            entries_left -= 1
            # guard: source-git-entries
            if entries_left < 0:
                raise SourceRefusedError(
                    f"{self._url} has more than {_MAX_ENTRIES:,} paths.", hint="Exclude folders with patterns."
                )
            path = prefix + fsdecode(raw)
            if self._filter.excludes(path):
                continue
            if stat.S_ISDIR(entry.mode):
                if len(stack) >= _MAX_DEPTH:
                    raise SourceRefusedError(
                        f"{show_path(path)} is more than {_MAX_DEPTH} folders deep.",
                        hint="Exclude the folder with a pattern.",
                    )
                stack.append((f"{path}/", iter(self._read_folder(entry.id).items())))
            elif stat.S_ISREG(entry.mode) and self._filter.accepts(path):
                yield self._describe(self._root + path, entry)

    def _read_folder(self, tree: str) -> dict[bytes, Entry]:
        file = self._objects.find(tree)
        # guard: source-git-complete-list
        if file is None:
            raise SourceUnavailableError(f"{self._url} did not send all folders of the branch {self._head.branch}.")
        if file.stat().st_size > _MAX_FOLDER_BYTES:
            raise SourceRefusedError(f"{self._url} has a folder with too many files.", hint="Split the folder.")
        try:
            found = list(parse_tree(file.read_bytes(), sha_len=self._objects.id_bytes))
        except (ObjectFormatException, ValueError) as error:
            raise SourceUnavailableError(f"{self._url} sent a damaged folder: {error}.") from error
        # Git makes no such names. They would be other paths.
        return {
            name: Entry(mode, object_id.decode())
            for name, mode, object_id in found
            if name not in (b"", b".", b"..") and b"/" not in name
        }

    def _find_entry(self, path: str) -> Entry | None:
        """Find what is at a path. A symbolic link on the way is not followed."""
        entry: Entry | None = Entry(stat.S_IFDIR, self._read_commit())
        for name in path.split("/"):
            if entry is None or not stat.S_ISDIR(entry.mode):
                return None
            entry = self._read_cached_folder(entry.id).get(fsencode(name))
        return entry

    def _describe(self, path: str, entry: Entry) -> SourceItem:
        # The commit tells who changed something last, and when, but not which files.
        file = self._objects.find(entry.id)
        shown = show_path(path)
        return SourceItem(
            id=build_path_id(path),
            name=shown.rpartition("/")[2],
            version=entry.id,
            size_bytes=None if file is None else file.stat().st_size,
            path=shown,
            url=self._build_url(fsencode(path)),
        )

    def _build_url(self, path: bytes) -> str:
        """Build the address of a file's page, or return an empty one if the server is not known."""
        parts = urlsplit(self._url)
        page = _FILE_PAGES.get(parts.netloc.lower()) if parts.scheme == "https" else None
        if page is None or self._head.branch == "HEAD":
            return ""
        return f"{self._url.removesuffix('.git')}/{page}/{quote(self._head.branch)}/{quote(path)}"


def _require_content(path: str, file: Path) -> None:
    """Raise `ItemRefusedError` if a file only names content that is stored elsewhere."""
    if file.stat().st_size <= _MAX_POINTER_BYTES and file.read_bytes().startswith(_POINTER):
        raise ItemRefusedError(
            f"{path} is stored with Git LFS, which is not read.", hint="Exclude the file, or store it in Git itself."
        )


def _iter_blocks(file: Path) -> Iterator[bytes]:
    with file.open("rb") as opened:
        while block := opened.read(_BLOCK_BYTES):
            yield block
