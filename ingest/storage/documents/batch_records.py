"""A batch: uploads that belong together, counted, cancelled and listed as one."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from ingest.storage.documents.records import IN_PROGRESS, VersionState
from ingest.storage.queue.records import Failure, JobKind

_BEFORE_SEARCHABLE = frozenset(
    {VersionState.ACCEPTED, VersionState.PARSING, VersionState.CHUNKING, VersionState.INDEXING}
)


class BatchState(StrEnum):
    """`open → processing → completed`, or `cancelled`.

    An open batch takes more files. It is closed by its owner, or when as many files came as were expected; it is
    completed when it is closed and every document in it is at an end, failed ones too.
    """

    OPEN = "open"
    PROCESSING = "processing"
    COMPLETED = "completed"
    CANCELLED = "cancelled"


@dataclass(frozen=True)
class Batch:
    """A batch's own record. `sequence` orders a tenant's batches by age and is the cursor of listings.

    `received` counts files: accepted ones, of which `duplicates` were there before, and `refused` ones. `entries` of
    them came in containers, and are not counted on what is expected. `collection` is where a batch of files was put.
    """

    id: str
    sequence: int
    tenant_id: str
    name: str
    expected: int | None
    received: int
    duplicates: int
    refused: int
    entries: int
    created_at: float
    closed_at: float | None
    cancelled_at: float | None
    collection: str | None = None


@dataclass(frozen=True)
class BatchTally:
    """A batch's accepted documents counted by state; chunks and tokens count what is known so far.

    `work` is the number of ingests done, where a half-done one counts one half.
    """

    documents: Mapping[VersionState, int]
    chunks: int = 0
    chunks_embedded: int = 0
    tokens: int = 0
    work: float = 0.0

    @property
    def unfinished(self) -> int:
        return sum(count for state, count in self.documents.items() if state in IN_PROGRESS)

    @property
    def unsearchable(self) -> int:
        """Documents in progress that searches cannot find yet."""
        return sum(count for state, count in self.documents.items() if state in _BEFORE_SEARCHABLE)


@dataclass(frozen=True)
class BatchProgress:
    """The progress of a batch. `seconds_left` is None without a known pace to estimate by.

    `paused` are the kinds of work that the batch still needs and that are paused.
    """

    batch: Batch
    tally: BatchTally
    seconds_left: float | None = None
    paused: tuple[JobKind, ...] = ()

    @property
    def state(self) -> BatchState:
        if self.batch.cancelled_at is not None:
            return BatchState.CANCELLED
        if self.batch.closed_at is None and not self._is_full:
            return BatchState.OPEN
        return BatchState.PROCESSING if self.tally.unfinished else BatchState.COMPLETED

    @property
    def ended(self) -> bool:
        return self.state in (BatchState.COMPLETED, BatchState.CANCELLED)

    @property
    def total(self) -> int:
        """Files received or, while the batch is open, expected if that is more."""
        batch = self.batch
        expected = (batch.expected or 0) + batch.entries
        return max(batch.received, expected) if batch.closed_at is None else batch.received

    @property
    def fraction(self) -> float:
        """The share of the batch that is done, from 0 to 1; every file counts the same."""
        if self.ended:
            return 1.0
        return round((self.tally.work + self.batch.refused) / self.total, 4) if self.total else 0.0

    @property
    def finished(self) -> int:
        """Files that need no more work: ready, failed, refused or withdrawn."""
        return self.batch.received - self.tally.unfinished

    @property
    def _is_full(self) -> bool:
        return self.batch.expected is not None and self.batch.received - self.batch.entries >= self.batch.expected


@dataclass(frozen=True)
class BatchFailure:
    """A file that was refused, and then has no document, or that failed. `number` is its place in the batch."""

    number: int
    name: str
    document_id: str | None
    failure: Failure
