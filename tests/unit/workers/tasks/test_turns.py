"""The time that a document has with a worker, by a clock of the test's own."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from ingest.storage.db.schema import jobs
from ingest.storage.errors import CatalogUnavailableError, LeaseLostError
from ingest.storage.queue.records import MAX_QUICK_BYTES, Job, JobKind, Lane
from tests.support.worker_fixture import WorkerFixture, no
from workers.tasks.turns import FIRST_TRY_SECONDS, SHARED_TRY_SECONDS, RequeueInLane, WorkerTurn

BOOK = "word " * (MAX_QUICK_BYTES // 4)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[WorkerFixture]:
    made = WorkerFixture(tmp_path)
    made.catalog.ensure_tenant("bob")
    yield made
    made.engine.dispose()


def claim(worker: WorkerFixture) -> Job:
    (job,) = worker.jobs.claim(JobKind.INGEST)
    return job


def lane_of(worker: WorkerFixture, job: Job) -> str | None:
    with worker.engine.connect() as connection:
        return connection.execute(select(jobs.c.lane).where(jobs.c.id == job.id)).scalar()


def look_for(turn: WorkerTurn, clock: Clock, seconds: float) -> None:
    """Look as often as a parser's process is waited for."""
    until = clock.now + seconds
    while clock.now < until:
        clock.now += 0.25
        turn.check_turn()


def test_a_document_keeps_its_worker_for_as_long_as_nobody_waits(worker: WorkerFixture, clock: Clock) -> None:
    worker.upload(BOOK, "scan.md")
    turn = WorkerTurn(worker.jobs, claim(worker), clock=clock)
    look_for(turn, clock, 20 * FIRST_TRY_SECONDS)


def test_after_its_first_try_a_document_beyond_the_slow_ones_share_goes_back_soon(
    worker: WorkerFixture, clock: Clock
) -> None:
    turns = []
    for name in ("scan1.md", "scan2.md", "note.md"):
        worker.upload(name if name == "note.md" else name + BOOK, name)
        if name != "note.md":
            turns.append(WorkerTurn(worker.jobs, claim(worker), clock=clock))
    entitled, other = turns
    for turn in turns:
        turn.check_turn()
    clock.now = FIRST_TRY_SECONDS
    look_for(entitled, clock, 1)
    with pytest.raises(RequeueInLane) as raised:
        look_for(other, clock, 3)
    assert raised.value.lane is Lane.SLOW
    look_for(entitled, clock, 100)


def test_a_document_gives_way_to_one_that_really_waits_and_not_to_one_on_its_way(
    worker: WorkerFixture, clock: Clock
) -> None:
    for number in range(2):
        worker.upload(f"{number} {BOOK}", f"{number}.md")
    claim(worker)
    turn = WorkerTurn(worker.jobs, claim(worker), clock=clock)
    for number in range(5):  # each is claimed by another worker before the next look
        worker.upload(f"Note {number}.", "note.md", "bob")
        look_for(turn, clock, 1)
        worker.ingest.run(claim(worker), no)
    worker.upload("The last note.", "note.md", "bob")
    with pytest.raises(RequeueInLane):
        look_for(turn, clock, 3)


def test_the_time_before_the_first_look_does_not_count(worker: WorkerFixture, clock: Clock) -> None:
    """A parser's process may take long to start on a busy machine."""
    worker.upload(BOOK, "book.md")
    job = claim(worker)
    turn = WorkerTurn(worker.jobs, job, clock=clock)
    clock.now += 3 * FIRST_TRY_SECONDS
    look_for(turn, clock, FIRST_TRY_SECONDS)
    assert lane_of(worker, job) == Lane.LARGE
    look_for(turn, clock, 0.5)
    assert lane_of(worker, job) == Lane.SLOW


def test_a_document_that_others_were_claimed_with_goes_on_alone(worker: WorkerFixture, clock: Clock) -> None:
    worker.upload("A note that takes long.")
    turn = WorkerTurn(worker.jobs, claim(worker), is_shared=True, clock=clock)
    look_for(turn, clock, SHARED_TRY_SECONDS)
    with pytest.raises(RequeueInLane) as raised:
        look_for(turn, clock, 0.5)
    assert raised.value.lane is Lane.LARGE


def test_a_withdrawn_document_is_let_go_at_the_next_look(worker: WorkerFixture, clock: Clock) -> None:
    document = worker.upload("A note.")
    turn = WorkerTurn(worker.jobs, claim(worker), clock=clock)
    turn.check_turn()
    worker.deleter.delete_document("ann", document.id)
    with pytest.raises(LeaseLostError):
        turn.check_turn()


def test_a_catalog_that_is_away_for_a_moment_ends_no_document(
    worker: WorkerFixture, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker.upload("A note.")
    turn = WorkerTurn(worker.jobs, claim(worker), clock=clock)

    def away(_: object) -> None:
        raise CatalogUnavailableError("The database restarts.")

    monkeypatch.setattr(worker.jobs, "require_lease", away)
    look_for(turn, clock, 5)
