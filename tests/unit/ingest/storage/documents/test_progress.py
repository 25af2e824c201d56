"""Fractions and estimates from what the catalog knows."""

from hypothesis import given
from hypothesis import strategies as st

from ingest.storage.documents.batch_records import Batch, BatchProgress, BatchState, BatchTally
from ingest.storage.documents.progress import (
    QueuePosition,
    compute_fraction,
    estimate_batch_seconds,
    estimate_seconds_left,
    list_paused_kinds,
)
from ingest.storage.documents.records import Version, VersionState
from ingest.storage.queue.records import JobKind, TenantQueue, Throughput
from ingest.storage.queue.statistics import compute_throughput

LIFE = [
    VersionState.ACCEPTED,
    VersionState.PARSING,
    VersionState.CHUNKING,
    VersionState.INDEXING,
    VersionState.SEARCHABLE,
    VersionState.EMBEDDING,
    VersionState.READY,
]
BOTH = {kind: TenantQueue(queued=10, running=2, pace=Throughput(2.0, 20.0)) for kind in (JobKind.INGEST, JobKind.EMBED)}


def version(state: VersionState, chunks: int | None = None, embedded: int = 0) -> Version:
    return Version("v", "d", "ann", "a", "text/plain", "0", 1, "b", state, chunks=chunks, chunks_embedded=embedded)


@given(st.integers(0, 5000), st.integers(0, 5000))
def test_a_document_never_goes_backwards(chunks: int, embedded: int) -> None:
    fractions = [compute_fraction(state, None, 0) for state in LIFE[:4]]
    fractions += [compute_fraction(VersionState.EMBEDDING, chunks, done) for done in (0, min(embedded, chunks), chunks)]
    fractions.append(compute_fraction(VersionState.READY, chunks, chunks))
    assert fractions == sorted(fractions)
    assert (fractions[0], fractions[-1]) == (0.0, 1.0)


def test_a_queued_document_waits_for_those_before_it_in_both_queues() -> None:
    # 2 running, 3 before it and itself in the one; those 6, 10 queued and 2 running in the other; two a second.
    turn = QueuePosition(JobKind.INGEST, 0, 3)
    assert estimate_seconds_left(version(VersionState.ACCEPTED), turn, BOTH) == 6 / 2 + 18 / 2


def test_a_document_that_is_embedded_shares_the_pace_with_those_beside_it() -> None:
    turn = QueuePosition(JobKind.EMBED, 1, None)
    assert estimate_seconds_left(version(VersionState.EMBEDDING, 100, 40), turn, BOTH) == 60 * 2 / 20.0


def test_without_a_pace_or_while_a_queue_is_paused_nothing_is_estimated() -> None:
    turn = QueuePosition(JobKind.INGEST, 0, 3)
    for queue in (
        TenantQueue(10, 2),
        TenantQueue(10, 2, Throughput(0.0, 0.0)),
        TenantQueue(10, 2, Throughput(1.0, 1.0), paused=True),
    ):
        assert estimate_seconds_left(version(VersionState.ACCEPTED), turn, {**BOTH, JobKind.EMBED: queue}) is None
        assert estimate_batch_seconds(5, 10, {**BOTH, JobKind.INGEST: queue}) is None
        assert estimate_batch_seconds(0, 10, {**BOTH, JobKind.INGEST: queue}) == 5.0
    assert estimate_batch_seconds(0, 0, {}) == 0.0


def test_a_batch_names_what_is_paused_of_the_work_that_it_still_needs() -> None:
    queues = {JobKind.INGEST: TenantQueue(paused=True), JobKind.EMBED: TenantQueue(paused=True)}
    assert list_paused_kinds(1, 2, queues) == (JobKind.INGEST, JobKind.EMBED)
    assert list_paused_kinds(0, 2, queues) == (JobKind.EMBED,)
    assert list_paused_kinds(1, 2, BOTH) == list_paused_kinds(0, 0, queues) == list_paused_kinds(1, 1, {}) == ()


def test_the_pace_is_that_of_the_latest_unbroken_work() -> None:
    slots = [(1010, 4, 40), (1009, 6, 20), (1006, 100, 100), (900, 1000, 1000)]
    assert compute_throughput(slots) == Throughput(10 / 20, 60 / 20)


def test_one_moment_of_work_is_no_pace() -> None:
    assert compute_throughput([]) is None
    assert compute_throughput([(1010, 64, 640)]) is None
    assert compute_throughput([(1010, 64, 640), (900, 64, 640)]) is None


def test_only_the_last_two_minutes_count() -> None:
    fast_then_slow = [(1000 - n, 1 if n < 24 else 100, 0) for n in range(100)]
    pace = compute_throughput(fast_then_slow)
    assert pace
    assert pace.jobs_per_second == 24 / 120


def batch(**changes: object) -> Batch:
    values = {"expected": None, "received": 0, "duplicates": 0, "refused": 0, "entries": 0}
    values |= {"closed_at": None, "cancelled_at": None}
    return Batch(id="b", sequence=1, tenant_id="ann", name="", created_at=1.0, **{**values, **changes})  # type: ignore[arg-type]


def test_a_batch_that_is_expected_to_grow_is_measured_by_what_it_will_be() -> None:
    half = BatchProgress(batch(expected=10, received=5, refused=1), BatchTally({VersionState.READY: 4}, work=4.0))
    assert (half.state, half.total_count, half.finished_count, half.fraction) == (BatchState.OPEN, 10, 5, 0.5)
    closed = BatchProgress(
        batch(expected=10, received=5, refused=1, closed_at=2.0), BatchTally({VersionState.READY: 4}, work=4.0)
    )
    assert (closed.state, closed.total_count, closed.fraction) == (BatchState.COMPLETED, 5, 1.0)
