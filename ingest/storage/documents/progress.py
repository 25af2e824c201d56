"""Progress of documents and batches, with estimates of the remaining time.

All functions are pure and compute their results from numbers in the catalog.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from ingest.storage.documents.records import IN_PROGRESS, Version, VersionState
from ingest.storage.queue.records import JobKind, TenantQueue

# Fraction of an ingest's time for BM25 indexing. Embedding takes the remaining time.
_LEXICAL_SHARE = 0.05
_FRACTIONS = {
    VersionState.ACCEPTED: 0.0,
    VersionState.PARSING: 0.01,
    VersionState.CHUNKING: 0.02,
    VersionState.INDEXING: 0.03,
}


@dataclass(frozen=True)
class QueuePosition:
    """The position of a waiting or running job. `position` is the number of jobs before it, or None while it runs."""

    kind: JobKind
    attempt: int
    position: int | None


@dataclass(frozen=True)
class DocumentProgress:
    """The progress of a document. Values are None if they are unknown or were not loaded.

    While a long file is being parsed, `pages_done` of `pages` are finished. `attempt` counts from 1 and is 0 before the
    first attempt. `seconds_left` estimates the time until the document is ready.
    """

    stage: VersionState
    fraction: float
    pages: int | None
    chunks: int | None
    chunks_embedded: int
    attempt: int | None = None
    queue_position: int | None = None
    seconds_left: float | None = None
    pages_done: int | None = None


def compute_progress(
    version: Version, queue_position: QueuePosition | None = None, queues: Mapping[JobKind, TenantQueue] | None = None
) -> DocumentProgress:
    """Compute the progress of a version.

    If `queue_position` and `queues` are given, the result includes the queue position and the remaining time.
    """
    left = 0.0 if version.state is VersionState.READY else None
    if queue_position is not None and queues is not None and version.state in IN_PROGRESS:
        left = estimate_seconds_left(version, queue_position, queues)
    return DocumentProgress(
        stage=version.state,
        fraction=compute_fraction(version.state, version.chunks, version.chunks_embedded),
        pages=version.pages,
        chunks=version.chunks,
        chunks_embedded=version.chunks_embedded,
        attempt=None if queue_position is None else queue_position.attempt,
        queue_position=None if queue_position is None else queue_position.position,
        seconds_left=left,
        pages_done=version.pages_done if version.state is VersionState.PARSING else None,
    )


def compute_fraction(state: VersionState, chunks: int | None, chunks_embedded: int) -> float:
    """Compute the completed fraction of an ingest, from 0 to 1. The fraction is 1 in every final state."""
    if state in _FRACTIONS:
        return _FRACTIONS[state]
    if state not in IN_PROGRESS:
        return 1.0
    return round(_LEXICAL_SHARE + (1 - _LEXICAL_SHARE) * chunks_embedded / max(1, chunks or 1), 4)


def estimate_seconds_left(
    version: Version, queue_position: QueuePosition, queues: Mapping[JobKind, TenantQueue]
) -> float | None:
    """Estimate the seconds until a version is ready, based on the jobs ahead of it, its own jobs and the throughput.

    Returns None if one of its queues is paused or has no known throughput. The estimate assumes that stages run one
    after the other, as on one machine. If several stages run in parallel, the version is ready sooner.
    """
    ingest, embed = queues.get(JobKind.INGEST, TenantQueue()), queues.get(JobKind.EMBED, TenantQueue())
    if queue_position.kind is JobKind.INGEST:
        before = (
            ingest.running + queue_position.position + 1
            if queue_position.position is not None
            else max(1, ingest.running)
        )
        return _sum_known_times(
            _estimate_seconds(ingest, jobs=before), _estimate_seconds(embed, jobs=embed.queued + embed.running + before)
        )
    if queue_position.position is not None:
        return _estimate_seconds(embed, jobs=embed.running + queue_position.position + 1)
    # The throughput covers all running jobs together, so each job gets a fraction of the throughput.
    own = max(0, (version.chunks or 0) - version.chunks_embedded)
    return _estimate_seconds(embed, chunks=own * max(1, embed.running))


def estimate_batch_seconds(
    unsearchable_count: int, unfinished_count: int, queues: Mapping[JobKind, TenantQueue]
) -> float | None:
    """Estimate the seconds until a batch is done, assuming that the tenant has no other work.

    Returns None if the throughput of a queue is unknown.
    """
    if not unfinished_count:
        return 0.0
    lexical = (
        _estimate_seconds(queues.get(JobKind.INGEST, TenantQueue()), jobs=unsearchable_count)
        if unsearchable_count
        else 0.0
    )
    return _sum_known_times(lexical, _estimate_seconds(queues.get(JobKind.EMBED, TenantQueue()), jobs=unfinished_count))


def list_paused_kinds(
    unsearchable_count: int, unfinished_count: int, queues: Mapping[JobKind, TenantQueue]
) -> tuple[JobKind, ...]:
    """List the paused kinds of jobs that a batch still needs."""
    needed = {JobKind.INGEST: unsearchable_count, JobKind.EMBED: unfinished_count}
    return tuple(kind for kind, count in needed.items() if count and queues.get(kind, TenantQueue()).paused)


def _estimate_seconds(queue: TenantQueue, *, jobs: int = 0, chunks: int = 0) -> float | None:
    if queue.pace is None or queue.paused:
        return None
    pace = queue.pace.jobs_per_second if jobs else queue.pace.chunks_per_second
    return (jobs or chunks) / pace if pace > 0 else None


def _sum_known_times(*times: float | None) -> float | None:
    known = [time for time in times if time is not None]
    return sum(known) if len(known) == len(times) else None
