"""Compares the active index with the catalog, so that a lost index causes an outage and never a "not found" answer.

An index is lost if more than 1 % of the settled versions are incomplete in it, or if it no longer has the marker that
it got when it was last found complete. Searches are then refused until `leadline index rebuild` has built another
index. If fewer versions are missing, they are queued to be reindexed. A version is settled while no job is about to
write it.
"""

import threading
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial

import structlog

from ingest.storage.documents.catalog import Catalog
from ingest.storage.generations.index_states import IndexStates
from ingest.storage.generations.records import Generation, IndexState, ReplicaStatus, SearchableVersion
from ingest.storage.generations.store import GenerationRecords
from ingest.storage.jobs.jobs import Jobs
from retrieval.errors import IndexLostError, IndexUnavailableError
from retrieval.index.copies import Replicas
from retrieval.index.generations import IndexPresence, IndexStore
from retrieval.index.open_generations import OpenGenerations
from retrieval.index.port import IndexInventory
from workers.upkeep.upkeep import reconcile_index

# Maximum fraction of the versions that may be missing. Up to this fraction, no more than a few in a thousand searches
# should be affected while the missing versions are reindexed. A larger fraction indicates damage, and then a search
# without hits proves nothing.
MAX_MISSING_SHARE = 0.01
# Number of versions that a quick check compares. If 5 % of the versions are missing, 6 of 1,000 quick checks fail to
# detect the loss.
SAMPLE_VERSIONS = 100
# Time after which the operating system has flushed a write to disk. A power cut loses writes that were not flushed. By
# default, the operating system flushes writes after 30 s.
_UNWRITTEN_SECONDS = 120.0
# Delay after which missing versions are compared again, because a replica may lag for a moment.
_PAUSE_SECONDS = 1.0
# Checks after searches without hits may use at most a fiftieth of the time.
_MIN_CHECK_INTERVAL_SECONDS = 5.0
_CHECK_INTERVAL_FACTOR = 50.0

log = structlog.get_logger(__name__)


def wait_for_replicas() -> None:
    """Wait briefly for replicas and pending writes."""
    time.sleep(_PAUSE_SECONDS)


@dataclass(frozen=True)
class IndexComparison:
    """The compared versions, and which of them are incomplete in the index."""

    versions: Sequence[SearchableVersion]
    short: Sequence[SearchableVersion]

    @property
    def settled_versions(self) -> list[SearchableVersion]:
        return [version for version in self.versions if not version.is_moving]

    @property
    def missing_versions(self) -> list[SearchableVersion]:
        """The settled versions that are incomplete in the index.

        Other incomplete versions are about to be indexed again.
        """
        # guard: lost-index-moving
        return [version for version in self.short if not version.is_moving]


def compare_index(states: IndexStates, index: IndexInventory, pause: Callable[[], None]) -> IndexComparison:
    """Compare an index with the catalog.

    A version is missing if it is incomplete in two comparisons and searches should still find it afterwards.
    """
    versions = states.list_searchable_versions()
    short = _select_incomplete_versions(index, versions)
    # guard: lost-index-twice
    if short:
        pause()
        wanted = states.select_searchable_versions([version.id for version in short])
        short = _select_incomplete_versions(index, list(wanted.values()))
        wanted = states.select_searchable_versions([version.id for version in short])
        short = [wanted[version.id] for version in short if wanted.get(version.id) == version]
    return IndexComparison(versions, short)


def build_compared_state(
    state: IndexState, *, is_marked: bool, comparison: IndexComparison, after_crash: bool = False
) -> IndexState:
    """Return the state of an index after a comparison. `is_marked` means that the index has its marker now.

    After a crash, missing versions that were written in the last minutes are ignored if no other version is missing,
    because a power cut explains their loss.
    """
    at_rest, missing = comparison.settled_versions, comparison.missing_versions
    # guard: lost-index-mark
    if state.is_marked and not is_marked and comparison.short:
        return _build_lost_state(
            state, "The files of the index were removed or replaced. ", comparison.short, comparison.versions
        )
    # guard: lost-index-share
    too_many = len(missing) > MAX_MISSING_SHARE * len(at_rest)
    if too_many and not (after_crash and _are_recently_written(missing, at_rest)):
        return _build_lost_state(state, "", missing, at_rest)
    counted = replace(state, versions=len(at_rest), missing=len(missing), requeued=0, lost="")
    if too_many or (comparison.versions and not at_rest):  # these differences prove nothing about the index yet
        return counted
    return replace(counted, is_marked=True)


