"""Opens the vector index of a cluster or a data folder, for commands that repair and migrate it.

If a running service has the data folder open, only the catalog is opened here. Commands then record their request in
the catalog, and the service builds the index.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial

from api.build.data_folder import find_owner_pid, hold_data_folder
from api.build.installation_access import (
    build_configured_store,
    get_catalog_url,
    open_installation_stores,
)
from api.settings.settings import Settings
from ingest.storage.answers.redaction import Redaction
from ingest.storage.blobs.opening import open_blobs
from ingest.storage.db.database import open_database
from ingest.storage.documents.catalog import Catalog
from ingest.storage.documents.digests import ContentDigests
from ingest.storage.errors import DataFolderBusyError, GenerationStateError
from ingest.storage.generations.index_states import IndexStates
from ingest.storage.generations.records import BuildProgress, Generation, GenerationState, IndexState
from ingest.storage.generations.store import GenerationRecords
from ingest.storage.jobs.jobs import Jobs
from ingest.storage.operations.installation import bind_installation
from ingest.storage.operations.installation_record import InstallationRecord
from ingest.storage.texts.texts import Texts
from retrieval import build
from retrieval.encoders.registry import Encoders
from retrieval.index.bm25 import SparseEncoder
from retrieval.index.copies import ReplicaRepair, Replicas
from retrieval.index.generations import IndexStore
from retrieval.index.open_generations import OpenGenerations
from retrieval.index.port import Index
from retrieval.models.store import ModelStore
from workers.deps import WorkerDeps
from workers.generations.switcher import SWITCH_SECONDS, GenerationSwitcher, Watch
from workers.settings import ClusterSettings
from workers.upkeep.index_checks import IndexChecks, build_replica_state, examine_generation, fetch_live_replicas
from workers.upkeep.verify import VerificationResult, Verifier

__all__ = [
    "IndexAccess",
    "VerificationResult",
    "Watch",
    "build_replica_state",
    "inspect_index",
    "inspect_replicas",
    "open_index_access",
]

_POLL_SECONDS = 0.5


@dataclass(frozen=True)
class IndexAccess:
    """Access to the open index.

    `deps`, `generations` and `checks` are None if another process has the data folder open, or if the index was left
    closed (`only_look`).
    """

    records: GenerationRecords
    catalog: Catalog
    encoders: Encoders
    sparse: SparseEncoder
    store: IndexStore
    states: IndexStates
    deps: WorkerDeps | None
    generations: OpenGenerations | None
    checks: IndexChecks | None
    still_served: Callable[[], bool] = lambda: True

    def build_switcher(self, on_progress: Watch, *, switch_seconds: float = SWITCH_SECONDS) -> GenerationSwitcher:
        def complete_generation(watch: Watch) -> None:
            def report_progress(progress: BuildProgress, uncommitted_chunks: int) -> None:
                on_progress(progress, uncommitted_chunks)
                watch(progress, uncommitted_chunks)

            self._complete_build(report_progress)

        return GenerationSwitcher(self.records, complete_generation, switch_seconds=switch_seconds)

    def verify_index(
        self, generation: Generation, *, sample_size: int, seed: int, on_progress: Callable[[int, int], None]
    ) -> VerificationResult:
        """Verify the index. Raises `DataFolderBusyError` if a service has the folder open."""
        if self.deps is None or self.generations is None:
            raise DataFolderBusyError(
                "A running service has the data folder open.", hint="Stop the service, then verify again."
            )
        with self.generations.use_generation(generation.id) as made:
            verifier = Verifier(self.catalog, self.records, self.deps.texts, made)
            return verifier.verify_index(sample_size=sample_size, seed=seed, report_progress=on_progress)

    def rebuild_index(self, on_progress: Watch) -> Generation:
        """Build a new index and switch to it. If the previous index is lost, it is discarded.

        The index is checked for lost documents first, because a service that could not open its index may not have
        recorded the loss in the catalog.
        """
        if self.checks is not None and (found := self.checks.inspect_index()).lost:
            self.states.record_state(found)
        choice = self.encoders.get_by_fingerprint(self.records.load_active_generation().encoder)
        return self.build_switcher(on_progress).rebuild_index(choice, self.sparse.fingerprint)

    def fetch_replicas(self) -> dict[int, Replicas]:
        """Return the shard replicas of each generation, for indexes on several nodes of a vector server."""
        return fetch_live_replicas(self.records, self.store)

    def repair_replicas(self, on_progress: Callable[[int, int], None]) -> dict[int, Replicas]:
        """Create the missing replicas of all shards. Record the resulting state and return it.

        `on_progress` is called with the number of complete replicas of a generation and the total number of its
        replicas.
        """
        for generation_id in self.fetch_replicas():
            ReplicaRepair(self.store).create_missing_replicas(generation_id, on_progress)
        found = self.fetch_replicas()
        self.states.record_replica_states([build_replica_state(*each) for each in found.items()])
        return found

    def build_restored_generation(self, on_progress: Watch) -> None:
        """Build the generation that a restore created, switch to it, and discard the old one, which has no index."""
        if not self.records.list_generations():
            return
        active, beside = self.records.load_active_generation(), self.records.find_inactive_generation()
        if beside is not None and beside.sparse != self.sparse.fingerprint:
            self.records.discard_inactive_generation(allow_unfinished=True)
        self.build_switcher(on_progress).rebuild_index(
            self.encoders.get_by_fingerprint(active.encoder), self.sparse.fingerprint
        )
        self.records.discard_inactive_generation(allow_unfinished=False)
        self.delete_discarded_indexes()

    def delete_discarded_indexes(self) -> bool:
        """Delete the indexes of discarded generations. Return False if only the running service can do this."""
        if self.generations is None:
            return False
        self.generations.remove_discarded_indexes()
        return True

    def _complete_build(self, on_progress: Watch) -> None:
        self.records.retry_failed_versions()
        if self.deps is None:
            self._wait_for_build(on_progress)
        else:
            self._build_in_thread(self.deps, on_progress)
        on_progress(self.records.load_progress(), 0)

    def _build_in_thread(self, dependencies: WorkerDeps, on_progress: Watch) -> None:
        """Build in another thread, so that this thread can show progress and handle stop signals."""
        # Import lazily, because a command that only looks at the index needs no worker tasks.
        from workers.generations.builder import open_generation_builder

        stop = threading.Event()
        builder, task = open_generation_builder(self.records, dependencies, stop.is_set)
        failed: list[Exception] = []

        def run_builder() -> None:
            try:
                builder.run(stop.is_set, lambda: time.sleep(_POLL_SECONDS))
            except Exception as error:  # noqa: BLE001 - re-raised in the waiting thread
                failed.append(error)

        thread = threading.Thread(target=run_builder, name="build")
        thread.start()
        try:
            while thread.is_alive():
                thread.join(_POLL_SECONDS)
                on_progress(self.records.load_progress(), task.uncommitted_chunks)
        finally:
            stop.set()
            thread.join()
        if failed:
            raise failed[0]

    def _wait_for_build(self, on_progress: Watch) -> None:
        """Wait until the service has finished the build."""
        while True:
            beside, progress = self.records.find_inactive_generation(), self.records.load_progress()
            on_progress(progress, 0)
            if beside is None or beside.state is not GenerationState.BUILDING:
                return
            if progress.versions_done + progress.failed >= progress.versions:
                return
            if not self.still_served():
                raise GenerationStateError(
                    f"The service stopped while building generation {beside.id}, at {progress.percent} %.",
                    hint="Run the command again to continue where the service stopped.",
                )
            time.sleep(_POLL_SECONDS)


@contextmanager
def open_index_access(
    settings: Settings,
    *,
    cluster: ClusterSettings | None,
    catalog_only: bool = False,
    encoders: Encoders | None = None,
) -> Iterator[IndexAccess]:
    """Open the index of a cluster or of the data folder. With `catalog_only`, do not open the index itself.

    The given encoders replace the configured ones.
    """
    with ExitStack() as stack:
        configured = settings if cluster is None else cluster
        encoders = encoders or build.build_encoders(ModelStore(configured.models), configured)
        if catalog_only or (cluster is None and not _try_lock_folder(stack, settings)):
            yield _open_catalog_access(stack, settings, cluster, encoders)
        elif cluster is None:
            yield _open_folder_access(stack, settings, encoders)
        else:
            yield _open_cluster_access(stack, cluster, encoders)


def _open_catalog_access(
    stack: ExitStack, settings: Settings, cluster: ClusterSettings | None, encoders: Encoders
) -> IndexAccess:
    """Open the catalog and the index store, but no index, no queue and no worker."""
    configured = settings if cluster is None else cluster
    engine = open_database(get_catalog_url(settings, cluster))
    stack.callback(engine.dispose)
    sparse, records = build.build_sparse_encoder(), GenerationRecords(engine)
    _ensure_first_generation(records, encoders, sparse, configured.encoder)
    record = InstallationRecord(engine)
    installation = bind_installation(record, open_blobs(configured, configured.home, record))
    served = find_owner_pid(settings.home)
    return IndexAccess(
        records,
        Catalog(engine),
        encoders,
        sparse,
        build_configured_store(settings, cluster, installation),
        IndexStates(engine),
        deps=None,
        generations=None,
        checks=None,
        still_served=lambda: find_owner_pid(settings.home) == served,
    )


def _open_folder_access(stack: ExitStack, settings: Settings, encoders: Encoders) -> IndexAccess:
    """Open everything that building an index needs. This process must hold the lock of the data folder."""
    engine = open_database(get_catalog_url(settings, None))
    stack.callback(engine.dispose)
    sparse, records, catalog = build.build_sparse_encoder(), GenerationRecords(engine), Catalog(engine)
    _ensure_first_generation(records, encoders, sparse, settings.encoder)
    record = InstallationRecord(engine)
    blobs = open_blobs(settings, settings.home, record)
    store = build_configured_store(settings, None, bind_installation(record, blobs))
    jobs, states = Jobs(engine), IndexStates(engine)
    # This process holds the lock of the data folder, so a job marked as running has no worker any more.
    jobs.requeue_lost_jobs(include_all_running=True)
    generations = OpenGenerations(records, store, encoders, sparse)
    stack.callback(generations.close)
    texts = Texts(blobs, ContentDigests(engine))
    deps = WorkerDeps(catalog, jobs, Redaction(engine), blobs, texts, generations, sparse)
    checks = IndexChecks(catalog, states, jobs, records, store, generations)
    return IndexAccess(records, catalog, encoders, sparse, store, states, deps, generations, checks)


def _open_cluster_access(stack: ExitStack, cluster: ClusterSettings, encoders: Encoders) -> IndexAccess:
    # Import lazily, because a data folder needs none of a cluster's libraries.
    from workers.cluster import open_cluster_components

    parts = stack.enter_context(open_cluster_components(cluster, open_encoders=lambda _: encoders, is_serving=False))
    return IndexAccess(
        parts.stores.generations.records,
        parts.stores.documents.catalog,
        encoders,
        parts.index.sparse,
        parts.index.store,
        parts.stores.generations.states,
        parts.build_worker_deps(),
        parts.index.generations,
        parts.index_checks,
    )


def _ensure_first_generation(
    records: GenerationRecords, encoders: Encoders, sparse: SparseEncoder, encoder_name: str | None
) -> None:
    first = encoders.get_by_name(encoder_name)
    records.ensure_first_generation(first.fingerprint, sparse.fingerprint, first.dimension)


def inspect_replicas(settings: Settings, cluster: ClusterSettings | None) -> dict[int, Replicas]:
    """Return the current shard replicas of each generation, without changing anything.

    The result is empty if the index is on a single node.
    """
    with open_installation_stores(settings, cluster) as parts:
        return fetch_live_replicas(parts.generations, parts.store)


def inspect_index(settings: Settings, cluster: ClusterSettings | None) -> IndexState | None:
    """Compare the active index with the catalog, without changing anything. Returns None if there is no index.

    If a service has the data folder open, return the result of its last check. Raises the `LeadlineError` of any
    component that is unavailable.
    """
    with ExitStack() as stack:
        parts = stack.enter_context(open_installation_stores(settings, cluster))
        active = next(
            (each for each in parts.generations.list_live_generations() if each.state is GenerationState.ACTIVE), None
        )
        if active is None:
            return None
        if cluster is None and not _try_lock_folder(stack, settings):
            return parts.index_states.load_state(active.id)
        open_index = partial(open_generation_index, parts.store, active)
        return examine_generation(active, parts.index_states, parts.store, open_index)[0]


@contextmanager
def open_generation_index(store: IndexStore, generation: Generation) -> Iterator[Index]:
    """Open the index of a generation. It is closed when the block exits."""
    index = store.open_index(generation.id, generation.dimension)
    try:
        yield index
    finally:
        index.close()


def _try_lock_folder(stack: ExitStack, settings: Settings) -> bool:
    """Try to acquire the data folder's lock. Return whether this process now holds it."""
    try:
        stack.enter_context(hold_data_folder(settings.home))
    except DataFolderBusyError:
        return False
    return True
