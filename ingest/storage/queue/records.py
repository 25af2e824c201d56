"""Records of the job queue: job kinds, lanes, priorities, failures, and the throughput of a queue."""

from dataclasses import dataclass
from enum import IntEnum, StrEnum


class JobKind(StrEnum):
    """The kinds of background work.

    `ingest` makes a version searchable, `embed` gives it vectors, `collect` removes the content of a withdrawn version,
    `reembed` copies a version into another generation of the index, and `run` answers a question in the background. The
    job of a run has the run's id as its document id and its version id.
    """

    INGEST = "ingest"
    EMBED = "embed"
    COLLECT = "collect"
    RUN = "run"
    REEMBED = "reembed"


class Lane(StrEnum):
    """The lane in which a job waits among jobs of the same kind. It depends on how long the job takes.

    `quick` jobs are small documents and are claimed together. A `large` job is claimed alone, alternating with its
    tenant's quick jobs. A job whose first try took too long is `slow`: it waits for an otherwise idle worker or for its
    lane's turn.
    """

    QUICK = "quick"
    LARGE = "large"
    SLOW = "slow"


ALL_LANES = frozenset(Lane)
FIRST_TRY_LANES = frozenset({Lane.QUICK, Lane.LARGE})

# A document with a file larger than this is `large`. For embedding, the lane depends on the number of chunks instead.
MAX_QUICK_BYTES = 256 * 1024
MAX_QUICK_CHUNKS = 128


def choose_ingest_lane(size_bytes: int) -> Lane:
    """Return the lane of a new document, based on its file size."""
    return Lane.LARGE if size_bytes > MAX_QUICK_BYTES else Lane.QUICK


def choose_embed_lane(chunks: int) -> Lane:
    """Return the lane for embedding a document, based on its number of chunks."""
    return Lane.LARGE if chunks > MAX_QUICK_CHUNKS else Lane.QUICK


# Jobs that build a version. If one of them fails, its version fails.
VERSION_JOB_KINDS = frozenset({JobKind.INGEST, JobKind.EMBED})


class JobPriority(IntEnum):
    """The order of the jobs of one tenant. It does not affect other tenants."""

    BULK = 0
    INTERACTIVE = 10


# The names of priorities in requests.
PRIORITIES = {each.name.lower(): each for each in JobPriority}


@dataclass(frozen=True)
class Failure:
    """The reason why a job failed: a stable code, a description of what happened, and what to do next."""

    code: str
    detail: str
    hint: str = ""


@dataclass(frozen=True)
class Job:
    """A claimed job. Every commit for the job checks `fence`, so a worker that lost its lease cannot commit.

    `generation` is the index generation that the job writes to. The generation must still be in the same state at the
    commit. `trace` is the span in which the job was queued (`ingest.storage.instrumentation.get_traceparent`).
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
    """A tenant's throughput: the number of jobs and chunks finished per second of work."""

    jobs_per_second: float
    chunks_per_second: float


@dataclass(frozen=True)
class TenantQueue:
    """The queued and running jobs of one tenant and kind.

    `pace` is the throughput, or None if there was too little recent work to measure it.
    """

    queued: int = 0
    running: int = 0
    pace: Pace | None = None
    paused: bool = False
