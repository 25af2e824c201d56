"""Leases and pauses in a cluster whose machines' clocks differ: they go by the database's."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import Engine, func, select, update

from ingest.storage.db.database import open_database, read_clock
from ingest.storage.db.schema import jobs as job_rows
from ingest.storage.db.schema import turns
from ingest.storage.documents.catalog import Catalog
from ingest.storage.jobs.jobs import Jobs
from ingest.storage.queue.records import Failure, JobKind
from tests.support.catalogs import arrive
from tests.support.postgres import Postgres, disposed

AWAY = Failure("encoder_unavailable", "It is away.")
HOUR_SECONDS = 3600.0


@pytest.fixture
def engine(postgres: Postgres) -> Iterator[Engine]:
    with disposed(open_database(postgres.catalog_database())) as engine:
        Catalog(engine).ensure_tenant("ann")
        yield engine


@pytest.fixture
def catalog(engine: Engine) -> Catalog:
    return Catalog(engine)


@pytest.fixture
def jobs(engine: Engine) -> Jobs:
    return Jobs(engine)


@contextmanager
def elsewhere(seconds: float) -> Iterator[None]:
    """On a machine whose clock is ahead by so much."""
    real = time.time
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "time", lambda: real() + seconds)
        yield


def seconds_until(engine: Engine, column: str) -> float:
    """From now to the greatest instant in a column of `jobs`, by the database's clock."""
    with engine.connect() as connection:
        return float(connection.execute(select(func.max(job_rows.c[column]))).scalar_one()) - read_clock(connection)


def test_a_lease_that_a_clock_behind_has_given_is_not_taken_away(catalog: Catalog, jobs: Jobs) -> None:
    arrive(catalog)
    with elsewhere(-HOUR_SECONDS):
        (job,) = jobs.claim(JobKind.INGEST)
        assert jobs.requeue_lost_jobs(include_all_running=False) == 0
    assert jobs.requeue_lost_jobs(include_all_running=False) == 0
    with elsewhere(-HOUR_SECONDS):
        jobs.extend_leases([job])
    assert jobs.requeue_lost_jobs(include_all_running=False) == 0
    with elsewhere(-HOUR_SECONDS):
        jobs.extend_lease(job)
    assert jobs.requeue_lost_jobs(include_all_running=False) == 0
    with elsewhere(HOUR_SECONDS):
        assert jobs.requeue_lost_jobs(include_all_running=False) == 0
    jobs.require_lease(job)


@pytest.mark.parametrize("ahead", [-HOUR_SECONDS, HOUR_SECONDS])
def test_pauses_and_leases_are_as_long_as_they_should_be(
    catalog: Catalog, jobs: Jobs, engine: Engine, ahead: float
) -> None:
    document = arrive(catalog)
    for pause in (jobs.postpone, jobs.retry):
        with engine.begin() as connection:
            connection.execute(update(job_rows).values(not_before=0.0))
        with elsewhere(ahead):
            (job,) = jobs.claim(JobKind.INGEST)
            assert 0 < seconds_until(engine, "lease_until") <= 60
            pause(job, AWAY)
        assert 0 < seconds_until(engine, "not_before") <= 5
    with elsewhere(ahead):
        catalog.delete_document("ann", document.id)
    assert seconds_until(engine, "not_before") <= 70


def test_whose_turn_it_is_goes_by_the_same_clock(catalog: Catalog, jobs: Jobs, engine: Engine) -> None:
    arrive(catalog)
    with elsewhere(HOUR_SECONDS):
        jobs.claim(JobKind.INGEST)
    with engine.connect() as connection:
        assert connection.execute(select(turns.c.served_at)).scalar_one() <= read_clock(connection)
