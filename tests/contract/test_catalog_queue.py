"""Whose job is claimed next, how long the others wait, and what ends a job that nobody can carry."""

import random
import time

import pytest
from sqlalchemy import Engine

from ingest.storage.db.database import write_transaction
from ingest.storage.documents.catalog import Catalog
from ingest.storage.documents.records import IngestReport, VersionState
from ingest.storage.jobs.jobs import MAX_ATTEMPTS, Jobs
from ingest.storage.queue.records import Failure, Job, JobKind, JobPriority
from tests.support.catalogs import accept, arrive, embedded, finish_ingest, lapse, searchable, wake

AWAY = Failure("index_unavailable", "It refused.", "Wait.")


def upload(catalog: Catalog, tenant: str, count: int, priority: JobPriority = JobPriority.INTERACTIVE) -> list[str]:
    """Version ids, in the order of their uploads."""
    catalog.ensure_tenant(tenant)
    earlier = len(catalog.list_documents(tenant, limit=1000))
    return [
        accept(catalog, f"{tenant}{earlier + n}", tenant=tenant, priority=priority).document.version.id
        for n in range(count)
    ]


def finish(jobs: Jobs, job: Job) -> None:
    finish_ingest(jobs, job, chunks=1)


def claim_and_finish(jobs: Jobs, count: int) -> list[str]:
    """The tenants or versions that are served when one worker does job after job."""
    served: list[str] = []
    for _ in range(count):
        (job,) = jobs.claim(JobKind.INGEST)
        finish(jobs, job)
        served.append(job.version_id)
    return served


def test_a_tenant_with_very_many_waiting_jobs_does_not_delay_anothers_single_one(catalog: Catalog, jobs: Jobs) -> None:
    upload(catalog, "ann", 100)
    jobs.claim(JobKind.INGEST)
    (single,) = upload(catalog, "bob", 1)
    assert jobs.claim(JobKind.INGEST)[0].version_id == single


def test_the_tenant_with_the_fewest_running_jobs_is_served_next(catalog: Catalog, jobs: Jobs) -> None:
    upload(catalog, "ann", 10)
    for _ in range(3):
        jobs.claim(JobKind.INGEST)
    upload(catalog, "bob", 10)
    assert [jobs.claim(JobKind.INGEST)[0].tenant_id for _ in range(5)] == ["bob", "bob", "bob", "ann", "bob"]


def test_among_tenants_with_nothing_running_each_has_its_turn(catalog: Catalog, jobs: Jobs) -> None:
    for tenant in ("ann", "bob", "eve"):
        upload(catalog, tenant, 3)
    served = [catalog.load_version(version).tenant_id for version in claim_and_finish(jobs, 9)]
    assert served == ["ann", "bob", "eve"] * 3


def test_a_batch_is_shared_and_what_one_leaves_goes_to_who_has_more(catalog: Catalog, jobs: Jobs) -> None:
    upload(catalog, "ann", 20)
    upload(catalog, "bob", 3)
    upload(catalog, "eve", 20)
    claimed = [job.tenant_id for job in jobs.claim(JobKind.INGEST, limit=15)]
    assert {tenant: claimed.count(tenant) for tenant in set(claimed)} == {"ann": 7, "bob": 3, "eve": 5}
    assert len(jobs.claim(JobKind.INGEST, limit=100)) == 28


def test_the_more_urgent_of_a_tenants_own_jobs_comes_first_and_takes_nothing_from_others(
    catalog: Catalog, jobs: Jobs
) -> None:
    bulk = upload(catalog, "ann", 3, JobPriority.BULK)
    urgent = upload(catalog, "ann", 2)
    other = upload(catalog, "bob", 2, JobPriority.BULK)
    assert claim_and_finish(jobs, 7) == [urgent[0], other[0], urgent[1], other[1], *bulk]


def test_embedding_is_as_urgent_as_the_upload_was(catalog: Catalog, jobs: Jobs) -> None:
    (bulk,) = upload(catalog, "ann", 1, JobPriority.BULK)
    claim_and_finish(jobs, 1)
    (urgent,) = upload(catalog, "ann", 1)
    claim_and_finish(jobs, 1)
    assert [job.version_id for job in jobs.claim(JobKind.EMBED, limit=2)] == [urgent, bulk]


def test_nothing_of_a_paused_kind_is_claimed_until_it_is_resumed(catalog: Catalog, jobs: Jobs) -> None:
    upload(catalog, "ann", 1)
    jobs.pause_kind(JobKind.INGEST)
    jobs.pause_kind(JobKind.INGEST)
    assert set(jobs.load_paused_kinds()) == {JobKind.INGEST}
    assert (jobs.claim(JobKind.INGEST), jobs.list_claimable_ids(JobKind.INGEST, 10)) == ([], [])
    jobs.resume_kind(JobKind.INGEST)
    assert jobs.load_paused_kinds() == {}
    assert len(jobs.list_claimable_ids(JobKind.INGEST, 10)) == len(jobs.claim(JobKind.INGEST)) == 1


