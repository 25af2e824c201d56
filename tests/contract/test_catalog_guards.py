"""Histories of uploads, replacements, cancellations, deletions, and workers that lose their leases or their lives.

Each seed is one history; the index is a dictionary. After every step the invariants hold, and each of them stands on a
guard of the catalog: the fence that every commit names, `visible` deciding by the active version, a replacement that is
activated when it is whole, and points that are hidden until they are collected. Without the guard some seed breaks it.
"""

import random
from collections.abc import Callable

import pytest
from sqlalchemy import Engine

from ingest.storage.documents.catalog import Catalog
from ingest.storage.documents.records import Document, EmbedReport, VersionState
from ingest.storage.errors import DocumentStateError, IncompleteVersionError, LeaseLostError
from ingest.storage.jobs.jobs import Jobs
from ingest.storage.queue.records import Failure, Job, JobKind
from tests.support.catalogs import arrival, finish_ingest, lapse, wake

CHUNKS = 2
STEPS = 150
WORK = (JobKind.INGEST, JobKind.EMBED)


class History:
    """A tenant with a few contents, and workers that may hold a job long after they have lost it."""

    def __init__(self, engine: Engine, seed: int) -> None:
        self.engine, self.source = engine, random.Random(seed)
        self.catalog, self.jobs = Catalog(engine), Jobs(engine)
        self.points: dict[str, int] = {}  # chunks that the index has of a version
        self.vectors: dict[str, int] = {}  # and those of them that have a vector
        self.held: list[Job] = []  # what living workers think is theirs
        self.owners: dict[int, int] = {}  # the fence under which a job may be committed
        self.versions: set[str] = set()
        self.whole: set[str] = set()  # documents that were once found with all their vectors
        self.deleted: set[str] = set()

    def run(self) -> None:
        steps: dict[Callable[[], None], int] = {
            self.upload: 6,
            self.replace: 12,
            self.cancel: 3,
            self.delete: 2,
            self.claim: 14,
            self.carry: 24,
            self.write_some: 10,
            self.end_work: 10,
            self.end_unasked: 8,
            self.fail: 3,
            self.lose_the_leases: 5,
            self.lose_the_workers: 2,
            self.wait: 8,
        }
        for step in self.source.choices(list(steps), list(steps.values()), k=STEPS):
            step()
            self.searches_find_of_each_document_its_active_version_and_all_of_that()
            self.whatever_else_is_in_the_index_is_hidden()
        self.all_that_waits_is_done()

    def upload(self) -> None:
        self.versions.add(self.catalog.accept_upload(arrival(self.content())).document.version.id)

    def replace(self) -> None:
        for document in self.some_document():
            replaced = self.catalog.replace_document(arrival(self.content()), document.id, None).document
            self.versions.add(replaced.version.id)

    def cancel(self) -> None:
        for document in self.some_document():
            try:
                self.catalog.cancel_latest_version("ann", document.id)
            except DocumentStateError:
                assert document.version.state in (VersionState.READY, VersionState.FAILED, VersionState.CANCELLED)

    def delete(self) -> None:
        for document in self.some_document():
            self.catalog.delete_document("ann", document.id)
            self.deleted.add(document.id)
            self.whole.discard(document.id)

    def claim(self) -> None:
        for job in self.jobs.claim(self.source.choice(WORK)):
            self.held.append(job)
            self.owners[job.id] = job.fence

    def carry(self) -> None:
        """A worker claims a job and does it, undisturbed."""
        for job in self.jobs.claim(self.source.choice(list(JobKind))):
            self.owners[job.id] = job.fence
            self.do(job)

    def lose_the_leases(self) -> None:
        """The workers live on and do not know."""
        lapse(self.engine)
        self.jobs.requeue_lost_jobs(include_all_running=False)
        self.owners.clear()

    def lose_the_workers(self) -> None:
        self.held.clear()
        self.lose_the_leases()

    def wait(self) -> None:
        wake(self.engine)

    def write_some(self) -> None:
        """A worker writes some of what it has to."""
        for job in self.some_held():
            if self.commits(job, lambda job=job: self.jobs.record_progress(job, VersionState.INDEXING)):  # type: ignore[misc]
                if job.kind is JobKind.INGEST:
                    self.points[job.version_id], self.vectors[job.version_id] = self.source.randint(0, CHUNKS), 0
                self.held.append(job)

    def end_work(self) -> None:
        for job in self.some_held():
            self.do(job)

    def end_unasked(self) -> None:
        """A worker that was out of touch commits what it wrote before, or what it thinks it wrote."""
        for job in self.some_held():
            if job.kind is JobKind.INGEST and self.points.get(job.version_id) == CHUNKS:
                self.commits(job, lambda job=job: self.finish_ingest(job))  # type: ignore[misc]
            elif job.kind is JobKind.EMBED and self.catalog.load_replaced_versions([job.version_id]):
                self.finish_embed(job)

    def fail(self) -> None:
        for job in self.some_held():
            self.commits(job, lambda job=job: self.jobs.fail(job, Failure("x", "y")))  # type: ignore[misc]

    def searches_find_of_each_document_its_active_version_and_all_of_that(self) -> None:
        shown = self.catalog.find_visible_versions("ann", self.versions)
        active = {document.id: document.active_version_id for document in self.documents()}
        assert {v.document_id: v.version_id for v in shown.values()} == {d: v for d, v in active.items() if v}
        assert not self.deleted & set(active)
        for version, visible in shown.items():
            state = self.catalog.load_version(version).state
            assert state not in (VersionState.CANCELLED, VersionState.RETIRED, VersionState.DELETED)
            assert self.points.get(version) == CHUNKS
            if state is VersionState.READY:
                self.whole.add(visible.document_id)
            # A document that was once found by its vectors stays so.
            assert visible.document_id not in self.whole or self.vectors.get(version) == CHUNKS
        assert self.whole <= {visible.document_id for visible in shown.values()}

    def whatever_else_is_in_the_index_is_hidden(self) -> None:
        hidden, shown = (
            set(self.catalog.list_hidden_versions("ann")),
            set(self.catalog.find_visible_versions("ann", self.versions)),
        )
        assert not hidden & shown
        assert {version for version, chunks in self.points.items() if chunks} <= hidden | shown

    def all_that_waits_is_done(self) -> None:
        """And then the index has what is shown and nothing else."""
        self.lose_the_workers()
        while self.jobs.count_unfinished_jobs():
            self.wait()
            for kind in (JobKind.INGEST, JobKind.EMBED, JobKind.COLLECT):
                for job in self.jobs.claim(kind):
                    self.owners[job.id] = job.fence
                    self.do(job)
        shown = set(self.catalog.find_visible_versions("ann", self.versions))
        assert {version for version, chunks in self.points.items() if chunks} == shown
        assert self.catalog.list_hidden_versions("ann") == []

    def do(self, job: Job) -> None:
        """All of a job, by a worker that asks before it writes."""
        if not self.commits(job, lambda: self.jobs.require_lease(job)):
            return
        if job.kind is JobKind.COLLECT:
            if self.catalog.find_removable_version(job.version_id) is not None:
                self.points.pop(job.version_id, None)
                self.vectors.pop(job.version_id, None)
            self.commits(job, lambda: self.jobs.finish_collect(job))
        elif job.kind is JobKind.EMBED:
            self.vectors[job.version_id] = self.points.get(job.version_id, 0)
            self.finish_embed(job)
        elif self.commits(job, lambda: self.jobs.record_progress(job, VersionState.INDEXING)):
            self.points[job.version_id], self.vectors[job.version_id] = CHUNKS, 0
            self.commits(job, lambda: self.finish_ingest(job))

    def finish_ingest(self, job: Job) -> None:
        finish_ingest(self.jobs, job, chunks=CHUNKS)

    def finish_embed(self, job: Job) -> None:
        report = EmbedReport(job, 1, chunks_indexed=self.vectors.get(job.version_id, 0))

        def finish() -> None:
            if self.jobs.finish_embed([report]):
                raise LeaseLostError("It was lost.")

        self.commits(job, finish)

    def commits(self, job: Job, commit: Callable[[], None]) -> bool:
        """Whether the worker's commit was let through, which only the job's last claim may be."""
        try:
            commit()
        except (LeaseLostError, IncompleteVersionError):
            return False
        assert self.owners.get(job.id) == job.fence
        return True

    def content(self) -> str:
        return self.source.choice("abc")

    def documents(self) -> list[Document]:
        return self.catalog.list_documents("ann", limit=500)

    def some_document(self) -> list[Document]:
        """One, if there are any."""
        documents = self.documents()
        return [self.source.choice(documents)] if documents else []

    def some_held(self) -> list[Job]:
        """One, taken from what is held, if there are any."""
        return [self.held.pop(self.source.randrange(len(self.held)))] if self.held else []


