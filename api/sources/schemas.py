"""Wire models for sources, their syncs and their items."""

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field

from api.documents.schemas import DocumentFailureOut, Reason
from api.http.wire import InOrder, Instant, Wire
from api.sources.checking import SourceCheck
from ingest.sources.port import SourceItem, SourceKind
from ingest.storage.queue.records import Failure
from ingest.storage.sources.records import SourceItemRecord, SourceRecord, Sync, SyncState

_NAME_CHARS = 200
# A source may have to list everything in each sync.
_LEAST_SECONDS, _MOST_SECONDS = 60, 366 * 24 * 3600


def _check_interval(seconds: int) -> int:
    if 0 < seconds < _LEAST_SECONDS:
        raise ValueError(f"Use at least {_LEAST_SECONDS} seconds, or 0 to synchronize on request only.")
    return seconds


Interval = Annotated[int, Field(ge=0, le=_MOST_SECONDS), AfterValidator(_check_interval)]
OPTIONS_EXAMPLE = {"path": "/srv/papers"}


class SourceKindOut(Wire):
    """A kind of source. `options` is the JSON schema of its options; `credentials` names those that are secret."""

    name: str
    options: dict[str, Any]
    credentials: list[str]

    @classmethod
    def from_kind(cls, kind: SourceKind) -> Self:
        schema = kind.options.model_json_schema()
        return cls(name=kind.name, options=schema, credentials=list_credentials(schema))


def list_credentials(schema: Mapping[str, Any]) -> list[str]:
    """Return the names of the options that are credentials, given the JSON schema of the options."""
    return [name for name, each in schema.get("properties", {}).items() if _is_secret(each)]


def _is_secret(schema: Mapping[str, Any]) -> bool:
    return bool(schema.get("writeOnly")) or any(_is_secret(each) for each in schema.get("anyOf", ()))


class SourceKindList(Wire):
    """The kinds of sources that this service can synchronize, in alphabetical order."""

    kinds: list[SourceKindOut]


class SourceCheckIn(Wire):
    """The kind and the options of a source that is not saved yet."""

    kind: str = Field(min_length=1, max_length=64, examples=["folder"])
    options: dict[str, Any] = Field(examples=[OPTIONS_EXAMPLE])


class SourceItemOut(Wire):
    """An item that a check found. `path` says where it is; `readers` is null if the collection's rules apply."""

    name: str
    path: str
    url: str
    author: str
    size_bytes: int | None
    media_type: str | None
    modified_at: Instant | None
    readers: InOrder[str] | None

    @classmethod
    def from_item(cls, item: SourceItem) -> Self:
        return cls.from_records(item)


class SourceCheckOut(Wire):
    """The result of a check: up to five items, and the reason why the source cannot be synchronized, or null.

    `has_more` is true if the source has more items. Nothing was stored.
    """

    is_usable: bool
    items: list[SourceItemOut]
    has_more: bool
    failure: Reason | None

    @classmethod
    def from_check(cls, check: SourceCheck) -> Self:
        error = check.error
        return cls(
            is_usable=check.is_usable,
            items=[SourceItemOut.from_item(item) for item in check.items],
            has_more=check.has_more,
            failure=None if error is None else Reason(code=error.code, detail=error.detail, hint=error.hint),
        )


class SavedSourceCheckIn(Wire):
    """Options of an existing source to check instead of those that it has. Omitted options stay as they are."""

    options: dict[str, Any] = Field(default_factory=dict)


class SourceIn(SourceCheckIn):
    """A new source. Its documents go into `collection`, which is created if necessary.

    It is synchronized at once and then every `interval_seconds`, or only on request if that is 0.
    """

    name: str = Field(min_length=1, max_length=_NAME_CHARS, examples=["Papers"])
    collection: str = Field("default", max_length=128, pattern=r"^[\w.-]+$")
    interval_seconds: Interval = 3600


