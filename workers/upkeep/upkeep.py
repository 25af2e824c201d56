"""Periodic repair of jobs without a worker, and of chunks that are missing from the index.

Each repair may be repeated, or run concurrently in two places, without harm.
"""

from collections.abc import Callable, Mapping

import structlog

from ingest.storage.documents.catalog import Catalog
from ingest.storage.documents.records import VersionState
from ingest.storage.instrumentation import reach_fault_point
from ingest.storage.jobs.jobs import Jobs
from ingest.storage.queue.records import JobKind
from retrieval.index.port import IndexWriter

# Maximum number of unanswered notifications per kind. A sweep sends no more, because notifications would only pile up
# while workers are busy.
_MAX_WAITING_RINGS = 32
# Kinds of jobs for which a sweep sends notifications. Builders of another generation find their jobs without
# notifications.
_RUNG_KINDS = (JobKind.INGEST, JobKind.EMBED, JobKind.COLLECT, JobKind.RUN, JobKind.SYNC)

log = structlog.get_logger(__name__)


def sweep_jobs(jobs: Jobs, *, unanswered_counts: Mapping[JobKind, int], notify: Callable[[JobKind, int], None]) -> int:
    """Requeue jobs that lost their worker, and notify workers of claimable jobs. Return the number of notifications.

    Requeueing a lost job is one transaction under the job's fencing token, and a superfluous notification costs one
    query. `unanswered_counts` contains the number of notifications of each kind that no worker has answered yet.
    """
    recovered = jobs.requeue_lost_jobs(include_all_running=False)
    if recovered:
        log.warning("jobs requeued after their lease lapsed", jobs=recovered)
    reach_fault_point("sweep.recovered")
    rung = 0
    for kind in _RUNG_KINDS:
        room = _MAX_WAITING_RINGS - unanswered_counts.get(kind, 0)
        for job_id in jobs.list_claimable_ids(kind, limit=room) if room > 0 else ():
            notify(kind, job_id)
            rung += 1
    return rung


def reconcile_index(catalog: Catalog, jobs: Jobs, index: IndexWriter) -> list[str]:
    """Requeue the ingest of versions whose chunks or vectors are incomplete in the index. Return their ids.

    Call this after a crash. The catalog syncs each commit to disk and the index does not, so the index may lack
    versions after a power cut.
    """
    behind: list[str] = []
    for version in catalog.list_indexed_versions():
        present = index.count_chunks(version.tenant_id, version.id)
        embedded = index.count_chunks(version.tenant_id, version.id, embedded_only=True)
        expected = version.chunks if version.state is VersionState.READY else version.chunks_embedded
        if present != version.chunks or embedded < (expected or 0):
            jobs.requeue_ingest(version.id)
            behind.append(version.id)
    return behind
