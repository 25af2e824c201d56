"""How long the queues are: for progress, for refusing what cannot be done soon, and for operators."""

from sqlalchemy import ColumnElement, Connection, func, or_, select

from ingest.catalog.claims import tenants_in_turn
from ingest.catalog.paces import pace
from ingest.catalog.tables import jobs, pauses
from ingest.documents import IN_PROGRESS, Document, JobKind
from ingest.progress import Progress, Queue, Turn, progress_of


def unfinished(connection: Connection) -> dict[JobKind, int]:
    """How many jobs of each kind are queued or running."""
    query = select(jobs.c.kind, func.count()).where(jobs.c.state.in_(["queued", "running"])).group_by(jobs.c.kind)
    return {JobKind(kind): count for kind, count in connection.execute(query).all()}


def unfinished_since(connection: Connection, kind: JobKind) -> float | None:
    """When the oldest job of a kind that is queued or running was made."""
    query = select(func.min(jobs.c.created_at)).where(jobs.c.state.in_(["queued", "running"]), jobs.c.kind == kind)
    return connection.execute(query).scalar()


def waiting_by_tenant(connection: Connection, kind: JobKind) -> dict[str, int]:
    """Queued jobs of a kind, of each tenant that has any."""
    query = select(jobs.c.tenant_id, func.count()).where(_queued(kind)).group_by(jobs.c.tenant_id)
    return {tenant: count for tenant, count in connection.execute(query).all()}


def backlog(connection: Connection, tenant_id: str) -> int:
    """Documents of a tenant that wait to become searchable."""
    query = select(func.count()).where(_queued(JobKind.INGEST), jobs.c.tenant_id == tenant_id)
    return connection.execute(query).scalar_one()


def position(connection: Connection, version_id: str) -> int | None:
    """About how many jobs will be claimed before the one that a version waits for; None when it waits for none.

    Tenants are served in rounds: before a job that is n-th of its tenant (from 0), each other tenant gets n turns, and
    one more if it comes first in a round. That takes running jobs to end at one pace and no new ones to come.
    """
    own = connection.execute(
        select(jobs.c.id, jobs.c.kind, jobs.c.tenant_id, jobs.c.priority)
        .where(
            jobs.c.kind.in_([JobKind.INGEST, JobKind.EMBED, JobKind.RUN]),
            jobs.c.version_id == version_id,
            jobs.c.state == "queued",
        )
        .order_by(jobs.c.id)
    ).first()
    if own is None:
        return None
    kind = JobKind(own.kind)
    first = or_(jobs.c.priority > own.priority, (jobs.c.priority == own.priority) & (jobs.c.id < own.id))
    query = select(func.count()).where(_queued(kind), jobs.c.tenant_id == own.tenant_id, first)
    before = connection.execute(query).scalar_one()
    order = tenants_in_turn(connection, kind)
    ahead = set(order[: order.index(own.tenant_id)]) if own.tenant_id in order else set()
    others = waiting_by_tenant(connection, kind)
    others.pop(own.tenant_id, None)
    return before + sum(min(count, before + (tenant in ahead)) for tenant, count in others.items())


def progress(connection: Connection, document: Document) -> Progress:
    """How far a document's latest version is, with its place in the queue and an estimate."""
    version = document.version
    if version.state not in IN_PROGRESS:
        return progress_of(version)
    row = connection.execute(
        select(jobs.c.kind, jobs.c.attempt)
        .where(
            jobs.c.version_id == version.id,
            jobs.c.kind.in_([JobKind.INGEST, JobKind.EMBED]),
            jobs.c.state.in_(["queued", "running"]),
        )
        .order_by(jobs.c.id)
    ).first()
    if row is None:  # it ended while this was being asked
        return progress_of(version)
    turn = Turn(JobKind(row.kind), row.attempt, position(connection, version.id))
    return progress_of(version, turn, queues(connection, document.tenant_id))


def queues(connection: Connection, tenant_id: str) -> dict[JobKind, Queue]:
    """A tenant's queues on the way to `ready`, each with its pace of late."""
    kinds = (JobKind.INGEST, JobKind.EMBED)
    query = (
        select(jobs.c.kind, jobs.c.state, func.count())
        .where(jobs.c.state.in_(["queued", "running"]), jobs.c.kind.in_(kinds), jobs.c.tenant_id == tenant_id)
        .group_by(jobs.c.kind, jobs.c.state)
    )
    counts = {(kind, state): count for kind, state, count in connection.execute(query).all()}
    held = paused(connection)
    return {
        kind: Queue(
            queued=counts.get((kind.value, "queued"), 0),
            running=counts.get((kind.value, "running"), 0),
            pace=pace(connection, tenant_id, kind),
            paused=kind in held,
        )
        for kind in kinds
    }


def paused(connection: Connection) -> dict[JobKind, float]:
    """Kinds that nobody may claim, each with the instant since when."""
    return {JobKind(kind): since for kind, since in connection.execute(select(pauses.c.kind, pauses.c.since)).all()}


def _queued(kind: JobKind) -> ColumnElement[bool]:
    return (jobs.c.state == "queued") & (jobs.c.kind == kind)
