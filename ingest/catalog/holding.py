"""Jobs that were claimed together: locked in one order, and changed each under its own fence."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

from sqlalchemy import ColumnElement, Connection, select, tuple_, update

from ingest.catalog import paces, standing
from ingest.catalog.locking import lock_documents
from ingest.catalog.tables import documents, jobs, versions
from ingest.documents import Job, VersionState
from ingest.errors import LeaseLostError


def still_held(claimed: Collection[Job]) -> ColumnElement[bool]:
    return tuple_(jobs.c.id, jobs.c.fence).in_([(job.id, job.fence) for job in claimed]) & (jobs.c.state == "running")


def lock_jobs(connection: Connection, claimed: Collection[Job]) -> None:
    """Lock the rows of several jobs, in one order: two transactions that want the same ones wait in turn."""
    of_these = jobs.c.id.in_([job.id for job in claimed])
    connection.execute(select(jobs.c.id).where(of_these).order_by(jobs.c.id).with_for_update()).all()


def lock_written(connection: Connection, claimed: Collection[Job]) -> None:
    """What must stand until work is committed whose jobs were claimed together, and written to the same generation."""
    for job in claimed:
        standing.require_still_written(connection, job)
        break
    lock_documents(connection, {job.document_id for job in claimed})


def each_held(connection: Connection, claimed: Collection[Job], change: Callable[[Connection, Job], None]) -> list[Job]:
    """Change what belongs to each job; returns those that were lost, of which nothing is changed."""
    lost: list[Job] = []
    lock_jobs(connection, claimed)
    for job in sorted(claimed, key=lambda job: job.id):
        try:
            change(connection, job)
        except LeaseLostError:
            lost.append(job)
    return lost


def got_further(connection: Connection, job: Job) -> None:
    """Of a job that is held and goes on where its attempts ended: none was in vain, none ended a worker, and nothing
    is away."""
    in_vain = (jobs.c.attempt > 1) | (jobs.c.interruptions > 0) | jobs.c.away_since.is_not(None)
    of_job = jobs.c.id == job.id
    connection.execute(update(jobs).where(of_job, in_vain).values(attempt=1, interruptions=0, away_since=None))


def record_progress(connection: Connection, job: Job, state: VersionState, counts: Mapping[str, Any]) -> None:
    of_version = versions.c.id == job.version_id
    changed: dict[str, Any] = {"state": state, **counts}
    if state is VersionState.INDEXING:  # from now on there may be points of it, which only an active one may show
        active = documents.c.active_version_id == job.version_id
        changed["hidden"] = ~select(documents.c.id).where(documents.c.id == job.document_id, active).exists()
    if "chunks_embedded" not in counts:
        connection.execute(update(versions).where(of_version).values(**changed))
        return
    left = paces.unembedded(connection, [job.version_id])[job.version_id]
    connection.execute(update(versions).where(of_version).values(**changed))
    done = left - paces.unembedded(connection, [job.version_id])[job.version_id]
    paces.record(connection, {job: done}, ended=False)