def test_what_a_bell_is_rung_for_is_what_can_be_claimed_oldest_first(catalog: Catalog, jobs: Jobs) -> None:
    upload(catalog, "ann", 4)
    upload(catalog, "bob", 2)
    (first,) = jobs.claim(JobKind.INGEST)
    jobs.retry(first, AWAY)  # not before a pause
    (second,) = jobs.claim(JobKind.INGEST)
    waiting = jobs.list_claimable_ids(JobKind.INGEST, 10)
    assert len(waiting) == 4
    assert waiting == sorted(waiting)
    assert not {first.id, second.id} & set(waiting)
    assert jobs.list_claimable_ids(JobKind.INGEST, 2) == waiting[:2]


def test_only_what_can_be_claimed_makes_the_queue_older(catalog: Catalog, jobs: Jobs, engine: Engine) -> None:
    assert jobs.find_oldest_claimable_time(JobKind.INGEST) is None
    before = time.time()
    upload(catalog, "ann", 2)
    (first,) = jobs.claim(JobKind.INGEST)
    (second,) = jobs.claim(JobKind.INGEST)
    assert jobs.find_oldest_claimable_time(JobKind.INGEST) is None  # they run
    jobs.retry(first, AWAY)  # not before a pause
    assert jobs.find_oldest_claimable_time(JobKind.INGEST) is None
    jobs.release_job(second)
    handed_back = jobs.find_oldest_claimable_time(JobKind.INGEST)
    assert handed_back is not None
    assert before < handed_back <= time.time()
    jobs.pause_kind(JobKind.INGEST)
    assert jobs.find_oldest_claimable_time(JobKind.INGEST) is None
    jobs.resume_kind(JobKind.INGEST)
    wake(engine)
    assert (jobs.find_oldest_claimable_time(JobKind.INGEST) or 0) <= handed_back


def test_waiting_jobs_are_counted_by_tenant_and_as_a_backlog(catalog: Catalog, jobs: Jobs) -> None:
    upload(catalog, "ann", 3)
    upload(catalog, "bob", 1)
    claim_and_finish(jobs, 1)
    assert jobs.count_waiting_by_tenant(JobKind.INGEST) == {"ann": 2, "bob": 1}
    assert jobs.count_waiting_by_tenant(JobKind.EMBED) == {"ann": 1}
    assert (jobs.count_backlog("ann"), jobs.count_backlog("bob"), jobs.count_backlog("eve")) == (2, 1, 0)


@pytest.mark.parametrize("seed", range(4))
def test_a_position_is_the_number_of_jobs_that_one_worker_does_before(seed: int, catalog: Catalog, jobs: Jobs) -> None:
    source = random.Random(seed)
    waiting: list[str] = []
    for tenant in source.sample(["ann", "bob", "eve", "joe"], k=source.randint(1, 4)):
        for _ in range(source.randint(1, 5)):
            waiting += upload(catalog, tenant, 1, source.choice(list(JobPriority)))
    for done in claim_and_finish(jobs, source.randint(0, 3) % len(waiting)):
        waiting.remove(done)
    expected = {version: jobs.estimate_position(version) for version in waiting}
    served = claim_and_finish(jobs, len(waiting))
    assert expected == {version: place for place, version in enumerate(served)}


def test_a_version_that_waits_for_nothing_has_no_position(catalog: Catalog, jobs: Jobs) -> None:
    (version,) = upload(catalog, "ann", 1)
    (job,) = jobs.claim(JobKind.INGEST)
    assert jobs.estimate_position(version) is None
    finish(jobs, job)
    assert jobs.estimate_position(version) == 0
    embedded(jobs)
    assert jobs.estimate_position(version) is None


def test_a_document_that_ends_its_worker_three_times_fails_and_the_others_go_on(
    catalog: Catalog, jobs: Jobs, engine: Engine
) -> None:
    poison = arrive(catalog, "poison")
    for attempt in range(1, MAX_ATTEMPTS + 1):
        (job,) = jobs.claim(JobKind.INGEST)
        assert (job.document_id, job.attempt) == (poison.id, attempt)
        lapse(engine)
        assert jobs.requeue_lost_jobs(include_all_running=False) == (attempt < MAX_ATTEMPTS)
    version = catalog.load_document("ann", poison.id).version
    assert version.state is VersionState.FAILED
    assert version.failure is not None
    assert (version.failure.code, version.failure.detail) == (
        "worker_lost",
        "The document crashed its worker 3 times in 3 attempts.",
    )
    assert version.failure.hint
    arrive(catalog, "good")
    searchable(jobs)


