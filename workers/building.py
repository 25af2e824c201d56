"""Building a generation of the index beside the active one: what is to be put into it, and going on until it is whole.

Any number of builders may be at it, in the service, in commands and on other machines: each takes versions of its own.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog

from ingest.catalog.generations import GenerationRecords
from ingest.catalog.jobs import Jobs
from ingest.documents import JobKind, VersionState
from ingest.generations import GenerationState
from retrieval.generations import Generations
from workers.carrying import Carrier
from workers.reembedding import ReembedTask
from workers.tasks import Workshop

log = structlog.get_logger(__name__)


class Builder:
    """One worker on whichever generation is being built."""

    def __init__(self, records: GenerationRecords, jobs: Jobs, generations: Generations, carrier: Carrier) -> None:
        self._records = records
        self._jobs = jobs
        self._generations = generations
        self._carrier = carrier
        self._recounted: int | None = None

    def once(self) -> bool:
        """Put some versions into the generation; False when there is none, or nothing to put into it now."""
        beside = self._records.beside()
        if beside is None or beside.state is not GenerationState.BUILDING:
            self._recounted = None
            self._generations.tidy()
            return False
        if self._recounted != beside.id:
            lost = recount(self._records, self._generations, beside.id)
            if lost:
                log.warning(
                    "the generation being built has lost some of what it had", generation=beside.id, versions=lost
                )
            self._recounted = beside.id
        if self._carrier.once(JobKind.REEMBED):
            return True
        return bool(self._records.queue_missing() or self._jobs.recover(all_running=False))

    def keep_leases(self) -> None:
        """Extend the lease of whatever is being put into the generation."""
        self._carrier.keep_leases()

    def run(self, stopping: Callable[[], bool], pause: Callable[[], None]) -> None:
        """Until the generation has everything but what failed. `pause` waits a moment, while others hold the rest."""
        with self._keeping_leases():
            while not stopping():
                if self.once():
                    continue
                progress = self._records.progress()
                if progress.versions_done + progress.failed >= progress.versions:
                    return
                pause()

    @contextmanager
    def _keeping_leases(self) -> Iterator[None]:
        closing = threading.Event()

        def beat() -> None:
            while not closing.wait(self._jobs.lease_seconds / 3):
                try:
                    self.keep_leases()
                # The database may be away for a while; the next beat may get through before the lease has run out.
                except Exception as error:  # noqa: BLE001 - a heartbeat must not end for any reason
                    log.warning("leases were not extended", error=repr(error))

        thread = threading.Thread(target=beat, name="leases", daemon=True)
        thread.start()
        try:
            yield
        finally:
            closing.set()
            thread.join()


def open_builder(
    records: GenerationRecords,
    shop: Workshop,
    stopping: Callable[[], bool],
    slice_over: Callable[[], bool] = lambda: False,
) -> tuple[Builder, ReembedTask]:
    """A builder with the task that says how far it is in a long document; both callables as a `Carrier` has them."""
    task = ReembedTask(shop)
    carrier = Carrier(shop.jobs, reembed=task, stopping=stopping, slice_over=slice_over)
    return Builder(records, shop.jobs, shop.generations, carrier), task


def recount(records: GenerationRecords, generations: Generations, generation_id: int) -> int:
    """Queue again what a generation being built is said to have and has not; returns how many versions.

    The catalog's commits are fsynced one by one and the index's are not, so a power cut can leave the index behind; and
    a generation that was kept for a way back may have lost its data since.
    """
    with generations.indexes() as indexes:
        index = indexes[generation_id]
        present = index.versions()
        lost = [
            version.id
            for version in records.done()
            if present.get((version.tenant_id, version.id), 0) != (version.chunks or 0)
            or (
                version.state is not VersionState.FAILED
                and index.count(version.tenant_id, version.id, embedded_only=True) != (version.chunks or 0)
            )
        ]
    return records.requeue(lost) if lost else 0
