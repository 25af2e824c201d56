"""Jobs that wait for something that is away: for how long they have, and when they look again."""

from sqlalchemy import Connection, select

from ingest.catalog.clock import clock
from ingest.catalog.tables import jobs
from ingest.documents import Job, JobKind

_PAUSE_SECONDS = 5.0
_LONGEST_PAUSE_SECONDS = 120.0


def away_seconds(connection: Connection, job: Job) -> float:
    """How long ago the first of the attempts ended that have all met something away; 0.0 where the last one did not."""
    query = select(clock(connection) - jobs.c.away_since).where(jobs.c.id == job.id)
    return max(0.0, connection.execute(query).scalar() or 0.0)


def pause_seconds(job: Job, away: float) -> float:
    """How long a job waits that has waited for `away` seconds: 5, and of a run 5, 10, 20, … 120.

    Each attempt at a run goes through all that it did before, and is logged. Documents are looked at one by one.
    """
    return min(_PAUSE_SECONDS + away, _LONGEST_PAUSE_SECONDS) if job.kind is JobKind.RUN else _PAUSE_SECONDS
