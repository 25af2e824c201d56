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
from ingest.storage.generations.records import CopiesState, Generation, IndexState, SearchableVersion
from ingest.storage.generations.store import GenerationRecords
from ingest.storage.jobs.jobs import Jobs
from retrieval.errors import IndexLostError, IndexUnavailableError
from retrieval.index.copies import Copies
from retrieval.index.generations import IndexPresence, IndexStore
from retrieval.index.open_generations import OpenGenerations
from retrieval.index.port import IndexInventory
from workers.upkeep.upkeep import reconcile_index

# If less than this fraction of the versions is missing, no more than a few in a thousand searches should be affected
# while the versions are reindexed. A larger fraction indicates damage, and then a search without hits proves nothing.
MAX_MISSING_SHARE = 0.01
# The number of versions compared by a quick check. If 5 % of the versions are missing, 6 of 1,000 checks fail to detect
# it.
SAMPLE_VERSIONS = 100
# A power cut loses writes that the operating system has not flushed to disk yet. By default, it flushes them after 30
# s.
_UNWRITTEN_SECONDS = 120.0
# A replica may lag for a moment, so missing versions are compared again after this delay.
_PAUSE_SECONDS = 1.0
# Checks after searches without hits may take at most a fiftieth of the time.
_MIN_CHECK_INTERVAL_SECONDS = 5.0
_CHECK_INTERVAL_FACTOR = 50.0

log = structlog.get_logger(__name__)


def pause_briefly() -> None:
    """Wait briefly for replicas and pending writes."""
    time.sleep(_PAUSE_SECONDS)


@dataclass(frozen=True)
class Comparison:
    """The compared versions, and which of them are incomplete in the index."""

    versions: Sequence[SearchableVersion]
    short: Sequence[SearchableVersion]

    @property
    def at_rest(self) -> list[SearchableVersion]:
        return [version for version in self.versions if not version.is_moving]

    @property
    def missing(self) -> list[SearchableVersion]:
        """The settled versions that are incomplete in the index.

        Other incomplete versions are about to be indexed again.
        """
        # guard: lost-index-moving
        return [version for version in self.short if not version.is_moving]


def compare_index(states: IndexStates, index: IndexInventory, pause: Callable[[], None]) -> Comparison:
    """Compare an index with the catalog.

    A version is missing if it is incomplete in two comparisons and searches should still find it afterwards.
    """
    versions = states.list_searchable()
    short = _select_incomplete(index, versions)
    # guard: lost-index-twice
    if short:
        pause()
        wanted = states.select_searchable([version.id for version in short])
        short = _select_incomplete(index, list(wanted.values()))
        wanted = states.select_searchable([version.id for version in short])
        short = [wanted[version.id] for version in short if wanted.get(version.id) == version]
    return Comparison(versions, short)


def judge_state(state: IndexState, *, is_marked: bool, found: Comparison, crashed: bool = False) -> IndexState:
    """Return the state of an index after a comparison. `is_marked` means that the index has its marker now.

    After a crash, missing versions that were written in the last minutes are ignored if no other version is missing,
    because a power cut explains their loss.
    """
    at_rest, missing = found.at_rest, found.missing
    # guard: lost-index-mark
    if state.is_marked and not is_marked and found.short:
        return _build_lost_state(state, "Its files were removed or replaced. ", found.short, found.versions)
    # guard: lost-index-share
    too_many = len(missing) > MAX_MISSING_SHARE * len(at_rest)
    if too_many and not (crashed and _are_recent(missing, at_rest)):
        return _build_lost_state(state, "", missing, at_rest)
    counted = replace(state, versions=len(at_rest), missing=len(missing), requeued=0, lost="")
    if too_many or (found.versions and not at_rest):  # this proves nothing about the index yet
        return counted
    return replace(counted, is_marked=True)


