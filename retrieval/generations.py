"""Generations of the vector index as searches and workers see them: ports, and what must fit at a start.

An index and the encoder its vectors came from go together: whoever has one has the other, and they are never mixed.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from ingest.generations import Generation
from retrieval.bm25 import SparseEncoder
from retrieval.embedding import Embedder
from retrieval.encoders import Encoders
from retrieval.errors import IndexMismatchError
from retrieval.index import Index


@dataclass(frozen=True)
class OpenGeneration:
    """An index with the encoder that its vectors came from."""

    id: int
    index: Index
    encoder: Embedder


@dataclass(frozen=True)
class Size:
    """What an index takes, as far as its engine says: `disk_bytes` on this machine, or `points` on a server."""

    disk_bytes: int | None = None
    points: int | None = None


class IndexStore(Protocol):
    """Where the indexes of a deployment are kept, one for each generation, by its number."""

    def open(self, generation_id: int, dimension: int) -> Index:
        """Makes it where it is not there yet. Raises `IndexUnavailableError`."""

    def remove(self, generation_id: int) -> None:
        """It is gone, or was not there. Nobody may have it open."""

    def size(self, generation_id: int) -> Size | None:
        """None for one that is not there."""


class GenerationRecords(Protocol):
    """What the catalog knows of them."""

    def live(self) -> Sequence[Generation]:
        """All but those that were discarded; one of them is active."""

    def discarded(self) -> Sequence[int]: ...


class Generations(Protocol):
    """How searches and workers get at an index."""

    def active(self) -> AbstractContextManager[OpenGeneration]:
        """The one that searches use now."""

    def of(self, generation_id: int) -> AbstractContextManager[OpenGeneration]:
        """The one that a job is bound to; 0 is the active one. Raises `GenerationChangedError` when it is gone."""

    def has_left(self, generation: OpenGeneration) -> bool:
        """Whether another generation is active by now."""

    def indexes(self) -> AbstractContextManager[Mapping[int, Index]]:
        """The index of every generation there is, whatever it is for."""

    def delete_version(self, tenant_id: str, version_id: str) -> int:
        """Remove a version's chunks from every generation; returns how many there were in the one with the most."""

    def tidy(self) -> None:
        """Remove the indexes of generations that were discarded, but for those that somebody here still uses."""


_SETTING = "LEADLINE_ENCODER"


def require_fit(active: Generation, encoders: Encoders, sparse: SparseEncoder, *, chosen: str | None) -> None:
    """That this process can search and write the active generation.

    `chosen` is the name of the encoder that the settings ask for, if they do. Raises `IndexMismatchError`.
    """
    made_with = encoders.name_of(active.encoder)
    if chosen is not None and encoders.named(chosen).fingerprint != active.encoder:
        raise IndexMismatchError(
            f"The index (generation {active.id}) was made with the encoder {made_with}, and {_SETTING} asks for "
            f"{chosen}.",
            hint=f"To move to {chosen}: unset {_SETTING}, run `leadline index reembed --encoder {chosen}` while the "
            f"old index is searched, then `leadline index switch`. To go on with {made_with}: unset {_SETTING}.",
        )
    if all(choice.fingerprint != active.encoder for choice in encoders.choices):
        first = encoders.choices[0].name
        raise IndexMismatchError(
            f"The index (generation {active.id}) was made with the encoder {active.encoder}, which this installation "
            "does not have.",
            hint=f"Name it with {_SETTING}, or install what it was made with; or move to another encoder: "
            f"`leadline index reembed --encoder {first}`, and then `leadline index switch`.",
        )
    if active.sparse != sparse.fingerprint:
        raise IndexMismatchError(
            f"The index (generation {active.id}) weighs words by {active.sparse}, and this release by "
            f"{sparse.fingerprint}.",
            hint="`leadline index rebuild` makes it again, from what was uploaded.",
        )
