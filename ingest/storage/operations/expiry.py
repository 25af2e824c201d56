"""Removes records that have exceeded their retention time, in small transactions."""

import time
from collections.abc import Callable, Iterator
from typing import Any

from sqlalchemy import Connection, Engine, Select, delete, exists, func, select

from ingest.storage.answers.pending import PendingAnswers
from ingest.storage.answers.run_log import build_run, build_run_query, resume_run
from ingest.storage.answers.run_records import build_finish_decision
from ingest.storage.audit.store import Audit
from ingest.storage.db.database import truncate_write_ahead_log, write_transaction
from ingest.storage.db.schema import (
    answers,
    batch_entries,
    batches,
    conversations,
    idempotency_keys,
    jobs,
    replies,
    run_documents,
    run_events,
    runs,
    shares,
    webhook_deliveries,
    work_versions,
)
from ingest.storage.documents.records import ROUTE_SUFFIX
from ingest.storage.operations.retention import Retention
from ingest.storage.queue.records import JobKind
from ingest.storage.slack.files import SlackFiles
from ingest.storage.slack.store import SlackStore

_DAY_SECONDS = 24 * 3600.0
_BATCH_ROWS = 100
_BATCH_ENTRIES = 5_000
_MAX_KEYS_PER_TENANT = 100_000
# Kinds of events that are retained. A client that follows a finished run reads until the run's last event.
_KEPT_EVENTS = ("start", "end")

Remove = Callable[[Connection, list[str]], None]


class Expiry:
    """Removes expired records of all tenants. Concurrent calls are safe."""

    def __init__(self, engine: Engine, *, clock: Callable[[], float] = time.time) -> None:
        self._engine = engine
        self._clock = clock

    def delete_expired_records(self, retention: Retention) -> dict[str, int]:
        """Remove all records older than their retention time. Return the number of removed records by kind.

        Kinds without removed records are omitted.
        """
        now = self._clock()

        def compute_cutoff(days: float) -> float:
            return now - days * _DAY_SECONDS

        logged = exists().where(run_events.c.run_id == runs.c.id, run_events.c.kind.not_in(_KEPT_EVENTS))
        alone = answers.c.conversation_id.is_(None), answers.c.created_at < compute_cutoff(retention.answers_days)
        unused = conversations.c.updated_at < compute_cutoff(retention.conversations_days)
        long_ended = runs.c.ended_at < compute_cutoff(retention.run_logs_days)
        closed = batches.c.closed_at < compute_cutoff(retention.batches_days)
        expired: dict[str, tuple[Select[Any], Remove]] = {
            "conversations": (select(conversations.c.id).where(unused), _remove_conversations),
            "answers": (select(answers.c.id).where(*alone), _remove_answers),
            "run logs": (select(runs.c.id).where(long_ended, logged), _remove_run_logs),
            "runs": (select(runs.c.id).where(runs.c.ended_at < compute_cutoff(retention.runs_days)), _remove_runs),
            "batches": (select(batches.c.id).where(closed), _remove_batches),
            "links": (select(shares.c.id).where(shares.c.ends_at < now), _remove_shared_links),
            "webhook messages": (
                select(webhook_deliveries.c.id).where(
                    webhook_deliveries.c.created_at < compute_cutoff(retention.webhooks_days)
                ),
                _remove_deliveries,
            ),
            "works": (_build_unused_works_query(), _remove_works),
        }
        waited = (
            jobs.c.kind == JobKind.RUN,
            jobs.c.state == "paused",
            jobs.c.updated_at < compute_cutoff(retention.paused_days),
        )
        expired["paused runs"] = (select(jobs.c.version_id).where(*waited), _resume_paused_runs)
        counts = {kind: _remove_in_batches(self._engine, *each) for kind, each in expired.items()}
        counts["slack"] = SlackStore(self._engine).delete_old_records(compute_cutoff(retention.conversations_days))
        counts["slack files"] = SlackFiles(self._engine).delete_ended_shares(
            compute_cutoff(retention.conversations_days)
        )
        counts["events of interrupted answers"] = PendingAnswers(self._engine).delete_lapsed_events()
        counts["idempotency keys"] = _remove_request_keys(self._engine, now)
        counts["audit"] = sum(_trim_audit_log(Audit(self._engine), compute_cutoff(retention.audit_days)))
        if any(counts.values()):
            truncate_write_ahead_log(self._engine)
        return {kind: count for kind, count in counts.items() if count and kind != "works"}


