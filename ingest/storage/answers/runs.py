"""Creates, lists, watches, cancels and deletes runs on behalf of their owners. Each method is one transaction."""

import time
import uuid
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Engine, delete, func, insert, select, update

from ingest.storage.accounts.access import Readers, build_access_condition, build_owner_condition
from ingest.storage.answers.masking import load_masks, mask_answer
from ingest.storage.answers.run_log import build_run, build_run_query, end_run, load_run, resume_run
from ingest.storage.answers.run_records import (
    ENDED_STATES,
    QuotaRequest,
    Resumption,
    Run,
    RunEvent,
    RunRequest,
    RunState,
)
from ingest.storage.audit.records import Action
from ingest.storage.audit.store import record_action
from ingest.storage.counts import format_count
from ingest.storage.db.database import lock_tenant, read_transaction, write_transaction
from ingest.storage.db.schema import answers, documents, jobs, reservations, run_documents, run_events, runs
from ingest.storage.documents.works import inherit_versions
from ingest.storage.errors import IdempotencyKeyReusedError, RunsFullError, RunStateError
from ingest.storage.feed.feed import Announce, announce_to_nobody
from ingest.storage.queue.queue import enqueue_job
from ingest.storage.queue.records import JobKind, JobPriority
from ingest.storage.quotas.store import UNLIMITED, QuotaRules

MAX_WAITING = 1000