class SourceChangeIn(Wire):
    """Changes to a source. Omitted fields do not change.

    In `options`, omitted options and credentials stay as they are, and null resets an option to its default.
    """

    name: str | None = Field(None, min_length=1, max_length=_NAME_CHARS)
    options: dict[str, Any] | None = Field(None, examples=[OPTIONS_EXAMPLE])
    interval_seconds: Interval | None = None
    paused: bool | None = None


class ApprovalIn(Wire):
    """The number of removals that are approved, which is `pending_removals` of the sync."""

    removals: int = Field(ge=1)


class SyncCountsOut(Wire):
    """The items that a sync listed, and those that it added, changed, removed, left unchanged and refused."""

    listed: int
    added: int
    changed: int
    removed: int
    unchanged: int
    refused: int


class SyncOut(Wire):
    """A sync of a source. `number` counts the syncs of the source from 1.

    A sync in the state `needs_approval` removed nothing, because it would remove `pending_removals` documents, a large
    share of all: approve it, or let the next sync look again. A sync that was approved has `approved_removals`, the
    number of removals that were approved, and otherwise 0. `failure` is the reason why a sync failed; then no document
    was removed.
    """

    id: str
    number: int
    state: SyncState
    counts: SyncCountsOut
    pending_removals: int | None
    approved_removals: int
    failure: Reason | None
    created_at: Instant
    started_at: Instant | None
    ended_at: Instant | None

    @classmethod
    def from_sync(cls, sync: Sync) -> Self:
        return cls.from_records(
            sync, counts=SyncCountsOut.from_records(sync.counts), failure=_build_reason(sync.failure)
        )


class SyncPage(Wire):
    """A page of syncs, newest first; `next_cursor` is null on the last page. The last 200 syncs are kept."""

    syncs: list[SyncOut]
    next_cursor: str | None


class SourceOut(Wire):
    """A source. `options` has no credentials; `credentials` names those that are set.

    `items` counts the items that the last syncs found, and `refused_items` those of them that have no current document.
    `failed_documents` counts the documents that a sync added or changed, and that could not be processed afterwards.
    `next_sync_at` is null while the source is paused, and if it is synchronized on request only.
    """

    id: str
    name: str
    kind: str
    collection: str
    options: dict[str, Any]
    credentials: InOrder[str] = Field(validation_alias="credential_names")
    interval_seconds: int
    paused: bool = Field(validation_alias="is_paused")
    next_sync_at: Instant | None
    last_sync: SyncOut | None
    items: int = Field(validation_alias="item_count")
    refused_items: int = Field(validation_alias="refused_count")
    failed_documents: int = Field(validation_alias="failed_count")
    created_at: Instant

    @classmethod
    def from_source(cls, source: SourceRecord) -> Self:
        sync = source.last_sync
        return cls.from_records(
            source,
            options=dict(source.options),
            credential_names=list(source.credential_names),
            interval_seconds=int(source.interval_seconds),
            last_sync=None if sync is None else SyncOut.from_sync(sync),
        )


class SourceList(Wire):
    """All sources of the tenant, oldest first. A tenant can have at most 200."""

    sources: list[SourceOut]


class SyncedItemOut(Wire):
    """An item of a source. `document` is null until it was accepted, and `failure` is the reason if it was refused.

    A refused item that was accepted earlier keeps its earlier document. `document_failure` is the reason if the
    document could not be processed after it was accepted.
    """

    name: str
    path: str
    url: str
    author: str
    size_bytes: int | None
    modified_at: Instant | None
    readers: InOrder[str] | None
    document: str | None
    failure: Reason | None
    document_failure: DocumentFailureOut | None

    @classmethod
    def from_item(cls, item: SourceItemRecord) -> Self:
        return cls.from_records(item, document=item.document_id, failure=_build_reason(item.failure))


class SyncedItemPage(Wire):
    """A page of items; `next_cursor` is null on the last page."""

    items: list[SyncedItemOut]
    next_cursor: str | None


def _build_reason(failure: Failure | None) -> Reason | None:
    return None if failure is None else Reason(code=failure.code, detail=failure.detail, hint=failure.hint)
