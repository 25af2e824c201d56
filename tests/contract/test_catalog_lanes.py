"""Lanes: small documents wait for no large one, and nobody waits for those that take long, which get their share."""

import pytest
from sqlalchemy import Engine, select

from ingest.storage.db.schema import jobs as job_rows
from ingest.storage.documents.catalog import Catalog
from ingest.storage.documents.records import VersionState
from ingest.storage.errors import LeaseLostError
from ingest.storage.jobs.jobs import Jobs
from ingest.storage.queue.records import FIRST_TRY_LANES, MAX_QUICK_BYTES, Job, JobKind, JobPriority, Lane
from tests.support.catalogs import accept, finish_ingest, lapse

LARGE = MAX_QUICK_BYTES + 1


def upload(catalog: Catalog, name: str, *, tenant: str = "ann", size: int = 3, **more: object) -> str:
    """The id of the version."""
    return accept(catalog, name, tenant=tenant, size=size, **more).document.version.id


def claim(jobs: Jobs, kind: JobKind = JobKind.INGEST) -> Job:
    """The one job that a worker gets."""
    (job,) = jobs.claim(kind, limit=32)
    return job


def slow(catalog: Catalog, jobs: Jobs, name: str, *, tenant: str = "ann") -> str:
    """A version that has had its first try."""
    version = upload(catalog, name, tenant=tenant, size=LARGE)
    (job,) = jobs.claim(JobKind.INGEST, lanes=FIRST_TRY_LANES)
    assert job.version_id == version
    jobs.requeue_in_lane(job, Lane.SLOW)
    return version


def slow_of_another_tenant(catalog: Catalog, jobs: Jobs) -> str:
    """A version of bob's that has had its first try, while documents of ann wait."""
    version = upload(catalog, "scan of bob", tenant="bob", size=LARGE)
    claimed = [claim(jobs), claim(jobs)]
    for job in claimed:
        if job.version_id == version:
            jobs.requeue_in_lane(job, Lane.SLOW)
        else:
            jobs.release_job(job)
    return version


def serve(jobs: Jobs, count: int) -> list[str]:
    """The versions that one worker makes searchable, claim after claim."""
    served = []
    for _ in range(count):
        for job in jobs.claim(JobKind.INGEST, limit=32):
            finish_ingest(jobs, job, chunks=1)
            served.append(job.version_id)
    return served


def test_a_small_document_is_claimed_before_large_ones_that_came_earlier(catalog: Catalog, jobs: Jobs) -> None:
    books = [upload(catalog, f"book{number}", size=LARGE) for number in range(4)]
    assert [claim(jobs).version_id for _ in range(2)] == books[:2]
    note = upload(catalog, "note")
    assert [claim(jobs).version_id for _ in range(3)] == [note, *books[2:]]


def test_a_large_document_is_claimed_by_itself(catalog: Catalog, jobs: Jobs) -> None:
    upload(catalog, "book1", size=LARGE)
    upload(catalog, "book2", size=LARGE)
    assert [len(jobs.claim(JobKind.INGEST, limit=32)) for _ in range(3)] == [1, 1, 0]


def test_large_documents_take_turns_with_small_ones_of_their_tenant(catalog: Catalog, jobs: Jobs) -> None:
    books = [upload(catalog, f"book{number}", size=LARGE) for number in range(2)]
    notes = [upload(catalog, f"note{number}") for number in range(4)]
    assert [claimed.version_id for _ in range(6) for claimed in jobs.claim(JobKind.INGEST)] == [
        notes[0],
        books[0],
        notes[1],
        books[1],
        *notes[2:],
    ]


def test_the_more_urgent_go_first_whatever_their_size(catalog: Catalog, jobs: Jobs) -> None:
    bulk = upload(catalog, "note", priority=JobPriority.BULK)
    book = upload(catalog, "book", size=LARGE)
    bulk_book = upload(catalog, "book2", size=LARGE, priority=JobPriority.BULK)
    urgent = upload(catalog, "note2")
    assert [jobs.claim(JobKind.INGEST)[0].version_id for _ in range(4)] == [urgent, book, bulk, bulk_book]


def test_a_document_is_put_back_without_a_counted_attempt_and_without_its_progress(
    catalog: Catalog, jobs: Jobs, engine: Engine
) -> None:
    version = upload(catalog, "scan")
    job = claim(jobs)
    jobs.record_progress(job, VersionState.PARSING, pages_done=7, pages=20)
    jobs.requeue_in_lane(job, Lane.SLOW)
    with engine.connect() as connection:
        row = connection.execute(select(job_rows).where(job_rows.c.version_id == version)).one()
    assert (row.state, row.lane, row.attempt, row.interruptions) == ("queued", "slow", 0, 0)
    assert catalog.load_version(version).pages_done is None
    again = claim(jobs)
    assert (again.version_id, again.lane, again.attempt) == (version, Lane.SLOW, 1)
    with pytest.raises(LeaseLostError):
        jobs.requeue_in_lane(job, Lane.SLOW)