@pytest.mark.parametrize("seed", [0, 1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 12))])
def test_no_history_breaks_the_fence_or_shows_what_is_not_active_or_swaps_in_what_is_not_whole(
    seed: int, engine: Engine
) -> None:
    History(engine, seed).run()


@pytest.mark.parametrize("commit", ["progress", "finish_ingest", "fail", "retry", "hand_back", "extend", "check"])
def test_the_fence_keeps_a_worker_that_lost_its_job_to_another_from_every_commit(
    commit: str, catalog: Catalog, jobs: Jobs, engine: Engine
) -> None:
    version = catalog.accept_upload(arrival()).document.version.id
    (slow,) = jobs.claim(JobKind.INGEST)
    lapse(engine)
    jobs.requeue_lost_jobs(include_all_running=False)
    (quick,) = jobs.claim(JobKind.INGEST)
    before = catalog.load_version(version)
    reason = Failure("x", "y")
    attempts: dict[str, Callable[[Job], object]] = {
        "progress": lambda job: jobs.record_progress(job, VersionState.INDEXING),
        "finish_ingest": lambda job: finish_ingest(jobs, job, chunks=1),
        "fail": lambda job: jobs.fail(job, reason),
        "retry": lambda job: jobs.retry(job, reason),
        "hand_back": jobs.release_job,
        "extend": jobs.extend_lease,
        "check": jobs.require_lease,
    }
    with pytest.raises(LeaseLostError):
        attempts[commit](slow)
    assert catalog.load_version(version) == before
    attempts[commit](quick)
