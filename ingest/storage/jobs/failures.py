"""Handles failed jobs and expired leases.

If a job fails, its version or run fails in the same commit. If its lease expires, the job is requeued.
"""

import time
from typing import Any

from sqlalchemy import Connection, Row, select, update

from ingest.storage.answers.run_log import end_run
from ingest.storage.answers.run_records import RunState
from ingest.storage.db.database import build_clock_expression, read_clock
from ingest.storage.db.schema import jobs, versions
from ingest.storage.documents.listing import refresh_listing_state
from ingest.storage.documents.records import VersionState
from ingest.storage.queue.queue import enqueue_job, lock_running_jobs, requeue_jobs
from ingest.storage.queue.records import VERSION_JOB_KINDS, Failure, Job, JobKind
from ingest.storage.sources.records import SyncState
from ingest.storage.sources.rows import end_sync
from ingest.storage.webhooks.outbox import publish_event
from ingest.storage.webhooks.records import EventType

_DOCUMENT_WORDS = ("document", "Split the document or export it again, then upload the result")
_SUBJECT_WORDS = {
    JobKind.RUN: ("run", "Ask again about fewer documents"),
    JobKind.SYNC: ("source", "Synchronize the source again"),
}


def requeue_lapsed_jobs(connection: Connection, *, max_attempts: int, grace_seconds: float) -> int:
    """Requeue jobs whose lease has expired, or fail them after `max_attempts`. `collect` jobs never fail.

    Returns the number of requeued jobs.
    """
    lapsed = lock_running_jobs(connection, jobs.c.lease_until < build_clock_expression(connection))
    spent = [row for row in lapsed if row.attempt >= max_attempts and row.kind != JobKind.COLLECT]
    for row in spent:
        _fail_lost_job(connection, row, grace_seconds)
    failed = {row.id for row in spent}
    return requeue_jobs(connection, [row.id for row in lapsed if row.id not in failed])


def _fail_lost_job(connection: Connection, row: Row[Any], grace_seconds: float) -> None:
    lapses = row.interruptions + 1
    subject, hint = _SUBJECT_WORDS.get(JobKind(row.kind), _DOCUMENT_WORDS)
    failure = Failure(
        "worker_lost",
        f"The {subject} crashed its worker {lapses} time{'s' * (lapses > 1)} in {row.attempt} attempts.",
        f"{hint}. If other {subject}s fail the same way, check the workers' log and memory.",
    )
    connection.execute(
        update(jobs)
        .where(jobs.c.id == row.id)
        .values(
            state="failed",
            lease_until=None,
            fence=jobs.c.fence + 1,
            interruptions=lapses,
            error_code=failure.code,
            error_detail=failure.detail,
            updated_at=time.time(),
        )
    )
    job = Job(row.id, JobKind(row.kind), row.tenant_id, row.document_id, row.version_id, row.attempt, row.fence)
    fail_target(connection, job, failure, grace_seconds=grace_seconds)


def fail_target(connection: Connection, job: Job, failure: Failure, *, grace_seconds: float = 0.0) -> None:
    """Fail the version, run or synchronization of a failed job. `collect` jobs have none."""
    if job.kind in VERSION_JOB_KINDS:
        _fail_version(connection, job, failure, grace_seconds=grace_seconds)
    elif job.kind is JobKind.RUN:
        end_run(connection, job.version_id, RunState.FAILED, failure=failure)
    elif job.kind is JobKind.SYNC:
        end_sync(connection, job.tenant_id, job.version_id, SyncState.FAILED, failure)


def _fail_version(connection: Connection, job: Job, failure: Failure, *, grace_seconds: float = 0.0) -> None:
    """Fail a version. If it is hidden from searches, queue the removal of its points from the index.

    The removal is delayed by `grace_seconds`, because a worker that was declared lost may still be writing.
    """
    of_version = versions.c.id == job.version_id
    if connection.execute(select(versions.c.hidden).where(of_version)).scalar_one():
        enqueue_job(
            connection,
            JobKind.COLLECT,
            tenant_id=job.tenant_id,
            document_id=job.document_id,
            version_id=job.version_id,
            not_before=read_clock(connection) + grace_seconds,
        )
    connection.execute(
        update(versions)
        .where(of_version)
        .values(
            state=VersionState.FAILED,
            error_code=failure.code,
            error_detail=failure.detail,
            error_hint=failure.hint,
            error_remarks=failure.remarks,
        )
    )
    refresh_listing_state(connection, job.document_id, job.version_id, VersionState.FAILED)
    failed = {"version": job.version_id, "document": job.document_id, "code": failure.code}
    publish_event(connection, job.tenant_id, EventType.DOCUMENT_FAILED, [failed])
