"""The adapter of WebDAV folders."""

import base64
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from ingest.sources.checked_http import BLOCK_BYTES, CheckedHttp, Reply, parse_http_date
from ingest.sources.errors import (
    ItemGoneError,
    ItemRefusedError,
    ItemUnavailableError,
    ItemUnchangedError,
    SourceRefusedError,
    SourceUnavailableError,
)
from ingest.sources.folder import select_readers
from ingest.sources.path_filter import PathFilter
from ingest.sources.port import OpenedItem, SourceChanges, SourceContext, SourceItem
from ingest.sources.web_reader import build_conditions
from ingest.sources.webdav import WebDavOptions
from ingest.sources.webdav_listing import LIST_REQUEST, DavEntry, iter_entries
from ingest.sources.webdav_paths import DavRoot, build_dav_id, decode_path, find_parent, parse_dav_id

# The depth that folders of the server are read to. A link to a parent folder gives ever deeper paths.
_MAX_DEPTH = 100
# Circles of several links multiply before they get that deep, and some servers end them earlier.
_MAX_FOLDERS = 1_000_000
_GONE = frozenset({404, 410})
_MAX_TAG_CHARS = 500
# Many servers make tags of the date and size. A file that is changed twice within a second keeps both, so a date this
# fresh identifies no version.
_FRESH_SECONDS = 60.0
# Types of servers that do not know the type of a file. Its content decides, as for uploads.
_UNKNOWN_TYPES = frozenset({"", "application/octet-stream"})
_NO_FOLDER_HINT = (
    "Enter the address of a WebDAV folder. In Nextcloud, it begins with https://HOST/remote.php/dav/files/USER/."
)


@dataclass
class _Level:
    """A folder whose list is being read. `folders` are its subfolders so far, which are read once."""

    entries: Iterator[tuple[str, DavEntry]]
    listed_at: float
    folders: set[str] = field(default_factory=set)


