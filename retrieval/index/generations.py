"""Generations of the vector index: the ports for searches and workers, and the check at startup.

An index and the encoders that made its vectors and weights are always handed out together, never mixed with others.
"""

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from ingest.storage.generations.records import Generation
from retrieval.encoders.port import Embedder
from retrieval.encoders.registry import Encoders
from retrieval.errors import IndexMismatchError
from retrieval.index.bm25 import SparseEncoder
from retrieval.index.copies import CopyStore
from retrieval.index.port import Index, IndexVectors


@dataclass(frozen=True)
class OpenGeneration:
    """An index with the encoder that made its vectors, and the one that weighed its words.

    `copied` has vectors of the same encoder by the same chunk ids, for a generation that is built by copying.
    """

    id: int
    index: Index
    encoder: Embedder
    sparse: SparseEncoder
    copied: IndexVectors | None = None


@dataclass(frozen=True)
class IndexSize:
    """The size of an index as far as its engine reports it: `disk_bytes` on this machine, or `points` on a server."""

    disk_bytes: int | None = None
    points: int | None = None


class IndexPresence(Enum):
    """Whether an index exists. One that was made anew in the place of a marked one has no mark."""

    ABSENT = "absent"
    UNMARKED = "unmarked"
    MARKED = "marked"


class IndexStore(CopyStore, Protocol):
    """The store of an installation's indexes, one for each generation, by its number."""

    def open(self, generation_id: int, dimension: int) -> Index:
        """Open the index, and create it if it does not exist; it carries the installation's id from then on.

        Raises `IndexUnavailableError`, and `InstallationMismatchError` for another installation's index, and for one
        without an id in which there is no version that the catalog knows.
        """

    def remove(self, generation_id: int) -> None:
        """Remove the index if it exists. Nobody may have it open. Raises `InstallationMismatchError`."""

    def find_owner(self, generation_id: int) -> str | None:
        """Return the id of the installation that the index carries; None where there is no index, or it has none."""

    def take_ownership(self, generation_id: int) -> None:
        """Give an existing index this installation's id, whatever it had before. It must not be open here."""

    def check_presence(self, generation_id: int) -> IndexPresence:
        """Return whether the index exists, and whether it was marked as complete; nothing is opened or made."""

    def mark_complete(self, generation_id: int) -> None:
        """Mark an existing index as complete, so that it is told from one that is made anew in its place."""

    def find_size(self, generation_id: int) -> IndexSize | None:
        """Return the size of the index, or None if it does not exist."""

    def list_differences(self, generation_id: int) -> list[str]:
        """Return in words how an existing index is kept otherwise than the settings ask for; none if it is as asked.

        `leadline index spread` moves it.
        """


class GenerationCatalog(Protocol):
    """The catalog's records of generations."""

    def list_live(self) -> Sequence[Generation]:
        """Return all generations that were not discarded; one of them is active."""

    def list_discarded(self) -> Sequence[int]: ...


class Generations(Protocol):
    """Access to the indexes, for searches and workers."""

    def use_active(self) -> AbstractContextManager[OpenGeneration]:
        """Provide the generation that searches use now. Raises `IndexLostError` if a check found that it lost much."""

    def use_generation(self, generation_id: int) -> AbstractContextManager[OpenGeneration]:
        """Provide the generation of a job; 0 is the active one. Raises `GenerationChangedError` if it is gone."""

    def is_superseded(self, generation: OpenGeneration) -> bool:
        """True if another generation is active by now."""

    def use_index(self, generation_id: int) -> AbstractContextManager[Index]:
        """Provide the index of one generation, whatever its state. Raises `GenerationChangedError` if it is gone."""

    def use_all_indexes(self) -> AbstractContextManager[Mapping[int, Index]]:
        """Provide the index of every existing generation, whatever its state."""

    def delete_version(self, tenant_id: str, version_id: str) -> int:
        """Remove a version's chunks from every generation; return the largest number removed from one of them."""

    def require_owned(self, installation_id: str) -> None:
        """Raise `InstallationMismatchError` unless every index carries this installation's id now."""

    def set_readers(self, tenant_id: str, version_id: str, readers: Collection[str] | None) -> None:
        """Close a version's chunks to all but these readers in every generation; None opens them to the tenant."""

    def remove_discarded(self) -> None:
        """Remove the indexes of discarded generations, except those still in use in this process."""


_SETTING = "LEADLINE_ENCODER"


def require_fit(active: Generation, encoders: Encoders, sparse: SparseEncoder, *, chosen: str | None) -> None:
    """Check that this process can search and write the active generation.

    `chosen` is the encoder name that the settings ask for, if any. Raises `IndexMismatchError`.
    """
    made_with = encoders.get_name(active.encoder)
    if chosen is not None and encoders.get_by_name(chosen).fingerprint != active.encoder:
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
    if sparse.find_compatible(active.sparse) is None:
        raise IndexMismatchError(
            f"The index (generation {active.id}) weighs words by {active.sparse}, and this release by "
            f"{sparse.fingerprint}.",
            hint="`leadline index rebuild` makes it again, from what was uploaded.",
        )
