"""Wire models for the results of bulk actions, without the modules of listings, which clients cannot import."""

from typing import Any, Protocol, Self

from pydantic import Field

from api.http.wire import Wire


class ListedTotal(Protocol):
    """The totals of a listing: see `ingest.storage.documents.listing.ListingTotal`."""

    @property
    def documents(self) -> int: ...
    @property
    def size_bytes(self) -> int: ...
    @property
    def chunks(self) -> int: ...


class BulkPlanOut(Wire):
    """The effects of a bulk action: the number of documents that it would change, with their bytes and chunks.

    `others` counts selected documents that would not change. For example, only failed documents can be retried. Send
    `cursor` with the action.
    """

    documents: int
    bytes: int = Field(validation_alias="size_bytes")
    chunks: int
    others: int
    cursor: str

    @classmethod
    def from_totals(cls, affected_total: ListedTotal, selected_count: int, cursor: str) -> Self:
        return cls.from_records(affected_total, others=selected_count - affected_total.documents, cursor=cursor)


class RefusedOut(Wire):
    """A document that the action could not change, and the reason."""

    id: str
    problem: dict[str, Any]


class BulkStepOut(Wire):
    """The result of a step: the number of documents `done`.

    `next_cursor` starts the next step; it is null after the last step.
    """

    done: int
    refused: list[RefusedOut]
    next_cursor: str | None
