"""What a job was for fails with it, and says why; a version leaves nothing in the index unless it is being searched."""

from sqlalchemy import Connection, select, update

from ingest.catalog.clock import now
from ingest.catalog.queued import queue_job
from ingest.catalog.run_rows import end_run
from ingest.catalog.tables import versions
from ingest.documents import MAKING, Failure, Job, JobKind, VersionState
from ingest.runs import RunState


def fail_subject(connection: Connection, job: Job, failure: Failure, *, grace_seconds: float = 0.0) -> None:
    """The version or the run of a job that has ended; what was to be collected is no longer anybody's version."""
    if job.kind in MAKING:
        _fail_version(connection, job, failure, grace_seconds=grace_seconds)
    elif job.kind is JobKind.RUN:
        end_run(connection, job.version_id, RunState.FAILED, failure=failure)


def _fail_version(connection: Connection, job: Job, failure: Failure, *, grace_seconds: float = 0.0) -> None:
    """The version of a job that has ended. What it wrote is collected after `grace_seconds`, in which a worker that was
    given up for lost may still be writing."""
    of_version = versions.c.id == job.version_id
    if connection.execute(select(versions.c.hidden).where(of_version)).scalar_one():
        queue_job(
            connection,
            JobKind.COLLECT,
            tenant_id=job.tenant_id,
            document_id=job.document_id,
            version_id=job.version_id,
            not_before=now(connection) + grace_seconds,
        )
    connection.execute(
        update(versions)
        .where(of_version)
        .values(
            state=VersionState.FAILED,
            error_code=failure.code,
            error_detail=failure.detail,
            error_hint=failure.hint,
        )
    )