class WebDavSource:
    """The files below a WebDAV folder. `now` returns seconds since 1970.

    The id of a file is its path and not `oc:fileid`: many programs save a file by replacing it with a new one, which
    keeps the path alone, and a file that is shared twice has the same number in two places.
    """

    def __init__(
        self,
        root: DavRoot,
        options: WebDavOptions,
        context: SourceContext,
        *,
        sleep: Callable[[float], None] = time.sleep,
        now: Callable[[], float] = time.time,
        max_folders: int = _MAX_FOLDERS,
    ) -> None:
        self._max_folders = max_folders
        self._root = root
        self._options = options
        self._context = context
        self._now = now
        self._filter = PathFilter(options.include, options.exclude)
        # Some servers change the tag of a response that they compress.
        headers = {"Accept-Encoding": "identity"}
        if options.username:
            credentials = f"{options.username}:{options.password.get_secret_value()}".encode()
            headers["Authorization"] = f"Basic {base64.b64encode(credentials).decode()}"
        seconds = context.timeout_seconds
        self._http = CheckedHttp(context.destinations, timeout_seconds=seconds, headers=headers, sleep=sleep)

    def list_items(self) -> Iterator[SourceItem]:
        """Yield the items depth first. Only the lists of the folders on the way to the current one are kept."""
        levels, folders = [self._list_folder("", "0")], 1
        while levels:
            level = levels[-1]
            path, entry = next(level.entries, ("", None))
            if entry is None:
                levels.pop()
                continue
            shown = decode_path(path)
            if self._filter.excludes(shown) or entry.status in _GONE:
                continue
            # guard: source-dav-complete-list
            _require_status(entry, self._root.build_url(path))
            if not entry.is_folder:
                if self._filter.accepts(shown):
                    yield self._describe(path, entry, level.listed_at)
            elif path not in level.folders:
                level.folders.add(path)
                folders += 1
                self._check_circle(path, len(levels), folders)
                levels += self._enter(path, len(levels))

    @contextmanager
    def open_item(self, item: SourceItem, known_version: str = "") -> Iterator[OpenedItem]:
        path = parse_dav_id(item.id)
        content = self._context.scratch / "item"
        with self._http.open(self._root.build_url(path), build_conditions(known_version)) as reply:
            if reply.status == 304 and known_version:
                raise ItemUnchangedError
            self._check_item_status(path, reply)
            opened = self._describe_opened(item, reply)
            if known_version and opened.version == known_version:
                raise ItemUnchangedError
            reply.save(content, self._context.max_item_bytes)
        with content.open("rb") as file:
            size = content.stat().st_size
            yield OpenedItem(replace(opened, size_bytes=size), iter(lambda: file.read(BLOCK_BYTES), b""))

    def list_changes(self, cursor: str) -> SourceChanges | None:
        return None

    def close(self) -> None:
        self._http.close()

    def _check_circle(self, path: str, depth: int, folders: int) -> None:
        # guard: source-dav-circle
        if depth >= _MAX_DEPTH or folders > self._max_folders:
            raise SourceRefusedError(
                f"{decode_path(path)} is more than {_MAX_DEPTH} folders deep, or one of more than "
                f"{self._max_folders:,} folders.",
                hint="Look for links to parent folders, and exclude them with a pattern.",
            )

    def _enter(self, path: str, depth: int) -> list[_Level]:
        """Start to read a subfolder. Returns nothing if it was removed after its parent was listed."""
        try:
            return [self._list_folder(path, str(depth))]
        except ItemGoneError:
            # guard: source-dav-listed-folder
            if self._is_listed(path):
                url = self._root.build_url(path, is_folder=True)
                raise SourceUnavailableError(f"The server lists {url} and then does not find it.") from None
            return []

    def _list_folder(self, path: str, name: str) -> _Level:
        """Receive the list of a folder. Raises `ItemGoneError` if a subfolder is not found."""
        url, file = self._root.build_url(path, is_folder=True), self._context.scratch / f"folder-{name}"
        headers = {"Depth": "1", "Content-Type": "application/xml; charset=utf-8"}
        with self._http.open(url, headers, method="PROPFIND", content=LIST_REQUEST) as reply:
            if path and reply.status in _GONE:
                raise ItemGoneError(path)
            _check_folder_status(reply)
            try:
                reply.save(file, self._context.max_item_bytes)
            except ItemRefusedError as error:
                raise SourceRefusedError(error.detail, hint=error.hint) from error
            return _Level(self._iter_children(path, iter_entries(file, url)), self._find_time(reply))

    def _iter_children(self, folder: str, entries: Iterator[DavEntry]) -> Iterator[tuple[str, DavEntry]]:
        """Yield the entries of a folder with their paths. Raises an error if they are not the list of this folder."""
        url, is_complete = self._root.build_url(folder, is_folder=True), False
        for entry in entries:
            path = self._root.find_path(entry.href)
            if path == folder:
                _require_status(entry, url)
                if not entry.is_folder:
                    raise SourceRefusedError(f"{url} is a file and not a folder.", hint=_NO_FOLDER_HINT)
                is_complete = True
                continue
            # guard: source-dav-foreign-entry
            if path is None or find_parent(path) != folder:
                raise SourceRefusedError(
                    f"{url} lists {entry.href}, which is not in this folder.",
                    hint="Enter the address of the folder as the server spells it, with the same host and path.",
                )
            yield path, entry
        # A folder lists itself (RFC 4918, 9.1), so a list without it is not whole, and not of an empty folder.
        # guard: source-dav-own-entry
        if not is_complete:
            raise SourceUnavailableError(f"{url} answered with a list in which the folder itself is missing.")

    def _is_listed(self, path: str) -> bool:
        """Return whether the closest parent folder that is found still lists a path, or its folder."""
        while True:
            parent = find_parent(path)
            try:
                return any(path == each for each, _ in self._list_folder(parent, "parent").entries)
            except ItemGoneError:
                path = parent

    def _check_item_status(self, path: str, reply: Reply) -> None:
        if reply.status == 200:
            return
        if reply.status == 401:
            raise _refuse_credentials(reply.url)
        if reply.status >= 500:
            raise SourceUnavailableError(f"{reply.url} answered with the status {reply.status}.")
        # guard: source-dav-listed-file
        if reply.status in _GONE and not self._is_listed(path):
            raise ItemGoneError(path)
        raise ItemUnavailableError(f"{reply.url} answered with the status {reply.status}.")

    def _describe(self, path: str, entry: DavEntry, listed_at: float) -> SourceItem:
        owners, shown = self._options.owners, decode_path(path)
        # The owner may be one that is named, so this is not a file of "all other owners".
        # guard: source-dav-hidden-owner
        is_unknown = bool(owners) and entry.hides_owner and not entry.owners
        return SourceItem(
            build_dav_id(path),
            decode_path(path.rpartition("/")[2]).replace("/", "_"),
            _build_version(entry.etag, entry.modified, entry.size_bytes, listed_at),
            entry.size_bytes,
            None if entry.media_type in _UNKNOWN_TYPES else entry.media_type,
            path=shown,
            url=self._root.build_url(path),
            author=entry.author,
            modified_at=parse_http_date(entry.modified),
            readers=frozenset() if is_unknown else select_readers(owners, *entry.owners),
        )

    def _describe_opened(self, item: SourceItem, reply: Reply) -> SourceItem:
        """Describe the content that is received, which may be newer than the list."""
        size, modified = reply.headers.get("content-length", ""), reply.headers.get("last-modified", "")
        number = int(size) if size.isdecimal() and len(size) < 19 else None
        version = _build_version(reply.headers.get("etag", ""), modified, number, self._find_time(reply))
        return replace(item, version=version, modified_at=parse_http_date(modified) or item.modified_at)

    def _find_time(self, reply: Reply) -> float:
        """Return the time of a response by the server's clock, with which its dates are compared."""
        moment = parse_http_date(reply.headers.get("date", ""))
        return self._now() if moment is None else moment