def examine_generation(
    generation: Generation,
    states: IndexStates,
    store: IndexStore,
    open_index: Callable[[], AbstractContextManager[IndexInventory]],
    *,
    pause: Callable[[], None] = wait_for_replicas,
    after_crash: bool = False,
) -> tuple[IndexState, Sequence[SearchableVersion]]:
    """Return a generation's index state and its missing settled versions, without recording anything.

    If the index does not exist, it is not opened, because opening it would create an empty index.
    """
    state, presence = states.load_state(generation.id), store.check_presence(generation.id)
    try:
        # guard: lost-index-absent
        if presence is IndexPresence.ABSENT:
            versions = states.list_searchable_versions()
            found = IndexComparison(versions, versions)
        else:
            with open_index() as index:
                found = compare_index(states, index, pause)
    except IndexLostError as error:
        versions = states.list_searchable_versions()
        return _build_lost_state(state, f"{error.detail} ", versions, versions), versions
    return build_compared_state(
        state, is_marked=presence is IndexPresence.MARKED, comparison=found, after_crash=after_crash
    ), found.missing_versions


class IndexChecks:
    """Checks the index of the active generation and records the results. Concurrent checks are safe."""

    def __init__(
        self,
        catalog: Catalog,
        states: IndexStates,
        jobs: Jobs,
        records: GenerationRecords,
        store: IndexStore,
        generations: OpenGenerations,
        *,
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[], None] = wait_for_replicas,
    ) -> None:
        self._catalog = catalog
        self._states = states
        self._jobs = jobs
        self._records = records
        self._store = store
        self._generations = generations
        self._clock = clock
        self._pause = pause
        self._looking = threading.Lock()
        self._next_look = 0.0

    def check_opened_index(self, *, after_crash: bool = False) -> None:
        """Check an index that was just opened.

        After a crash, or if a problem is suspected, all versions are checked; otherwise a sample is checked.
        """
        try:
            active = self._records.load_active_generation()
            state = self._states.load_state(active.id)
            if after_crash or state.lost or not state.is_marked or not self._is_intact(active, None):
                self.check_index(after_crash=after_crash)
        except IndexUnavailableError as error:  # reported when the index was opened
            log.warning("index not checked", error=str(error))

    def check_unchecked_generation(self) -> None:
        """Check the active generation if it has never been checked, for example after a switch."""
        if self._states.load_state(self._records.load_active_generation().id).checked_at is None:
            self.check_index()

    def check_empty_search(self, tenant_id: str) -> None:
        """Check whether a tenant's search found nothing because the index lost its content.

        These checks are rate-limited. Raises `IndexLostError` if the index is lost.
        """
        with self._looking:
            begun = self._clock()
            if begun < self._next_look:
                return
            try:
                active = self._records.load_active_generation()
                found = None if self._is_intact(active, tenant_id) else self.check_index()
            except IndexUnavailableError as error:
                log.warning("index not checked", error=str(error))
                found = None
            took = self._clock() - begun
            self._next_look = begun + max(_MIN_CHECK_INTERVAL_SECONDS, _CHECK_INTERVAL_FACTOR * took)
        if found is not None and found.lost:
            raise IndexLostError(found.lost)

    def check_index(self, *, after_crash: bool = False) -> IndexState:
        """Compare the whole index with the catalog, queue missing versions, and record and return the result.

        Raises `IndexUnavailableError` if the index does not respond. In this case, nothing is recorded.
        """
        active = self._records.load_active_generation()
        found, missing = self._examine_active(active, after_crash=after_crash)
        # guard: lost-index-left
        # The service has switched to another generation in the meantime, so the index may no longer exist.
        if self._records.load_active_generation().id != active.id:
            return self._states.load_state(active.id)
        if not found.lost:
            if found.is_marked and self._store.check_presence(active.id) is IndexPresence.UNMARKED:
                self._store.mark_complete(active.id)
            found = replace(found, requeued=self._requeue_versions(active, missing, after_crash=after_crash))
        self._states.record_state(found)
        if found.lost:
            log.error("index lost", generation=active.id, reason=found.lost)
        elif found.missing or found.requeued:
            log.warning("missing documents queued to be indexed again", **_extract_counts(found))
        self._generations.refresh_generations()
        return found

    def check_replicas(self) -> list[ReplicaStatus]:
        """Check the replicas of every generation's index. Record and return how many are missing.

        Nothing is recorded for an index that is stored in a single location. Raises `IndexUnavailableError` if an index
        does not respond.
        """
        found = [build_replica_state(*each) for each in fetch_live_replicas(self._records, self._store).items()]
        if found or self._states.list_replica_states():
            self._states.record_replica_states(found)
        for state in found:
            if state.short:
                log.warning("shard replicas missing", generation=state.generation, detail=state.detail)
        return found

    def inspect_index(self) -> IndexState:
        """Compare the whole index with the catalog without changing or recording anything."""
        return self._examine_active(self._records.load_active_generation(), after_crash=False)[0]

    def _examine_active(
        self, generation: Generation, *, after_crash: bool
    ) -> tuple[IndexState, Sequence[SearchableVersion]]:
        index = partial(self._generations.use_index, generation.id)
        return examine_generation(
            generation, self._states, self._store, index, pause=self._pause, after_crash=after_crash
        )

    def _is_intact(self, generation: Generation, tenant_id: str | None) -> bool:
        """Return whether the index has its marker, and a sample of the settled versions is complete in it."""
        if self._store.check_presence(generation.id) is not IndexPresence.MARKED:
            return False
        sample = [
            each for each in self._states.sample_versions(SAMPLE_VERSIONS, tenant_id=tenant_id) if not each.is_moving
        ]
        try:
            with self._generations.use_index(generation.id) as index:
                return not _select_incomplete_versions(index, sample)
        except IndexLostError:
            return False

    def _requeue_versions(
        self, generation: Generation, versions: Collection[SearchableVersion], *, after_crash: bool
    ) -> int:
        """Queue versions to be reindexed, and return their number. After a crash, this includes staged versions."""
        if after_crash:
            with self._generations.use_index(generation.id) as index:
                return len(reconcile_index(self._catalog, self._jobs, index))
        for version in versions:
            self._jobs.requeue_ingest(version.id)
        return len(versions)


