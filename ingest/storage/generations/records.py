"""Records of generations. A generation is a complete vector index built with one encoder. Exactly one is active."""

from dataclasses import dataclass
from enum import StrEnum


class GenerationState(StrEnum):
    """The states of a generation: `building → active → previous → discarded`.

    Searches and workers use the active one. Beside it there is at most one other generation: one that is being built,
    or the previous one, which is retained for a rollback. A rollback makes the previous generation `building` again
    until the versions added since are in it, and then `active`.
    """

    BUILDING = "building"
    ACTIVE = "active"
    PREVIOUS = "previous"
    DISCARDED = "discarded"


@dataclass(frozen=True)
class Generation:
    """A generation of the index. `encoder` and `sparse` are the fingerprints of its dense and sparse encoders.

    `copies` is a generation with the same encoder whose vectors are copied while this one is built. It is None if all
    vectors are computed again. `lost` is the reason why the index must not be searched. It is empty if the index is
    complete.
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

    With `needs_vectors`, each of these chunks must have a vector. `is_moving` is true while the version is waiting to
    be indexed again; the index may contain fewer chunks then. `settled_at` is the time at which the version last became
    searchable or ready.
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

    `is_marked` is true if the index was complete once and has carried a mark since. Of the `versions` compared,
    `missing` were not completely in the index. `requeued` counts all versions that have ever been indexed again for
    that reason. `lost` is the reason why searches are refused. It is empty if they are served.
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
    """The copies of an index on the nodes of a vector server, as last seen by upkeep.

    Of the `shards`, `short` shards have too few active copies on nodes that respond. `detail` describes this, and
    `away` lists the nodes that do not respond.
    """

    generation: int
    shards: int
    short: int
    detail: str
    away: tuple[str, ...] = ()


@dataclass(frozen=True)
class BuildProgress:
    """The versions and chunks that a generation being built already contains, and their totals.

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
        """The percentage of chunks, rounded down, so that it is 100 only if nothing is missing."""
        if self.is_complete:
            return 100
        return min(99, 100 * self.chunks_done // max(1, self.chunks))