class Runs:
    """The runs of all tenants.

    Each call accesses the runs of a single tenant and, if `owner` is given, only that owner's runs. A tenant may have
    up to `max_waiting` queued runs. `announce` is called with the id of each run that is cancelled.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        max_waiting: int = MAX_WAITING,
        announce: Announce = announce_to_nobody,
        quotas: QuotaRules = UNLIMITED,
    ) -> None:
        self._quotas = quotas
        self._announce = announce
        self._engine = engine
        self._max_waiting = max_waiting

    def create(self, request: RunRequest) -> tuple[Run, bool]:
        """Queue a run and return it with true, or return the run already queued with the same key and false.

        The requested spending is reserved, and the run's limits are lowered to the amount granted. Raises
        `IdempotencyKeyReusedError` if the key was used for a different request, `RunsFullError` if too many runs are
        queued, and `QuotaExceededError` if a quota is exhausted.
        """
        with write_transaction(self._engine) as connection:
            lock_tenant(connection, request.tenant_id)
            known = _find_run_by_key(connection, request)
            if known is not None:
                return known, False
            self._require_queue_capacity(connection, request.tenant_id)
            identifier = str(uuid.uuid4())
            _insert_run(connection, request, identifier, self._reserve_limits(connection, request, identifier))
            if request.conversation_id is not None:
                inherit_versions(connection, identifier, request.tenant_id, request.conversation_id)
            enqueue_job(
                connection,
                JobKind.RUN,
                tenant_id=request.tenant_id,
                document_id=identifier,
                version_id=identifier,
                priority=JobPriority.INTERACTIVE,
            )
            return load_run(connection, request.tenant_id, identifier), True

    def find_existing_run(self, request: RunRequest) -> Run | None:
        """Find the run that was queued with the request's idempotency key.

        Raises `IdempotencyKeyReusedError` if the key was used for a different request.
        """
        with read_transaction(self._engine) as connection:
            return _find_run_by_key(connection, request)

    def load_run(self, tenant_id: str, identifier: str, owner: str | None = None) -> Run:
        """Load a run. Raises `RunNotFoundError` if it does not exist or belongs to another tenant or owner."""
        with read_transaction(self._engine) as connection:
            return load_run(connection, tenant_id, identifier, owner)

    def mask_names(self, run: Run, readers: Readers) -> Run:
        """Mask names in a run's answer, of documents that it has only seen and that these readers may not see now.

        Call this before showing the run's answer.
        """
        if run.answer is None:
            return run
        with read_transaction(self._engine) as connection:
            mask = load_masks(connection, readers, [run.id])[run.id]
        return replace(run, answer=mask_answer(run.answer, run.question, mask))

    def list_withheld_runs(self, identifiers: Collection[str], readers: Readers) -> set[str]:
        """List the runs that may have read a document that these readers may not see now."""
        if readers is None or not identifiers:
            return set()
        closed = (
            select(run_documents.c.run_id)
            .join(documents, documents.c.id == run_documents.c.document_id)
            .where(run_documents.c.run_id.in_(list(identifiers)), ~build_access_condition(readers))
        )
        with read_transaction(self._engine) as connection:
            return set(connection.execute(closed.distinct()).scalars())

    def list_runs(
        self,
        tenant_id: str,
        *,
        states: Collection[RunState] = (),
        before: int | None = None,
        limit: int = 50,
        owner: str | None = None,
    ) -> list[Run]:
        """List runs with a `sequence` below `before`, newest first."""
        query = build_run_query().where(runs.c.tenant_id == tenant_id, build_owner_condition(runs, owner))
        if before is not None:
            query = query.where(runs.c.sequence < before)
        if states:
            query = query.where(func.coalesce(runs.c.ended_as, jobs.c.state).in_([state.value for state in states]))
        with read_transaction(self._engine) as connection:
            rows = connection.execute(query.order_by(runs.c.sequence.desc()).limit(limit)).all()
        return [build_run(row) for row in rows]

    def list_events(self, tenant_id: str, identifier: str, *, after: int = 0, limit: int = 100) -> list[RunEvent]:
        """List the events of a run after event number `after`, in the order in which they were logged.

        Raises `RunNotFoundError` if the run does not exist.
        """
        query = (
            select(run_events.c.sequence, run_events.c.kind, run_events.c.body, run_events.c.created_at)
            .where(run_events.c.run_id == identifier, run_events.c.sequence > after)
            .order_by(run_events.c.sequence)
            .limit(limit)
        )
        with read_transaction(self._engine) as connection:
            load_run(connection, tenant_id, identifier)
            return [RunEvent(*row) for row in connection.execute(query).all()]

    def cancel(self, tenant_id: str, identifier: str, owner: str | None = None) -> Run:
        """Cancel a run unless it has ended. Its worker loses the lease and stops at its next check.

        Raises `RunNotFoundError` if there is no such run.
        """
        with write_transaction(self._engine) as connection:
            load_run(connection, tenant_id, identifier, owner)
            taken = connection.execute(
                update(jobs)
                .where(
                    jobs.c.kind == JobKind.RUN,
                    jobs.c.version_id == identifier,
                    jobs.c.state.in_(["queued", "running", "paused"]),
                )
                .values(state="cancelled", fence=jobs.c.fence + 1, lease_until=None, updated_at=time.time())
            ).rowcount
            if taken:
                end_run(connection, identifier, RunState.CANCELLED)
            run = load_run(connection, tenant_id, identifier)
        self._announce(tenant_id, {identifier})
        return run

    def resume(self, tenant_id: str, identifier: str, resumption: Resumption, owner: str | None = None) -> Run:
        """Resume a paused run according to the user's decision, and reserve the additional spending.

        Raises `RunNotFoundError` if there is no such run, `RunStateError` if it is not paused, and `QuotaExceededError`
        if a quota is exhausted.
        """
        with write_transaction(self._engine) as connection:
            lock_tenant(connection, tenant_id)
            run = load_run(connection, tenant_id, identifier, owner)
            if run.state is not RunState.PAUSED or len(run.raised) != resumption.raises:
                raise RunStateError(
                    f"The run is {run.state} and cannot be resumed.", hint="Only paused runs can be resumed."
                )
            if resumption.wanted is not None:
                connection.execute(delete(reservations).where(reservations.c.id == identifier))
            limits = self._restrict_limits_to_quotas(connection, identifier, resumption.wanted, resumption.limits)
            resume_run(connection, run, replace(resumption, limits=limits))
            run = load_run(connection, tenant_id, identifier)
        self._announce(tenant_id, {identifier})
        return run

    def delete(self, tenant_id: str, identifier: str, owner: str | None = None) -> None:
        """Delete a finished run and its log.

        Raises `RunNotFoundError` if there is no such run, and `RunStateError` if it has not finished.
        """
        with write_transaction(self._engine) as connection:
            run = load_run(connection, tenant_id, identifier, owner)
            if run.state not in ENDED_STATES:
                raise RunStateError(
                    f"The run is {run.state} and cannot be deleted yet.", hint="Cancel the run first, then delete it."
                )
            for table in (run_events, run_documents):
                connection.execute(delete(table).where(table.c.run_id == identifier))
            connection.execute(delete(jobs).where(jobs.c.kind == JobKind.RUN, jobs.c.version_id == identifier))
            connection.execute(delete(answers).where(answers.c.id == identifier))
            connection.execute(delete(runs).where(runs.c.id == identifier))
            record_action(connection, Action.RUN_DELETED, f"run:{identifier}", tenant_id=tenant_id)

    def _reserve_limits(self, connection: Connection, request: RunRequest, run_id: str) -> Mapping[str, Any]:
        """Reserve the requested spending and return the run's limits, lowered to the amount granted."""
        limits = request.unasked if request.limits is None else request.limits
        return self._restrict_limits_to_quotas(connection, run_id, request.wanted, limits)

    def _restrict_limits_to_quotas(
        self,
        connection: Connection,
        run_id: str,
        quota_request: QuotaRequest | None,
        requested_limits: Mapping[str, Any],
    ) -> Mapping[str, Any]:
        limits = dict(requested_limits)
        if quota_request is not None:
            granted = self._quotas.reserve(
                connection,
                quota_request.account,
                "run",
                run_id,
                tokens=quota_request.tokens,
                nanodollars=quota_request.nanodollars,
            )
            limits |= granted.restrict_limits(limits)
        return limits

    def _require_queue_capacity(self, connection: Connection, tenant_id: str) -> None:
        query = select(func.count()).where(
            jobs.c.state == "queued", jobs.c.kind == JobKind.RUN, jobs.c.tenant_id == tenant_id
        )
        waiting = connection.execute(query).scalar_one()
        if waiting >= self._max_waiting:
            raise RunsFullError(
                f"This tenant already has {format_count(waiting, 'queued run')}; the limit is {self._max_waiting:,}."
            )


