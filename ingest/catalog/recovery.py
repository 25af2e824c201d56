"""Jobs whose worker is gone: queued again, or, when a document has cost too many workers, failed."""

import time
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, select, update

from ingest.catalog.clock import clock
from ingest.catalog.failures import fail_subject
from ingest.catalog.tables import jobs
from ingest.documents import Failure, Job, JobKind

_MAX_INTERRUPTIONS = 20
_DOCUMENT = ("document", "Split it or export it again and upload that")
_SUBJECTS = {JobKind.RUN: ("run", "Ask again, of fewer documents")}


def recover_killed(connection: Connection) -> int:
    """Every running job, each with its attempt given back, until it has been interrupted too often to be innocent."""
    given_back = (jobs.c.interruptions < _MAX_INTERRUPTIONS).cast(jobs.c.attempt.type)
    return _queue(connection, [row.id for row in _running(connection)], attempt=jobs.c.attempt - given_back)


def recover_lapsed(connection: Connection, *, max_attempts: int, grace_seconds: float) -> int:
    """Jobs whose lease has run out. Collections have no last attempt; they end no worker that others would not."""
    lapsed = _running(connection, jobs.c.lease_until < clock(connection))
    spent = [row for row in lapsed if row.attempt >= max_attempts and row.kind != JobKind.COLLECT]
    for row in spent:
        _fail(connection, row, grace_seconds)
    failed = {row.id for row in spent}
    return _queue(connection, [row.id for row in lapsed if row.id not in failed])


def _running(connection: Connection, *conditions: ColumnElement[bool]) -> Sequence[Row[Any]]:
    """Locked; a row that somebody else holds at this moment is being extended or ended, so it is no matter of ours."""
    query = select(jobs).where(jobs.c.state == "running", *conditions).order_by(jobs.c.id)
    return connection.execute(query.with_for_update(skip_locked=True)).all()


def _queue(connection: Connection, ids: Sequence[int], **changed: Any) -> int:  # noqa: ANN401 - columns of `jobs`
    return connection.execute(
        update(jobs)
        .where(jobs.c.id.in_(ids))
        .values(
            state="queued",
            lease_until=None,
            fence=jobs.c.fence + 1,
            interruptions=jobs.c.interruptions + 1,
            updated_at=time.time(),
            **changed,
        )
    ).rowcount


def _fail(connection: Connection, row: Row[Any], grace_seconds: float) -> None:
    lapses = row.interruptions + 1
    subject, hint = _SUBJECTS.get(JobKind(row.kind), _DOCUMENT)
    failure = Failure(
        "worker_lost",
        f"The {subject} ended its worker {lapses} time{'s' * (lapses > 1)} in {row.attempt} attempts.",
        f"{hint}; if others fail like this, look at the workers' log and memory.",
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
    fail_subject(connection, job, failure, grace_seconds=grace_seconds)
