"""Lists and opens the objects of a bucket."""

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import obstore
from obstore.exceptions import BaseError, InvalidPathError, PreconditionError, UnauthenticatedError

from ingest.sources.errors import (
    ItemGoneError,
    ItemUnavailableError,
    ItemUnchangedError,
    SourceError,
    SourceRefusedError,
    SourceUnavailableError,
)
from ingest.sources.limits import changed_while_read, limit_blocks, require_item_size
from ingest.sources.path_filter import PathFilter, build_item_id, parse_item_id
from ingest.sources.port import OpenedItem, SourceChanges, SourceContext, SourceItem

if TYPE_CHECKING:
    from obstore import GetResult, ObjectMeta
    from obstore.store import ObjectStore

_BLOCK_BYTES = 1 << 20
_PAGE_KEYS = 1_000
_ERRORS = (BaseError, FileNotFoundError, ValueError)
# Parts of the library's messages. They may contain signed addresses, so messages are never shown whole.
_status_pattern = re.compile(r"non-2xx status code: (\d{3})")
_code_pattern = re.compile(r"<Code>(\w{1,80})</Code>")
_key_pattern = re.compile(r'[Pp]ath "(.+)"(?: contained|: Encountered)')
_NO_RESPONSE = "HTTP error"
_REDIRECTED = "redirect without LOCATION"
# Azure's mark of folders in accounts with a hierarchical namespace.
_FOLDER_MARK = "hdi_isfolder"


