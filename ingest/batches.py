"""A batch: uploads that belong together, counted, cancelled and listed as one."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from ingest.documents import IN_PROGRESS, Failure, JobKind, VersionState

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
    """What is kept of a batch itself. `sequence` orders a tenant's batches by age and is the cursor of listings.

    `received` counts files: accepted ones, of which `duplicates` were there before, and `refused` ones.
    """

    id: str
    sequence: int
    tenant_id: str
    name: str
    expected: int | None
    received: int
    duplicates: int
    refused: int
    created_at: float
    closed_at: float | None
    cancelled_at: float | None


@dataclass(frozen=True)
class Tally:
    """What became of a batch's accepted files, by state; chunks and tokens count what is known so far.

    `work` is how many ingests they amount to, half a one for each that is half done.
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
        """Documents that are on their way to be found by their words."""
        return sum(count for state, count in self.documents.items() if state in _BEFORE_SEARCHABLE)


@dataclass(frozen=True)
class BatchProgress:
    """How far a batch is. `seconds_left` is None where no pace is known to estimate by.

    `paused` are the kinds of work that it still needs and that no worker may begin.
    """

    batch: Batch
    tally: Tally
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
        """Files that there are or, while it is open, are expected to be."""
        batch = self.batch
        return max(batch.received, batch.expected or 0) if batch.closed_at is None else batch.received

    @property
    def fraction(self) -> float:
        """From 0 to 1 over the whole of the batch, each file alike."""
        if self.ended:
            return 1.0
        return round((self.tally.work + self.batch.refused) / self.total, 4) if self.total else 0.0

    @property
    def finished(self) -> int:
        """Files that are at an end, good or bad."""
        return self.batch.received - self.tally.unfinished

    @property
    def _is_full(self) -> bool:
        return self.batch.expected is not None and self.batch.received >= self.batch.expected


@dataclass(frozen=True)
class BatchFailure:
    """A file that came to nothing: refused, and then there is no document, or failed. `number` is its place."""

    number: int
    name: str
    document_id: str | None
    failure: Failure