def _remove_runs(connection: Connection, run_ids: list[str]) -> None:
    """Remove finished runs with their logs, but not their answers."""
    for table in (run_events, run_documents):
        connection.execute(delete(table).where(table.c.run_id.in_(run_ids)))
    connection.execute(delete(jobs).where(jobs.c.kind == JobKind.RUN, jobs.c.version_id.in_(run_ids)))
    connection.execute(delete(runs).where(runs.c.id.in_(run_ids)))


def _remove_in_batches(engine: Engine, query: Select[Any], remove_rows: Remove) -> int:
    removed = 0
    while True:
        with write_transaction(engine) as connection:
            some = list(connection.execute(query.limit(_BATCH_ROWS)).scalars())
            remove_rows(connection, some)
        removed += len(some)
        if len(some) < _BATCH_ROWS:
            return removed


def _remove_conversations(connection: Connection, conversation_ids: list[str]) -> None:
    connection.execute(delete(answers).where(answers.c.conversation_id.in_(conversation_ids)))
    connection.execute(delete(conversations).where(conversations.c.id.in_(conversation_ids)))


def _remove_answers(connection: Connection, answer_ids: list[str]) -> None:
    connection.execute(delete(answers).where(answers.c.id.in_(answer_ids)))


def _remove_run_logs(connection: Connection, run_ids: list[str]) -> None:
    texts = run_events.c.run_id.in_(run_ids), run_events.c.kind.not_in(_KEPT_EVENTS)
    connection.execute(delete(run_events).where(*texts))


def _remove_shared_links(connection: Connection, link_ids: list[str]) -> None:
    connection.execute(delete(shares).where(shares.c.id.in_(link_ids)))


def _resume_paused_runs(connection: Connection, run_ids: list[str]) -> None:
    """Resume paused runs, so that they finish with their results so far."""
    for row in connection.execute(build_run_query().where(runs.c.id.in_(run_ids))).all():
        run = build_run(row)
        resume_run(connection, run, build_finish_decision(run))


def _remove_batches(connection: Connection, batch_ids: list[str]) -> None:
    connection.execute(delete(batch_entries).where(batch_entries.c.batch_id.in_(batch_ids)))
    connection.execute(delete(batches).where(batches.c.id.in_(batch_ids)))


def _remove_deliveries(connection: Connection, delivery_ids: list[str]) -> None:
    connection.execute(delete(webhook_deliveries).where(webhook_deliveries.c.id.in_(delivery_ids)))


def _remove_request_keys(engine: Engine, now: float) -> int:
    """Remove expired idempotency keys, and all but the newest `_MAX_KEYS_PER_TENANT` keys of each tenant."""
    with write_transaction(engine) as connection:
        removed = connection.execute(delete(idempotency_keys).where(idempotency_keys.c.ends_at <= now)).rowcount
        by_tenant = idempotency_keys.c.tenant_id
        many = select(by_tenant).group_by(by_tenant).having(func.count() > _MAX_KEYS_PER_TENANT)
        for tenant in connection.execute(many).scalars().all():
            begun, of_tenant = idempotency_keys.c.created_at, by_tenant == tenant
            last = select(begun).where(of_tenant).order_by(begun.desc()).offset(_MAX_KEYS_PER_TENANT).limit(1)
            oldest = of_tenant, begun <= connection.execute(last).scalar_one()
            removed += connection.execute(delete(idempotency_keys).where(*oldest)).rowcount
    return removed


def _build_unused_works_query() -> Select[Any]:
    """Build the query for works that no stored answer, run or cached reply uses."""
    whole = func.replace(work_versions.c.work_id, ROUTE_SUFFIX, "")
    return (
        select(work_versions.c.work_id)
        .where(
            ~exists().where(answers.c.id == whole),
            ~exists().where(runs.c.id == whole),
            ~exists().where(replies.c.work_id == work_versions.c.work_id),
        )
        .distinct()
    )


def _remove_works(connection: Connection, work_ids: list[str]) -> None:
    connection.execute(delete(work_versions).where(work_versions.c.work_id.in_(work_ids)))


def _trim_audit_log(audit: Audit, cutoff: float) -> Iterator[int]:
    """Trim the audit log if its expired entries span more than a day. Yield the size of each removed batch.

    Small trims are avoided, because each trim adds an entry to the log.
    """
    if audit.load_oldest_time() >= cutoff - _DAY_SECONDS:
        return
    through = audit.load_head().sequence
    while removed := audit.trim_entries(cutoff, max_entries=_BATCH_ENTRIES, last_sequence=through):
        yield removed
