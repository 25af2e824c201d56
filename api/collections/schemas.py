"""Collections on the wire: made, shown, changed, and the receipt of one that was deleted."""

from typing import Any, Self

from pydantic import Field, model_validator

from api.http.wire import Instant, Wire
from ingest.storage.accounts.records import Principal, Role
from ingest.storage.documents.collection_records import Collection, CollectionSettings
from ingest.storage.documents.metadata import require_metadata
from ingest.storage.documents.records import VersionState
from rlm.requests import StrategyName

_METADATA_HELP = "Texts, numbers and booleans for programs, as documents have them."
_STRATEGY_HELP = "How a question is answered that asks this collection alone and names no strategy itself."


class SettingsIn(Wire):
    """Settings of a collection."""

    title: str | None = Field(None, min_length=1, max_length=256, examples=["Annual reports"])
    description: str | None = Field(None, min_length=1, max_length=2_000)
    default_strategy: StrategyName | None = Field(None, description=_STRATEGY_HELP, examples=["direct"])
    metadata: dict[str, Any] = Field(default_factory=dict, description=_METADATA_HELP, examples=[{"team": "finance"}])


class CollectionIn(SettingsIn):
    """A new collection. `private` grants the caller the role `admin`, so that nobody else but admins may use it."""

    name: str = Field(min_length=1, max_length=128, pattern=r"^[\w.-]+$", examples=["reports"])
    private: bool = False

    def to_settings(self) -> CollectionSettings:
        """Return the settings. Raises `InputError` and `MetadataError`."""
        metadata = require_metadata(self.metadata)
        return CollectionSettings(self.title, self.description, self.default_strategy, metadata)


class CollectionChangeIn(SettingsIn):
    """A change of settings; what is left out stays. `metadata` is a JSON merge patch: null removes a member."""

    @model_validator(mode="after")
    def _require_change(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("name something to change: `title`, `description`, `default_strategy` or `metadata`")
        return self

    def apply_to(self, known: CollectionSettings) -> CollectionSettings:
        """Return the settings after the change. Raises `InputError` and `MetadataError`."""
        values = {name: getattr(known, name) for name in ("title", "description", "default_strategy")}
        values |= {name: getattr(self, name) for name in values if name in self.model_fields_set}
        merged = {**known.metadata, **self.metadata}
        kept = {name: value for name, value in merged.items() if value is not None}
        return CollectionSettings(**values, metadata=require_metadata(kept))


class CollectionOut(Wire):
    """A collection. `documents` counts those that the caller may see, `states` by state, and `bytes` their originals.

    `name` is its id and does not change; `title` is for people. `restricted` says that grants say who may use it, and
    `role` what the caller may do.
    """

    name: str
    title: str | None
    description: str | None
    default_strategy: StrategyName | None
    metadata: dict[str, Any]
    documents: int
    states: dict[VersionState, int]
    bytes: int = Field(validation_alias="size_bytes")
    restricted: bool
    role: Role
    created_at: Instant

    @classmethod
    def from_collection(cls, found: Collection, caller: Principal) -> Self:
        return cls.from_records(
            found,
            found.settings,
            documents=found.documents,
            restricted=found.grants > 0,
            role=get_role(caller, found.name),
        )


class CollectionPage(Wire):
    """A page of the collections that the caller may use, in the order of their names; no `next_cursor` on the last."""

    collections: list[CollectionOut]
    next_cursor: str | None


class CollectionDeletionOut(Wire):
    """The receipt of a deleted collection. `collected` says that nothing is left, and the sums are final.

    Until then workers remove its content from the index and the disk; nothing of it can be found all the same.
    """

    receipt: str = Field(validation_alias="id")
    collection: str
    deleted_at: Instant
    documents: int
    versions: int
    chunks_removed: int
    bytes_removed: int
    answers_redacted: int
    runs_redacted: int
    replies_removed: int
    collected: bool


def get_role(caller: Principal, collection: str) -> Role:
    """Return what a caller may do with a collection that it may read."""
    if caller.is_admin or collection in caller.collections.managed:
        return Role.ADMIN
    return Role.WRITER if caller.collections.can_write(collection) else Role.READER
