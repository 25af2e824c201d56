"""Wire models for collections, their changes, and receipts of deletions."""

from dataclasses import replace
from typing import Any, Self

from pydantic import Field, model_validator

from api.http.wire import Instant, Wire
from ingest.storage.accounts.records import Principal, Role
from ingest.storage.documents.collection_records import Collection, CollectionSettings
from ingest.storage.documents.metadata import validate_metadata
from ingest.storage.documents.records import VersionState
from rlm.requests import StrategyName

_METADATA_HELP = "Strings, numbers and booleans for programs, as in a document's metadata."
_DESCRIBE_HELP = "Whether a model fills in the documents' cards, if the deployment permits it (`LEADLINE_DESCRIBE`)."
_STRATEGY_HELP = "The default strategy for questions about this collection only."


class SettingsIn(Wire):
    """Settings of a collection: its title, description, default strategy, metadata, and permission to describe it."""

    title: str | None = Field(None, min_length=1, max_length=256, examples=["Annual reports"])
    description: str | None = Field(None, min_length=1, max_length=2_000)
    default_strategy: StrategyName | None = Field(None, description=_STRATEGY_HELP, examples=["direct"])
    metadata: dict[str, Any] = Field(default_factory=dict, description=_METADATA_HELP, examples=[{"team": "finance"}])
    describe: bool = Field(False, description=_DESCRIBE_HELP)


class CollectionIn(SettingsIn):
    """A new collection. `private` grants the caller the `admin` role, so that only the caller and admins may use it."""

    name: str = Field(min_length=1, max_length=128, pattern=r"^[\w.-]+$", examples=["reports"])
    private: bool = False

    def to_settings(self) -> CollectionSettings:
        """Convert the request to settings. Raises `InputError` or `MetadataError` for invalid values."""
        metadata = validate_metadata(self.metadata)
        return CollectionSettings(self.title, self.description, self.default_strategy, metadata, self.describe)


class CollectionChangeIn(SettingsIn):
    """Changes to a collection's settings. Omitted fields do not change.

    `metadata` is a JSON merge patch: null removes a field.
    """

    @model_validator(mode="after")
    def _require_change(self) -> Self:
        if not self.model_fields_set:
            raise ValueError(
                "send at least one of `title`, `description`, `default_strategy`, `metadata` and `describe`"
            )
        return self

    def apply_to(self, settings: CollectionSettings) -> CollectionSettings:
        """Return the settings with the change applied.

        Raises `InputError` or `MetadataError` for invalid values.
        """
        values = {name: getattr(settings, name) for name in ("title", "description", "default_strategy", "describe")}
        values |= {name: getattr(self, name) for name in values if name in self.model_fields_set}
        merged = {**settings.metadata, **self.metadata}
        kept = {name: value for name, value in merged.items() if value is not None}
        return replace(settings, **values, metadata=validate_metadata(kept))


class CollectionOut(Wire):
    """A collection.

    `documents` counts the documents that you may read, `states` counts them by state, and `bytes` is the total size of
    their originals. `name` is the collection's id and cannot be changed; `title` is for display. `restricted` is true
    if the collection has grants. `role` is your role on it.
    """

    name: str
    title: str | None
    description: str | None
    default_strategy: StrategyName | None
    metadata: dict[str, Any]
    describe: bool
    documents: int
    states: dict[VersionState, int]
    bytes: int = Field(validation_alias="size_bytes")
    restricted: bool
    role: Role
    created_at: Instant

    @classmethod
    def from_collection(cls, collection: Collection, caller: Principal) -> Self:
        return cls.from_records(
            collection,
            collection.settings,
            documents=collection.documents,
            restricted=collection.grants > 0,
            role=get_role(caller, collection.name),
        )


class CollectionPage(Wire):
    """A page of the collections that you may use, sorted by name; `next_cursor` is null on the last page."""

    collections: list[CollectionOut]
    next_cursor: str | None


class CollectionDeletionOut(Wire):
    """The receipt of a deleted collection. `collected` means that everything was removed and the totals are final.

    Until then, workers are still removing the content from the index and the disk, but searches no longer find it.
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
    """Return the caller's role on a collection that the caller may read."""
    if caller.is_admin or collection in caller.collections.managed:
        return Role.ADMIN
    return Role.WRITER if caller.collections.can_write(collection) else Role.READER
