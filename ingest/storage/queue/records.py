"""Records of jobs and queues: kinds of jobs, lanes, priorities, why a job failed, and the pace of a queue."""

from dataclasses import dataclass
from enum import IntEnum, StrEnum


class JobKind(StrEnum):
    """The kinds of work for workers.

    `ingest` makes a version searchable, `embed` gives it vectors, `collect` removes what a withdrawn version left,
    `reembed` puts a version into another generation of the index, and `run` answers a question in the background. The
    job of a run has the run's id as its document's and its version's id.
    """

    INGEST = "ingest"
    EMBED = "embed"
    COLLECT = "collect"
    RUN = "run"
    REEMBED = "reembed"


class Lane(StrEnum):
    """The line in which a job waits among those of its kind, by the time that it takes.

    `quick` jobs are of small documents and are claimed together. A `large` job is claimed by itself, in turn with its
    tenant's quick ones. A job whose first try took too long is `slow`: it waits for a worker that nobody else needs, or
    for the turn of this lane.
    """

    QUICK = "quick"
    LARGE = "large"
    SLOW = "slow"


ALL_LANES = frozenset(Lane)
FIRST_TRY_LANES = frozenset({Lane.QUICK, Lane.LARGE})

# A document with a larger file is `large`, and so is one of more chunks for the job that embeds it.
MAX_QUICK_BYTES = 256 * 1024
MAX_QUICK_CHUNKS = 128


def choose_ingest_lane(size_bytes: int) -> Lane:
    """Return the lane for a new document with a file of this size."""
    return Lane.LARGE if size_bytes > MAX_QUICK_BYTES else Lane.QUICK


def choose_embed_lane(chunks: int) -> Lane:
    """Return the lane for the embedding of a document with so many chunks."""
    return Lane.LARGE if chunks > MAX_QUICK_CHUNKS else Lane.QUICK


# Jobs that make a version: when one fails, so does the version.
VERSION_JOB_KINDS = frozenset({JobKind.INGEST, JobKind.EMBED})


class JobPriority(IntEnum):
    """The order among a tenant's own jobs; other tenants are not affected."""

    BULK = 0
    INTERACTIVE = 10


# As requests name them.
PRIORITIES = {each.name.lower(): each for each in JobPriority}


@dataclass(frozen=True)
class Failure:
    """Why a version failed: a stable code, what happened, and what to do next."""

    code: str
    detail: str
    hint: str = ""


@dataclass(frozen=True)
class Job:
    """A claimed job. Every commit made for it names `fence`, so a worker that lost its lease cannot commit.

    `generation` is the generation of the index that the job writes to; its state must be the same at the commit.
    `trace` is the span in which the job was queued (`ingest.storage.instrumentation.get_traceparent`).
    """

    id: int
    kind: JobKind
    tenant_id: str
    document_id: str
    version_id: str
    attempt: int
    fence: int
    generation: int = 0
    lane: Lane = Lane.QUICK
    trace: str | None = None


@dataclass(frozen=True)
class Pace:
    """Jobs that end for a tenant per second of work, and their chunks."""

    jobs_per_second: float
    chunks_per_second: float


@dataclass(frozen=True)
class TenantQueue:
    """A tenant's jobs of a kind. `pace` is None if too little was done lately to measure it."""

    queued: int = 0
    running: int = 0
    pace: Pace | None = None
    paused: bool = False