def test_first_tries_go_before_slow_documents_and_the_slow_lane_has_its_turn(catalog: Catalog, jobs: Jobs) -> None:
    scans = [slow(catalog, jobs, f"scan{number}") for number in range(3)]
    books = [upload(catalog, f"book{number}", tenant="bob", size=LARGE) for number in range(3)]
    # One worker alternates between the lanes: neither starves the other.
    assert serve(jobs, 6) == [scans[0], books[0], scans[1], books[1], scans[2], books[2]]


def test_no_slow_document_is_claimed_where_first_tries_are_asked_for(catalog: Catalog, jobs: Jobs) -> None:
    slow(catalog, jobs, "scan")
    assert jobs.claim(JobKind.INGEST, lanes=FIRST_TRY_LANES) == []
    note = upload(catalog, "note")
    assert [job.version_id for job in jobs.claim(JobKind.INGEST, limit=9, lanes=FIRST_TRY_LANES)] == [note]


def test_one_slow_document_at_a_time_has_a_turn_while_others_wait_and_all_do_when_none_waits(
    catalog: Catalog, jobs: Jobs
) -> None:
    scans = {slow(catalog, jobs, f"scan{number}") for number in range(3)}
    notes = [upload(catalog, f"book{number}", tenant="bob", size=LARGE) for number in range(2)]
    claimed = [claim(jobs).version_id for _ in range(5)]
    assert claimed[0] in scans
    assert claimed[1:3] == notes
    assert set(claimed[3:]) < scans


def test_with_many_workers_half_of_those_at_one_document_may_be_at_slow_ones(catalog: Catalog, jobs: Jobs) -> None:
    for number in range(8):
        slow(catalog, jobs, f"scan{number}")
    for number in range(8):
        upload(catalog, f"book{number}", tenant="bob", size=LARGE)
    lanes = [claim(jobs).lane for _ in range(8)]
    assert lanes.count(Lane.SLOW) == 4


def test_tenants_take_turns_in_the_slow_lane(catalog: Catalog, jobs: Jobs) -> None:
    of_ann = [slow(catalog, jobs, f"scan{number}") for number in range(3)]
    of_bob = [slow(catalog, jobs, "scan of bob", tenant="bob")]
    assert serve(jobs, 4) == [of_ann[0], of_bob[0], *of_ann[1:]]


def test_a_slow_document_keeps_its_worker_unless_its_lane_has_more_than_its_share(catalog: Catalog, jobs: Jobs) -> None:
    slow(catalog, jobs, "scan1")
    slow(catalog, jobs, "scan2")
    first, second = claim(jobs), claim(jobs)
    assert [jobs.find_job_to_yield_to(job, Lane.SLOW) for job in (first, second)] == [None, None]
    note = upload(catalog, "note", tenant="bob")
    kept_waiting = jobs.find_job_to_yield_to(second, Lane.SLOW)
    assert jobs.find_job_to_yield_to(first, Lane.SLOW) is None
    assert kept_waiting is not None
    assert claim(jobs).id == kept_waiting
    assert catalog.load_version(note).id == note
    assert jobs.find_job_to_yield_to(second, Lane.SLOW) is None  # another worker has it


def test_a_slow_document_keeps_its_turn_when_a_first_try_that_was_queued_earlier_becomes_slow(
    catalog: Catalog, jobs: Jobs
) -> None:
    backlog = [upload(catalog, f"scan{number}", size=LARGE) for number in range(3)]
    theirs = slow_of_another_tenant(catalog, jobs)
    turn = claim(jobs)
    assert (turn.version_id, turn.lane) == (theirs, Lane.SLOW)
    first_try = claim(jobs)
    assert first_try.version_id == backlog[0]
    assert first_try.id < turn.id
    jobs.mark_slow(first_try)
    assert jobs.find_job_to_yield_to(turn, Lane.SLOW) is None
    assert jobs.find_job_to_yield_to(first_try, Lane.SLOW) is not None


def test_a_tenants_second_document_gives_way_to_a_tenant_that_has_none(catalog: Catalog, jobs: Jobs) -> None:
    for number in range(3):
        upload(catalog, f"book{number}", size=LARGE)
    first, second = claim(jobs), claim(jobs)
    assert [jobs.find_job_to_yield_to(job, Lane.LARGE) for job in (first, second)] == [None, None]
    upload(catalog, "note", tenant="bob")
    assert jobs.find_job_to_yield_to(first, Lane.LARGE) is None
    assert jobs.find_job_to_yield_to(second, Lane.LARGE) is not None
    assert claim(jobs).tenant_id == "bob"
    upload(catalog, "book of bob", tenant="bob", size=LARGE)
    assert jobs.find_job_to_yield_to(second, Lane.LARGE) is None  # bob has a worker already


def test_a_large_document_gives_way_to_a_small_one_if_another_large_one_is_parsed(catalog: Catalog, jobs: Jobs) -> None:
    for number in range(3):
        upload(catalog, f"book{number}", size=LARGE)
    first, second = claim(jobs), claim(jobs)
    note = upload(catalog, "note")
    assert jobs.find_job_to_yield_to(first, Lane.LARGE) is None
    assert jobs.find_job_to_yield_to(second, Lane.LARGE) is not None
    assert claim(jobs).version_id == note
    assert jobs.find_job_to_yield_to(second, Lane.LARGE) is None