def examine_generation(
    generation: Generation,
    states: IndexStates,
    store: IndexStore,
    open_index: Callable[[], AbstractContextManager[IndexInventory]],
    *,
    pause: Callable[[], None] = pause_briefly,
    crashed: bool = False,
) -> tuple[IndexState, Sequence[SearchableVersion]]:
    """Return a generation's index state and its missing settled versions, without recording anything.

    If the index does not exist, it is not opened, because opening it would create an empty index.
    """
    state, presence = states.load_state(generation.id), store.check_presence(generation.id)
    try:
        # guard: lost-index-absent
        if presence is IndexPresence.ABSENT:
            versions = states.list_searchable()
            found = Comparison(versions, versions)
        else:
            with open_index() as index:
                found = compare_index(states, index, pause)
    except IndexLostError as error:
        versions = states.list_searchable()
        return _build_lost_state(state, f"{error.detail} ", versions, versions), versions
    return judge_state(state, is_marked=presence is IndexPresence.MARKED, found=found, crashed=crashed), found.missing


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
        pause: Callable[[], None] = pause_briefly,
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

    def check_opened(self, *, crashed: bool = False) -> None:
        """Check an index that was just opened.

        After a crash, or if a problem is suspected, all versions are checked; otherwise a sample is checked.
        """
        try:
            active = self._records.load_active()
            state = self._states.load_state(active.id)
            if crashed or state.lost or not state.is_marked or not self._is_intact(active, None):
                self.run(crashed=crashed)
        except IndexUnavailableError as error:  # already reported when the index was opened; it is checked again later
            log.warning("index not checked", error=str(error))

    def check_unchecked(self) -> None:
        """Check the active generation if it has never been checked, for example after a switch."""
        if self._states.load_state(self._records.load_active().id).checked_at is None:
            self.run()

    def check_empty_search(self, tenant_id: str) -> None:
        """Check whether a tenant's search found nothing because the index lost its content.

        These checks are rate-limited. Raises `IndexLostError` if the index is lost.
        """
        with self._looking:
            begun = self._clock()
            if begun < self._next_look:
                return
            try:
                active = self._records.load_active()
                found = None if self._is_intact(active, tenant_id) else self.run()
            except IndexUnavailableError as error:
                log.warning("index not checked", error=str(error))
                found = None
            took = self._clock() - begun
            self._next_look = begun + max(_MIN_CHECK_INTERVAL_SECONDS, _CHECK_INTERVAL_FACTOR * took)
        if found is not None and found.lost:
            raise IndexLostError(found.lost)

    def run(self, *, crashed: bool = False) -> IndexState:
        """Compare the whole index with the catalog, queue missing versions, and record and return the result.

        Raises `IndexUnavailableError` if the index does not respond. In this case, nothing is recorded.
        """
        active = self._records.load_active()
        found, missing = self._examine_active(active, crashed=crashed)
        # guard: lost-index-left
        # The service has switched to another generation in the meantime, so the index may no longer exist.
        if self._records.load_active().id != active.id:
            return self._states.load_state(active.id)
        if not found.lost:
            if found.is_marked and self._store.check_presence(active.id) is IndexPresence.UNMARKED:
                self._store.mark_complete(active.id)
            found = replace(found, requeued=self._requeue(active, missing, crashed=crashed))
        self._states.record_state(found)
        if found.lost:
            log.error("index lost", generation=active.id, reason=found.lost)
        elif found.missing or found.requeued:
            log.warning("missing documents queued to be indexed again", **_extract_counts(found))
        self._generations.refresh()
        return found

    def check_copies(self) -> list[CopiesState]:
        """Check the replicas of every generation's index. Record and return how many are missing.

        Nothing is recorded for an index that is stored in a single location. Raises `IndexUnavailableError` if an index
        does not respond.
        """
        found = [build_copies_state(*each) for each in fetch_live_copies(self._records, self._store).items()]
        if found or self._states.list_copies():
            self._states.record_copies(found)
        for state in found:
            if state.short:
                log.warning("shard replicas missing", generation=state.generation, detail=state.detail)
        return found

    def inspect(self) -> IndexState:
        """Compare the whole index with the catalog without changing or recording anything."""
        return self._examine_active(self._records.load_active(), crashed=False)[0]

    def _examine_active(self, active: Generation, *, crashed: bool) -> tuple[IndexState, Sequence[SearchableVersion]]:
        index = partial(self._generations.use_index, active.id)
        return examine_generation(active, self._states, self._store, index, pause=self._pause, crashed=crashed)

    def _is_intact(self, active: Generation, tenant_id: str | None) -> bool:
        """Return whether the index has its marker, and a sample of the settled versions is complete in it."""
        if self._store.check_presence(active.id) is not IndexPresence.MARKED:
            return False
        sample = [
            each for each in self._states.sample_versions(SAMPLE_VERSIONS, tenant_id=tenant_id) if not each.is_moving
        ]
        try:
            with self._generations.use_index(active.id) as index:
                return not _select_incomplete(index, sample)
        except IndexLostError:
            return False

    def _requeue(self, active: Generation, missing: Collection[SearchableVersion], *, crashed: bool) -> int:
        """Queue versions to be reindexed, and return their number. After a crash, this includes staged versions."""
        if crashed:
            with self._generations.use_index(active.id) as index:
                return len(reconcile_index(self._catalog, self._jobs, index))
        for version in missing:
            self._jobs.requeue_ingest(version.id)
        return len(missing)


def fetch_live_copies(records: GenerationRecords, store: IndexStore) -> dict[int, Copies]:
    """Fetch the replicas of each generation's shards, for indexes stored on several nodes of a vector server."""
    found = {generation.id: store.find_copies(generation.id) for generation in records.list_live()}
    return {identifier: copies for identifier, copies in found.items() if copies is not None}


def build_copies_state(generation_id: int, copies: Copies) -> CopiesState:
    """Build the record of the replicas of a generation's index."""
    away = tuple(str(node) for node in copies.unreachable_nodes)
    return CopiesState(generation_id, len(copies.shards), len(copies.underreplicated_shards), copies.describe(), away)


def _select_incomplete(index: IndexInventory, versions: Sequence[SearchableVersion]) -> list[SearchableVersion]:
    """Select the versions that are incomplete in the index."""
    held: dict[str, int] = {}
    for needs_vectors in (False, True):
        some = [(each.tenant_id, each.id) for each in versions if each.needs_vectors is needs_vectors]
        held |= index.count_chunks_of_versions(some, embedded_only=needs_vectors)
    return [version for version in versions if held.get(version.id, 0) < version.chunks]


def _are_recent(missing: Sequence[SearchableVersion], at_rest: Sequence[SearchableVersion]) -> bool:
    """Return whether all missing versions were written within minutes of the most recently written version."""
    latest = max(version.settled_at for version in at_rest)
    return all(version.settled_at >= latest - _UNWRITTEN_SECONDS for version in missing)


def _build_lost_state(
    state: IndexState, reason: str, missing: Sequence[SearchableVersion], versions: Sequence[SearchableVersion]
) -> IndexState:
    lacking = f"{len(missing):,} of {len(versions):,} documents that searches should find are missing."
    found = replace(state, versions=len(versions), missing=len(missing), requeued=0)
    return replace(found, lost=f"The vector index has lost documents. {reason}{lacking}")


def _extract_counts(found: IndexState) -> dict[str, int]:
    return {
        "generation": found.generation,
        "versions": found.versions,
        "missing": found.missing,
        "requeued": found.requeued,
    }
