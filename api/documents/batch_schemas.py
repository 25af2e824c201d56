"""Batches on the wire."""

from dataclasses import asdict
from datetime import datetime

from pydantic import Field

from api.documents.schemas import Reason
from api.http.wire import Wire, instant
from ingest.storage.documents.batch_records import BatchFailure, BatchProgress, BatchState
from ingest.storage.documents.records import VersionState
from ingest.storage.queue.records import JobKind


class BatchIn(Wire):
    """A new batch. With `expected`, it is complete once that many files came and are at an end, closed or not."""

    name: str = Field("", max_length=200)
    expected: int | None = Field(None, ge=1, le=10_000_000)


class BatchCounts(Wire):
    """Files of a batch. `received` are all that came, of which `duplicates` were there before.

    `documents` says in which state the accepted ones are; the rest was `refused`.
    """

    expected: int | None
    received: int
    duplicates: int
    refused: int
    documents: dict[VersionState, int]


class BatchProgressOut(Wire):
    """How far a batch is: `files_done` are at an end, good or bad. `seconds_left` is null where it cannot be known.

    `paused` names the work that it waits for until somebody resumes it: `leadline queue resume`.
    """

    fraction: float
    files: int
    files_done: int
    chunks: int
    chunks_embedded: int
    tokens: int
    seconds_left: float | None
    paused: list[JobKind]


class BatchOut(Wire):
    """A batch of uploads."""

    id: str
    name: str
    state: BatchState
    counts: BatchCounts
    progress: BatchProgressOut
    created_at: datetime
    closed_at: datetime | None
    cancelled_at: datetime | None

    @classmethod
    def of(cls, found: BatchProgress) -> "BatchOut":
        batch, tally, left = found.batch, found.tally, found.seconds_left
        return cls(
            id=batch.id,
            name=batch.name,
            state=found.state,
            counts=BatchCounts(
                expected=batch.expected,
                received=batch.received,
                duplicates=batch.duplicates,
                refused=batch.refused,
                documents=dict(tally.documents),
            ),
            progress=BatchProgressOut(
                fraction=found.fraction,
                files=found.total,
                files_done=found.finished,
                chunks=tally.chunks,
                chunks_embedded=tally.chunks_embedded,
                tokens=tally.tokens,
                seconds_left=None if left is None else round(left, 1),
                paused=list(found.paused),
            ),
            created_at=instant(batch.created_at),
            closed_at=batch.closed_at and instant(batch.closed_at),
            cancelled_at=batch.cancelled_at and instant(batch.cancelled_at),
        )


class BatchPage(Wire):
    """A page of batches, newest first; `next_cursor` is None on the last one."""

    batches: list[BatchOut]
    next_cursor: str | None


class BatchFailureOut(Wire):
    """A file that came to nothing: `refused` when it was sent, and then it is no document; otherwise it failed."""

    name: str
    document: str | None
    refused: bool
    failure: Reason

    @classmethod
    def of(cls, found: BatchFailure) -> "BatchFailureOut":
        return cls(
            name=found.name,
            document=found.document_id,
            refused=found.document_id is None,
            failure=Reason(**asdict(found.failure)),
        )


class BatchFailurePage(Wire):
    """A page of failures in order of arrival; `next_cursor` is None on the last one."""

    failures: list[BatchFailureOut]
    next_cursor: str | None
