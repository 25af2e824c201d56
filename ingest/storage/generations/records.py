"""Records of generations. A generation is a complete vector index built with one encoder. Exactly one is active."""

from dataclasses import dataclass
from enum import StrEnum


class GenerationState(StrEnum):
    """The states of a generation: `building → active → previous → discarded`.

    Searches and workers use the active one. Beside it there is at most one other: one being built, or the previous one,
    kept for a rollback. A rollback makes it `building` again until it has the versions added since, and then active.
    """

    BUILDING = "building"
    ACTIVE = "active"
    PREVIOUS = "previous"
    DISCARDED = "discarded"


@dataclass(frozen=True)
class Generation:
    """A generation of the index. `encoder` and `sparse` are the fingerprints of its dense and its sparse encoder.

    `copies` is the generation with the same encoder whose vectors are copied while this one is built; None if all
    vectors are computed again. `lost` is the reason why its index must not be searched; empty if it is complete.
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
    """A version that searches should find, and the number of chunks that the index must have of it.

    With `needs_vectors`, each of these chunks must have a vector. `is_moving` is true while the version waits to be
    indexed again; the index may have fewer chunks then. `settled_at` is when it last became searchable or ready.
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

    `is_marked`: the index was complete once and has carried a mark since. Of the `versions` compared, `missing` were
    not completely in the index; `requeued` counts all versions that were ever indexed again for that reason. `lost` is
    the reason why searches are refused; empty if they are served.
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

    Of `shards`, `short` have too few active copies on nodes that respond. `detail` describes this, and `away` lists the
    nodes that do not respond.
    """

    generation: int
    shards: int
    short: int
    detail: str
    away: tuple[str, ...] = ()


@dataclass(frozen=True)
class BuildProgress:
    """The versions and chunks that a generation being built has already, out of all. `failed` counts versions."""

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
        """The percentage of chunks, rounded down: 100 only when nothing is missing."""
        if self.is_complete:
            return 100
        return min(99, 100 * self.chunks_done // max(1, self.chunks))
