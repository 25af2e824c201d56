"""Records of collections: their settings, their totals, and the receipts of deleted collections."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ingest.storage.documents.records import IN_PROGRESS, VersionState

_DAY_SECONDS = 24 * 3600.0


@dataclass(frozen=True)
class CollectionSettings:
    """User-defined settings of a collection. `metadata` is for use by programs.

    `default_strategy` is used for questions that search only this collection and name no strategy. If `describe` is
    true, a model fills in the cards of the documents, if the deployment permits it. With `expires_days`, the collection
    is deleted once it has not been used for so many days.
    """

    title: str | None = None
    description: str | None = None
    default_strategy: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    describe: bool = False
    expires_days: int | None = None


@dataclass(frozen=True)
class Collection:
    """A collection with its settings and the totals of the documents that the reader may see.

    `states` counts these documents by state, and `size_bytes` is their total size. The name is the collection's id and
    cannot be changed; `title` is for display. `revision` counts the changes to the settings. `last_active_at` is the
    time of the last use as a vector store, with a precision of a minute.
    """

    name: str
    settings: CollectionSettings
    revision: int
    created_at: float
    states: Mapping[VersionState, int] = field(default_factory=dict)
    size_bytes: int = 0
    grants: int = 0
    last_active_at: float | None = None

    @property
    def expires_at(self) -> float | None:
        """The time at which the collection is deleted unless it is used before, or None if it does not expire."""
        days = self.settings.expires_days
        return None if days is None else (self.last_active_at or self.created_at) + days * _DAY_SECONDS

    @property
    def documents(self) -> int:
        return sum(self.states.values())

    @property
    def in_progress(self) -> int:
        return sum(count for state, count in self.states.items() if state in IN_PROGRESS)

    @property
    def tag(self) -> str:
        """The entity tag of the settings, for `ETag` and `If-Match`.

        A collection that is deleted and created again gets a different tag.
        """
        return f"{int(self.created_at * 1000):x}.{self.revision}"


@dataclass(frozen=True)
class CollectionDeletion:
    """The receipt of a deleted collection. Its totals grow until all content is removed and `collected` is true."""

    id: str
    collection: str
    deleted_at: float
    documents: int
    versions: int
    chunks_removed: int
    bytes_removed: int
    answers_redacted: int
    runs_redacted: int
    replies_removed: int
    collected: bool
