"""Removes what was kept for its time, of every tenant, in small transactions."""

import time
from collections.abc import Callable, Iterator
from typing import Any

from sqlalchemy import Connection, Engine, Select, delete, exists, func, select

from ingest.storage.answers.run_log import resume_run, run_of, run_query
from ingest.storage.answers.run_records import to_finish
from ingest.storage.audit.store import Audit
from ingest.storage.db.database import scrub, write
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
from ingest.storage.documents.records import ROUTE
from ingest.storage.operations.retention import Retention
from ingest.storage.queue.records import JobKind
from ingest.storage.slack.files import SlackFiles
from ingest.storage.slack.store import Slack

_DAY_SECONDS = 24 * 3600.0
_AT_ONCE = 100
_ENTRIES_AT_ONCE = 5_000
_KEYS_OF_TENANT = 100_000
# Followers of an ended run read until its last event.
_KEPT_EVENTS = ("start", "end")

Remove = Callable[[Connection, list[str]], None]


class Expiry:
    """Forgets what was kept for its time. It may run twice at once without harm."""

    def __init__(self, engine: Engine, *, clock: Callable[[], float] = time.time) -> None:
        self._engine = engine
        self._clock = clock

    def forget(self, retention: Retention) -> dict[str, int]:
        """Remove what is older than its retention time; returns how much of each kind there was, without zeros."""
        now = self._clock()

        def before(days: float) -> float:
            return now - days * _DAY_SECONDS

        logged = exists().where(run_events.c.run_id == runs.c.id, run_events.c.kind.not_in(_KEPT_EVENTS))
        alone = answers.c.conversation_id.is_(None), answers.c.created_at < before(retention.answers_days)
        unused = conversations.c.updated_at < before(retention.conversations_days)
        long_ended = runs.c.ended_at < before(retention.run_logs_days)
        closed = batches.c.closed_at < before(retention.batches_days)
        expired: dict[str, tuple[Select[Any], Remove]] = {
            "conversations": (select(conversations.c.id).where(unused), _remove_conversations),
            "answers": (select(answers.c.id).where(*alone), _remove_answers),
            "run logs": (select(runs.c.id).where(long_ended, logged), _remove_logs),
            "runs": (select(runs.c.id).where(runs.c.ended_at < before(retention.runs_days)), _remove_runs),
            "batches": (select(batches.c.id).where(closed), _remove_batches),
            "links": (select(shares.c.id).where(shares.c.ends_at < now), _remove_links),
            "webhook messages": (
                select(webhook_deliveries.c.id).where(
                    webhook_deliveries.c.created_at < before(retention.webhooks_days)
                ),
                _remove_deliveries,
            ),
            "works": (_forgotten_works(), _remove_works),
        }
        waited = jobs.c.kind == JobKind.RUN, jobs.c.state == "paused", jobs.c.updated_at < before(retention.paused_days)
        expired["paused runs"] = (select(jobs.c.version_id).where(*waited), _finish_runs)
        counts = {kind: _in_portions(self._engine, *each) for kind, each in expired.items()}
        counts["slack"] = Slack(self._engine).forget(before(retention.conversations_days))
        counts["slack files"] = SlackFiles(self._engine).forget(before(retention.conversations_days))
        counts["idempotency keys"] = _forget_keys(self._engine, now)
        counts["audit"] = sum(_trimmed(Audit(self._engine), before(retention.audit_days)))
        if any(counts.values()):
            scrub(self._engine)
        return {kind: count for kind, count in counts.items() if count and kind != "works"}


def _remove_runs(connection: Connection, some: list[str]) -> None:
    """Remove ended runs with their logs; their kept answers stay."""
    for table in (run_events, run_documents):
        connection.execute(delete(table).where(table.c.run_id.in_(some)))
    connection.execute(delete(jobs).where(jobs.c.kind == JobKind.RUN, jobs.c.version_id.in_(some)))
    connection.execute(delete(runs).where(runs.c.id.in_(some)))


def _in_portions(engine: Engine, query: Select[Any], remove: Remove) -> int:
    removed = 0
    while True:
        with write(engine) as connection:
            some = list(connection.execute(query.limit(_AT_ONCE)).scalars())
            remove(connection, some)
        removed += len(some)
        if len(some) < _AT_ONCE:
            return removed


def _remove_conversations(connection: Connection, some: list[str]) -> None:
    connection.execute(delete(answers).where(answers.c.conversation_id.in_(some)))
    connection.execute(delete(conversations).where(conversations.c.id.in_(some)))


def _remove_answers(connection: Connection, some: list[str]) -> None:
    connection.execute(delete(answers).where(answers.c.id.in_(some)))


def _remove_logs(connection: Connection, some: list[str]) -> None:
    texts = run_events.c.run_id.in_(some), run_events.c.kind.not_in(_KEPT_EVENTS)
    connection.execute(delete(run_events).where(*texts))


def _remove_links(connection: Connection, some: list[str]) -> None:
    connection.execute(delete(shares).where(shares.c.id.in_(some)))


def _finish_runs(connection: Connection, some: list[str]) -> None:
    """Let paused runs end with what they have."""
    for row in connection.execute(run_query().where(runs.c.id.in_(some))).all():
        run = run_of(row)
        resume_run(connection, run, to_finish(run))


def _remove_batches(connection: Connection, some: list[str]) -> None:
    connection.execute(delete(batch_entries).where(batch_entries.c.batch_id.in_(some)))
    connection.execute(delete(batches).where(batches.c.id.in_(some)))


def _remove_deliveries(connection: Connection, some: list[str]) -> None:
    connection.execute(delete(webhook_deliveries).where(webhook_deliveries.c.id.in_(some)))


def _forget_keys(engine: Engine, now: float) -> int:
    """Remove keys of requests whose time is over, and of each tenant those beyond its newest `_KEYS_OF_TENANT`."""
    with write(engine) as connection:
        removed = connection.execute(delete(idempotency_keys).where(idempotency_keys.c.ends_at <= now)).rowcount
        by_tenant = idempotency_keys.c.tenant_id
        many = select(by_tenant).group_by(by_tenant).having(func.count() > _KEYS_OF_TENANT)
        for tenant in connection.execute(many).scalars().all():
            begun, of_tenant = idempotency_keys.c.created_at, by_tenant == tenant
            last = select(begun).where(of_tenant).order_by(begun.desc()).offset(_KEYS_OF_TENANT).limit(1)
            oldest = of_tenant, begun <= connection.execute(last).scalar_one()
            removed += connection.execute(delete(idempotency_keys).where(*oldest)).rowcount
    return removed


def _forgotten_works() -> Select[Any]:
    """Select the works of which nothing is kept any more: no answer, no run, no reply."""
    whole = func.replace(work_versions.c.work_id, ROUTE, "")
    return (
        select(work_versions.c.work_id)
        .where(
            ~exists().where(answers.c.id == whole),
            ~exists().where(runs.c.id == whole),
            ~exists().where(replies.c.work_id == work_versions.c.work_id),
        )
        .distinct()
    )


def _remove_works(connection: Connection, some: list[str]) -> None:
    connection.execute(delete(work_versions).where(work_versions.c.work_id.in_(some)))


def _trimmed(audit: Audit, older_than: float) -> Iterator[int]:
    """Trim the audit log, once more than a day of it is too old: each trimming is an entry itself."""
    if audit.oldest() >= older_than - _DAY_SECONDS:
        return
    through = audit.head().sequence
    while removed := audit.trim(older_than, most=_ENTRIES_AT_ONCE, through=through):
        yield removed
