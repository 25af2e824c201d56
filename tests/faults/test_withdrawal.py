"""A document deleted, cancelled or replaced between any two steps of the worker that is at it leaves nothing behind."""

import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ingest.documents import Document, Job, JobKind, VersionState
from ingest.errors import DocumentNotFoundError, LeaseLostError
from tests.support.books import book
from tests.support.fixed_generation import FixedGeneration
from tests.support.harbour import Harbour, PlainParser, no
from workers.ingesting import IngestTask
from workers.tasks import EmbedTask

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
def harbour(tmp_path: Path, catalog_url: str) -> Iterator[Harbour]:
    made = Harbour(tmp_path, catalog_url)
    yield made
    made.engine.dispose()


def run(harbour: Harbour, job: Job, plan: dict[int, Callable[[], None]]) -> list[str]:
    """Do a job with every part of the workshop watched; the names of the steps that were reached."""
    steps = Steps(plan)
    shop = harbour.shop
    watched: Any = {name: Stepped(getattr(shop, name), steps) for name in ("catalog", "jobs", "texts")}
    index: Any = Stepped(harbour.index, steps)
    encoder: Any = Stepped(harbour.embedder, steps)
    shop = replace(shop, **watched, generations=FixedGeneration(index, encoder))
    parser: Any = Stepped(PlainParser(), steps)
    try:
        if job.kind is JobKind.INGEST:
            IngestTask(shop, parser).run(job, no)
        else:
            EmbedTask(shop).run([job], no)
    except (LeaseLostError, DocumentNotFoundError, Killed):
        pass
    return steps.names


def begin(harbour: Harbour, number: int, kind: JobKind, *, staged: bool) -> tuple[Document, Job]:
    """A document whose next job is of a kind, claimed; `staged` is one that replaces another version."""
    document = harbour.upload(book(number, chapters=1, sentences=30))
    if staged:
        harbour.work_off()
        document = harbour.replace(document, book(1000 + number, chapters=1, sentences=30)).document
    if kind is JobKind.EMBED:
        (ingest,) = harbour.jobs.claim(JobKind.INGEST)
        harbour.ingest.run(ingest, no)
    (job,) = harbour.jobs.claim(kind)
    return document, job


def delete(harbour: Harbour, document: Document) -> None:
    harbour.collector.delete("ann", document.id)


def cancel(harbour: Harbour, document: Document) -> None:
    if harbour.state(document) is not VersionState.READY:
        harbour.catalog.cancel("ann", document.id)


def supersede(harbour: Harbour, document: Document) -> None:
    harbour.replace(document, f"# Another\n\nText instead of {document.id}.\n")


def settle(harbour: Harbour) -> None:
    """Do what waits, and what would be collected once every lease has run out."""
    harbour.work_off()
    assert harbour.jobs.unfinished() == {}
    assert harbour.catalog.hidden_versions("ann") == []


def in_use(harbour: Harbour) -> set[str]:
    documents = harbour.catalog.documents("ann", limit=500)
    return {document.active_version_id for document in documents if document.active_version_id is not None}


def everything_kept(harbour: Harbour) -> tuple[set[str], int]:
    """Versions with points, and how many texts and originals are on disk."""
    points = {chunk.version_id for chunk in harbour.index.kept.values()}
    return points, sum(path.is_file() for path in harbour.blobs.path("").rglob("*"))


@pytest.mark.parametrize("withdraw", [delete, cancel, supersede])
@pytest.mark.parametrize("staged", [False, True])
@pytest.mark.parametrize("kind", [JobKind.INGEST, JobKind.EMBED])
def test_whatever_the_step_at_which_it_is_withdrawn_a_version_leaves_nothing(
    harbour: Harbour, kind: JobKind, staged: bool, withdraw: Callable[[Harbour, Document], None]
) -> None:
    _, undisturbed = begin(harbour, 0, kind, staged=staged)
    names = run(harbour, undisturbed, {})
    assert len(names) > 10
    settle(harbour)
    for number in range(len(names)):
        document, job = begin(harbour, number + 1, kind, staged=staged)
        run(harbour, job, {number: lambda document=document: withdraw(harbour, document)})  # type: ignore[misc]
        settle(harbour)
        version = harbour.catalog.version(job.version_id)
        if withdraw is delete:
            assert version.state is VersionState.DELETED
            assert harbour.catalog.deletion("ann", document.id).collected
        assert {chunk.version_id for chunk in harbour.index.kept.values()} == in_use(harbour), names[number]
    points, files = everything_kept(harbour)
    assert files == 3 * len(points)  # of each version in use its original, its text and the map of that


def test_a_worker_that_is_not_killed_leaves_nothing_for_the_collection(harbour: Harbour) -> None:
    _, undisturbed = begin(harbour, 0, JobKind.INGEST, staged=False)
    names = run(harbour, undisturbed, {})
    harbour.work_off()
    before = everything_kept(harbour)
    for number in range(names.index("before finish_ingest") + 1):
        document, job = begin(harbour, number + 1, JobKind.INGEST, staged=False)
        run(harbour, job, {number: lambda document=document: delete(harbour, document)})  # type: ignore[misc]
        assert everything_kept(harbour) == before, names[number]


@pytest.mark.parametrize("seed", range(2))
def test_a_worker_killed_after_its_document_was_withdrawn_leaves_nothing_once_its_lease_is_over(
    harbour: Harbour, seed: int
) -> None:
    source = random.Random(seed)
    for number in range(PAIRS):
        kind, staged = source.choice([JobKind.INGEST, JobKind.EMBED]), source.random() < 0.5
        document, job = begin(harbour, number, kind, staged=staged)
        withdraw = source.choice([delete, cancel, supersede])
        first = source.randrange(16)
        plan = {first: lambda d=document, w=withdraw: w(harbour, d), first + source.randrange(1, 6): die}  # type: ignore[misc]
        names = run(harbour, job, plan)
        harbour.jobs.recover(all_running=True)
        settle(harbour)
        assert {chunk.version_id for chunk in harbour.index.kept.values()} == in_use(harbour), (withdraw, names[-3:])


def die() -> None:
    raise Killed
