"""Records of collections: what is known of each, what is in it, and the receipt of one that was deleted."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ingest.storage.documents.records import IN_PROGRESS, VersionState


@dataclass(frozen=True)
class CollectionSettings:
    """What people set of a collection; `metadata` is for programs.

    `default_strategy` is how a question is answered that asks this collection alone and names no strategy.
    """

    title: str | None = None
    description: str | None = None
    default_strategy: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Collection:
    """A collection with the documents in it that the reader may see: how many in each state, and their bytes.

    Its name is its id and does not change; `title` is for people. `revision` counts changes of the settings.
    """

    name: str
    settings: CollectionSettings
    revision: int
    created_at: float
    states: Mapping[VersionState, int] = field(default_factory=dict)
    size_bytes: int = 0
    grants: int = 0

    @property
    def documents(self) -> int:
        return sum(self.states.values())

    @property
    def in_progress(self) -> int:
        return sum(count for state, count in self.states.items() if state in IN_PROGRESS)

    @property
    def tag(self) -> str:
        """The settings' state as `ETag` and `If-Match` name it; a collection that was made anew has another."""
        return f"{int(self.created_at * 1000):x}.{self.revision}"


@dataclass(frozen=True)
class CollectionDeletion:
    """The receipt of a deleted collection; the sums grow until all of its content is `collected`."""

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
