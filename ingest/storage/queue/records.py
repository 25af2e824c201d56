"""Records of the job queue: job kinds, lanes, priorities, failures, and the throughput of a queue."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Any, Self

from ingest.storage.remarks import convert_remark_to_json, parse_remark


class JobKind(StrEnum):
    """The kinds of background work.

    `ingest` makes a version searchable, `embed` adds its vectors, `collect` removes the content of a withdrawn version,
    `reembed` writes a version to another generation of the index, `run` answers a question in the background, and
    `sync` synchronizes a source. In the job of a run, the document id and the version id are the run's id; in the job
    of a source, they are the source's id.
    """

    INGEST = "ingest"
    EMBED = "embed"
    COLLECT = "collect"
    RUN = "run"
    REEMBED = "reembed"
    SYNC = "sync"


class Lane(StrEnum):
    """The lane in which a job waits. It depends on how long the job is expected to take.

    `quick` jobs are for small documents and are claimed together. A `large` job is claimed alone, alternating with its
    tenant's quick jobs. A job whose first try took too long is `slow`: it waits for an idle worker or for its lane's
    turn.
    """

    QUICK = "quick"
    LARGE = "large"
    SLOW = "slow"


ALL_LANES = frozenset(Lane)
FIRST_TRY_LANES = frozenset({Lane.QUICK, Lane.LARGE})

# Maximum size of a file for the lane `quick`. Documents with larger files are `large`. For embedding, the lane depends
# on the number of chunks instead.
MAX_QUICK_BYTES = 256 * 1024
MAX_QUICK_CHUNKS = 128


def choose_ingest_lane(size_bytes: int) -> Lane:
    """Choose the lane for ingesting a document, based on its file size."""
    return Lane.LARGE if size_bytes > MAX_QUICK_BYTES else Lane.QUICK


def choose_embed_lane(chunk_count: int) -> Lane:
    """Choose the lane for embedding a document, based on its number of chunks."""
    return Lane.LARGE if chunk_count > MAX_QUICK_CHUNKS else Lane.QUICK


# Kinds of jobs that build a version. If such a job fails, the version fails too.
VERSION_JOB_KINDS = frozenset({JobKind.INGEST, JobKind.EMBED})


class JobPriority(IntEnum):
    """The priority of a job among the jobs of its tenant. It does not affect other tenants."""

    BULK = 0
    INTERACTIVE = 10


# Names of the priorities in requests.
PRIORITIES = {each.name.lower(): each for each in JobPriority}


@dataclass(frozen=True)
class Failure:
    """Why a job failed: a stable code, a description of what happened, and a hint on what to do.

    The description and the hint may be remarks.
    """

    code: str
    detail: str
    hint: str = ""

    @classmethod
    def from_columns(cls, code: str, detail: str, hint: str, remarks: Mapping[str, Any] | None) -> Self:
        """Restore a failure from its columns: `remarks` has the codes of the detail and the hint, if they have one."""
        known = {name: parse_remark(found) for name, found in (remarks or {}).items()}
        # A process of an earlier release may change the text during an upgrade, and leave the codes.
        detail, hint = (
            remark if (remark := known.get(name)) == text else text
            for name, text in (("detail", detail), ("hint", hint))
        )
        return cls(code, detail or "", hint or "")

    @property
    def coded_detail(self) -> dict[str, Any] | None:
        """The remark of the detail as JSON, or None if it has no code."""
        return convert_remark_to_json(self.detail)

    @property
    def coded_hint(self) -> dict[str, Any] | None:
        """The remark of the hint as JSON, or None if it has no code."""
        return convert_remark_to_json(self.hint)

    @property
    def remarks(self) -> dict[str, Any] | None:
        """The remarks of the detail and the hint as JSON for a column, or None if neither has a code."""
        found = {"detail": self.coded_detail, "hint": self.coded_hint}
        return {name: remark for name, remark in found.items() if remark} or None


@dataclass(frozen=True)
class Job:
    """A claimed job. `fence` is its fencing token; a commit is rejected if the token is outdated.

    `generation` is the id of the index generation that the job writes to, which must not have changed at the commit.
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
class Throughput:
    """A tenant's throughput: the number of jobs and chunks finished per second."""

    jobs_per_second: float
    chunks_per_second: float


@dataclass(frozen=True)
class TenantQueue:
    """The numbers of queued and running jobs of one tenant and kind.

    `pace` is the throughput, or None if there was too little recent work to measure it.
    """

    queued: int = 0
    running: int = 0
    pace: Throughput | None = None
    paused: bool = False