def test_the_only_large_document_gives_way_to_no_small_one_of_its_tenant(catalog: Catalog, jobs: Jobs) -> None:
    upload(catalog, "book", size=LARGE)
    book = claim(jobs)
    upload(catalog, "note")
    assert jobs.find_job_to_yield_to(book, Lane.LARGE) is None


@pytest.mark.parametrize("priority", [JobPriority.BULK, JobPriority.INTERACTIVE])
def test_a_large_document_gives_way_to_no_small_one_of_a_folder(
    catalog: Catalog, jobs: Jobs, priority: JobPriority
) -> None:
    for number in range(2):
        upload(catalog, f"book{number}", size=LARGE, priority=priority)
    claim(jobs)
    second = claim(jobs)
    upload(catalog, "note", priority=JobPriority.BULK)
    assert jobs.find_job_to_yield_to(second, Lane.LARGE) is None


def test_a_first_try_that_becomes_slow_counts_as_slow_from_then_on(catalog: Catalog, jobs: Jobs) -> None:
    for number in range(2):
        upload(catalog, f"scan{number}", size=LARGE)
    first, second = claim(jobs), claim(jobs)
    jobs.mark_slow(first)
    jobs.mark_slow(second)
    upload(catalog, "note", tenant="bob")
    kept_waiting = [jobs.find_job_to_yield_to(job, Lane.SLOW) is not None for job in (first, second)]
    assert kept_waiting == [False, True]
    jobs.release_job(first)
    with pytest.raises(LeaseLostError):
        jobs.mark_slow(first)


def test_a_worker_that_dies_in_the_slow_lane_costs_an_attempt_and_leaves_its_document_there(
    catalog: Catalog, jobs: Jobs, engine: Engine
) -> None:
    version = slow(catalog, jobs, "scan")
    attempts = []
    for _ in range(3):
        job = claim(jobs)
        attempts.append((job.attempt, job.lane))
        lapse(engine)
        jobs.requeue_lost_jobs(include_all_running=False)
    assert attempts == [(1, Lane.SLOW), (2, Lane.SLOW), (3, Lane.SLOW)]
    failure = catalog.load_version(version).failure
    assert failure is not None
    assert failure.code == "worker_lost"


def test_a_document_that_is_sent_again_has_a_first_try_again(catalog: Catalog, jobs: Jobs) -> None:
    slow(catalog, jobs, "scan")
    document = accept(catalog, "scan", size=LARGE).document
    catalog.cancel_latest_version("ann", document.id)
    accept(catalog, "scan", size=3)
    assert claim(jobs).lane is Lane.QUICK


def test_a_note_is_embedded_before_books_that_were_searchable_earlier(catalog: Catalog, jobs: Jobs) -> None:
    for number in range(2):
        upload(catalog, f"book{number}", size=LARGE)
        finish_ingest(jobs, claim(jobs), chunks=1_000)
    book = claim(jobs, JobKind.EMBED)
    assert book.lane is Lane.LARGE
    assert jobs.should_yield([book]) is False
    note = upload(catalog, "note")
    finish_ingest(jobs, claim(jobs), chunks=1)
    assert jobs.should_yield([book]) is True
    jobs.release_job(book)
    assert claim(jobs, JobKind.EMBED).version_id == note
    assert claim(jobs, JobKind.EMBED).version_id == book.version_id


def test_embedding_gives_way_to_another_tenant_only_while_it_waits(catalog: Catalog, jobs: Jobs) -> None:
    for tenant in ("ann", "bob"):
        upload(catalog, f"book of {tenant}", tenant=tenant, size=LARGE)
        finish_ingest(jobs, claim(jobs), chunks=1_000)
    first = claim(jobs, JobKind.EMBED)
    assert jobs.should_yield([first]) is True
    claim(jobs, JobKind.EMBED)
    assert jobs.should_yield([first]) is False


def test_slow_documents_do_not_count_as_those_that_embedding_stands_back_for(catalog: Catalog, jobs: Jobs) -> None:
    slow(catalog, jobs, "scan")
    assert jobs.find_oldest_unfinished_time(JobKind.INGEST) is None
    upload(catalog, "note")
    assert jobs.find_oldest_unfinished_time(JobKind.INGEST) is not None


def test_slow_and_large_documents_are_no_quick_jobs(catalog: Catalog, jobs: Jobs) -> None:
    slow(catalog, jobs, "scan")
    upload(catalog, "book", size=LARGE)
    assert jobs.has_quick_job(JobKind.INGEST) is False
    upload(catalog, "note")
    assert jobs.has_quick_job(JobKind.INGEST) is True


def test_a_position_goes_by_lanes(catalog: Catalog, jobs: Jobs) -> None:
    scan = slow(catalog, jobs, "scan")
    book = upload(catalog, "book", size=LARGE)
    note = upload(catalog, "note")
    assert [jobs.estimate_position(version) for version in (note, book, scan)] == [0, 1, 2]
