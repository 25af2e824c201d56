"""Records of batches: uploads that are counted, cancelled and listed together."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from ingest.storage.documents.records import IN_PROGRESS, VersionState
from ingest.storage.queue.records import Failure, JobKind

_BEFORE_SEARCHABLE = frozenset(
    {VersionState.ACCEPTED, VersionState.PARSING, VersionState.CHUNKING, VersionState.INDEXING}
)


class BatchState(StrEnum):
    """The states of a batch: `open → processing → completed`, or `cancelled`.

    An open batch accepts more files. It is closed by its owner or once the expected number of files has arrived. It is
    completed once it is closed and every document in it has reached a final state, which may be `failed`.
    """

    OPEN = "open"
    PROCESSING = "processing"
    COMPLETED = "completed"
    CANCELLED = "cancelled"


@dataclass(frozen=True)
class Batch:
    """A batch. `sequence` orders a tenant's batches by age and is the cursor of listings.

    `received` counts accepted and rejected files. `duplicates` counts accepted files that existed before the batch, and
    `refused` counts rejected files. `entries` counts files from containers, which do not count toward `expected`.
    `collection` is set for a batch of files added to a collection.
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
    """The number of a batch's accepted documents in each state.

    The totals of chunks and tokens include only counts known so far. `work` is the number of completed ingests. An
    ingest in progress counts as its completed fraction.
    """

    documents: Mapping[VersionState, int]
    chunks: int = 0
    chunks_embedded: int = 0
    tokens: int = 0
    work: float = 0.0

    @property
    def unfinished_count(self) -> int:
        return sum(count for state, count in self.documents.items() if state in IN_PROGRESS)

    @property
    def unsearchable_count(self) -> int:
        """The number of documents in progress that searches do not find yet."""
        return sum(count for state, count in self.documents.items() if state in _BEFORE_SEARCHABLE)


@dataclass(frozen=True)
class BatchProgress:
    """The progress of a batch. `seconds_left` is None until a throughput is known.

    `paused` lists the paused kinds of jobs that the batch still needs.
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
        return BatchState.PROCESSING if self.tally.unfinished_count else BatchState.COMPLETED

    @property
    def has_ended(self) -> bool:
        return self.state in (BatchState.COMPLETED, BatchState.CANCELLED)

    @property
    def total_count(self) -> int:
        """The number of received files or, while the batch is open, the number of expected files if that is larger."""
        batch = self.batch
        expected = (batch.expected or 0) + batch.entries
        return max(batch.received, expected) if batch.closed_at is None else batch.received

    @property
    def fraction(self) -> float:
        """The completed fraction of the batch, from 0 to 1. Every file has the same weight."""
        if self.has_ended:
            return 1.0
        return round((self.tally.work + self.batch.refused) / self.total_count, 4) if self.total_count else 0.0

    @property
    def finished_count(self) -> int:
        """The number of files that need no more work because they are ready, failed, rejected or withdrawn."""
        return self.batch.received - self.tally.unfinished_count

    @property
    def _is_full(self) -> bool:
        return self.batch.expected is not None and self.batch.received - self.batch.entries >= self.batch.expected


@dataclass(frozen=True)
class BatchFailure:
    """A file that was rejected, or whose document failed. `number` is the file's position in the batch."""

    number: int
    name: str
    document_id: str | None
    failure: Failure
