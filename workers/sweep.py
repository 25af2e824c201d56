"""The sweep: finds jobs whose worker was lost and jobs nobody was told of, and rings for them.

It may run twice at once and as often as one likes: queueing a lost job again is one transaction under its fence, and a
ring too many costs a look.
"""

from collections.abc import Callable, Mapping

import structlog

from ingest.catalog.jobs import Jobs
from ingest.documents import JobKind
from ingest.faultpoints import reach

# As many rings as a sweep may leave waiting for a kind; more would only pile up while workers are busy.
_RINGS = 32
# Whoever builds another generation of the index looks for its jobs without being rung for.
_RUNG_FOR = (JobKind.INGEST, JobKind.EMBED, JobKind.COLLECT, JobKind.RUN)

log = structlog.get_logger(__name__)


def sweep(jobs: Jobs, *, unanswered: Mapping[JobKind, int], ring: Callable[[JobKind, int], None]) -> int:
    """Queue again what lost its worker, and ring for what can be claimed; returns the number of rings.

    `unanswered` says how many rings of each kind still wait for a worker.
    """
    recovered = jobs.recover(all_running=False)
    if recovered:
        log.warning("jobs queued again after their lease ran out", jobs=recovered)
    reach("sweep.recovered")
    rung = 0
    for kind in _RUNG_FOR:
        room = _RINGS - unanswered.get(kind, 0)
        for job_id in jobs.claimable(kind, limit=room) if room > 0 else ():
            ring(kind, job_id)
            rung += 1
    return rung
