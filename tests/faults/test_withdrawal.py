"""A document deleted, cancelled or replaced between any two steps of the worker that is at it leaves nothing behind."""

import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ingest.storage.documents.records import Document, VersionState
from ingest.storage.errors import DocumentNotFoundError, LeaseLostError
from ingest.storage.operations.installation import MARK_FILE
from ingest.storage.queue.records import Job, JobKind
from tests.support.books import book
from tests.support.fixed_generation import FixedGeneration
from tests.support.worker_fixture import PlainParser, WorkerFixture, no
from workers.tasks.embed import EmbedTask
from workers.tasks.ingest import IngestTask

PAIRS = 25


class Killed(BaseException):
    """The worker's process is gone: nothing after this line of it runs."""


class Stepped:
    """Calls `step` before and after every call of what it stands for."""

    def __init__(self, wrapped: object, step: Callable[[str], None]) -> None:
        self._wrapped = wrapped
        self._step = step

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the wrapped object has
        found = getattr(self._wrapped, name)
        if not callable(found):
            return found

        def call(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - passed on as they are
            self._step(f"before {name}")
            result = found(*arguments, **options)
            self._step(f"after {name}")
            return result

        return call


class Steps:
    """Counts the steps of a worker, and does what is planned at some of them."""

    def __init__(self, plan: dict[int, Callable[[], None]]) -> None:
        self._plan = plan
        self.names: list[str] = []

    def __call__(self, name: str) -> None:
        number = len(self.names)
        self.names.append(name)
        if number in self._plan:
            self._plan[number]()


@pytest.fixture
def worker(tmp_path: Path, catalog_url: str) -> Iterator[WorkerFixture]:
    made = WorkerFixture(tmp_path, catalog_url)
    yield made
    made.engine.dispose()


def run(worker: WorkerFixture, job: Job, plan: dict[int, Callable[[], None]]) -> list[str]:
    """Do a job with every part of the workshop watched; the names of the steps that were reached."""
    steps = Steps(plan)
    deps = worker.deps
    watched: Any = {name: Stepped(getattr(deps, name), steps) for name in ("catalog", "jobs", "texts")}
    index: Any = Stepped(worker.index, steps)
    encoder: Any = Stepped(worker.embedder, steps)
    deps = replace(deps, **watched, generations=FixedGeneration(index, encoder))
    parser: Any = Stepped(PlainParser(), steps)
    try:
        if job.kind is JobKind.INGEST:
            IngestTask(deps, parser).run(job, no)
        else:
            EmbedTask(deps).run([job], no)
    except (LeaseLostError, DocumentNotFoundError, Killed):
        pass
    return steps.names


def begin(worker: WorkerFixture, number: int, kind: JobKind, *, staged: bool) -> tuple[Document, Job]:
    """A document whose next job is of a kind, claimed; `staged` is one that replaces another version."""
    document = worker.upload(book(number, chapters=1, sentences=30))
    if staged:
        worker.work_off()
        document = worker.replace(document, book(1000 + number, chapters=1, sentences=30)).document
    if kind is JobKind.EMBED:
        (ingest,) = worker.jobs.claim(JobKind.INGEST)
        worker.ingest.run(ingest, no)
    (job,) = worker.jobs.claim(kind)
    return document, job


def delete(worker: WorkerFixture, document: Document) -> None:
    worker.deleter.delete_document("ann", document.id)


def cancel(worker: WorkerFixture, document: Document) -> None:
    if worker.state(document) is not VersionState.READY:
        worker.catalog.cancel_latest_version("ann", document.id)


def supersede(worker: WorkerFixture, document: Document) -> None:
    worker.replace(document, f"# Another\n\nText instead of {document.id}.\n")


def settle(worker: WorkerFixture) -> None:
    """Do what waits, and what would be collected once every lease has run out."""
    worker.work_off()
    assert worker.jobs.count_unfinished_jobs() == {}
    assert worker.catalog.list_hidden_versions("ann") == []


def in_use(worker: WorkerFixture) -> set[str]:
    documents = worker.catalog.list_documents("ann", limit=500)
    return {document.active_version_id for document in documents if document.active_version_id is not None}


def everything_kept(worker: WorkerFixture) -> tuple[set[str], int]:
    """Versions with points, and how many texts and originals are on disk."""
    points = {chunk.version_id for chunk in worker.index.kept.values()}
    return points, sum(
        path.is_file() and path.name != MARK_FILE for path in worker.blobs.resolve_path(MARK_FILE).parent.rglob("*")
    )


@pytest.mark.parametrize("withdraw", [delete, cancel, supersede])
@pytest.mark.parametrize("staged", [False, True])
@pytest.mark.parametrize("kind", [JobKind.INGEST, JobKind.EMBED])
def test_whatever_the_step_at_which_it_is_withdrawn_a_version_leaves_nothing(
    worker: WorkerFixture, kind: JobKind, staged: bool, withdraw: Callable[[WorkerFixture, Document], None]
) -> None:
    _, undisturbed = begin(worker, 0, kind, staged=staged)
    names = run(worker, undisturbed, {})
    assert len(names) > 10
    settle(worker)
    for number in range(len(names)):
        document, job = begin(worker, number + 1, kind, staged=staged)
        run(worker, job, {number: lambda document=document: withdraw(worker, document)})  # type: ignore[misc]
        settle(worker)
        version = worker.catalog.load_version(job.version_id)
        if withdraw is delete:
            assert version.state is VersionState.DELETED
            assert worker.catalog.load_deletion("ann", document.id).collected
        assert {chunk.version_id for chunk in worker.index.kept.values()} == in_use(worker), names[number]
    points, files = everything_kept(worker)
    assert files == 3 * len(points)  # of each version in use its original, its text and the map of that


def test_a_worker_that_is_not_killed_leaves_nothing_for_the_collection(worker: WorkerFixture) -> None:
    _, undisturbed = begin(worker, 0, JobKind.INGEST, staged=False)
    names = run(worker, undisturbed, {})
    worker.work_off()
    before = everything_kept(worker)
    for number in range(names.index("before finish_ingest") + 1):
        document, job = begin(worker, number + 1, JobKind.INGEST, staged=False)
        run(worker, job, {number: lambda document=document: delete(worker, document)})  # type: ignore[misc]
        assert everything_kept(worker) == before, names[number]


@pytest.mark.parametrize("seed", range(2))
def test_a_worker_killed_after_its_document_was_withdrawn_leaves_nothing_once_its_lease_is_over(
    worker: WorkerFixture, seed: int
) -> None:
    source = random.Random(seed)
    for number in range(PAIRS):
        kind, staged = source.choice([JobKind.INGEST, JobKind.EMBED]), source.random() < 0.5
        document, job = begin(worker, number, kind, staged=staged)
        withdraw = source.choice([delete, cancel, supersede])
        first = source.randrange(16)
        plan = {first: lambda d=document, w=withdraw: w(worker, d), first + source.randrange(1, 6): die}  # type: ignore[misc]
        names = run(worker, job, plan)
        worker.jobs.requeue_lost_jobs(include_all_running=True)
        settle(worker)
        assert {chunk.version_id for chunk in worker.index.kept.values()} == in_use(worker), (withdraw, names[-3:])


def die() -> None:
    raise Killed
