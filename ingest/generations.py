"""Generations of the vector index: each is one whole index, made with one encoder. Exactly one is active."""

from dataclasses import dataclass
from enum import StrEnum


class GenerationState(StrEnum):
    """The life of a generation: `building → active → previous → discarded`.

    Searches and workers use the active one. Beside it there is at most one other: being built, or kept as the previous
    one for a way back. A rollback makes that one `building` again until it has what came since, and then active.
    """

    BUILDING = "building"
    ACTIVE = "active"
    PREVIOUS = "previous"
    DISCARDED = "discarded"


@dataclass(frozen=True)
class Generation:
    """`encoder` and `sparse` are the fingerprints of what its vectors and term weights were made with."""

    id: int
    encoder: str
    sparse: str
    dimension: int
    state: GenerationState
    created_at: float
    activated_at: float | None = None


@dataclass(frozen=True)
class BuildProgress:
    """How much of what belongs into an index is in a generation that is being built; `failed` are versions."""

    versions: int
    versions_done: int
    chunks: int
    chunks_done: int
    failed: int

    @property
    def whole(self) -> bool:
        return self.versions_done == self.versions

    @property
    def percent(self) -> int:
        """Of the chunks, rounded down: 100 only when nothing is left."""
        if self.whole:
            return 100
        return min(99, 100 * self.chunks_done // max(1, self.chunks))
