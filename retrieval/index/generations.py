"""Generations of the vector index: the interfaces for searches and workers, and the startup check.

An index is always provided together with the encoders that created its vectors and weights.
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
from retrieval.index.copies import ReplicaStore
from retrieval.index.port import Index, IndexVectors


@dataclass(frozen=True)
class OpenGeneration:
    """An open index, with the encoder of its vectors and the encoder of its BM25 weights.

    While a generation is being built by copying, `copied` is the index from which vectors are copied by chunk id.
    """

    id: int
    index: Index
    encoder: Embedder
    sparse: SparseEncoder
    copied: IndexVectors | None = None


@dataclass(frozen=True)
class IndexSize:
    """The size of an index as reported by its engine: `disk_bytes` on this machine, or `points` on a server."""

    disk_bytes: int | None = None
    points: int | None = None


class IndexPresence(Enum):
    """The state of an index: absent, present, or marked as complete. A recreated index has no mark."""

    ABSENT = "absent"
    UNMARKED = "unmarked"
    MARKED = "marked"


class IndexStore(ReplicaStore, Protocol):
    """The indexes of an installation: one index per generation, identified by the generation's number."""

    def open_index(self, generation_id: int, dimension: int) -> Index:
        """Open the index, or create it. If it has no installation id, this installation's id is stored in it.

        Raises `IndexUnavailableError` if it cannot be opened. Raises `InstallationMismatchError` if it belongs to
        another installation, or if it has no id and the catalog knows none of its versions.
        """

    def remove_index(self, generation_id: int) -> None:
        """Remove the index if it exists. It must not be open in any process.

        Raises `InstallationMismatchError` if it belongs to another installation.
        """

    def find_owner(self, generation_id: int) -> str | None:
        """Return the id of the installation that owns the index, or None if the index is missing or has no id."""

    def take_ownership(self, generation_id: int) -> None:
        """Set the owner of an existing index to this installation, even if it has another owner.

        The index must not be open in this process.
        """

    def check_presence(self, generation_id: int) -> IndexPresence:
        """Return whether the index exists and is marked as complete, without opening or creating it."""

    def mark_complete(self, generation_id: int) -> None:
        """Mark an existing index as complete. If the index is recreated, the new index has no mark."""

    def find_size(self, generation_id: int) -> IndexSize | None:
        """Return the size of the index, or None if it does not exist."""

    def list_differences(self, generation_id: int) -> list[str]:
        """Describe each difference between an existing index and the settings.

        `leadline index spread` moves an index to the current settings.
        """


class GenerationCatalog(Protocol):
    """The catalog's records of index generations."""

    def list_live_generations(self) -> Sequence[Generation]:
        """Return all generations that have not been discarded. One of them is active."""

    def list_discarded_ids(self) -> Sequence[int]: ...


class Generations(Protocol):
    """Provides indexes to searches and workers."""

    def use_active_generation(self) -> AbstractContextManager[OpenGeneration]:
        """Provide the active generation. Raises `IndexLostError` if a check has found its index to be lost."""

    def use_generation(self, generation_id: int) -> AbstractContextManager[OpenGeneration]:
        """Provide a job's generation. An id of 0 means the active generation.

        Raises `GenerationChangedError` if the generation was discarded.
        """

    def is_superseded(self, generation: OpenGeneration) -> bool:
        """Return whether another generation has become active since this one was provided."""

    def use_index(self, generation_id: int) -> AbstractContextManager[Index]:
        """Provide the index of a generation in any state. Raises `GenerationChangedError` if it was discarded."""

    def use_all_indexes(self) -> AbstractContextManager[Mapping[int, Index]]:
        """Provide the indexes of all existing generations, keyed by generation id."""

    def delete_version(self, tenant_id: str, version_id: str) -> int:
        """Delete a version's chunks from every generation.

        Return the largest number of chunks deleted from a single generation.
        """

    def require_owner(self, installation_id: str) -> None:
        """Raise `InstallationMismatchError` unless this installation owns every index."""

    def set_readers(self, tenant_id: str, version_id: str, readers: Collection[str] | None) -> None:
        """Restrict a version's chunks to these readers in every generation.

        None makes them visible to the whole tenant.
        """

    def set_collection(self, tenant_id: str, version_id: str, collection: str) -> None:
        """Record the collection of a version's chunks in every generation."""

    def remove_discarded_indexes(self) -> None:
        """Remove the indexes of discarded generations, except those still in use in this process."""


_ENCODER_SETTING = "LEADLINE_ENCODER"


def require_matching_encoders(
    generation: Generation, encoders: Encoders, sparse_encoder: SparseEncoder, *, encoder_name: str | None
) -> None:
    """Check that this process can search and write the active generation.

    `encoder_name` is the name of the encoder in the settings, if any. Raises `IndexMismatchError` if the generation was
    built with other encoders.
    """
    made_with = encoders.get_encoder_name(generation.encoder)
    if encoder_name is not None and encoders.get_by_name(encoder_name).fingerprint != generation.encoder:
        raise IndexMismatchError(
            f"The index (generation {generation.id}) was built with the encoder {made_with}, but {_ENCODER_SETTING} is "
            f"{encoder_name}.",
            hint=f"To move to {encoder_name}: unset {_ENCODER_SETTING}, run "
            f"`leadline index reembed --encoder {encoder_name}` while the service runs, then `leadline index switch`. "
            f"To continue with {made_with}: unset {_ENCODER_SETTING}.",
        )
    if all(choice.fingerprint != generation.encoder for choice in encoders.choices):
        first = encoders.choices[0].name
        raise IndexMismatchError(
            f"The index (generation {generation.id}) was built with the encoder {generation.encoder}, which this "
            "installation does not have.",
            hint=f"Set {_ENCODER_SETTING} to this encoder, or install its release. Or move to another encoder: "
            f"`leadline index reembed --encoder {first}`, and then `leadline index switch`.",
        )
    if sparse_encoder.find_compatible_encoder(generation.sparse) is None:
        raise IndexMismatchError(
            f"The index (generation {generation.id}) uses word weights from {generation.sparse}, but this release uses "
            f"{sparse_encoder.fingerprint}.",
            hint="Run `leadline index rebuild` to rebuild the index from the uploaded documents.",
        )