def test_a_batch_that_lost_its_worker_comes_back_job_by_job(catalog: Catalog, jobs: Jobs, engine: Engine) -> None:
    upload(catalog, "ann", 4)
    assert len(jobs.claim(JobKind.INGEST, limit=4)) == 4
    lapse(engine)
    jobs.requeue_lost_jobs(include_all_running=False)
    fresh = upload(catalog, "bob", 2)
    sizes, alone = [], []
    while claimed := jobs.claim(JobKind.INGEST, limit=10):
        sizes.append(len(claimed))
        alone += [job.attempt for job in claimed if len(claimed) == 1]
        for job in claimed:
            finish(jobs, job)
    assert sorted(sizes) == [1, 1, 1, 1, 2]
    assert alone == [2, 2, 2, 2]
    assert {catalog.load_version(version).state for version in fresh} == {VersionState.SEARCHABLE}


def test_a_lapsed_lease_costs_an_attempt_and_a_stopped_service_does_not(
    catalog: Catalog, jobs: Jobs, engine: Engine
) -> None:
    arrive(catalog)
    attempts = []
    for lapsed in (False, True, False, True):
        (job,) = jobs.claim(JobKind.INGEST)
        attempts.append(job.attempt)
        lapse(engine)
        jobs.requeue_lost_jobs(include_all_running=not lapsed)
    assert attempts == [1, 1, 2, 2]


def test_a_collection_is_tried_until_it_is_done(catalog: Catalog, jobs: Jobs, engine: Engine) -> None:
    document = arrive(catalog)
    catalog.delete_document("ann", document.id)
    for _ in range(MAX_ATTEMPTS + 2):
        wake(engine)
        (job,) = jobs.claim(JobKind.COLLECT)
        assert jobs.retry(job, AWAY) is True
        wake(engine)
        jobs.claim(JobKind.COLLECT)
        lapse(engine)
        assert jobs.requeue_lost_jobs(include_all_running=False) == 1
    assert catalog.load_version(document.version.id).state is VersionState.DELETED


def test_a_collection_that_cannot_be_done_leaves_the_version_deleted_and_hidden(
    catalog: Catalog, jobs: Jobs, engine: Engine
) -> None:
    document = arrive(catalog)
    catalog.delete_document("ann", document.id)
    wake(engine)
    (job,) = jobs.claim(JobKind.COLLECT)
    jobs.fail(job, AWAY)
    assert catalog.load_version(document.version.id).state is VersionState.DELETED
    assert catalog.list_hidden_versions("ann") == [document.version.id]


def test_pauses_between_attempts_are_kept(catalog: Catalog, jobs: Jobs, engine: Engine) -> None:
    arrive(catalog)
    (job,) = jobs.claim(JobKind.INGEST)
    jobs.retry(job, AWAY)
    assert jobs.claim(JobKind.INGEST) == []
    wake(engine)
    assert len(jobs.claim(JobKind.INGEST)) == 1


def test_a_claim_takes_no_more_bytes_together_than_it_may_and_always_one(catalog: Catalog, jobs: Jobs) -> None:
    upload(catalog, "ann", 5)  # of three bytes each
    assert len(jobs.claim(JobKind.INGEST, limit=9, total_bytes=1)) == 1
    assert len(jobs.claim(JobKind.INGEST, limit=9, total_bytes=7)) == 2
    assert len(jobs.claim(JobKind.INGEST, limit=9, total_bytes=100)) == 2


def test_a_claim_that_finds_nothing_does_not_wait_for_who_writes(catalog: Catalog, jobs: Jobs, engine: Engine) -> None:
    with write_transaction(engine):
        assert jobs.claim(JobKind.INGEST) == []


def test_of_jobs_that_end_together_those_that_were_lost_change_nothing(
    catalog: Catalog, jobs: Jobs, engine: Engine
) -> None:
    kept, lost = upload(catalog, "ann", 2)
    mine = jobs.claim(JobKind.INGEST, limit=2)
    lapse(engine)
    jobs.requeue_lost_jobs(include_all_running=False)
    (again,) = jobs.claim(JobKind.INGEST)  # one that has cost a lease is given out alone
    reports = [IngestReport(job if job.id != again.id else again, None, None, 1, 1) for job in mine]
    assert jobs.record_batch_progress(VersionState.INDEXING, {report.job: {} for report in reports}) == [mine[1]]
    assert jobs.finish_ingest(reports) == [mine[1]]
    assert catalog.load_version(kept).state is VersionState.SEARCHABLE
    assert catalog.load_version(lost).state is VersionState.ACCEPTED


def test_the_oldest_unfinished_job_says_since_when_something_waits(
    catalog: Catalog, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert jobs.find_oldest_unfinished_time(JobKind.INGEST) is None
    for now in (100.0, 200.0):
        monkeypatch.setattr("time.time", lambda now=now: now)
        upload(catalog, "ann", 1)
    assert jobs.find_oldest_unfinished_time(JobKind.INGEST) == 100.0
    (oldest,) = jobs.claim(JobKind.INGEST)
    assert jobs.find_oldest_unfinished_time(JobKind.INGEST) == 100.0
    finish(jobs, oldest)
    assert jobs.find_oldest_unfinished_time(JobKind.INGEST) == 200.0
    assert jobs.find_oldest_unfinished_time(JobKind.COLLECT) is None