class BucketSource:
    """The objects of a bucket, or of a folder in it.

    The version of an object is its ETag. Ids of versions are no part of it, because lists of S3 have none.
    """

    def __init__(
        self, store: "ObjectStore", bucket: str, prefix: str, path_filter: PathFilter, context: SourceContext
    ) -> None:
        self._store = store
        self._bucket = bucket
        self._prefix = prefix
        self._filter = path_filter
        self._context = context

    def list_items(self) -> Iterator[SourceItem]:
        for found in self._iter_objects():
            key = found["path"]
            relative = key.removeprefix(f"{self._prefix}/") if self._prefix else key
            if self._filter.accepts(relative) and not self._is_folder(found):
                yield _describe(found)
        # guard: source-bucket-real-server
        self._require_storage_server()

    @contextmanager
    def open_item(self, item: SourceItem, known_version: str = "") -> Iterator[OpenedItem]:
        key = parse_item_id(item.id)
        try:
            result = obstore.get(self._store, key)
            found = result.meta
        except _ERRORS as error:
            raise self._explain_item_error(key, error) from error
        opened = _describe(found)
        if known_version and opened.version == known_version:
            raise ItemUnchangedError(key)
        require_item_size(opened.name, found["size"], self._context.max_item_bytes)
        blocks = self._read_blocks(key, result, found["size"])
        yield OpenedItem(opened, limit_blocks(opened.name, blocks, self._context.max_item_bytes))

    def list_changes(self, cursor: str) -> SourceChanges | None:
        return None

    def close(self) -> None:
        pass

    def _iter_objects(self, page_keys: int = _PAGE_KEYS) -> Iterator["ObjectMeta"]:
        pages = obstore.list(self._store, self._prefix or None, chunk_size=page_keys)
        while True:
            try:
                page = next(pages, None)
            except _ERRORS as error:
                # guard: source-bucket-complete-list
                raise self._translate_list_error(error) from error
            if page is None:
                return
            yield from page

    def _require_storage_server(self) -> None:
        """Ask for an object that does not exist, which must not be found.

        To the library, any XML is a list: the page of a proxy that asks to sign in is a list without objects.
        """
        name = f".leadline-{secrets.token_hex(8)}"
        try:
            obstore.head(self._store, f"{self._prefix}/{name}" if self._prefix else name)
        except _ERRORS as error:
            # Without the permission to list the whole bucket, S3 refuses access to objects that do not exist.
            if isinstance(error, FileNotFoundError) or _find_status(error) in (401, 403):
                return
            raise self._translate_list_error(error) from error
        raise SourceUnavailableError(f"The server of {self._bucket} has objects that do not exist.")

    def _is_folder(self, found: "ObjectMeta") -> bool:
        """Return whether an object only marks a folder.

        The library removes the `/` at the end of its key, so that there is no object with the remaining key.
        """
        if found["size"]:
            return False
        try:
            marks = obstore.get(self._store, found["path"], options={"head": True}).attributes
        except FileNotFoundError:
            return True
        except _ERRORS as error:
            if _is_unavailable(error):
                raise self._translate_list_error(error) from error
            return False
        return marks.get(_FOLDER_MARK) == "true"

    def _read_blocks(self, key: str, result: "GetResult", size_bytes: int) -> Iterator[bytes]:
        blocks = iter(result.stream(min_chunk_size=_BLOCK_BYTES))
        size = 0
        while True:
            try:
                block = next(blocks, None)
            except _ERRORS as error:
                raise self._explain_item_error(key, error) from error
            if block is None:
                break
            size += len(block)
            yield bytes(block)
        if size != size_bytes:
            raise changed_while_read(key)

    def _explain_item_error(self, key: str, error: Exception) -> Exception:
        if isinstance(error, PreconditionError):
            return changed_while_read(key)
        if _is_unavailable(error):
            return self._translate_list_error(error)
        # guard: source-bucket-not-item
        next(self._iter_objects(page_keys=1), None)  # Raises an error if not only the object is away or refused.
        if isinstance(error, FileNotFoundError):
            return ItemGoneError(key)
        return ItemUnavailableError(f"{key} cannot be read: {_shorten(error)}.")

    def _translate_list_error(self, error: Exception) -> SourceError:
        status = _find_status(error)
        if isinstance(error, InvalidPathError):
            key = _key_pattern.search(_first_line(error))
            return SourceRefusedError(
                f"The bucket {self._bucket} contains the key {key[1] if key else ''!r}, which cannot be read.",
                hint="Keys with control characters, or with empty parts, `.` or `..` between slashes, cannot be read. "
                "Rename or remove the object, or synchronize a folder without it.",
            )
        if isinstance(error, FileNotFoundError) or status == 404:
            return SourceUnavailableError(
                f"The bucket {self._bucket} was not found.", hint="Check its name, and the endpoint or account."
            )
        if status in (401, 403) or isinstance(error, UnauthenticatedError):
            return SourceRefusedError(f"The bucket {self._bucket} refuses access: {_shorten(error)}.")
        if _REDIRECTED in str(error):
            return SourceRefusedError(f"The bucket {self._bucket} is in another region.", hint="Correct the region.")
        if status is not None and not _is_unavailable(error):
            return SourceRefusedError(f"The server of {self._bucket} rejected the request: {_shorten(error)}.")
        return SourceUnavailableError(f"The server of {self._bucket} does not respond as expected: {_shorten(error)}.")


def _describe(found: "ObjectMeta") -> SourceItem:
    key = found["path"]
    # A list has fractions of a second where the headers of a response have none.
    modified = int(found["last_modified"].timestamp())
    return SourceItem(
        id=build_item_id(key),
        name=key.rpartition("/")[2],
        # Azure quotes ETags in headers only.
        version=(found["e_tag"] or "").strip('"') or f"{found['size']}-{modified}",
        size_bytes=found["size"],
        path=key,
        modified_at=float(modified),
    )


def _is_unavailable(error: Exception) -> bool:
    status = _find_status(error)
    return _NO_RESPONSE in _first_line(error) if status is None else status == 429 or status >= 500


def _find_status(error: Exception) -> int | None:
    found = _status_pattern.search(str(error))
    return int(found[1]) if found else None


def _shorten(error: Exception) -> str:
    """Return the status and code of a response, or what the library says without the address of the request."""
    status, code = _find_status(error), _code_pattern.search(str(error))
    if status is not None:
        return f"status {status}" + (f" ({code[1]})" if code else "")
    line = _first_line(error).rpartition(" - ")[2]
    return re.sub(r"https?://\S+", "…", line)[:200].rstrip(".")


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
