"""Wire models for document listings: filters, versions and requests for bulk actions."""

from dataclasses import replace
from typing import Annotated, Any, Literal, Self

from fastapi import Query
from pydantic import Field, StringConstraints, model_validator

from api.documents.schemas import DocumentFailureOut
from api.http.wire import Instant, Wire
from ingest.storage.documents.filters import parse_conditions
from ingest.storage.documents.listing import DocumentFilter
from ingest.storage.documents.metadata import MAX_READERS
from ingest.storage.documents.records import IN_PROGRESS, Document, Version, VersionState
from ingest.storage.errors import FilterError
from ingest.storage.inbound import parse_json

MAX_CHOSEN = 500
_MAX_FILTERS_CHARS = 8_000
_FILTERS_EXAMPLE = '{"year": {"gte": 2020}, "$card": {"kind": "contract"}}'
COLLECTION_PATTERN = r"^[\w.-]+$"
Type = Annotated[str, StringConstraints(min_length=1, max_length=128)]
Id = Annotated[str, StringConstraints(min_length=1, max_length=64)]
BulkAction = Literal["delete", "retry", "cancel", "readers", "move"]
# Document states to which each action applies. If an action is not listed, it applies to documents in any state.
_APPLIES: dict[str, frozenset[VersionState]] = {"retry": frozenset({VersionState.FAILED}), "cancel": IN_PROGRESS}


class MatchingIn(Wire):
    """A document filter with the same fields as `GET /v1/documents`. Without any field, it matches all documents."""

    collection: str | None = Field(None, min_length=1, max_length=128, pattern=COLLECTION_PATTERN)
    state: list[VersionState] = Field(default_factory=list, max_length=len(VersionState))
    type: list[Type] = Field(default_factory=list, max_length=100)
    batch: Id | None = None
    container: Id | None = None
    with_omissions: bool = False
    named: str = Field("", max_length=200)
    filters: dict[str, Any] = Field(default_factory=dict, examples=[{"$card": {"kind": "contract"}}])

    def to_filter(self) -> DocumentFilter:
        values = {name: value for name, value in vars(self).items() if name != "filters"}
        return replace(parse_document_filter(**values), conditions=parse_conditions(self.filters))


class BulkIn(Wire):
    """An action on many documents: the documents listed in `documents`, or all documents that match `matching`.

    `readers` are the new readers and are used only by the action `readers`; null means the whole tenant. `collection`
    is the target of the action `move`. `cursor` comes from the plan or from the previous step; documents added later
    are not affected.
    """

    action: BulkAction
    documents: list[Id] | None = Field(None, min_length=1, max_length=MAX_CHOSEN)
    matching: MatchingIn | None = Field(None, examples=[{"collection": "reports", "state": ["failed"]}])
    readers: list[str] | None = Field(None, max_length=MAX_READERS, examples=[["user:ann", "group:hr"]])
    collection: str | None = Field(None, min_length=1, max_length=128, pattern=COLLECTION_PATTERN)
    cursor: str | None = Field(None, max_length=200)

    @model_validator(mode="after")
    def _require_one_selection(self) -> Self:
        if (self.documents is None) == (self.matching is None):
            raise ValueError("send either `documents` or `matching`, not both")
        if ("readers" in self.model_fields_set) != (self.action == "readers"):
            raise ValueError("`readers` must be given with the action `readers`, and only with that action")
        if (self.collection is None) == (self.action == "move"):
            raise ValueError("`collection` must be given with the action `move`, and only with that action")
        return self

    def build_filter(self) -> DocumentFilter:
        """Return a filter for the documents in `documents`, or for those that match `matching`."""
        return self.matching.to_filter() if self.matching else DocumentFilter(identifiers=self.documents or [])

    def build_affected_filter(self) -> DocumentFilter | None:
        """Return a filter for the documents that the action would change, or None if it cannot change any."""
        chosen = self.build_filter()
        if self.action == "move":
            return replace(chosen, outside=self.collection)
        applies = _APPLIES.get(self.action)
        if applies is None:
            return chosen
        states = applies & set(chosen.states) if chosen.states else applies
        return replace(chosen, states=sorted(states)) if states else None


class VersionOut(Wire):
    """A version of a document's content. `active` is true for the version that searches use."""

    id: str
    name: str
    media_type: str
    size_bytes: int
    state: VersionState
    active: bool
    failure: DocumentFailureOut | None
    pages: int | None
    characters: int | None
    chunks: int | None
    created_at: Instant
    ready_at: Instant | None

    @classmethod
    def from_version(cls, version: Version, document: Document) -> Self:
        return cls.from_records(version, active=version.id == document.active_version_id)


class VersionList(Wire):
    """The versions of a document, newest first."""

    versions: list[VersionOut]


def parse_document_filter(
    collection: Annotated[str | None, Query(min_length=1, max_length=128, pattern=COLLECTION_PATTERN)] = None,
    state: Annotated[list[VersionState] | None, Query()] = None,
    type: Annotated[list[Type] | None, Query(max_length=100)] = None,
    batch: Annotated[str | None, Query(max_length=64)] = None,
    container: Annotated[str | None, Query(max_length=64)] = None,
    with_omissions: bool = False,
    named: Annotated[str, Query(max_length=200)] = "",
    filters: Annotated[str, Query(max_length=_MAX_FILTERS_CHARS)] = "{}",
) -> DocumentFilter:
    """Parse the query parameters of a listing. Raises `FilterError` if `filters` is not a JSON object of filters."""
    return DocumentFilter(
        collection=collection,
        states=state or (),
        media_types=type or (),
        container=container,
        batch=batch,
        with_omissions=with_omissions,
        named=named,
        conditions=parse_conditions(_parse_filters(filters)),
    )


def _parse_filters(filters: str) -> dict[str, Any]:
    value = parse_json(filters.encode(), "query.filters")
    if not isinstance(value, dict):
        raise FilterError("`filters` is not a JSON object.", hint=f"Write filters={_FILTERS_EXAMPLE}, URL-encoded.")
    return value
