"""The port of sources. An adapter lists what a source contains and opens its items; it stores nothing."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from pydantic import BaseModel

from ingest.storage.webhooks.destinations import Destinations

_TENANT = "{tenant}"
# The years 1 to 9999, in seconds since 1970. File systems and servers may have dates outside of them.
_EARLIEST, _LATEST = -62_135_596_800.0, 253_402_300_800.0
_MAX_SIZE_BYTES = 2**63 - 1


@dataclass(frozen=True)
class SourceItem:
    """An item of a source, such as a file, a page or a message.

    `id` identifies the item within its source as long as the item exists, and has 1,000 characters or fewer. `version`
    changes whenever the content does; if it is empty, the source cannot tell, and the item is read in every sync.
    `name` is the file name, and `path` tells people where the item is. `size_bytes` is only the announced size.
    `modified_at` is in seconds since 1970. Both are None if they cannot be stored. `readers` are the subjects that may
    see the item; None means that the access rules of the collection apply.
    """

    id: str
    name: str
    version: str = ""
    size_bytes: int | None = None
    media_type: str | None = None
    path: str = ""
    url: str = ""
    author: str = ""
    modified_at: float | None = None
    readers: frozenset[str] | None = None

    def __post_init__(self) -> None:
        """Drop a date or a size that cannot be stored, so that one odd item does not end the sync of all."""
        if self.modified_at is not None and not _EARLIEST <= self.modified_at < _LATEST:
            object.__setattr__(self, "modified_at", None)
        if self.size_bytes is not None and not 0 <= self.size_bytes <= _MAX_SIZE_BYTES:
            object.__setattr__(self, "size_bytes", None)


@dataclass(frozen=True)
class OpenedItem:
    """An open item: its description, which may be more precise than the listed one, and its content in blocks."""

    item: SourceItem
    blocks: Iterator[bytes]


@dataclass(frozen=True)
class SourceChanges:
    """The items that were added or changed since a cursor, the ids of those removed, and the next cursor.

    If `is_complete`, the items are all items of the source, as in `list_items`, and `removed` is empty.
    """

    items: Iterator[SourceItem]
    removed: Iterator[str]
    cursor: str
    is_complete: bool = False


class Source(Protocol):
    """A place that documents are synchronized from. Instances are used by one thread and closed after each sync."""

    def list_items(self) -> Iterator[SourceItem]:
        """List all items, in any order, without holding all of them in memory.

        If the iterator ends without an error, the list is complete: documents of items that are not in it are removed.
        An adapter must therefore raise an error if it cannot see a part of the source. It follows no link in a circle.
        Raises `SourceUnavailableError` or `SourceRefusedError`, and `SourceOptionsError` if there are more items than
        the options permit: a shorter list would remove documents, and a retry would fail the same way.
        """

    def open_item(self, item: SourceItem, known_version: str = "") -> AbstractContextManager[OpenedItem]:
        """Open an item for reading. `known_version` is the version that was read last, or empty.

        Raises `ItemUnchangedError` if the item still has the known version, `ItemGoneError` if it no longer exists,
        `ItemRefusedError` if only this item cannot be read
        (`ItemUnavailableError` if a later sync may succeed), and the errors of `list_items` otherwise.
        """

    def list_changes(self, cursor: str) -> SourceChanges | None:
        """List what changed since `cursor`, which is empty in the first sync.

        Returns None if the source keeps no list of changes or no longer knows the cursor. Then `list_items` is used.
        """

    def close(self) -> None:
        """Close the connections."""


@dataclass(frozen=True)
class SourceContext:
    """The limits of the service, and its offers to the adapters.

    `folders` are the folders of the server that sources may read. `loaders` are the import paths of the permitted
    LangChain loaders, and `endpoints` the normalized addresses of the permitted storage servers. `scratch` is an empty
    folder for temporary files. `timeout_seconds` limits each request. `slack_api_url` is the address of Slack's Web
    API, which operators set.
    """

    destinations: Destinations
    scratch: Path
    folders: tuple[Path, ...] = ()
    loaders: frozenset[str] = frozenset()
    endpoints: frozenset[str] = frozenset()
    timeout_seconds: float = 30.0
    max_item_bytes: int = 1024**3
    slack_api_url: str = "https://slack.com/api/"

    def for_tenant(self, tenant_id: str) -> "SourceContext":
        """Return what a tenant's sources may use: `{tenant}` in the path of a folder stands for the tenant's id."""
        # guard: source-folder-of-tenant
        is_name = tenant_id not in ("", ".", "..") and not {"/", "\0"} & set(tenant_id)
        folders = (str(folder) for folder in self.folders if is_name or _TENANT not in str(folder))
        return replace(self, folders=tuple(Path(folder.replace(_TENANT, tenant_id)) for folder in folders))


@dataclass(frozen=True)
class SourceKind:
    """A kind of source: its options, and the function that builds an adapter from them.

    Fields of type `SecretStr` are credentials: they are stored sealed and never shown. The title of the model, and the
    titles and descriptions of the fields, are shown to people in their language. A field with choices names them in
    `labels` of its JSON schema. `build` raises `SourceOptionsError` if the service does not permit the options. It
    connects to nothing.
    """

    name: str
    options: type[BaseModel]
    build: Callable[[Any, SourceContext], Source]
