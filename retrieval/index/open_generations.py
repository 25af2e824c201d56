"""The generations of the index that a process has open.

The catalog records which generation is active. A process checks the catalog at most once a second, and switches to a
newly active generation without a restart. If it cannot open the new generation, searches continue with the previous
one, and `require_ready` raises the error. If the catalog says that the active generation's index is lost, a serving
process does not provide that generation.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TypeVar

import structlog

from ingest.storage.errors import GenerationChangedError, InstallationMismatchError, LeadlineError
from ingest.storage.generations.records import Generation, GenerationState
from ingest.storage.instrumentation import reach_fault_point
from ingest.storage.operations.installation import build_mismatch_error
from retrieval.encoders.port import Embedder
from retrieval.encoders.registry import Encoders
from retrieval.errors import IndexLostError, IndexMismatchError, IndexUnavailableError
from retrieval.index.bm25 import SparseEncoder
from retrieval.index.generations import GenerationCatalog, IndexStore, OpenGeneration
from retrieval.index.port import Index

REFRESH_SECONDS = 1.0
Result = TypeVar("Result")

log = structlog.get_logger(__name__)


class OpenGenerations:
    """Indexes and encoders that are opened on demand, and closed when no longer needed. Thread-safe."""

    def __init__(
        self,
        records: GenerationCatalog,
        store: IndexStore,
        encoders: Encoders,
        sparse_encoder: SparseEncoder,
        *,
        reject_lost_index: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Store the dependencies without opening anything.

        With `reject_lost_index`, searches and jobs get `IndexLostError` for a generation whose index is lost. Methods
        that provide only an index, and the method that opens the active generation at startup, still accept this
        generation.
        """
        self._records = records
        self._refuse_lost = reject_lost_index
        self._store = store
        self._encoders = encoders
        self._sparse = sparse_encoder
        self._clock = clock
        # `_lock` is held only to look up open generations. `_opening` and `_following` are held while a model is
        # loaded, which takes seconds. Lock order: `_following`, then `_opening`, then `_lock`.
        self._lock = threading.Lock()
        self._opening = threading.Lock()
        self._following = threading.Lock()
        self._indexes: dict[int, Index] = {}
        self._open_encoders: dict[str, Embedder] = {}
        self._open_sparse: dict[str, SparseEncoder] = {}
        self._kept: set[str] = set()
        self._users: Counter[int] = Counter()
        self._live: dict[int, Generation] = {}
        self._active: Generation | None = None
        self._looked = 0.0
        self._trouble: LeadlineError | None = None

    def open_active_generation(self) -> None:
        """Open the active generation now, so that problems appear at startup."""
        self._refresh_active_generation()

    @contextmanager
    def use_active_generation(self) -> Iterator[OpenGeneration]:
        active = self._get_active_generation()
        self._require_index_not_lost(active)
        with self._use_generation(active) as made:
            yield made

    def is_index_lost(self) -> bool:
        """Return whether the catalog says that the active generation's index is lost."""
        return bool(self._get_active_generation().lost)

    def refresh_generations(self) -> None:
        """Reload the generations from the catalog, for example after their records have changed."""
        self._refresh_active_generation(force=True)

    @contextmanager
    def use_generation(self, generation_id: int) -> Iterator[OpenGeneration]:
        if not generation_id:
            with self.use_active_generation() as made:
                yield made
            return
        if generation_id not in self._live:
            self._load_live_generations()
        generation = self._live.get(generation_id)
        if generation is None:
            raise GenerationChangedError(f"Generation {generation_id} of the index was discarded.")
        self._require_index_not_lost(generation)
        with self._use_generation(generation) as made:
            yield made

    @contextmanager
    def use_index(self, generation_id: int) -> Iterator[Index]:
        generation = next((each for each in self._load_live_generations() if each.id == generation_id), None)
        if generation is None:
            raise GenerationChangedError(f"Generation {generation_id} of the index was discarded.")
        index = self._acquire_generation(generation, needs_encoder=False).index
        try:
            yield index
        finally:
            with self._lock:
                self._users.subtract([generation_id])

    def is_superseded(self, generation: OpenGeneration) -> bool:
        self._refresh_active_generation(force=True)
        return self._active is not None and self._active.id != generation.id

    @contextmanager
    def use_all_indexes(self) -> Iterator[Mapping[int, Index]]:
        found: dict[int, Index] = {}
        try:
            for generation in self._load_live_generations():
                found[generation.id] = self._acquire_generation(generation, needs_encoder=False).index
            yield found
        finally:
            with self._lock:
                self._users.subtract(list(found))

    def delete_version(self, tenant_id: str, version_id: str) -> int:
        return max(self._change_each_index(lambda index: index.delete_version(tenant_id, version_id)), default=0)

    def set_readers(self, tenant_id: str, version_id: str, readers: Collection[str] | None) -> None:
        self._change_each_index(lambda index: index.set_readers(tenant_id, version_id, readers))

    def set_collection(self, tenant_id: str, version_id: str, collection: str) -> None:
        self._change_each_index(lambda index: index.set_collection(tenant_id, version_id, collection))

    def _change_each_index(self, change: Callable[[Index], Result]) -> list[Result]:
        """Apply a change to every generation's index, and return the results."""
        found: list[Result] = []
        with self.use_all_indexes() as indexes:
            for generation_id, index in indexes.items():
                try:
                    found.append(change(index))
                except IndexUnavailableError:
                    self._load_live_generations()
                    if generation_id in self._live:  # If not, the generation was discarded in the meantime.
                        raise
        return found

    def open_active_encoder(self) -> Embedder:
        """Return the active generation's encoder, and keep it open until `close`.

        Compare its vectors only with each other, not with vectors of an index, because the active generation may
        change.
        """
        active = self._get_active_generation()
        self._kept.add(active.encoder)
        self._open_encoder(active)
        with self._lock:
            return self._open_encoders[active.encoder]

    def require_ready(self) -> None:
        """Raise the error, if any, that keeps searches from using the active generation."""
        with self.use_active_generation() as made:
            if self._trouble is not None:
                raise self._trouble
            made.index.require_ready()

    def require_owner(self, installation_id: str) -> None:
        for generation in self._load_live_generations():
            owner = self._store.find_owner(generation.id)
            if owner != installation_id:
                raise build_mismatch_error(installation_id, f"generation {generation.id} of the index", owner)

    def remove_discarded_indexes(self) -> None:
        """Remove the indexes of discarded generations, except those that this process is still using."""
        for generation_id in self._records.list_discarded_ids():
            with self._lock:
                if self._users[generation_id]:
                    continue
                index = self._indexes.pop(generation_id, None)
            if index is not None:
                index.close()
            try:
                self._store.remove_index(generation_id)
            except InstallationMismatchError as error:
                log.info(
                    "index of a discarded generation not removed: it belongs to another installation", error=str(error)
                )
                continue
            reach_fault_point("discard.removed")

    def close(self) -> None:
        with self._lock:
            parts: list[Index | Embedder] = [*self._indexes.values(), *self._open_encoders.values()]
            self._indexes, self._open_encoders = {}, {}
        for part in parts:
            part.close()

    @contextmanager
    def _use_generation(self, generation: Generation) -> Iterator[OpenGeneration]:
        used = [generation.id]
        made = self._acquire_generation(generation)
        try:
            copied = self._live.get(generation.copies) if generation.copies is not None else None
            if copied is not None and generation.state is GenerationState.BUILDING:
                made = replace(made, copied=self._acquire_generation(copied, needs_encoder=False).index)
                used.append(copied.id)
            yield made
        finally:
            with self._lock:
                self._users.subtract(used)

    def _acquire_generation(self, generation: Generation, *, needs_encoder: bool = True) -> OpenGeneration:
        """Open the generation's index and encoders if necessary, and count a user to keep them open."""
        while True:
            with self._lock:
                index, encoder = self._indexes.get(generation.id), self._open_encoders.get(generation.encoder)
                sparse = self._open_sparse.get(generation.sparse)
                if index is not None and (not needs_encoder or (encoder is not None and sparse is not None)):
                    self._users[generation.id] += 1
                    return OpenGeneration(generation.id, index, encoder, sparse)  # type: ignore[arg-type]
            self._open_generation(generation, needs_encoder=needs_encoder)

    def _get_active_generation(self) -> Generation:
        """Return the active generation, which may be up to a second out of date."""
        self._refresh_active_generation()
        assert self._active is not None
        return self._active

    def _require_index_not_lost(self, generation: Generation) -> None:
        """Raise `IndexLostError` if the generation's index is lost and this process rejects lost indexes."""
        # guard: lost-index-refused
        if self._refuse_lost and generation.lost:
            raise IndexLostError(generation.lost)

    def _open_generation(self, generation: Generation, *, needs_encoder: bool = True) -> None:
        """Open the generation's index and encoders.

        Raises `IndexMismatchError` if this release does not have its BM25 encoder.
        """
        if needs_encoder:
            self._open_encoder(generation)
        with self._opening:
            if generation.id not in self._indexes:
                index = self._store.open_index(generation.id, generation.dimension)
                with self._lock:
                    self._indexes[generation.id] = index

    def _open_encoder(self, generation: Generation) -> None:
        """Open a generation's encoders. Raises `IndexMismatchError` if this release does not have its BM25 encoder."""
        # guard: former-index-weights
        sparse = self._open_sparse.get(generation.sparse) or self._sparse.find_compatible_encoder(generation.sparse)
        if sparse is None:
            raise IndexMismatchError(
                f"Generation {generation.id} of the index uses word weights from {generation.sparse}, but this release "
                f"uses {self._sparse.fingerprint}.",
                hint="Restart this process with the release that built the generation.",
            )
        with self._opening:
            self._open_sparse[generation.sparse] = sparse
            if generation.encoder not in self._open_encoders:
                encoder = self._encoders.get_by_fingerprint(generation.encoder).open()
                with self._lock:
                    self._open_encoders[generation.encoder] = encoder

    def _refresh_active_generation(self, *, force: bool = False) -> None:
        """Reload the active generation from the catalog.

        One thread opens a newly active generation while other threads keep using the previous one.
        """
        if self._active is not None and not force and self._clock() - self._looked < REFRESH_SECONDS:
            return
        if not self._following.acquire(blocking=self._active is None or force):
            return
        try:
            self._looked = self._clock()
            active = next(
                generation for generation in self._load_live_generations() if generation.state is GenerationState.ACTIVE
            )
            if self._active is None or active.id != self._active.id:
                self._open_new_active_generation(active)
                # At a start it would stand among what `leadline up` tells people. A change is news for operators.
                note = log.debug if self._active is None else log.info
                note("index generation in use", generation=active.id, encoder=active.encoder)
                if active.sparse != self._sparse.fingerprint:
                    log.warning(
                        "index uses word weights from an earlier release; `leadline index rebuild` updates them"
                    )
            self._active, self._trouble = active, None
            self._close_unused_components()
        except LeadlineError as error:
            if self._active is None:
                raise
            log.error("active index generation not opened; the previous one stays in use", error=str(error))
            self._trouble = error
        finally:
            self._following.release()

    def _open_new_active_generation(self, generation: Generation) -> None:
        """Open a newly active generation. At startup, a lost index is not opened until it is needed."""
        try:
            self._open_generation(generation)
        except IndexLostError as error:
            if not self._refuse_lost or self._active is not None:
                raise
            log.error("index not opened", generation=generation.id, error=str(error))

    def _load_live_generations(self) -> Sequence[Generation]:
        live = self._records.list_live_generations()
        self._live = {generation.id: generation for generation in live}
        return live

    def _close_unused_components(self) -> None:
        """Close encoders that are no longer used to search or write, and the indexes of discarded generations."""
        at_work = {g.encoder for g in self._live.values() if g.state is not GenerationState.PREVIOUS}
        with self._lock:
            used = {self._live[i].encoder for i, users in self._users.items() if users and i in self._live}
            idle = set(self._open_encoders) - at_work - used - self._kept
            gone = {i for i in self._indexes if i not in self._live and not self._users[i]}
            parts: list[Index | Embedder] = [self._open_encoders.pop(fingerprint) for fingerprint in idle]
            parts += [self._indexes.pop(generation_id) for generation_id in gone]
        for part in parts:
            part.close()
