"""Records of sources: their settings, their items, and their synchronizations."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from ingest.storage.queue.records import Failure

MAX_SOURCES = 200
# Synchronizations that are kept of each source. Older ones are deleted.
KEPT_SYNCS = 200


class SyncState(StrEnum):
    """The states of a synchronization: `queued → running`, then one of the others.

    In `needs_approval`, everything was added and changed, but nothing was removed: an unusually large number of
    documents would be, and somebody must approve this.
    """

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    NEEDS_APPROVAL = "needs_approval"


UNFINISHED_STATES = frozenset({SyncState.QUEUED, SyncState.RUNNING})


@dataclass(frozen=True)
class SyncCounts:
    """The results of a synchronization so far, in items. `removed` also counts items whose document remains."""

    listed: int = 0
    added: int = 0
    changed: int = 0
    removed: int = 0
    unchanged: int = 0
    refused: int = 0


@dataclass(frozen=True)
class Sync:
    """A synchronization of a source. `number` counts the synchronizations of the source from 1.

    `pending_removals` is the number of documents that would be removed, if this needs an approval, and
    `approved_removals` the number that was approved. While it runs, the counts grow.
    """

    id: str
    source_id: str
    number: int
    state: SyncState
    created_at: float
    started_at: float | None = None
    ended_at: float | None = None
    counts: SyncCounts = SyncCounts()
    pending_removals: int | None = None
    approved_removals: int = 0
    failure: Failure | None = None


@dataclass(frozen=True)
class SourceTotals:
    """Totals over the sources of all tenants, for metrics.

    `states` counts the sources by the state of their latest synchronization. `refused_items` counts the items that
    were refused, and `failed_documents` the documents that could not be processed. `overdue_seconds` is the time that
    has passed since the earliest synchronization that is due should have been queued; a paused source has none.
    """

    states: Mapping[SyncState, int]
    refused_items: int
    failed_documents: int
    overdue_seconds: float


@dataclass(frozen=True)
class NewSource:
    """A source to create. `credentials` are the secret options, and `created_by` is `user:NAME` or `key:ID`.

    With an interval of 0, the source is synchronized only on request.
    """

    collection: str
    kind: str
    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    credentials: Mapping[str, str] = field(default_factory=dict, repr=False)
    interval_seconds: float = 0.0
    created_by: str = ""


@dataclass(frozen=True)
class SourceChange:
    """A change of a source; None changes nothing.

    `options` replace all earlier ones. `credentials` are merged into the earlier ones; None removes one.
    """

    name: str | None = None
    options: Mapping[str, Any] | None = None
    credentials: Mapping[str, str | None] | None = field(default=None, repr=False)
    interval_seconds: float | None = None
    is_paused: bool | None = None

    @property
    def changed(self) -> list[str]:
        """The names of the changed fields."""
        return sorted(name for name, value in vars(self).items() if value is not None)


@dataclass(frozen=True)
class SourceRecord:
    """A source as users see it. `credential_names` are the secret options that are set; their values are never shown.

    `item_count` and `refused_count` count its items, and those of them that were refused. `failed_count` counts its
    documents that could not be processed. `last_sync` is the latest synchronization, which may be in progress.
    `next_sync_at` is None if none is scheduled.
    """

    id: str
    tenant_id: str
    collection: str
    kind: str
    name: str
    options: Mapping[str, Any]
    credential_names: tuple[str, ...]
    interval_seconds: float
    is_paused: bool
    next_sync_at: float | None
    created_at: float
    created_by: str
    item_count: int = 0
    refused_count: int = 0
    failed_count: int = 0
    last_sync: Sync | None = None


@dataclass(frozen=True)
class SourceItemRecord:
    """An item of a source. `key` is a hash of its id, and the cursor of listings.

    `document_id` is None until the item was accepted. If it was refused, `failure` says why, and `is_retried` whether
    the next synchronization tries again although the item did not change. `seen_in` is the number of the last
    synchronization that found it. If somebody deleted the document, the texts are empty. `document_failure` is the
    reason why the document could not be processed; only listings of items load it.
    """

    key: str
    item_id: str
    version: str
    document_id: str | None
    name: str
    path: str
    url: str
    author: str
    modified_at: float | None
    size_bytes: int | None
    readers: frozenset[str] | None
    seen_in: int
    failure: Failure | None = None
    is_retried: bool = False
    document_failure: Failure | None = None


@dataclass(frozen=True)
class FoundItem:
    """An item that a synchronization found in a source."""

    id: str
    version: str
    name: str
    path: str = ""
    url: str = ""
    author: str = ""
    modified_at: float | None = None
    size_bytes: int | None = None
    readers: frozenset[str] | None = None