def fetch_live_replicas(records: GenerationRecords, store: IndexStore) -> dict[int, Replicas]:
    """Fetch the replicas of each generation's shards, for indexes stored on several nodes of a vector server."""
    found = {generation.id: store.find_replicas(generation.id) for generation in records.list_live_generations()}
    return {identifier: copies for identifier, copies in found.items() if copies is not None}


def build_replica_state(generation_id: int, replicas: Replicas) -> ReplicaStatus:
    """Build the record of the replicas of a generation's index."""
    away = tuple(str(node) for node in replicas.unreachable_nodes)
    return ReplicaStatus(
        generation_id, len(replicas.shards), len(replicas.underreplicated_shards), replicas.describe(), away
    )


def _select_incomplete_versions(
    index: IndexInventory, versions: Sequence[SearchableVersion]
) -> list[SearchableVersion]:
    """Select the versions that are incomplete in the index."""
    held: dict[str, int] = {}
    for needs_vectors in (False, True):
        some = [(each.tenant_id, each.id) for each in versions if each.needs_vectors is needs_vectors]
        held |= index.count_chunks_of_versions(some, embedded_only=needs_vectors)
    return [version for version in versions if held.get(version.id, 0) < version.chunks]


def _are_recently_written(
    missing_versions: Sequence[SearchableVersion], settled_versions: Sequence[SearchableVersion]
) -> bool:
    """Return whether all missing versions were written within minutes of the most recently written version."""
    latest = max(version.settled_at for version in settled_versions)
    return all(version.settled_at >= latest - _UNWRITTEN_SECONDS for version in missing_versions)


def _build_lost_state(
    state: IndexState, reason: str, missing_versions: Sequence[SearchableVersion], versions: Sequence[SearchableVersion]
) -> IndexState:
    lacking = f"{len(missing_versions):,} of {len(versions):,} documents that searches should find are missing."
    found = replace(state, versions=len(versions), missing=len(missing_versions), requeued=0)
    return replace(found, lost=f"The vector index has lost documents. {reason}{lacking}")


def _extract_counts(state: IndexState) -> dict[str, int]:
    return {
        "generation": state.generation,
        "versions": state.versions,
        "missing": state.missing,
        "requeued": state.requeued,
    }
