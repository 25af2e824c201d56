"""Builds a generation of the index beside the active one until it is complete.

Any number of builders may work concurrently, in the service, in commands and on other machines. Each builder claims
different versions.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog

from ingest.storage.documents.records import VersionState
from ingest.storage.generations.records import GenerationState
from ingest.storage.generations.store import GenerationRecords
from ingest.storage.jobs.jobs import Jobs
from ingest.storage.queue.records import JobKind
from retrieval.index.generations import Generations
from workers.deps import WorkerDeps
from workers.job_runner import JobRunner
from workers.tasks.reembed import ReembedTask

log = structlog.get_logger(__name__)


class GenerationBuilder:
    """A worker that builds the generation whose state is `building`."""

    def __init__(self, records: GenerationRecords, jobs: Jobs, generations: Generations, runner: JobRunner) -> None:
        self._records = records
        self._jobs = jobs
        self._generations = generations
        self._runner = runner
        self._recounted: int | None = None

    def run_once(self) -> bool:
        """Add the next versions to the generation.

        Returns false if no generation is being built, or if no version can be added now.
        """
        beside = self._records.find_inactive_generation()
        if beside is None or beside.state is not GenerationState.BUILDING:
            self._recounted = None
            self._generations.remove_discarded_indexes()
            return False
        if self._recounted != beside.id:
            lost = requeue_missing_versions(self._records, self._generations, beside.id)
            if lost:
                log.warning("versions lost in the generation being built", generation=beside.id, versions=lost)
            self._recounted = beside.id
        if self._runner.run_once(JobKind.REEMBED):
            return True
        return bool(self._records.queue_missing_versions() or self._jobs.requeue_lost_jobs(include_all_running=False))

    def extend_leases(self) -> None:
        """Extend the leases of the jobs in progress."""
        self._runner.extend_leases()

    def run(self, should_stop: Callable[[], bool], pause: Callable[[], None]) -> None:
        """Work until the generation contains all versions except failed ones, or is no longer being built.

        Another process may switch to it or discard it. `pause` is called to wait while other workers hold the remaining
        versions.
        """
        with self._run_lease_heartbeat():
            while not should_stop():
                if self.run_once():
                    continue
                beside, progress = self._records.find_inactive_generation(), self._records.load_progress()
                if beside is None or beside.state is not GenerationState.BUILDING:
                    return
                if progress.versions_done + progress.failed >= progress.versions:
                    return
                pause()

    @contextmanager
    def _run_lease_heartbeat(self) -> Iterator[None]:
        closing = threading.Event()

        def extend_leases() -> None:
            while not closing.wait(self._jobs.lease_seconds / 3):
                try:
                    self.extend_leases()
                # The database may be unreachable for a moment, and the next heartbeat may succeed before the leases
                # lapse.
                except Exception as error:  # noqa: BLE001 - a heartbeat must not end for any reason
                    log.warning("leases not extended", error=repr(error))

        thread = threading.Thread(target=extend_leases, name="leases", daemon=True)
        thread.start()
        try:
            yield
        finally:
            closing.set()
            thread.join()


def open_generation_builder(
    records: GenerationRecords,
    deps: WorkerDeps,
    should_stop: Callable[[], bool],
    is_slice_over: Callable[[], bool] = lambda: False,
) -> tuple[GenerationBuilder, ReembedTask]:
    """Create a builder and its task, which reports progress on long documents.

    For the meaning of the callables, see `JobRunner`.
    """
    task = ReembedTask(deps)
    runner = JobRunner(deps.jobs, reembed_task=task, should_stop=should_stop, is_slice_over=is_slice_over)
    return GenerationBuilder(records, deps.jobs, deps.generations, runner), task


def requeue_missing_versions(records: GenerationRecords, generations: Generations, generation_id: int) -> int:
    """Requeue versions that are recorded as done but missing in the generation. Return the number of these versions.

    The catalog syncs each commit to disk and the index does not, so the index may lack versions after a power cut. The
    previous generation may also have lost data since it stopped being active.
    """
    with generations.use_index(generation_id) as index:
        present = index.count_chunks_by_version()
        lost = [
            version.id
            for version in records.list_complete_versions()
            if present.get(version.id, 0) != (version.chunks or 0)
            or (
                version.state is not VersionState.FAILED
                and index.count_chunks(version.tenant_id, version.id, embedded_only=True) != (version.chunks or 0)
            )
        ]
    return records.requeue_versions(lost) if lost else 0
