"""Worker threads over a catalog that is away for a while."""

import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from ingest.storage.documents.records import VersionState
from ingest.storage.errors import CatalogUnavailableError
from ingest.storage.jobs.jobs import Jobs
from ingest.storage.queue.records import ALL_LANES, Failure, Job, JobKind, Lane
from retrieval.errors import IndexUnavailableError
from tests.support.books import book
from tests.support.catalogs import lapse
from tests.support.cluster import wait_until
from tests.support.worker_fixture import WorkerFixture, no
from workers.enqueue import ThreadNotifier
from workers.job_runner import JobRunner
from workers.threads import WorkerThreads


class FlakyJobs(Jobs):
    """Whose catalog answers nothing while it is `away`; `asked` counts what was asked of it meanwhile."""

    away = False
    returns_after = 1_000_000
    asked: Counter[str]

    def _require_there(self, method: str) -> None:
        if self.away:
            self.asked[method] += 1
            self.away = self.asked[method] < self.returns_after
            raise CatalogUnavailableError("The catalog was locked for over 30 seconds.")

    def claim(
        self,
        kind: JobKind,
        *,
        limit: int = 1,
        total_bytes: int | None = None,
        lanes: Collection[Lane] = ALL_LANES,
    ) -> list[Job]:
        self._require_there(kind)
        return super().claim(kind, limit=limit, total_bytes=total_bytes, lanes=lanes)

    def requeue_lost_jobs(self, *, include_all_running: bool) -> int:
        self._require_there("recover")
        return super().requeue_lost_jobs(include_all_running=include_all_running)

    def postpone(self, job: Job, failure: Failure) -> None:
        self._require_there("postpone")
        super().postpone(job, failure)


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[WorkerFixture]:
    made = WorkerFixture(tmp_path)
    made.jobs = jobs = FlakyJobs(made.engine, lease_seconds=0.3)
    jobs.asked = Counter()
    yield made
    made.engine.dispose()


def flaky(worker: WorkerFixture) -> FlakyJobs:
    assert isinstance(worker.jobs, FlakyJobs)
    return worker.jobs


def test_threads_outlive_a_catalog_that_was_away(worker: WorkerFixture) -> None:
    jobs = flaky(worker)
    jobs.away = True
    threads = WorkerThreads(jobs, [worker.ingest], worker.embed, worker.collect, ThreadNotifier())
    threads.start()
    try:
        kinds = (JobKind.INGEST, JobKind.EMBED, JobKind.COLLECT)
        wait_until(
            lambda: all(jobs.asked[kind] for kind in kinds) and jobs.asked["recover"] > 1,
            what="every thread has failed, and the leases were looked after again",
        )
        jobs.away = False
        document = worker.upload(book(1))
        wait_until(lambda: worker.state(document) is VersionState.READY, what="the document is ready")
    finally:
        threads.stop()


def test_a_service_tidies_up_soon_after_its_start_and_outlives_what_that_raises(worker: WorkerFixture) -> None:
    tidied = threading.Event()

    def tidy() -> None:
        tidied.set()
        raise CatalogUnavailableError("The catalog was locked for over 30 seconds.")

    threads = WorkerThreads(worker.jobs, [worker.ingest], worker.embed, worker.collect, ThreadNotifier(), clean_up=tidy)
    threads.start()
    try:
        wait_until(tidied.is_set, what="old answers were looked for")
        document = worker.upload(book(1))
        wait_until(lambda: worker.state(document) is VersionState.READY, what="the document is ready")
    finally:
        threads.stop()


def test_room_is_made_before_deleted_content_is_collected(worker: WorkerFixture) -> None:
    document = worker.upload(book(1))
    worker.work_off()
    waiting: list[int] = []

    def make_room() -> None:
        waiting.append(worker.jobs.count_unfinished_jobs()[JobKind.COLLECT])

    parts = ([worker.ingest], worker.embed, worker.collect, ThreadNotifier())
    threads = WorkerThreads(worker.jobs, *parts, has_free_space=no, release_space=make_room)
    threads.start()
    try:
        worker.catalog.delete_document("ann", document.id)
        wait_until(
            lambda: not worker.jobs.count_unfinished_jobs().get(JobKind.COLLECT), what="its content is collected"
        )
    finally:
        threads.stop()
    assert set(waiting) == {1}


def everything_goes_away(jobs: FlakyJobs) -> Callable[[str], None]:
    def fault(_: str) -> None:
        jobs.away = True
        raise IndexUnavailableError("Away.")

    return fault


def test_a_job_is_postponed_once_the_catalog_is_there_again(worker: WorkerFixture) -> None:
    jobs = flaky(worker)
    jobs.lease_seconds = 30.0
    jobs.returns_after = 3
    worker.upload(book(1))
    worker.index.fault = everything_goes_away(jobs)
    assert JobRunner(jobs, worker.ingest, should_stop=no).run_once(JobKind.INGEST) == 1
    assert jobs.asked["postpone"] == 3
    assert jobs.requeue_lost_jobs(include_all_running=False) == 0
    with worker.engine.connect() as connection:
        assert connection.execute(text("SELECT state, attempt FROM jobs")).all() == [("queued", 0)]


def test_a_worker_that_stops_waits_for_no_catalog(worker: WorkerFixture) -> None:
    jobs = flaky(worker)
    jobs.lease_seconds = 3_600.0
    worker.upload(book(1))
    worker.index.fault = everything_goes_away(jobs)
    stopping = threading.Event()
    runner = JobRunner(jobs, worker.ingest, should_stop=stopping.is_set)
    working = threading.Thread(target=runner.run_once, args=(JobKind.INGEST,))
    working.start()
    wait_until(lambda: bool(jobs.asked["postpone"]), what="the catalog was asked to postpone the job")
    stopping.set()
    working.join(120)
    assert not working.is_alive()


def test_a_job_that_the_catalog_took_no_end_of_is_carried_again_when_its_lease_has_run_out(
    worker: WorkerFixture,
) -> None:
    jobs = flaky(worker)
    worker.upload(book(1), "a.md")
    worker.upload(book(2), "b.md")

    worker.index.fault = everything_goes_away(jobs)
    runner = JobRunner(jobs, worker.ingest, should_stop=no)
    assert runner.run_once(JobKind.INGEST) == 2
    assert jobs.asked["postpone"] >= 2
    jobs.away = False
    lapse(worker.engine)
    assert jobs.requeue_lost_jobs(include_all_running=False) == 2
