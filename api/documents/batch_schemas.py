"""Wire models for batches."""

from typing import Self

from pydantic import Field

from api.documents.schemas import DocumentFailureOut
from api.http.wire import Instant, RoundedSeconds, Wire
from ingest.storage.documents.batch_records import BatchFailure, BatchProgress, BatchState
from ingest.storage.documents.records import VersionState
from ingest.storage.queue.records import JobKind


class BatchIn(Wire):
    """A new batch. With `expected`, it is completed once that many files have been processed, even if not closed."""

    name: str = Field("", max_length=200)
    expected: int | None = Field(None, ge=1, le=10_000_000)


class BatchCounts(Wire):
    """Counts of a batch's files. `received` includes `duplicates`, which are files that had already been uploaded.

    `documents` counts the accepted files by state; the remaining files were `refused`.
    """

    expected: int | None
    received: int
    duplicates: int
    refused: int
    documents: dict[VersionState, int]


class BatchProgressOut(Wire):
    """Progress of a batch. `files_done` counts files that have finished or failed. `seconds_left` is null if unknown.

    `paused` lists the kinds of work that are paused until someone runs `leadline queue resume`.
    """

    fraction: float
    files: int
    files_done: int
    chunks: int
    chunks_embedded: int
    tokens: int
    seconds_left: RoundedSeconds | None
    paused: list[JobKind]


class BatchOut(Wire):
    """A batch, which groups uploads and tracks their processing."""

    id: str
    name: str
    state: BatchState
    counts: BatchCounts
    progress: BatchProgressOut
    created_at: Instant
    closed_at: Instant | None
    cancelled_at: Instant | None

    @classmethod
    def from_progress(cls, batch_progress: BatchProgress) -> Self:
        batch, tally = batch_progress.batch, batch_progress.tally
        progress = BatchProgressOut(
            fraction=batch_progress.fraction,
            files=batch_progress.total_count,
            files_done=batch_progress.finished_count,
            chunks=tally.chunks,
            chunks_embedded=tally.chunks_embedded,
            tokens=tally.tokens,
            seconds_left=batch_progress.seconds_left,
            paused=list(batch_progress.paused),
        )
        counts = BatchCounts(
            expected=batch.expected,
            received=batch.received,
            duplicates=batch.duplicates,
            refused=batch.refused,
            documents=dict(tally.documents),
        )
        return cls(
            id=batch.id,
            name=batch.name,
            state=batch_progress.state,
            counts=counts,
            progress=progress,
            created_at=batch.created_at,
            closed_at=batch.closed_at,
            cancelled_at=batch.cancelled_at,
        )


class BatchPage(Wire):
    """A page of batches, newest first; `next_cursor` is null on the last page."""

    batches: list[BatchOut]
    next_cursor: str | None


class BatchFailureOut(Wire):
    """A file without a usable document: it was `refused` on upload, so it has no document, or its processing failed."""

    name: str
    document: str | None = Field(validation_alias="document_id")
    refused: bool
    failure: DocumentFailureOut

    @classmethod
    def from_failure(cls, failure: BatchFailure) -> Self:
        return cls.from_records(failure, refused=failure.document_id is None)


class BatchFailurePage(Wire):
    """A page of failures in order of arrival; `next_cursor` is null on the last page."""

    failures: list[BatchFailureOut]
    next_cursor: str | None
