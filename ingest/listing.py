"""What a listing of documents shows, where a page of it begins, and its sums."""

from collections.abc import Collection
from dataclasses import dataclass

from ingest.storage.documents.records import VersionState


@dataclass(frozen=True)
class DocumentFilter:
    """Which documents a listing shows; empty members show all.

    Of a `batch`, those whose bytes were sent into it; of a `container`, its entries; `with_omissions`, those whose
    text leaves something out; `named`, those with these characters in their name or title, whatever their case;
    `identifiers`, these alone.
    """

    collection: str | None = None
    states: Collection[VersionState] = ()
    media_types: Collection[str] = ()
    container: str | None = None
    batch: str | None = None
    with_omissions: bool = False
    named: str = ""
    identifiers: Collection[str] = ()


EVERYTHING = DocumentFilter()


@dataclass(frozen=True)
class ListPlace:
    """A place in a listing: a document's `sequence`, and the value that the listing is ordered by."""

    sequence: int = 0
    value: str | int | None = None


START = ListPlace()


@dataclass(frozen=True)
class ListTotal:
    """The sums of a listing; `through` is the `sequence` of the latest of its documents."""

    documents: int
    size_bytes: int
    chunks: int
    through: int