def _find_run_by_key(connection: Connection, request: RunRequest) -> Run | None:
    key = request.idempotency_key
    if key is None:
        return None
    query = build_run_query().where(runs.c.tenant_id == request.tenant_id, runs.c.idempotency_key == key)
    row = connection.execute(query).first()
    if row is None:
        return None
    if row.owner not in (None, request.owner):
        raise IdempotencyKeyReusedError(f"The idempotency key {key!r} was already used by another caller.")
    if row.asked_sha256 not in (None, request.request_sha256):
        raise IdempotencyKeyReusedError(
            f"The idempotency key {key!r} was already used for a different request: run {row.id}."
        )
    return build_run(row)


def _insert_run(connection: Connection, request: RunRequest, run_id: str, limits: Mapping[str, Any]) -> None:
    last = connection.execute(select(func.max(runs.c.sequence)).where(runs.c.tenant_id == request.tenant_id)).scalar()
    connection.execute(
        insert(runs).values(
            id=run_id,
            sequence=(last or 0) + 1,
            tenant_id=request.tenant_id,
            idempotency_key=request.idempotency_key,
            asked_sha256=request.request_sha256,
            question=request.question,
            collections=list(request.collections),
            documents=list(request.documents),
            strategy=request.strategy,
            limits=limits,
            every_record=request.every_record,
            history=[dict(message) for message in request.history],
            conversation_id=request.conversation_id,
            filters=dict(request.filters),
            pauses=request.pauses,
            raised=[],
            request=None if request.request is None else dict(request.request),
            owner=request.owner,
            readers=None if request.readers is None else sorted(request.readers),
            events=0,
            calls=0,
            cached=0,
            prompt_tokens=0,
            completion_tokens=0,
            nanodollars=0,
            key_id=request.key_id or (request.wanted.account.key_id if request.wanted else ""),
            seconds=0.0,
            created_at=time.time(),
        )
    )