def _require_status(entry: DavEntry, url: str) -> None:
    """Raise an error if an entry is not described, because it may be a folder."""
    if entry.status in (401, 403):
        raise SourceRefusedError(
            f"The server does not describe {url} (status {entry.status}).",
            hint="Let the user of the source read it, or exclude it with a pattern.",
        )
    if entry.status != 200:
        raise SourceUnavailableError(f"The server does not describe {url} (status {entry.status}).")


def _check_folder_status(reply: Reply) -> None:
    url, status = reply.url, reply.status
    if status == 207:
        return
    if status == 401:
        raise _refuse_credentials(url)
    if status == 403:
        hint = "Let the user of the source read the folder, or exclude it with a pattern."
        raise SourceRefusedError(f"{url} cannot be listed (status 403).", hint=hint)
    if 300 <= status < 400:
        target = reply.headers.get("location", "")
        raise SourceRefusedError(f"{url} redirects to {target!r}, which is not followed.", hint=_NO_FOLDER_HINT)
    if status in (200, 405, 501):
        raise SourceRefusedError(f"{url} is not a WebDAV folder (status {status}).", hint=_NO_FOLDER_HINT)
    if status >= 500 or status in _GONE:
        raise SourceUnavailableError(f"{url} answered with the status {status}.", hint="Check the address.")
    raise SourceRefusedError(f"{url} answered with the status {status}.")


def _refuse_credentials(url: str) -> SourceRefusedError:
    return SourceRefusedError(
        f"{url} rejected the user name or the password.",
        hint="Check both. Servers with two-factor authentication require an app password.",
    )


def _build_version(etag: str, modified: str, size_bytes: int | None, at: float) -> str:
    """Return the version of a file that the server has described at this time, or nothing if it has none yet."""
    moment = parse_http_date(modified)
    # guard: source-dav-recent-file
    if moment is not None and abs(at - moment) < _FRESH_SECONDS:
        return ""
    # Some lists have the tag without quotation marks, and a tag that was weak is strong later.
    tag = etag.strip().removeprefix("W/").strip('"')
    if tag and len(tag) <= _MAX_TAG_CHARS and tag.isascii() and tag.isprintable() and '"' not in tag:
        return f'etag:"{tag}"'
    return "" if moment is None else f"dated:{modified} {size_bytes}"
