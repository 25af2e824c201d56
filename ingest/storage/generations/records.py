"""Records of generations. A generation is a complete vector index built with one encoder. Exactly one is active."""

from dataclasses import dataclass
from enum import StrEnum


class GenerationState(StrEnum):
    """The states of a generation: `building → active → previous → discarded`.

    Searches and workers use the active generation. At most one other generation exists: one that is being built, or the
    previous one, which is retained for a rollback. In a rollback, the previous generation is first `building` again
    until it contains the versions added since, and then `active`.
    """

    BUILDING = "building"
    ACTIVE = "active"
    PREVIOUS = "previous"
    DISCARDED = "discarded"


@dataclass(frozen=True)
class Generation:
    """A generation of the index. `encoder` and `sparse` are the fingerprints of its dense and sparse encoders.

    `copies` is a generation with the same encoder, from which vectors are copied while this generation is built. If it
    is None, all vectors are computed again. `lost` is the reason why the index must not be searched, or empty if the
    index is complete.
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


@dataclass(frozen=True)
class SearchableVersion:
    """A version that searches should find, and the number of its chunks that the index must contain.

    If `needs_vectors` is true, each of these chunks must have a vector. `is_moving` is true while the version is
    waiting to be indexed again; the index may contain fewer chunks then. `settled_at` is the time at which the version
    last became searchable or ready.
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

    `is_marked` is true if the index was found complete once and has carried a marker since. Of the `versions` compared,
    `missing` versions were not completely in the index. `requeued` counts all versions that have ever been reindexed
    for this reason. `lost` is the reason why searches are refused, or empty if searches are allowed.
    """

    generation: int
    is_marked: bool = False
    checked_at: float | None = None
    versions: int = 0
    missing: int = 0
    requeued: int = 0
    lost: str = ""


@dataclass(frozen=True)
class CopiesState:
    """The replicas of an index on the nodes of a vector server, as of the last background check.

    Of the `shards`, `short` shards have too few active replicas on nodes that respond. `detail` describes the shortage,
    and `away` lists the nodes that do not respond.
    """

    generation: int
    shards: int
    short: int
    detail: str
    away: tuple[str, ...] = ()


@dataclass(frozen=True)
class BuildProgress:
    """The versions and chunks already contained in a generation that is being built, and their totals.

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
        """The percentage of chunks in the generation, rounded down so that it is 100 only if no chunk is missing."""
        if self.is_complete:
            return 100
        return min(99, 100 * self.chunks_done // max(1, self.chunks))
