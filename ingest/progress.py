"""How far a document is, and about how long it will take; pure functions of what the catalog knows."""

from collections.abc import Mapping
from dataclasses import dataclass

from ingest.documents import IN_PROGRESS, JobKind, Version, VersionState

# Shares of the whole: words are indexed in about a twentieth of the time, the rest is embedding.
_LEXICAL_SHARE = 0.05
_FRACTIONS = {
    VersionState.ACCEPTED: 0.0,
    VersionState.PARSING: 0.01,
    VersionState.CHUNKING: 0.02,
    VersionState.INDEXING: 0.03,
}


@dataclass(frozen=True)
class Pace:
    """What is done for a tenant in a second while anything is done: jobs that end, and their chunks."""

    jobs_per_second: float
    chunks_per_second: float


@dataclass(frozen=True)
class Queue:
    """A tenant's jobs of a kind. `pace` is None where too little was done lately to know it."""

    queued: int = 0
    running: int = 0
    pace: Pace | None = None
    paused: bool = False


@dataclass(frozen=True)
class Turn:
    """The job that a version waits for or is in. `position` counts the jobs before it; None while it runs."""

    kind: JobKind
    attempt: int
    position: int | None


@dataclass(frozen=True)
class Progress:
    """How far a document is. What is not known, or not looked up, is None.

    `attempt` counts from 1 and is 0 before the first. `seconds_left` is about the time until it is ready.
    """

    stage: VersionState
    fraction: float
    pages: int | None
    chunks: int | None
    chunks_embedded: int
    attempt: int | None = None
    queue_position: int | None = None
    seconds_left: float | None = None


def progress_of(version: Version, turn: Turn | None = None, queues: Mapping[JobKind, Queue] | None = None) -> Progress:
    """Progress of a version; without its turn and the queues, what the version itself says."""
    left = 0.0 if version.state is VersionState.READY else None
    if turn is not None and queues is not None and version.state in IN_PROGRESS:
        left = seconds_left(version, turn, queues)
    return Progress(
        stage=version.state,
        fraction=fraction(version.state, version.chunks, version.chunks_embedded),
        pages=version.pages,
        chunks=version.chunks,
        chunks_embedded=version.chunks_embedded,
        attempt=None if turn is None else turn.attempt,
        queue_position=None if turn is None else turn.position,
        seconds_left=left,
    )


def fraction(state: VersionState, chunks: int | None, chunks_embedded: int) -> float:
    """From 0 to 1 over the whole of an ingest; 1 at every end."""
    if state in _FRACTIONS:
        return _FRACTIONS[state]
    if state not in IN_PROGRESS:
        return 1.0
    return round(_LEXICAL_SHARE + (1 - _LEXICAL_SHARE) * chunks_embedded / max(1, chunks or 1), 4)


def seconds_left(version: Version, turn: Turn, queues: Mapping[JobKind, Queue]) -> float | None:
    """About how long until the version is ready: the jobs before it and its own, at the pace of late.

    None where a queue that it has to pass is paused or has no known pace. Stages are taken one after the other, which
    is how one machine does them; where several work at once, it is sooner.
    """
    ingest, embed = queues.get(JobKind.INGEST, Queue()), queues.get(JobKind.EMBED, Queue())
    if turn.kind is JobKind.INGEST:
        before = ingest.running + turn.position + 1 if turn.position is not None else max(1, ingest.running)
        return _sum(_time(ingest, jobs=before), _time(embed, jobs=embed.queued + embed.running + before))
    if turn.position is not None:
        return _time(embed, jobs=embed.running + turn.position + 1)
    # Jobs that run at once share the pace.
    own = max(0, (version.chunks or 0) - version.chunks_embedded)
    return _time(embed, chunks=own * max(1, embed.running))


def batch_seconds_left(unsearchable: int, unfinished: int, queues: Mapping[JobKind, Queue]) -> float | None:
    """About how long until a batch is done, if the tenant's pace is all for it; None where it cannot be known."""
    if not unfinished:
        return 0.0
    lexical = _time(queues.get(JobKind.INGEST, Queue()), jobs=unsearchable) if unsearchable else 0.0
    return _sum(lexical, _time(queues.get(JobKind.EMBED, Queue()), jobs=unfinished))


def batch_paused(unsearchable: int, unfinished: int, queues: Mapping[JobKind, Queue]) -> tuple[JobKind, ...]:
    """The kinds of work that are paused and that a batch still has to pass."""
    needed = {JobKind.INGEST: unsearchable, JobKind.EMBED: unfinished}
    return tuple(kind for kind, count in needed.items() if count and queues.get(kind, Queue()).paused)


def _time(queue: Queue, *, jobs: int = 0, chunks: int = 0) -> float | None:
    if queue.pace is None or queue.paused:
        return None
    pace = queue.pace.jobs_per_second if jobs else queue.pace.chunks_per_second
    return (jobs or chunks) / pace if pace > 0 else None


def _sum(*times: float | None) -> float | None:
    known = [time for time in times if time is not None]
    return sum(known) if len(known) == len(times) else None
