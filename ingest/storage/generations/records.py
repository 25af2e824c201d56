"""Records of generations. A generation is a complete vector index built with one encoder; exactly one is active."""

from dataclasses import dataclass
from enum import StrEnum


class GenerationState(StrEnum):
    """The states of a generation: `building → active → previous → discarded`.

    Searches and workers use the active generation. At most one other generation exists: one that is being built, or the
    previous one, which is kept for a rollback. During a rollback, the previous generation is `building` again until it
    contains the versions added since, and then becomes `active`.
    """

    BUILDING = "building"
    ACTIVE = "active"
    PREVIOUS = "previous"
    DISCARDED = "discarded"


@dataclass(frozen=True)
class Generation:
    """A generation of the index. `encoder` and `sparse` are the fingerprints of its dense and sparse encoders.

    While the generation is built, vectors are copied from the generation `copies`, which has the same encoder. If
    `copies` is None, all vectors are computed again. `lost` says why the index must not be searched; empty if it may.
    """

    id: int
    encoder: str
    sparse: str
    dimension: int
    state: GenerationState
    created_at: float
    activated_at: float | None = None
    copies: int | None = None
    lost: str = ""


def get_build_command(building: Generation, active: Generation) -> str:
    """Return the subcommand of `leadline index` that builds a generation like this one beside the active one."""
    if building.state is GenerationState.BUILDING and building.id < active.id:
        return "rollback"
    if building.sparse == active.sparse and building.copies is not None:
        return "spread"
    return "rebuild" if building.encoder == active.encoder else "reembed"


@dataclass(frozen=True)
class SearchableVersion:
    """A version that searches should find. The index must contain all of its `chunks`.

    If `needs_vectors` is true, each chunk must have a vector. While `is_moving` is true, the version is waiting to be
    indexed again, and some chunks may be missing. `settled_at` is the time at which the version last became searchable
    or ready.
    """

    id: str
    tenant_id: str
    chunks: int
    needs_vectors: bool
    is_moving: bool
    settled_at: float


@dataclass(frozen=True)
class IndexState:
    """The result of the last check of a generation's index against the catalog.

    `is_marked` is true if the index was found complete once and has had a marker since. Of the `versions` checked,
    `missing` were incomplete in the index. `requeued` counts all versions ever reindexed for this reason. `lost` says
    why searches are rejected; empty if they are allowed.
    """

    generation: int
    is_marked: bool = False
    checked_at: float | None = None
    versions: int = 0
    missing: int = 0
    requeued: int = 0
    lost: str = ""


@dataclass(frozen=True)
class ReplicaStatus:
    """The replicas of an index on the nodes of a vector server, as of the last background check.

    Of the `shards`, `short` have too few active replicas on reachable nodes. `detail` describes the shortage, and
    `away` lists the unreachable nodes.
    """

    generation: int
    shards: int
    short: int
    detail: str
    away: tuple[str, ...] = ()


@dataclass(frozen=True)
class BuildProgress:
    """The current and the final number of versions and chunks of a generation that is being built.

    `failed` is the number of failed versions.
    """

    versions: int
    versions_done: int
    chunks: int
    chunks_done: int
    failed: int

    @property
    def is_complete(self) -> bool:
        return self.versions_done == self.versions

    @property
    def percent(self) -> int:
        """The percentage of chunks in the generation, rounded down. It is 100 only if no chunk is missing."""
        if self.is_complete:
            return 100
        return min(99, 100 * self.chunks_done // max(1, self.chunks))
